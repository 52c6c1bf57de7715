//! The resources of a Bicep file: where they are by their names, and what is in them.

use std::rc::Rc;

use tidegate_core::Span;

use super::{Body, Evaluator, body, properties};
use crate::Resource;
use crate::ast::{Declaration, Expr, ExprKind, For, Name, Property, What};
use crate::codes;
use crate::eval::{Env, handle};
use crate::functions::truth;
use crate::problems::{error, note};
use crate::value::{Data, Handle, Place, Value, to_text};

impl Evaluator<'_> {
    /// The type of a resource in full, and its API version.
    fn full_type(&self, instance: usize, declaration: usize) -> Option<(String, Option<String>)> {
        let declaration = &self.instances[instance].source.file.declarations[declaration];
        let What::Resource { of, .. } = &declaration.what else { return None };
        let ExprKind::Text(of, _) = &of.kind else { return None };
        let (own, version) = match of.split_once('@') {
            Some((own, version)) => (own, Some(version.to_owned())),
            None => (&**of, None),
        };
        match declaration.within {
            // As deep as the file nests, which the parser limits.
            Some(parent) => {
                let (parent, parents_version) = self.full_type(instance, parent)?;
                Some((format!("{parent}/{own}"), version.or(parents_version)))
            }
            None => Some((own.to_owned(), version)),
        }
    }

    /// What `.name`, `.id` and so on are of a resource or module.
    pub(crate) fn of_declared(&mut self, place: Place, name: &Name, at: Span) -> Value {
        let declaration = self.instances[place.instance].source.file.declarations[place.declaration].clone();
        let symbol = &declaration.name.text;
        if place.index.is_none() && self.is_loop(place) {
            let message = format!("`{symbol}` is a loop; say which one, as in `{symbol}[0]`");
            return self.no_result(at, message);
        }
        let unknown = || Value::unknown(format!("`{}` of `{symbol}`", name.text), at);
        match (&declaration.what, &*name.text) {
            (What::Resource { body: expr, .. } | What::Module { body: expr, .. }, "name") => {
                let env = self.env_of(place, expr);
                match self.property(body(expr).object, "name", &env) {
                    Some((value, _)) => value,
                    None if matches!(declaration.what, What::Module { .. }) => unknown(),
                    None => Value::error(at),
                }
            }
            (What::Resource { .. }, "type" | "apiVersion") => {
                match self.full_type(place.instance, place.declaration) {
                    Some((of, _)) if &*name.text == "type" => Value::text(of, at),
                    Some((_, Some(version))) => Value::text(version, at),
                    _ => unknown(),
                }
            }
            (What::Module { .. }, "outputs") => Value::new(Data::Handle(Handle::Outputs(place)), at),
            _ => unknown(),
        }
    }

    pub(crate) fn nested(&mut self, base: &Value, name: &Name) -> Value {
        match &base.data {
            Data::Handle(Handle::Declared(place)) => {
                match self.instances[place.instance].source.child(place.declaration, &name.text) {
                    Some(child) => handle(place.instance, child, None, name.span),
                    None => {
                        let message = format!("there is no resource `{}` in it", name.text);
                        self.fail(codes::UNKNOWN_SYMBOL, name.span, message)
                    }
                }
            }
            Data::Error | Data::Unknown(_) => base.clone(),
            _ => self.no_result(name.span, format!("{} has no resources in it", base.kind())),
        }
    }

    /// The segments of a resource's name, those of its parents first.
    fn segments(&mut self, place: Place, symbol_at: Span) -> Vec<Value> {
        if self.depth >= crate::eval::DEPTH_MAX {
            return vec![self.no_result(symbol_at, "this resource is its own parent")];
        }
        self.depth += 1;
        let segments = self.segments_of(place);
        self.depth -= 1;
        segments
    }

    fn segments_of(&mut self, place: Place) -> Vec<Value> {
        let declaration = self.instances[place.instance].source.file.declarations[place.declaration].clone();
        let What::Resource { body: expr, .. } = &declaration.what else {
            return vec![self.no_result(declaration.name.span, "a module is no parent")];
        };
        let env = self.env_of(place, expr);
        let mut segments = match declaration.within {
            Some(parent) => {
                let parent = Place { instance: place.instance, declaration: parent, index: None };
                self.segments(parent, declaration.name.span)
            }
            None => match self.property(body(expr).object, "parent", &env) {
                Some((Value { data: Data::Handle(Handle::Declared(parent)), .. }, at)) => {
                    self.segments(parent, at)
                }
                Some((parent, at)) => match parent.data {
                    Data::Error | Data::Unknown(_) => vec![parent],
                    _ => vec![self.no_result(at, format!("`parent` is a resource, not {}", parent.kind()))],
                },
                None => vec![],
            },
        };
        let name = self.property(body(expr).object, "name", &env);
        match name {
            Some((value, _)) => segments.extend(value.segments()),
            None => segments.push(Value::error(declaration.name.span)),
        }
        segments
    }

    pub(super) fn resource(&mut self, instance: usize, declaration: usize, declared: &Declaration) {
        let What::Resource { of, body: expr, .. } = &declared.what else { return };
        let Some((full, _)) = self.full_type(instance, declaration) else { return };
        if !(self.options.wanted)(&full) {
            let message = format!("a resource of type `{full}` is passed over");
            self.say(note(codes::PASSED_OVER, of.span, message));
            return;
        }
        let Body { round, condition, object } = body(expr);
        if matches!(expr.kind, ExprKind::Wrong) {
            return;
        }
        if !matches!(object.kind, ExprKind::Object(_)) {
            self.fail(codes::BICEP_SYNTAX, object.span, "the body of a resource is an object");
            return;
        }
        let Some(rounds) = self.rounds_to_take(instance, declaration, round) else { return };
        for index in rounds {
            let place = Place { instance, declaration, index };
            let env = self.env_of(place, expr);
            if !self.is_on(condition, &declared.name.text, &env) {
                continue;
            }
            self.take(place, &full, of.span, object, &env);
        }
    }

    /// Which rounds of a loop there are; one without a number if there is no loop.
    pub(super) fn rounds_to_take(
        &mut self,
        instance: usize,
        declaration: usize,
        round: Option<&For>,
    ) -> Option<Vec<Option<usize>>> {
        let Some(for_loop) = round else { return Some(vec![None]) };
        match self.rounds(instance, declaration, for_loop) {
            Ok(items) => Some((0..items.len()).map(Some).collect()),
            Err(value) => {
                if let Data::Unknown(unknown) = &value.data {
                    let message = format!(
                        "the loop runs over {}, which is only known after a deployment",
                        unknown.what
                    );
                    let problem = error(codes::RUNTIME_VALUE, for_loop.over.span, message);
                    self.say(problem.help("loop over a parameter or an array that is written out"));
                }
                None
            }
        }
    }

    /// Whether a condition holds; complains if that can't be told.
    pub(super) fn is_on(&mut self, condition: Option<&Expr>, symbol: &str, env: &Env) -> bool {
        let Some(condition) = condition else { return true };
        let value = self.eval(condition, env);
        match &value.data {
            Data::Unknown(unknown) => {
                self.needs(unknown, &format!("the condition of `{symbol}` needs it"));
                false
            }
            Data::Error => false,
            _ => match truth(&value) {
                Ok(on) => on,
                Err(_) => {
                    self.no_result(condition.span, format!("the condition is {}, not a bool", value.kind()));
                    false
                }
            },
        }
    }

    fn take(&mut self, place: Place, full: &str, of: Span, object: &Expr, env: &Env) {
        let mut fields = Vec::new();
        for property in properties(object) {
            if let Property::Entry { key, .. } = property
                && let ExprKind::Text(name, _) = &key.kind
            {
                fields.push((name.clone(), key.span));
            }
        }
        let properties = self.property(object, "properties", env);
        let properties = properties.map(|(value, at)| (self.settle(&value, "properties", 0), at));
        let name_key = fields.iter().find(|(name, _)| &**name == "name").map(|(_, at)| *at);
        let symbol_at = self.instances[place.instance].source.file.declarations[place.declaration].name.span;
        let segments = match name_key {
            Some(_) => self.segments(place, symbol_at),
            None => vec![],
        };
        self.found_resource(full, of, name_key.map(|_| segments), fields, properties);
    }

    /// Keeps a resource that is wanted. `segments` is its name; none if that is missing, which its reader says.
    pub(crate) fn found_resource(
        &mut self,
        full: &str,
        of: Span,
        segments: Option<Vec<Value>>,
        fields: Vec<(Rc<str>, Span)>,
        properties: Option<(Value, Span)>,
    ) {
        let wanted = full.matches('/').count();
        let mut name = None;
        let mut parent = None;
        if let Some(mut segments) = segments {
            let all_known = segments.iter().all(|s| s.as_text().is_some());
            if all_known && segments.len() != wanted {
                let at = segments.last().map_or(of, |s| s.span);
                let message =
                    format!("the name has {} segments, but `{full}` needs {wanted}", segments.len());
                let help = "name the resource it belongs to with `parent`, or write its name and a slash before this one";
                self.say(error(codes::BAD_NAME, at, message).help(help));
            }
            let last = segments.pop();
            // Of the parents only the last counts: the profile of a data flow.
            if wanted > 2
                && let Some(above) = segments.pop()
            {
                let above = self.settle(&above, "parent", 0);
                parent = Some(to_text(&above).map(|text| (text, above.span)));
            }
            if let Some(last) = last {
                let settled = self.settle(&last, "name", 0);
                if settled.as_text().is_none() && !matches!(settled.data, Data::Error) {
                    self.no_result(settled.span, format!("a name is text, not {}", settled.kind()));
                    name = Some(Value::error(settled.span));
                } else {
                    name = Some(settled);
                }
            }
        }
        self.found.push(Resource { of: full.to_owned(), of_at: of, name, parent, fields, properties });
    }
}
