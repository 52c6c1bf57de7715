//! Expressions to values. What a template is made of, and so what a name means, is in `bicep.rs` and `arm.rs`.

mod calls;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tidegate_core::{Code, Diagnostic, FileId, Span};

use crate::arm::Arm;
use crate::ast::{Expr, ExprKind, For, Lambda, Name, Operator, Part, Property};
use crate::bicep::Instance;
use crate::codes;
use crate::functions::{arithmetic, compare, put, truth};
use crate::problems::{closest, error};
use crate::symbols::Source;
use crate::value::{Data, Entry, Handle, Place, Unknown, Value, equal, to_text, worst};
use crate::{Loader, Options, Resource};

/// How deep evaluations may nest: expressions, and the functions and variables they use.
pub(crate) const DEPTH_MAX: usize = 260;
/// How many steps one load may take. A step is an expression, or an item that a function makes or looks at.
pub(crate) const WORK_MAX: usize = 10_000_000;
/// How deep lists and objects may nest in each other.
pub(crate) const NESTING_MAX: usize = 100;

/// What a name at some place can mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    pub(crate) scope: Scope,
    pub(crate) locals: Option<Rc<Local>>,
    /// The Bicep resource whose body this is.
    pub(crate) within: Option<usize>,
    pub(crate) copies: Option<Rc<Copy>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Scope {
    #[default]
    Nothing,
    Bicep(usize),
    Arm(usize),
}

/// The item of a loop, or the argument of a function.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) name: Rc<str>,
    pub(crate) value: Value,
    pub(crate) outer: Option<Rc<Local>>,
}

/// A copy loop of ARM, and which round it is in.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) name: Rc<str>,
    pub(crate) index: i64,
    /// Of a resource: `copyIndex()` without a name means the innermost of these, inside a property's too.
    pub(crate) of_resource: bool,
    pub(crate) outer: Option<Rc<Copy>>,
}

#[derive(Debug)]
#[doc(hidden)]
pub struct Closure {
    lambda: Rc<Lambda>,
    env: Env,
}

impl Env {
    pub(crate) fn of(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }

    pub(crate) fn with(&self, name: &Name, value: Value) -> Self {
        let local = Local { name: name.text.clone(), value, outer: self.locals.clone() };
        Self { locals: Some(Rc::new(local)), ..self.clone() }
    }

    fn local(&self, name: &str) -> Option<&Value> {
        let mut local = self.locals.as_deref();
        while let Some(found) = local {
            if &*found.name == name {
                return Some(&found.value);
            }
            local = found.outer.as_deref();
        }
        None
    }
}

/// A value that is being found, or was.
#[derive(Debug)]
pub(crate) enum Slot {
    Busy,
    Done(Value),
}

