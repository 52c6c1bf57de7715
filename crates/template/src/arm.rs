//! ARM templates: JSON whose texts hold expressions, loops that say how often something comes, resources in resources
//! and templates in templates.
//! <https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax>

use std::collections::HashMap;
use std::rc::Rc;

use tidegate_core::{FileId, Span};

use crate::Argument;
use crate::arm_expr::{self, is_expression};
use crate::ast::{Expr, Name};
use crate::codes;
use crate::eval::{Copy, Env, Evaluator, Local, Scope, Slot};
use crate::functions::truth;
use crate::problems::{closest, error, note};
use crate::value::{Data, Entry, Handle, Unknown, Value, equal, to_text};

/// How deep templates may nest in templates.
const TEMPLATES_MAX: usize = 16;
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

/// An ARM template with values for its parameters.
#[derive(Debug)]
pub(crate) struct Arm {
    template: Value,
    params: HashMap<String, Argument>,
    memo: HashMap<(&'static str, String), Slot>,
    /// Of the templates in it, by the name of the deployment or its symbol, in small letters.
    deployments: HashMap<String, usize>,
    nesting: usize,
}

/// A resource that others stand in.
struct Parent {
    of: String,
    segments: Vec<Value>,
}

impl Evaluator<'_> {
    /// Evaluates a template that was given.
    pub(crate) fn arm_template(&mut self, template: Value) {
        let mut params = HashMap::new();
        for (name, argument) in self.options.parameters {
            params.insert(name.to_lowercase(), argument.clone());
        }
        let arm = self.new_arm(template, params, 0);
        self.run_arm(arm);
    }

    fn new_arm(&mut self, template: Value, params: HashMap<String, Argument>, nesting: usize) -> usize {
        let (memo, deployments) = (HashMap::new(), HashMap::new());
        self.arms.push(Arm { template, params, memo, deployments, nesting });
        self.arms.len() - 1
    }

    fn run_arm(&mut self, arm: usize) {
        let template = self.arms[arm].template.clone();
        if let Some(parameters) = template.get("parameters").and_then(Value::entries).cloned() {
            for entry in parameters.iter() {
                self.used_parameters.insert(entry.key.to_string());
                self.arm_parameter(arm, &entry.key, entry.key_span);
            }
        }
        if let Some(resources) = template.get("resources").cloned() {
            self.arm_resources(&resources, None, &Env::of(Scope::Arm(arm)));
        }
    }

    fn arm_resources(&mut self, resources: &Value, parent: Option<&Parent>, env: &Env) {
        match &resources.data {
            Data::Array(items) => items.iter().for_each(|item| self.arm_resource(item, None, parent, env)),
            Data::Object(entries) => {
                for entry in entries.iter() {
                    self.arm_resource(&entry.value, Some(&entry.key), parent, env);
                }
            }
            _ => {
                self.no_result(resources.span, format!("`resources` is an array, not {}", resources.kind()));
            }
        }
    }

