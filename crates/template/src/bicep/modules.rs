//! The modules of a Bicep file, and what they hand back.

use std::collections::HashMap;

use tidegate_core::Span;

use super::{Body, Evaluator, MODULES_MAX, body};
use crate::Argument;
use crate::ast::{Declaration, Expr, ExprKind, Name, What};
use crate::codes;
use crate::eval::Env;
use crate::problems::{closest, error};
use crate::types::is_nullable;
use crate::value::{Data, Place, Value};

impl Evaluator<'_> {
    pub(super) fn module(
        &mut self,
        instance: usize,
        declaration: usize,
        declared: &Declaration,
        expr: &Expr,
    ) {
        let Body { round, condition, object } = body(expr);
        if matches!(expr.kind, ExprKind::Wrong) {
            return;
        }
        if !matches!(object.kind, ExprKind::Object(_)) {
            self.fail(codes::BICEP_SYNTAX, object.span, "the body of a module is an object");
            return;
        }
        let Some(rounds) = self.rounds_to_take(instance, declaration, round) else { return };
        for index in rounds {
            let place = Place { instance, declaration, index };
            let env = self.env_of(place, expr);
            if self.is_on(condition, &declared.name.text, &env)
                && let Ok(module) = self.module_instance(place)
            {
                self.run_bicep(module);
            }
        }
    }

    /// The file of a module with the values that its parameters have there.
    fn module_instance(&mut self, place: Place) -> Result<usize, Value> {
        let key = (place.declaration, place.index);
        match self.instances[place.instance].modules.get(&key) {
            Some(Some(module)) => return module.clone(),
            Some(None) => {
                let name =
                    self.instances[place.instance].source.file.declarations[place.declaration].name.clone();
                let message = format!("the parameters of `{}` hang on its own outputs", name.text);
                return Err(self.no_result(name.span, message));
            }
            None => {}
        }
        self.instances[place.instance].modules.insert(key, None);
        let module = self.new_module(place);
        self.instances[place.instance].modules.insert(key, Some(module.clone()));
        module
    }

    fn new_module(&mut self, place: Place) -> Result<usize, Value> {
        let declaration = self.instances[place.instance].source.file.declarations[place.declaration].clone();
        let What::Module { path: path_at, body: expr } = &declaration.what else {
            return Err(Value::error(declaration.span));
        };
        let nesting = self.instances[place.instance].nesting + 1;
        let ExprKind::Text(path, _) = &path_at.kind else {
            return Err(self.fail(codes::BICEP_SYNTAX, path_at.span, "a path must not hold expressions"));
        };
        if ["br:", "br/", "ts:", "ts/"].iter().any(|registry| path.starts_with(registry)) {
            let problem = error(codes::NOT_READ_YET, path_at.span, "modules from a registry are not read");
            self.say(problem.help("restore the module, and name its file by a relative path"));
            return Err(Value::error(path_at.span));
        }
        if nesting > MODULES_MAX {
            let message = format!("modules nest more than {MODULES_MAX} levels deep");
            return Err(self.fail(codes::TOO_MUCH, path_at.span, message));
        }
        let Some(file) = self.loader.find(self.instances[place.instance].id, path) else {
            let message = format!("the module `{path}` can't be read");
            return Err(self.fail(codes::TEMPLATE_FILE, path_at.span, message));
        };
        if !path.ends_with(".bicep") {
            let message = "a module that is an ARM template is not read";
            return Err(self.fail(codes::NOT_READ_YET, path_at.span, message));
        }
        if !self.charge(100, path_at.span) {
            return Err(Value::error(path_at.span));
        }
        let env = Env { within: None, ..self.env_of(place, expr) };
        let object = body(expr).object;
        let given = self.property(object, "params", &env);
        let source = self.source(file);
        let mut params = HashMap::new();
        let params_at = given.as_ref().map_or(declaration.name.span, |(_, at)| *at);
        match given.map(|(value, _)| value) {
            Some(Value { data: Data::Object(entries), .. }) => {
                for entry in entries.iter() {
                    let known = source
                        .find(&entry.key, None)
                        .is_some_and(|d| matches!(source.file.declarations[d].what, What::Param { .. }));
                    if !known {
                        let names =
                            source.file.declarations.iter().filter(|d| matches!(d.what, What::Param { .. }));
                        let message = format!("the module has no parameter `{}`", entry.key);
                        let problem = error(codes::PARAMETER_VALUE, entry.key_span, message);
                        self.say(match closest(&entry.key, names.map(|d| &*d.name.text)) {
                            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                            None => problem,
                        });
                    }
                    params.insert(entry.key.clone(), Argument::Value(entry.value.clone()));
                }
            }
            None => {}
            Some(value) if matches!(value.data, Data::Error | Data::Unknown(_)) => return Err(value),
            Some(value) => {
                return Err(
                    self.no_result(value.span, format!("`params` is an object, not {}", value.kind()))
                );
            }
        }
        for declaration in &source.file.declarations {
            if let What::Param { of, default: None } = &declaration.what
                && !is_nullable(of.as_ref())
                && !params.contains_key(&declaration.name.text)
            {
                let message = format!("the module needs the parameter `{}`", declaration.name.text);
                let problem = error(codes::PARAMETER_MISSING, params_at, message);
                self.say(problem.label(declaration.name.span, "the parameter"));
            }
        }
        Ok(self.instance(file, params, nesting))
    }

    /// An output of a module.
    pub(crate) fn output(&mut self, place: Place, name: &Name, safe: bool, at: Span) -> Value {
        let module = match self.module_instance(place) {
            Ok(module) => module,
            Err(value) => return Value { span: at, ..value },
        };
        let found = self.instances[module].source.outputs.get(&name.text).copied();
        match found {
            Some(place) => self.declared(module, place, at),
            None if safe => Value::null(at),
            None => {
                let source = self.instances[module].source.clone();
                let message = format!("the module has no output `{}`", name.text);
                let problem = error(codes::UNKNOWN_SYMBOL, name.span, message);
                self.say(match closest(&name.text, source.outputs.keys().map(|k| &**k)) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
                Value::error(at)
            }
        }
    }
}
