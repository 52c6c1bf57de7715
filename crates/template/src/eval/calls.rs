//! Functions, those that look at more than their values, and lambdas.

use std::collections::HashMap;
use std::rc::Rc;

use tidegate_core::Span;

use super::{Closure, Env, Evaluator, NESTING_MAX, Scope, WORK_MAX, nests_deeper, width};
use crate::ast::{Expr, ExprKind, Lambda, Name};
use crate::codes;
use crate::functions::{self, How, function, is_list_function};
use crate::problems::{closest, error};
use crate::value::{Data, Entry, Handle, Unknown, Value, worst};

impl Evaluator<'_> {
    pub(super) fn method(&mut self, base: &Expr, name: &Name, args: &[Expr], at: Span, env: &Env) -> Value {
        if let (ExprKind::Name(namespace), Scope::Bicep(_)) = (&base.kind, env.scope)
            && matches!(&**namespace, "sys" | "az")
            && env.local(namespace).is_none()
        {
            return self.builtin(name, args, at, env);
        }
        if let (ExprKind::Name(namespace), Scope::Arm(arm)) = (&base.kind, env.scope) {
            return self.arm_function(arm, namespace, name, args, at, env);
        }
        let value = self.eval(base, env);
        match &value.data {
            Data::Error | Data::Unknown(_) => value,
            Data::Handle(Handle::Namespace(instance)) => {
                let instance = *instance;
                let found = self.instances[instance].source.find(&name.text, None);
                match found {
                    Some(declaration) => self.user_function(instance, declaration, name, args, at, env),
                    None => Value::error(at),
                }
            }
            // `storage.listKeys()`, `vault.getSecret('x')`
            Data::Handle(Handle::Declared(_)) => Value::unknown(format!("`{}`", name.text), at),
            _ => self.no_result(name.span, format!("{} has no function `{}`", value.kind(), name.text)),
        }
    }

    pub(super) fn call(&mut self, name: &Name, args: &[Expr], at: Span, env: &Env) -> Value {
        if let Scope::Bicep(instance) = env.scope
            && let Some(declaration) = self.instances[instance].source.find(&name.text, None)
        {
            return self.user_function(instance, declaration, name, args, at, env);
        }
        self.builtin(name, args, at, env)
    }

    /// Calls a lambda, or a function of the template.
    pub(crate) fn apply(&mut self, lambda: &Rc<Lambda>, args: &[Value], env: &Env) -> Value {
        let mut env = env.clone();
        for (param, arg) in lambda.params.iter().zip(args) {
            env = env.with(param, arg.clone());
        }
        self.eval(&lambda.body, &env)
    }

    pub(crate) fn builtin(&mut self, name: &Name, args: &[Expr], at: Span, env: &Env) -> Value {
        let any_case = matches!(env.scope, Scope::Arm(_));
        let Some(function) = function(&name.text, any_case) else {
            if is_list_function(&name.text) {
                return Value::unknown(format!("`{}`", name.text), at);
            }
            let names = functions::FUNCTIONS.iter().map(|f| f.name);
            let problem =
                error(codes::UNKNOWN_SYMBOL, name.span, format!("there is no function `{}`", name.text));
            self.say(match closest(&name.text, names) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem,
            });
            return Value::error(at);
        };
        if !(function.min..=function.max).contains(&args.len()) {
            let wanted = match (function.min, function.max) {
                (min, max) if min == max => min.to_string(),
                (min, usize::MAX) => format!("at least {min}"),
                (min, max) => format!("{min} to {max}"),
            };
            let message = format!("`{}` takes {wanted} arguments, not {}", function.name, args.len());
            return self.no_result(at, message);
        }
        match function.how {
            How::Runtime => Value::unknown(format!("`{}`", function.name), at),
            How::Never => {
                let message = format!("`{}` is not evaluated", function.name);
                let problem = error(codes::NOT_READ_YET, at, message);
                self.say(problem.help("write its result, or make it a parameter"));
                Value::error(at)
            }
            How::Special => self.special(function.name, args, at, env),
            How::Plain => {
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.plain(function.name, &values, at)
            }
        }
    }

    pub(crate) fn plain(&mut self, name: &str, args: &[Value], at: Span) -> Value {
        let args: Vec<Value> = args.iter().map(|a| self.spread_out(a, at)).collect();
        let looks = match name {
            "length" | "empty" | "first" | "last" | "any" | "array" | "createArray" | "createObject" => 1,
            "concat" | "flatten" | "skip" | "take" | "range" | "items" | "shallowMerge" | "objectKeys"
            | "tryGet" => args.iter().map(width).sum(),
            _ => args.iter().map(|a| a.size(WORK_MAX)).sum(),
        };
        if !self.charge(looks, at) {
            return Value::error(at);
        }
        match functions::call(name, &args, at) {
            Ok(value) => {
                if self.charge(width(&value), at) {
                    with_known_end(value, name, &args, at)
                } else {
                    Value::error(at)
                }
            }
            Err(message) => self.no_result(at, format!("`{name}`: {message}")),
        }
    }

    /// The resources or modules of a loop as an array.
    fn spread_out(&mut self, value: &Value, at: Span) -> Value {
        if let Data::Handle(Handle::Declared(place)) = &value.data
            && place.index.is_none()
            && self.is_loop(*place)
        {
            return self
                .every(*place, at)
                .map_or_else(|e| e, |items| Value::new(Data::Array(items), value.span));
        }
        value.clone()
    }

    fn special(&mut self, name: &'static str, args: &[Expr], at: Span, env: &Env) -> Value {
        match name {
            "if" => self.ternary(&args[0], &args[1], &args[2], env),
            "and" | "or" => {
                let stops = name == "or";
                for arg in args {
                    let value = self.eval(arg, env);
                    match value.data {
                        Data::Bool(b) if b == stops => return value,
                        Data::Bool(_) => {}
                        Data::Error | Data::Unknown(_) => return value,
                        _ => {
                            return self
                                .no_result(arg.span, format!("`{name}` takes bools, not {}", value.kind()));
                        }
                    }
                }
                Value::bool(!stops, at)
            }
            "coalesce" => {
                for arg in args {
                    let value = self.eval(arg, env);
                    if !value.is_null() {
                        return value;
                    }
                }
                Value::null(at)
            }
            "nameof" => match &args[0].kind {
                ExprKind::Name(name) | ExprKind::Member { name: Name { text: name, .. }, .. } => {
                    Value::text(name.clone(), at)
                }
                _ => self.no_result(at, "`nameof` takes a name"),
            },
            "fail" => {
                let value = self.eval(&args[0], env);
                match value.as_text() {
                    Some(text) => self.no_result(at, format!("the template says: {text}")),
                    None => value,
                }
            }
            "map" | "filter" | "reduce" | "sort" | "toObject" | "groupBy" | "mapValues" => {
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.with_lambda(name, &values, at)
            }
            "json" => {
                let value = self.eval(&args[0], env);
                let Some(text) = value.as_text() else {
                    return self.operate(at, &[&value], |_| Err("`json` takes text".into()));
                };
                if !self.charge(text.len() / 8, at) {
                    return Value::error(at);
                }
                match self.loader.json_text(text, at) {
                    Some(value) => value,
                    None => self.no_result(at, "`json`: the text is no JSON"),
                }
            }
            "loadTextContent" | "loadJsonContent" | "loadYamlContent" | "loadFileAsBase64" => {
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.load(name, &values, at, env)
            }
            "readEnvironmentVariable" => {
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.environment(&values, at)
            }
            "resourceId" | "extensionResourceId" => {
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.resource_id(name, &values, at, env)
            }
            // ARM's own
            _ if !matches!(env.scope, Scope::Arm(_)) && name != "reference" => {
                let message = format!("`{name}` is a function of ARM templates, not of Bicep");
                self.fail(codes::UNKNOWN_SYMBOL, at, message)
            }
            _ => self.arm_special(name, args, at, env),
        }
    }

    fn resource_id(&mut self, name: &str, values: &[Value], at: Span, env: &Env) -> Value {
        let mut unknown = Unknown::new(format!("`{name}`"), at);
        let of = values.iter().position(|v| {
            v.as_text().is_some_and(|t| t.eq_ignore_ascii_case("Microsoft.Resources/deployments"))
        });
        if let (Some(deployment), Scope::Arm(arm)) =
            (of.and_then(|of| values.get(of + 1)).and_then(Value::as_text), env.scope)
        {
            unknown.deployment = Some((arm, deployment.clone()));
        }
        worst(values.iter().filter(|v| matches!(v.data, Data::Error)).cloned())
            .unwrap_or_else(|| Value::new(Data::Unknown(Rc::new(unknown)), at))
    }

    fn environment(&mut self, values: &[Value], at: Span) -> Value {
        let Some(name) = values[0].as_text() else {
            return self.operate(at, &[&values[0]], |_| Err("the name of a variable is text".into()));
        };
        match (self.options.environment)(name) {
            Some(value) => Value::text(value, at),
            None => match values.get(1) {
                Some(default) => default.clone(),
                None => self.no_result(at, format!("there is no environment variable `{name}`")),
            },
        }
    }

    fn load(&mut self, name: &str, values: &[Value], at: Span, env: &Env) -> Value {
        let Some(path) = values[0].as_text().cloned() else {
            return self.operate(at, &[&values[0]], |_| Err("a path is text".into()));
        };
        let from = match env.scope {
            Scope::Bicep(instance) => self.instances[instance].id,
            _ => at.file,
        };
        let Some(file) = self.loader.find(from, &path) else {
            return self.fail(
                codes::TEMPLATE_FILE,
                values[0].span,
                format!("the file `{path}` can't be read"),
            );
        };
        let text = self.loader.text(file);
        if !self.charge(text.len() / 64, at) {
            return Value::error(at);
        }
        let whole = Span { file, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
        let value = match name {
            "loadTextContent" => {
                let bare = text.strip_prefix('\u{feff}');
                let from = if bare.is_some() { '\u{feff}'.len_utf8() } else { 0 };
                let exact = u32::try_from(from).ok();
                return Value::new(Data::Text(bare.unwrap_or(&text).into(), exact), whole);
            }
            "loadFileAsBase64" => {
                use base64::Engine as _;
                return Value::text(base64::engine::general_purpose::STANDARD.encode(text.as_bytes()), at);
            }
            "loadJsonContent" => self.loader.json(file),
            _ => self.loader.yaml(file),
        };
        let Some(mut value) = value else {
            return self.fail(
                codes::TEMPLATE_FILE,
                values[0].span,
                format!("the file `{path}` can't be read"),
            );
        };
        // the part of the file that a path such as `$.a.b[0]` names
        if let Some(path) = values.get(1).and_then(Value::as_text).cloned() {
            let steps = path.strip_prefix('$').unwrap_or(&path).replace('[', ".").replace(']', "");
            for step in steps.split('.').filter(|s| !s.is_empty()) {
                let key = Name { text: step.trim_matches(['\'', '"']).into(), span: values[1].span };
                value = match (&value.data, step.parse::<usize>()) {
                    (Data::Array(items), Ok(n)) => items
                        .get(n)
                        .cloned()
                        .unwrap_or_else(|| self.no_result(at, format!("there is no item {n}"))),
                    _ => self.member(&value, &key, false, at),
                };
            }
        }
        value
    }

    fn with_lambda(&mut self, name: &str, values: &[Value], at: Span) -> Value {
        let first = self.spread_out(&values[0], at);
        let lambda_at = if name == "reduce" { 2 } else { 1 };
        let mut closures = Vec::new();
        for value in &values[lambda_at..] {
            match &value.data {
                Data::Handle(Handle::Closure(closure)) => closures.push(closure.clone()),
                Data::Error | Data::Unknown(_) => return value.clone(),
                _ => {
                    return self.no_result(
                        value.span,
                        format!("`{name}` takes a lambda here, not {}", value.kind()),
                    );
                }
            }
        }
        let closure = closures[0].clone();
        if let ("mapValues", Data::Object(entries)) = (name, &first.data) {
            let mut made = Vec::with_capacity(entries.len());
            for entry in entries.iter() {
                let value = self.run(&closure, std::slice::from_ref(&entry.value));
                made.push(Entry { value, ..entry.clone() });
            }
            return Value::object(made, at);
        }
        let items = match &first.data {
            Data::Array(items) => items.clone(),
            Data::Error | Data::Unknown(_) => return first,
            _ => return self.no_result(at, format!("`{name}` takes an array, not {}", first.kind())),
        };
        let index = |i: usize| Value::int(i64::try_from(i).unwrap_or(i64::MAX), at);
        match name {
            "map" => {
                let mut made = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    made.push(self.run(&closure, &[item.clone(), index(i)]));
                }
                Value::array(made, at)
            }
            "filter" => {
                let mut made = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let keep = self.run(&closure, &[item.clone(), index(i)]);
                    match keep.data {
                        Data::Bool(true) => made.push(item.clone()),
                        Data::Bool(false) => {}
                        Data::Error | Data::Unknown(_) => return keep,
                        _ => {
                            return self
                                .no_result(at, format!("the lambda of `filter` gives {}", keep.kind()));
                        }
                    }
                }
                Value::array(made, at)
            }
            "reduce" => {
                let mut sum = values[1].clone();
                for (i, item) in items.iter().enumerate() {
                    sum = self.run(&closure, &[sum, item.clone(), index(i)]);
                    if nests_deeper(&sum, NESTING_MAX) {
                        let message = format!("the result nests more than {NESTING_MAX} levels deep");
                        return self.fail(codes::TOO_MUCH, at, message);
                    }
                    if !self.charge(sum.size(1000), at) {
                        return Value::error(at);
                    }
                }
                sum
            }
            "sort" => self.sort(&items, &closure, at),
            _ => self.keyed(name, &items, &closures, at),
        }
    }

    fn keyed(&mut self, name: &str, items: &[Value], closures: &[Rc<Closure>], at: Span) -> Value {
        let mut made: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Vec<Value>> = Vec::new();
        for item in items {
            let key = self.run(&closures[0], std::slice::from_ref(item));
            let Some(key_text) = key.as_text().cloned() else {
                return self.operate(at, &[&key], |v| Err(format!("`{name}`: the key is {}", v[0].kind())));
            };
            let value = match closures.get(1) {
                Some(closure) => self.run(closure, std::slice::from_ref(item)),
                None => item.clone(),
            };
            let place = *places.entry(key_text.to_lowercase()).or_insert(made.len());
            if place == made.len() {
                made.push(Entry { key: key_text, key_span: key.span, value: value.clone() });
                groups.push(Vec::new());
            }
            groups[place].push(value.clone());
            made[place].value = value;
        }
        if name == "groupBy" {
            for (entry, group) in made.iter_mut().zip(groups) {
                entry.value = Value::array(group, at);
            }
        }
        Value::object(made, at)
    }

    /// A merge sort, as what a template calls an order need not be one.
    fn sort(&mut self, items: &[Value], closure: &Rc<Closure>, at: Span) -> Value {
        let mut runs: Vec<Vec<Value>> = items.iter().map(|i| vec![i.clone()]).collect();
        while runs.len() > 1 {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
            let mut pairs = runs.into_iter();
            while let Some(left) = pairs.next() {
                let Some(right) = pairs.next() else {
                    merged.push(left);
                    break;
                };
                let mut run = Vec::with_capacity(left.len() + right.len());
                let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
                while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
                    // only what is truly before what stands on its left overtakes it
                    let overtakes = self.run(closure, &[b.clone(), a.clone()]);
                    match overtakes.data {
                        Data::Bool(true) => run.extend(right.next()),
                        Data::Bool(false) => run.extend(left.next()),
                        Data::Error | Data::Unknown(_) => return overtakes,
                        _ => {
                            return self
                                .no_result(at, format!("the lambda of `sort` gives {}", overtakes.kind()));
                        }
                    }
                }
                run.extend(left);
                run.extend(right);
                merged.push(run);
            }
            runs = merged;
        }
        Value::array(runs.pop().unwrap_or_default(), at)
    }

    fn run(&mut self, closure: &Closure, args: &[Value]) -> Value {
        self.apply(&closure.lambda, args, &closure.env)
    }
}

/// What a function made, and of a text that is not known what stands at its end.
fn with_known_end(value: Value, name: &str, args: &[Value], at: Span) -> Value {
    if !matches!(value.data, Data::Unknown(_)) || !["format", "concat"].contains(&name) {
        return value;
    }
    // no text of a template holds this
    const NOT_KNOWN: char = '\0';
    let marked: Vec<Value> = args
        .iter()
        .map(|arg| match &arg.data {
            Data::Unknown(unknown) => Value::text(format!("{NOT_KNOWN}{}", unknown.end), arg.span),
            _ => arg.clone(),
        })
        .collect();
    let made = functions::call(name, &marked, at).ok();
    let end = made.as_ref().and_then(Value::as_text).and_then(|text| text.rsplit(NOT_KNOWN).next());
    end.map_or_else(|| value.clone(), |end| value.with_end(end))
}