    fn arm_resource(&mut self, raw: &Value, symbol: Option<&Rc<str>>, parent: Option<&Parent>, env: &Env) {
        let Some(entries) = raw.entries().cloned() else {
            self.no_result(raw.span, format!("a resource is an object, not {}", raw.kind()));
            return;
        };
        let Some(of_raw) = raw.get("type") else {
            let at = entries.first().map_or(raw.span, |e| e.key_span);
            self.no_result(at, "a resource has a `type`");
            return;
        };
        if matches!(raw.get("existing").map(|v| &v.data), Some(Data::Bool(true))) {
            return;
        }
        let of = self.arm_value(of_raw, env);
        let Some(of_text) = of.as_text() else { return };
        let full = match parent {
            Some(parent) if !of_text.to_lowercase().starts_with("microsoft.") => {
                format!("{}/{of_text}", parent.of)
            }
            _ => of_text.to_string(),
        };
        let is_deployment = full.eq_ignore_ascii_case(DEPLOYMENT);
        let wanted = (self.options.wanted)(&full);
        if !wanted && !is_deployment {
            let message = format!("a resource of type `{full}` is passed over");
            self.say(note(codes::PASSED_OVER, of_raw.span, message));
        }
        let Some(rounds) = self.copy_rounds(raw, wanted || is_deployment, env) else { return };
        for env in rounds {
            if let Some(condition) = raw.get("condition") {
                let value = self.arm_value(condition, &env);
                match (&value.data, truth(&value)) {
                    (_, Ok(true)) => {}
                    (_, Ok(false)) | (Data::Error, _) => continue,
                    (Data::Unknown(_), _) if !wanted => {}
                    (Data::Unknown(unknown), _) => {
                        self.needs(unknown, "the condition of this resource needs it");
                        continue;
                    }
                    _ => {
                        self.no_result(
                            condition.span,
                            format!("a condition is a bool, not {}", value.kind()),
                        );
                        continue;
                    }
                }
            }
            let name = raw.get("name").map(|name| self.arm_value(name, &env));
            if is_deployment {
                self.deployment(raw, symbol, name.as_ref(), &env);
                continue;
            }
            // A child that gives its type in full gives its name in full.
            let inherits = parent.filter(|_| full != **of_text);
            let mut segments: Vec<Value> = inherits.map_or(vec![], |p| p.segments.clone());
            segments.extend(name.iter().flat_map(Value::segments));
            if wanted {
                let fields = entries.iter().map(|e| (e.key.clone(), e.key_span)).collect();
                let properties = entries.iter().find(|e| &*e.key == "properties").map(|e| {
                    let value = self.arm_value(&e.value, &env);
                    (self.settle(&value, "properties", 0), e.key_span)
                });
                let named = name.is_some().then(|| segments.clone());
                self.found_resource(&full, of_raw.span, named, fields, properties);
            }
            if let Some(children) = raw.get("resources")
                && self.depth < crate::eval::DEPTH_MAX
            {
                self.depth += 1;
                self.arm_resources(children, Some(&Parent { of: full.clone(), segments }), &env);
                self.depth -= 1;
            }
        }
    }

    /// What the names mean in each round of a resource's loop; in the one round of a resource without.
    fn copy_rounds(&mut self, raw: &Value, complains: bool, env: &Env) -> Option<Vec<Env>> {
        let Some(copy) = raw.get("copy") else { return Some(vec![env.clone()]) };
        let name: Rc<str> = match copy.get("name").map(|name| self.arm_value(name, env)) {
            Some(Value { data: Data::Text(name, _), .. }) => name,
            _ => "".into(),
        };
        let count = match copy.get("count") {
            Some(count) => self.arm_value(count, env),
            None => {
                self.no_result(copy.span, "a copy loop has a `count`");
                return None;
            }
        };
        match &count.data {
            Data::Int(count_to) => {
                let n = usize::try_from(*count_to).unwrap_or(0);
                if !self.charge(n, count.span) {
                    return None;
                }
                Some((0..*count_to).map(|index| env.in_copy(name.clone(), index, true)).collect())
            }
            Data::Unknown(unknown) if complains => {
                self.needs(unknown, "the loop of this resource needs it");
                None
            }
            Data::Error | Data::Unknown(_) => None,
            _ => {
                self.no_result(count.span, format!("`count` is an int, not {}", count.kind()));
                None
            }
        }
    }

    // Values