pub(crate) struct Evaluator<'a> {
    pub(crate) loader: &'a dyn Loader,
    pub(crate) options: &'a Options<'a>,
    pub(crate) problems: Vec<Diagnostic>,
    said: HashSet<(Code, Span, String)>,
    pub(crate) sources: HashMap<FileId, Rc<Source>>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) libraries: HashMap<FileId, usize>,
    pub(crate) arms: Vec<Arm>,
    pub(crate) found: Vec<Resource>,
    pub(crate) used_parameters: HashSet<String>,
    pub(crate) depth: usize,
    work: usize,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(loader: &'a dyn Loader, options: &'a Options<'a>) -> Self {
        Self {
            loader,
            options,
            problems: Vec::new(),
            said: HashSet::new(),
            sources: HashMap::new(),
            instances: Vec::new(),
            libraries: HashMap::new(),
            arms: Vec::new(),
            found: Vec::new(),
            used_parameters: HashSet::new(),
            depth: 0,
            work: 0,
        }
    }

    /// Complains, unless the same was said of the place before: loops come by it again and again.
    pub(crate) fn say(&mut self, problem: Diagnostic) {
        let place = problem.span().map(|at| (problem.code, at, problem.message.clone()));
        if place.is_none_or(|place| self.said.insert(place)) {
            self.problems.push(problem);
        }
    }

    pub(crate) fn fail(&mut self, code: Code, at: Span, message: impl Into<String>) -> Value {
        self.say(error(code, at, message));
        Value::error(at)
    }

    pub(crate) fn no_result(&mut self, at: Span, message: impl Into<String>) -> Value {
        self.fail(codes::NO_RESULT, at, message)
    }

    /// Counts steps; whether there are any left.
    pub(crate) fn charge(&mut self, steps: usize, at: Span) -> bool {
        let exhausted = self.work > WORK_MAX;
        self.work = self.work.saturating_add(steps);
        if self.work > WORK_MAX && !exhausted {
            let message = format!("evaluating this takes more than {WORK_MAX} steps");
            self.say(error(codes::TOO_MUCH, at, message).help("make loops and texts shorter"));
        }
        self.work <= WORK_MAX
    }

    pub(crate) fn eval(&mut self, expr: &Expr, env: &Env) -> Value {
        if !self.charge(1, expr.span) {
            return Value::error(expr.span);
        }
        if self.depth >= DEPTH_MAX {
            let message = format!("evaluating this nests more than {DEPTH_MAX} levels deep");
            return self.fail(codes::TOO_MUCH, expr.span, message);
        }
        self.depth += 1;
        let value = self.eval_kind(expr, env);
        self.depth -= 1;
        value
    }

    fn eval_kind(&mut self, expr: &Expr, env: &Env) -> Value {
        let at = expr.span;
        match &expr.kind {
            ExprKind::Null => Value::null(at),
            ExprKind::Bool(value) => Value::bool(*value, at),
            ExprKind::Int(number) => Value::int(*number, at),
            ExprKind::Text(text, exact) => Value::new(Data::Text(text.clone(), *exact), at),
            ExprKind::Wrong => Value::error(at),
            ExprKind::Name(name) => self.name(name, at, env),
            ExprKind::Interpolated(parts) => self.interpolated(parts, at, env),
            ExprKind::Array(_) => self.array(expr, env),
            ExprKind::Object(properties) => self.object(properties, at, env),
            ExprKind::Member { base, name, safe } => {
                let base = self.eval(base, env);
                self.member(&base, name, *safe, at)
            }
            ExprKind::Index { base, index, safe, from_end } => {
                let base = self.eval(base, env);
                let index = self.eval(index, env);
                self.index(&base, &index, *safe, *from_end, at)
            }
            ExprKind::Nested { base, name } => {
                let base = self.eval(base, env);
                self.nested(&base, name)
            }
            ExprKind::Call { name, args } => self.call(name, args, at, env),
            ExprKind::Method { base, name, args } => self.method(base, name, args, at, env),
            ExprKind::Not(inner) => {
                let value = self.eval(inner, env);
                self.operate(at, &[&value], |v| truth(v[0]).map(|b| Data::Bool(!b)))
            }
            ExprKind::Negative(inner) => {
                let value = self.eval(inner, env);
                self.operate(at, &[&value], |v| match v[0].data {
                    Data::Int(n) => arithmetic("sub", 0, n).map(Data::Int),
                    _ => Err(format!("`-` takes an int, not {}", v[0].kind())),
                })
            }
            ExprKind::Binary(operator, left, right) => self.binary(*operator, left, right, at, env),
            ExprKind::Ternary(condition, yes, no) => self.ternary(condition, yes, no, env),
            // what is said of its type changes no value
            ExprKind::NonNull(inner) => self.eval(inner, env),
            ExprKind::Lambda(lambda) => {
                let closure = Closure { lambda: lambda.clone(), env: env.clone() };
                Value::new(Data::Handle(Handle::Closure(Rc::new(closure))), at)
            }
            ExprKind::For(for_loop) => self.for_loop(for_loop, at, env),
            ExprKind::If(..) => self.no_result(at, "a condition stands before a resource or a module only"),
        }
    }

    /// Makes a value of others that are all data.
    fn operate(
        &mut self,
        at: Span,
        values: &[&Value],
        make: impl FnOnce(&[&Value]) -> Result<Data, String>,
    ) -> Value {
        if let Some(value) = worst(values.iter().filter_map(|v| v.not_known())) {
            return value;
        }
        match make(values) {
            Ok(data) => Value::new(data, at),
            Err(message) => self.no_result(at, message),
        }
    }

    fn ternary(&mut self, condition: &Expr, yes: &Expr, no: &Expr, env: &Env) -> Value {
        let value = self.eval(condition, env);
        match value.data {
            Data::Bool(true) => self.eval(yes, env),
            Data::Bool(false) => self.eval(no, env),
            Data::Error | Data::Unknown(_) => value,
            _ => self.no_result(condition.span, format!("the condition is {}, not a bool", value.kind())),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, at: Span, env: &Env) -> Value {
        let a = self.eval(left, env);
        match (operator, &a.data) {
            (Operator::Coalesce, Data::Null) => return self.eval(right, env),
            (Operator::Coalesce, _)
            | (Operator::And, Data::Bool(false))
            | (Operator::Or, Data::Bool(true))
            | (Operator::And | Operator::Or, Data::Error | Data::Unknown(_)) => return a,
            _ => {}
        }
        let b = self.eval(right, env);
        if !self.charge(a.size(WORK_MAX).min(b.size(WORK_MAX)), at) {
            return Value::error(at);
        }
        let numbers = |name: &str, v: &[&Value]| match (&v[0].data, &v[1].data) {
            (Data::Int(a), Data::Int(b)) => arithmetic(name, *a, *b).map(Data::Int),
            _ => Err(format!(
                "`{}` takes two ints, not {} and {}",
                operator.as_str(),
                v[0].kind(),
                v[1].kind()
            )),
        };
        self.operate(at, &[&a, &b], |v| match operator {
            Operator::Coalesce => Ok(v[1].data.clone()),
            Operator::And | Operator::Or => {
                truth(v[0])?;
                truth(v[1]).map(Data::Bool)
            }
            Operator::Equal => Ok(Data::Bool(equal(v[0], v[1]))),
            Operator::NotEqual => Ok(Data::Bool(!equal(v[0], v[1]))),
            Operator::Like | Operator::NotLike => match (v[0].as_text(), v[1].as_text()) {
                (Some(a), Some(b)) => {
                    Ok(Data::Bool((a.to_lowercase() == b.to_lowercase()) == (operator == Operator::Like)))
                }
                _ => Err(format!("`{}` takes two strings", operator.as_str())),
            },
            Operator::Less => compare(v[0], v[1]).map(|o| Data::Bool(o.is_lt())),
            Operator::LessOrEqual => compare(v[0], v[1]).map(|o| Data::Bool(o.is_le())),
            Operator::Greater => compare(v[0], v[1]).map(|o| Data::Bool(o.is_gt())),
            Operator::GreaterOrEqual => compare(v[0], v[1]).map(|o| Data::Bool(o.is_ge())),
            Operator::Add => numbers("add", v),
            Operator::Subtract => numbers("sub", v),
            Operator::Multiply => numbers("mul", v),
            Operator::Divide => numbers("div", v),
            Operator::Modulo => numbers("mod", v),
        })
    }

    fn interpolated(&mut self, parts: &[Part], at: Span, env: &Env) -> Value {
        let mut made = String::new();
        let mut not_known = None;
        for part in parts {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Expr(expr) => {
                    let value = self.eval(expr, env);
                    match value.not_known() {
                        Some(value) if matches!(value.data, Data::Error) => return value,
                        Some(value) => {
                            if let Data::Unknown(unknown) = &value.data {
                                made = unknown.end.to_string();
                            }
                            not_known.get_or_insert(value);
                        }
                        None => match to_text(&value) {
                            Some(text) => made.push_str(&text),
                            None => {
                                let message = format!("{} can't stand in a text", value.kind());
                                return self.no_result(expr.span, message);
                            }
                        },
                    }
                }
            }
            if !self.charge(made.len() / 256, at) {
                return Value::error(at);
            }
        }
        not_known.map_or_else(|| Value::text(&*made, at), |value| value.with_end(&made))
    }

    fn array(&mut self, expr: &Expr, env: &Env) -> Value {
        let ExprKind::Array(items) = &expr.kind else { return Value::error(expr.span) };
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value, env);
            if !item.spread {
                made.push(value);
                continue;
            }
            match &value.data {
                Data::Array(inner) => {
                    if !self.charge(inner.len(), item.value.span) {
                        return Value::error(expr.span);
                    }
                    made.extend(inner.iter().cloned());
                }
                Data::Null => {}
                Data::Error | Data::Unknown(_) => return value,
                _ => {
                    let message = format!("`...` takes an array here, not {}", value.kind());
                    return self.no_result(item.value.span, message);
                }
            }
        }
        Value::array(made, expr.span)
    }

    fn object(&mut self, properties: &[Property], at: Span, env: &Env) -> Value {
        let mut made: Vec<Entry> = Vec::with_capacity(properties.len());
        for property in properties {
            match property {
                Property::Entry { key, value } => {
                    let key_value = self.eval(key, env);
                    let value = self.eval(value, env);
                    let Some(name) = key_value.as_text().cloned() else {
                        if matches!(key_value.data, Data::Error | Data::Unknown(_)) {
                            return key_value;
                        }
                        return self.no_result(key.span, "a key is text");
                    };
                    let entry = Entry { key: name, key_span: key.span, value };
                    match made.iter_mut().find(|e| e.key == entry.key) {
                        Some(old) => *old = entry,
                        None => made.push(entry),
                    }
                }
                Property::Spread(expr) => {
                    let value = self.eval(expr, env);
                    match &value.data {
                        Data::Object(entries) => {
                            if !self.charge(entries.len(), at) {
                                return Value::error(at);
                            }
                            entries.iter().for_each(|e| put(&mut made, e.clone()));
                        }
                        Data::Null => {}
                        Data::Error | Data::Unknown(_) => return value,
                        _ => {
                            let message = format!("`...` takes an object here, not {}", value.kind());
                            return self.no_result(expr.span, message);
                        }
                    }
                }
            }
        }
        Value::object(made, at)
    }

    /// The items that a loop runs over; an error is complained about.
    pub(crate) fn items_of(&mut self, over: &Value, at: Span) -> Result<Rc<Vec<Value>>, Value> {
        match &over.data {
            Data::Array(items) => Ok(items.clone()),
            Data::Handle(Handle::Declared(place)) if place.index.is_none() => self.every(*place, at),
            Data::Error | Data::Unknown(_) => Err(over.clone()),
            _ => Err(self.no_result(at, format!("a loop runs over an array, not {}", over.kind()))),
        }
    }

    fn for_loop(&mut self, for_loop: &For, at: Span, env: &Env) -> Value {
        let over = self.eval(&for_loop.over, env);
        let items = match self.items_of(&over, for_loop.over.span) {
            Ok(items) => items,
            Err(value) => return value,
        };
        let mut made = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            if !self.charge(1, at) {
                return Value::error(at);
            }
            let env = self.in_round(for_loop, item, i, env);
            made.push(self.eval(&for_loop.body, &env));
        }
        Value::array(made, at)
    }

    /// The names in one round of a loop.
    pub(crate) fn in_round(&self, for_loop: &For, item: &Value, index: usize, env: &Env) -> Env {
        let env = env.with(&for_loop.item, item.clone());
        match &for_loop.index {
            Some(name) => {
                let index = i64::try_from(index).unwrap_or(i64::MAX);
                env.with(name, Value::int(index, for_loop.over.span))
            }
            None => env,
        }
    }

    fn name(&mut self, name: &Rc<str>, at: Span, env: &Env) -> Value {
        if let Some(value) = env.local(name) {
            return value.clone();
        }
        if let Scope::Bicep(instance) = env.scope
            && let Some(declaration) = self.instances[instance].source.find(name, env.within)
        {
            return self.declared(instance, declaration, at);
        }
        // The check of names has said so of Bicep.
        if matches!(env.scope, Scope::Bicep(_)) {
            return Value::error(at);
        }
        self.fail(codes::UNKNOWN_SYMBOL, at, format!("there is no lambda variable `{name}` here"))
    }

    // Access

    pub(crate) fn member(&mut self, base: &Value, name: &Name, safe: bool, at: Span) -> Value {
        match &base.data {
            Data::Error => Value::error(at),
            Data::Unknown(unknown) => match &unknown.deployment {
                Some(deployment) if name.text.eq_ignore_ascii_case("outputs") => {
                    self.arm_outputs(&deployment.clone(), base)
                }
                _ => base.clone(),
            },
            Data::Null if safe => Value::null(at),
            Data::Object(entries) => match base.get(&name.text) {
                Some(value) => value.clone(),
                None if safe => Value::null(at),
                None => {
                    let keys: Vec<&str> = entries.iter().map(|e| &*e.key).collect();
                    let problem =
                        error(codes::NO_RESULT, name.span, format!("there is no property `{}`", name.text));
                    let help = match closest(&name.text, keys.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None if keys.is_empty() => "the object is empty".into(),
                        None => format!("there is {}", keys[..keys.len().min(8)].join(", ")),
                    };
                    self.say(problem.help(help));
                    Value::error(at)
                }
            },
            Data::Handle(Handle::Declared(place)) => self.of_declared(*place, name, at),
            Data::Handle(Handle::Outputs(place)) => self.output(*place, name, safe, at),
            Data::Handle(Handle::ArmOutputs(arm)) => self.arm_output(*arm, name, at),
            Data::Handle(Handle::Namespace(instance)) => self.exported(*instance, name),
            _ => self.no_result(name.span, format!("{} has no property `{}`", base.kind(), name.text)),
        }
    }

    fn index(&mut self, base: &Value, index: &Value, safe: bool, from_end: bool, at: Span) -> Value {
        if let Some(value) = worst([base, index].into_iter().filter_map(|v| match v.data {
            Data::Error | Data::Unknown(_) => Some(v.clone()),
            _ => None,
        })) {
            return value;
        }
        match (&base.data, &index.data) {
            (Data::Null, _) if safe => Value::null(at),
            (Data::Array(items), Data::Int(n)) => {
                let place = usize::try_from(*n).ok();
                let place = if from_end {
                    place.filter(|n| *n > 0).and_then(|n| items.len().checked_sub(n))
                } else {
                    place
                };
                match place.and_then(|place| items.get(place)) {
                    Some(item) => item.clone(),
                    None if safe => Value::null(at),
                    None => {
                        let message = format!("there is no item {n}: the array has {}", items.len());
                        self.no_result(index.span, message)
                    }
                }
            }
            (Data::Object(_) | Data::Handle(_), Data::Text(key, _)) => {
                let name = Name { text: key.clone(), span: index.span };
                self.member(base, &name, safe, at)
            }
            (Data::Handle(Handle::Declared(place)), Data::Int(n)) if place.index.is_none() => {
                self.one_of_loop(*place, *n, at)
            }
            _ => {
                let message = format!("{} can't be looked into with {}", base.kind(), index.kind());
                self.no_result(at, message)
            }
        }
    }

    // Results

    /// A value that a resource needs: what is not known in it becomes an error, complained about where it comes from.
    pub(crate) fn settle(&mut self, value: &Value, property: &str, depth: usize) -> Value {
        if !self.charge(1, value.span) {
            return Value::error(value.span);
        }
        if depth > NESTING_MAX {
            let message = format!("lists and objects nest more than {NESTING_MAX} levels deep");
            return self.fail(codes::TOO_MUCH, value.span, message);
        }
        match &value.data {
            Data::Unknown(unknown) => {
                self.needs(unknown, &format!("`{property}` needs its value"));
                Value::error(value.span)
            }
            Data::Handle(_) => {
                let message = format!("`{property}` needs a value, and this is {}", value.kind());
                self.no_result(value.span, message)
            }
            Data::Array(items) => {
                let items = items.iter().map(|v| self.settle(v, property, depth + 1)).collect();
                Value::array(items, value.span)
            }
            Data::Object(entries) => {
                let entries = entries
                    .iter()
                    .map(|e| Entry { value: self.settle(&e.value, &e.key, depth + 1), ..e.clone() })
                    .collect();
                Value::object(entries, value.span)
            }
            _ => value.clone(),
        }
    }

    /// Says that something only a deployment knows is needed.
    pub(crate) fn needs(&mut self, unknown: &Unknown, who: &str) {
        let message = format!("{} is only known after a deployment, but {who}", unknown.what);
        let problem = error(codes::RUNTIME_VALUE, unknown.span, message);
        self.say(problem.help("write the value as text, or make it a parameter"));
    }
}

fn width(value: &Value) -> usize {
    match &value.data {
        Data::Array(items) => items.len(),
        Data::Object(entries) => entries.len(),
        Data::Text(text, _) => text.len() / 64,
        _ => 1,
    }
}

fn nests_deeper(value: &Value, max: usize) -> bool {
    match &value.data {
        Data::Array(items) => max == 0 || items.iter().any(|v| nests_deeper(v, max - 1)),
        Data::Object(entries) => max == 0 || entries.iter().any(|e| nests_deeper(&e.value, max - 1)),
        _ => false,
    }
}

/// The handle of a resource or module.
pub(crate) fn handle(instance: usize, declaration: usize, index: Option<usize>, at: Span) -> Value {
    Value::new(Data::Handle(Handle::Declared(Place { instance, declaration, index })), at)
}