    /// A part of a template with its expressions evaluated.
    pub(crate) fn arm_value(&mut self, raw: &Value, env: &Env) -> Value {
        if !self.charge(1, raw.span) {
            return Value::error(raw.span);
        }
        match &raw.data {
            Data::Text(text, exact) if is_expression(text) => {
                let place = |range: std::ops::Range<usize>| match exact {
                    Some(from) => crate::problems::span(
                        raw.span.file,
                        *from as usize + range.start..*from as usize + range.end,
                    ),
                    None => raw.span,
                };
                match arm_expr::parse(text, &place) {
                    Ok(expr) => self.eval(&expr, env),
                    Err(problem) => {
                        self.say(problem);
                        Value::error(raw.span)
                    }
                }
            }
            Data::Text(text, exact) if text.starts_with("[[") && text.ends_with(']') => {
                Value::new(Data::Text(text[1..].into(), exact.map(|at| at + 1)), raw.span)
            }
            Data::Array(items) => {
                let items = items.iter().map(|item| self.arm_value(item, env)).collect();
                Value::array(items, raw.span)
            }
            Data::Object(entries) => {
                let mut made: Vec<Entry> = Vec::with_capacity(entries.len());
                for entry in entries.iter() {
                    if &*entry.key == "copy"
                        && let Data::Array(copies) = &entry.value.data
                    {
                        for copy in copies.iter() {
                            if let Some(entry) = self.copied(copy, env) {
                                made.push(entry);
                            }
                        }
                        continue;
                    }
                    let mut key = entry.key.clone();
                    if is_expression(&key) {
                        let written = Value::text(key.clone(), entry.key_span);
                        match self.arm_value(&written, env).data {
                            Data::Text(text, _) => key = text,
                            _ => return Value::error(raw.span),
                        }
                    }
                    let value = self.arm_value(&entry.value, env);
                    crate::functions::put(&mut made, Entry { key, key_span: entry.key_span, value });
                }
                Value::object(made, raw.span)
            }
            _ => raw.clone(),
        }
    }

    /// A property that a copy loop makes: an array of its name.
    fn copied(&mut self, copy: &Value, env: &Env) -> Option<Entry> {
        let (Some(name), Some(count), Some(input)) = (copy.get("name"), copy.get("count"), copy.get("input"))
        else {
            self.no_result(copy.span, "a copy loop has `name`, `count` and `input`");
            return None;
        };
        let (key, key_span) = (name.as_text()?.clone(), name.span);
        let count = self.arm_value(count, env);
        let Data::Int(rounds) = count.data else {
            if !matches!(count.data, Data::Error | Data::Unknown(_)) {
                self.no_result(count.span, format!("`count` is an int, not {}", count.kind()));
            }
            let value = if matches!(count.data, Data::Unknown(_)) { count } else { Value::error(key_span) };
            return Some(Entry { key, key_span, value });
        };
        let mut items = Vec::new();
        for index in 0..rounds {
            if !self.charge(1, key_span) {
                break;
            }
            items.push(self.arm_value(input, &env.in_copy(key.clone(), index, false)));
        }
        Some(Entry { key, key_span, value: Value::array(items, key_span) })
    }

    // Functions of templates

    pub(crate) fn arm_special(&mut self, name: &str, args: &[Expr], at: Span, env: &Env) -> Value {
        let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
        if let Some(value) = values.iter().find(|v| matches!(v.data, Data::Error)) {
            return value.clone();
        }
        let Scope::Arm(arm) = env.scope else { return Value::unknown(format!("`{name}`"), at) };
        if name == "copyIndex" {
            return self.copy_index(&values, at, env);
        }
        let Some(first) = values.first() else { return Value::error(at) };
        if name == "reference" {
            let deployment = match &first.data {
                Data::Text(symbol, _) => Some((arm, symbol.clone())),
                Data::Unknown(of) => of.deployment.clone(),
                _ => None,
            };
            let unknown = Unknown { deployment, ..Unknown::new("`reference`", at) };
            return Value::new(Data::Unknown(Rc::new(unknown)), at);
        }
        let Some(text) = first.as_text().cloned() else { return first.clone() };
        match name {
            "parameters" => self.arm_parameter_of(arm, &text, first.span, env),
            "variables" => self.arm_variable(arm, &text, first.span),
            "resourceInfo" => self.resource_info(arm, &text, at),
            _ => Value::unknown(format!("`{name}`"), at),
        }
    }

    fn copy_index(&mut self, values: &[Value], at: Span, env: &Env) -> Value {
        let wanted = values.first().and_then(Value::as_text);
        let offset =
            values.iter().find_map(|v| if let Data::Int(n) = v.data { Some(n) } else { None }).unwrap_or(0);
        let mut found: Option<&Copy> = None;
        let mut copy = env.copies.as_deref();
        while let Some(at) = copy {
            match wanted {
                Some(name) if at.name.eq_ignore_ascii_case(name) => {
                    found = Some(at);
                    break;
                }
                None if at.of_resource => {
                    found = Some(at);
                    break;
                }
                None => {
                    found.get_or_insert(at);
                }
                Some(_) => {}
            }
            copy = at.outer.as_deref();
        }
        match (found.and_then(|copy| copy.index.checked_add(offset)), wanted) {
            (Some(index), _) => Value::int(index, at),
            (None, Some(name)) => self.no_result(at, format!("there is no copy loop `{name}` around this")),
            (None, None) => self.no_result(at, "there is no copy loop around this"),
        }
    }

    /// A parameter of the template, or of the template's function around the place.
    fn arm_parameter_of(&mut self, arm: usize, name: &str, at: Span, env: &Env) -> Value {
        let wanted = argument_name(name);
        let mut local = env.locals.as_deref();
        while let Some(found) = local {
            if *found.name == *wanted {
                return found.value.clone();
            }
            local = found.outer.as_deref();
        }
        self.arm_parameter(arm, name, at)
    }

    fn arm_parameter(&mut self, arm: usize, name: &str, at: Span) -> Value {
        let key = ("parameters", name.to_lowercase());
        if let Some(value) = self.slot(arm, &key, at) {
            return value;
        }
        let template = self.arms[arm].template.clone();
        let parameters = template.get("parameters");
        let Some(definition) = parameters.and_then(|p| p.get(name)).cloned() else {
            return self.missing("parameter", name, parameters, at);
        };
        let declared_at = parameters
            .and_then(Value::entries)
            .and_then(|entries| entries.iter().find(|e| e.key.eq_ignore_ascii_case(name)))
            .map_or(at, |e| e.key_span);
        let of = definition.get("type").and_then(Value::as_text).map(|t| t.to_lowercase());
        let nullable = matches!(definition.get("nullable").map(|v| &v.data), Some(Data::Bool(true)));
        let (mut value, what) = match self.arms[arm].params.get(&key.1).cloned() {
            Some(Argument::Text(text)) => (self.as_written(&text, of.as_deref(), declared_at), "the value"),
            Some(Argument::Value(value)) => (value, "the value"),
            None => match definition.get("defaultValue") {
                Some(default) => (self.arm_value(default, &Env::of(Scope::Arm(arm))), "the default"),
                None if nullable => (Value::null(declared_at), "the value"),
                None => {
                    let message = format!("parameter `{name}` has no value and no default");
                    let problem = error(codes::PARAMETER_MISSING, declared_at, message);
                    let help = format!("give it with `--param {name}=VALUE` or `--param-file FILE`");
                    self.say(if self.arms[arm].nesting == 0 { problem.help(help) } else { problem });
                    (Value::error(declared_at), "the value")
                }
            },
        };
        let secure = of.as_deref().is_some_and(|of| of.starts_with("secure"));
        if let Some(message) =
            misfit(&value, of.as_deref(), &definition).filter(|_| !(nullable && value.is_null()))
        {
            let at = if secure { declared_at } else { value.span };
            self.say(error(codes::PARAMETER_VALUE, at, format!("{what} of `{name}` {message}")));
            value = Value::error(at);
        }
        if secure {
            value = value.moved(declared_at);
        }
        self.arms[arm].memo.insert(key, Slot::Done(value.clone()));
        value
    }

    fn arm_variable(&mut self, arm: usize, name: &str, at: Span) -> Value {
        let key = ("variables", name.to_lowercase());
        if let Some(value) = self.slot(arm, &key, at) {
            return value;
        }
        let template = self.arms[arm].template.clone();
        let variables = template.get("variables");
        let env = Env::of(Scope::Arm(arm));
        let copies = variables.and_then(|v| v.get("copy"));
        let copy = match copies.map(|c| &c.data) {
            Some(Data::Array(copies)) => copies
                .iter()
                .find(|c| {
                    c.get("name").and_then(Value::as_text).is_some_and(|n| n.eq_ignore_ascii_case(name))
                })
                .cloned(),
            _ => None,
        };
        let value = match (copy, variables.and_then(|v| v.get(name)).cloned()) {
            (Some(copy), _) => self.copied(&copy, &env).map_or(Value::error(at), |entry| entry.value),
            (None, Some(raw)) => self.arm_value(&raw, &env),
            (None, None) => self.missing("variable", name, variables, at),
        };
        self.arms[arm].memo.insert(key, Slot::Done(value.clone()));
        value
    }

    /// What is known of a parameter or variable; takes note that it is being found if nothing is.
    fn slot(&mut self, arm: usize, key: &(&'static str, String), at: Span) -> Option<Value> {
        match self.arms[arm].memo.get(key) {
            Some(Slot::Done(value)) => Some(value.clone()),
            Some(Slot::Busy) => Some(self.no_result(at, format!("the value of `{}` hangs on itself", key.1))),
            None => {
                self.arms[arm].memo.insert(key.clone(), Slot::Busy);
                None
            }
        }
    }

    fn missing(&mut self, what: &str, name: &str, among: Option<&Value>, at: Span) -> Value {
        let problem = error(codes::UNKNOWN_SYMBOL, at, format!("there is no {what} `{name}`"));
        let names =
            among.and_then(Value::entries).map(|e| e.iter().map(|e| e.key.to_string()).collect::<Vec<_>>());
        self.say(match closest(name, names.iter().flatten().map(String::as_str)) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem,
        });
        Value::error(at)
    }

    /// A function that the template defines.
    pub(crate) fn arm_function(
        &mut self,
        arm: usize,
        namespace: &str,
        name: &Name,
        args: &[Expr],
        at: Span,
        env: &Env,
    ) -> Value {
        let template = self.arms[arm].template.clone();
        let namespaces = match template.get("functions").map(|f| &f.data) {
            Some(Data::Array(namespaces)) => namespaces.clone(),
            _ => Rc::default(),
        };
        let found = namespaces
            .iter()
            .filter(|n| {
                n.get("namespace").and_then(Value::as_text).is_some_and(|n| n.eq_ignore_ascii_case(namespace))
            })
            .find_map(|n| n.get("members")?.get(&name.text).cloned());
        let Some(function) = found else {
            let message = format!("there is no function `{namespace}.{}`", name.text);
            return self.fail(codes::UNKNOWN_SYMBOL, name.span, message);
        };
        let params: Vec<Rc<str>> = match function.get("parameters").map(|p| &p.data) {
            Some(Data::Array(params)) => {
                params.iter().filter_map(|p| p.get("name").and_then(Value::as_text).cloned()).collect()
            }
            _ => vec![],
        };
        if params.len() != args.len() {
            let message = format!("`{}` takes {} arguments, not {}", name.text, params.len(), args.len());
            return self.no_result(at, message);
        }
        let mut inner = Env::of(Scope::Arm(arm));
        for (param, arg) in params.iter().zip(args) {
            let value = self.eval(arg, env);
            let local = Local { name: argument_name(param).into(), value, outer: inner.locals.take() };
            inner.locals = Some(Rc::new(local));
        }
        match function.get("output").and_then(|o| o.get("value")) {
            Some(output) => self.arm_value(output, &inner),
            None => self.no_result(at, format!("`{}` has no output", name.text)),
        }
    }

    fn resource_info(&mut self, arm: usize, symbol: &str, at: Span) -> Value {
        let template = self.arms[arm].template.clone();
        let Some(raw) = template.get("resources").and_then(|r| r.get(symbol)) else {
            return Value::unknown("`resourceInfo`", at);
        };
        let env = Env::of(Scope::Arm(arm));
        let mut entries = Vec::new();
        for key in ["name", "type", "apiVersion"] {
            if let Some(value) = raw.get(key) {
                let value = self.arm_value(value, &env);
                entries.push(Entry { key: key.into(), key_span: at, value });
            }
        }
        let id = Value::unknown(format!("`id` of `{symbol}`"), at);
        entries.push(Entry { key: "id".into(), key_span: at, value: id });
        Value::object(entries, at)
    }

    // Templates in templates

    fn deployment(&mut self, raw: &Value, symbol: Option<&Rc<str>>, name: Option<&Value>, env: &Env) {
        let Some(child) = self.new_deployment(raw, symbol, name, env) else { return };
        match child {
            Child::Inner(child) => self.run_arm(child),
            Child::Outer(resources) => self.arm_resources(&resources, None, env),
        }
    }

    fn new_deployment(
        &mut self,
        raw: &Value,
        symbol: Option<&Rc<str>>,
        name: Option<&Value>,
        env: &Env,
    ) -> Option<Child> {
        let Scope::Arm(arm) = env.scope else { return None };
        let properties = raw.get("properties")?;
        if let Some(link) = properties.get("templateLink") {
            self.fail(codes::NOT_READ_YET, link.span, "linked templates are not read");
            return None;
        }
        let template = properties.get("template")?.clone();
        let scope = properties.get("expressionEvaluationOptions").and_then(|o| o.get("scope"));
        if scope.and_then(Value::as_text).is_none_or(|scope| !scope.eq_ignore_ascii_case("inner")) {
            return template.get("resources").cloned().map(Child::Outer);
        }
        let mut keys: Vec<String> = symbol.iter().map(|s| s.to_lowercase()).collect();
        keys.extend(name.and_then(Value::as_text).map(|n| n.to_lowercase()));
        // A loop makes a deployment in each round, under its name only.
        let key = keys.last()?.clone();
        if let Some(known) = self.arms[arm].deployments.get(&key) {
            return Some(Child::Inner(*known));
        }
        let nesting = self.arms[arm].nesting + 1;
        if nesting > TEMPLATES_MAX {
            let message = format!("templates nest more than {TEMPLATES_MAX} levels deep");
            self.fail(codes::TOO_MUCH, template.span, message);
            return None;
        }
        let mut params = HashMap::new();
        if let Some(given) = properties.get("parameters").and_then(Value::entries).cloned() {
            for entry in given.iter() {
                let value = match entry.value.get("value") {
                    Some(value) => self.arm_value(value, env),
                    None => Value::unknown(format!("the secret in `{}`", entry.key), entry.key_span),
                };
                params.insert(entry.key.to_lowercase(), Argument::Value(value));
            }
        }
        let child = self.new_arm(template, params, nesting);
        for key in keys {
            self.arms[arm].deployments.insert(key, child);
        }
        Some(Child::Inner(child))
    }

    /// The outputs of a deployment in this template; `unknown` if there is none of that name.
    pub(crate) fn arm_outputs(&mut self, deployment: &(usize, Rc<str>), unknown: &Value) -> Value {
        let (arm, name) = deployment;
        let key = name.to_lowercase();
        if !self.arms[*arm].deployments.contains_key(&key) {
            self.find_deployment(*arm, &key);
        }
        match self.arms[*arm].deployments.get(&key) {
            Some(child) => Value::new(Data::Handle(Handle::ArmOutputs(*child)), unknown.span),
            None => unknown.clone(),
        }
    }

    /// Looks for a deployment that comes after the place where its outputs are asked for.
    fn find_deployment(&mut self, arm: usize, key: &str) {
        let template = self.arms[arm].template.clone();
        let env = Env::of(Scope::Arm(arm));
        let candidates: Vec<(Option<Rc<str>>, Value)> = match template.get("resources").map(|r| &r.data) {
            Some(Data::Array(items)) => items.iter().map(|i| (None, i.clone())).collect(),
            Some(Data::Object(entries)) => {
                entries.iter().map(|e| (Some(e.key.clone()), e.value.clone())).collect()
            }
            _ => vec![],
        };
        for (symbol, raw) in candidates {
            let is_one =
                raw.get("type").and_then(Value::as_text).is_some_and(|t| t.eq_ignore_ascii_case(DEPLOYMENT));
            if !is_one || raw.get("copy").is_some() {
                continue;
            }
            let name = raw.get("name").map(|name| self.arm_value(name, &env));
            let is = |text: Option<&Rc<str>>| text.is_some_and(|t| t.to_lowercase() == key);
            if is(symbol.as_ref()) || is(name.as_ref().and_then(Value::as_text)) {
                self.new_deployment(&raw, symbol.as_ref(), name.as_ref(), &env);
                return;
            }
        }
    }

    /// An output of a template: an object with its `value`.
    pub(crate) fn arm_output(&mut self, arm: usize, name: &Name, at: Span) -> Value {
        let template = self.arms[arm].template.clone();
        let outputs = template.get("outputs");
        let Some(raw) = outputs.and_then(|o| o.get(&name.text)).and_then(|o| o.get("value")) else {
            return self.missing("output", &name.text, outputs, name.span);
        };
        let value = self.arm_value(raw, &Env::of(Scope::Arm(arm)));
        Value::object(vec![Entry { key: "value".into(), key_span: at, value }], at)
    }

    /// The values in a parameter file: `{"parameters": {"x": {"value": 1}}}`, or the inner object alone.
    pub(crate) fn parameter_values(&mut self, document: &Value) -> Vec<(String, Argument)> {
        let inner = document.get("parameters").unwrap_or(document);
        let mut values = Vec::new();
        for entry in inner.entries().iter().flat_map(|e| e.iter()) {
            let value = match entry.value.get("value") {
                Some(value) => value.clone(),
                None if entry.value.get("reference").is_some() => {
                    Value::unknown(format!("the secret in `{}`", entry.key), entry.key_span)
                }
                None => continue,
            };
            values.push((entry.key.to_string(), Argument::Value(value)));
        }
        values
    }

    /// The values in a Bicep parameter file.
    pub(crate) fn parameter_file(&mut self, file: FileId) -> Vec<(String, Argument)> {
        let mut params = HashMap::new();
        self.given_params(file, &mut params, 0);
        params.into_iter().map(|(name, (argument, _))| (name.to_string(), argument)).collect()
    }
}

enum Child {
    /// A template with parameters of its own.
    Inner(usize),
    /// Resources whose expressions mean what they mean around the template.
    Outer(Value),
}

impl Env {
    fn in_copy(&self, name: Rc<str>, index: i64, of_resource: bool) -> Self {
        let copy = Copy { name, index, of_resource, outer: self.copies.clone() };
        Self { copies: Some(Rc::new(copy)), ..self.clone() }
    }
}

/// The local that a parameter of a template's function is; no lambda variable is called so.
fn argument_name(name: &str) -> String {
    format!("parameters/{}", name.to_lowercase())
}

/// Why a value is none for a parameter, as the rest of a sentence.
fn misfit(value: &Value, of: Option<&str>, definition: &Value) -> Option<String> {
    if value.not_known().is_some() {
        return None;
    }
    let (fits, wanted) = match of? {
        "string" | "securestring" => (matches!(value.data, Data::Text(..)), "string"),
        "int" => (matches!(value.data, Data::Int(_)), "int"),
        "bool" => (matches!(value.data, Data::Bool(_)), "bool"),
        "object" | "secureobject" => (matches!(value.data, Data::Object(_)), "object"),
        "array" => (matches!(value.data, Data::Array(_)), "array"),
        _ => return None,
    };
    if !fits {
        return Some(format!("is {}, but its type is {wanted}", value.kind()));
    }
    if let Some(Data::Array(allowed)) = definition.get("allowedValues").map(|v| &v.data)
        && !allowed.iter().any(|a| equal(a, value))
    {
        let names: Vec<_> = allowed.iter().filter_map(to_text).map(|t| format!("`{t}`")).collect();
        return Some(format!("is not one of {}", names.join(", ")));
    }
    let limit = |key: &str| match definition.get(key).map(|v| &v.data) {
        Some(Data::Int(limit)) => Some(*limit),
        _ => None,
    };
    let (number, least, most) = match &value.data {
        Data::Int(number) => (*number, limit("minValue"), limit("maxValue")),
        Data::Text(text, _) => {
            (i64::try_from(text.encode_utf16().count()).ok()?, limit("minLength"), limit("maxLength"))
        }
        Data::Array(items) => (i64::try_from(items.len()).ok()?, limit("minLength"), limit("maxLength")),
        _ => return None,
    };
    let long = if matches!(value.data, Data::Int(_)) { "" } else { " long" };
    match (least, most) {
        (Some(least), _) if number < least => Some(format!("is {number}{long}, less than {least}")),
        (_, Some(most)) if number > most => Some(format!("is {number}{long}, more than {most}")),
        _ => None,
    }
}
