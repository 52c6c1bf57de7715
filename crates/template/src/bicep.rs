//! What a Bicep file is made of: its parameters, variables and outputs, each evaluated when it is asked for, its
//! resources and its modules.

mod modules;
mod resources;

use std::collections::HashMap;
use std::rc::Rc;

use tidegate_core::{FileId, Span};

use crate::Argument;
use crate::ast::{Declaration, Expr, ExprKind, For, Name, Property, What};
use crate::codes;
use crate::eval::{Env, Evaluator, Scope, Slot, handle};
use crate::parse::parse;
use crate::problems::{closest, error};
use crate::symbols::Source;
use crate::types::{is_nullable, written};
use crate::value::{Data, Handle, Place, Value};

/// How deep modules may use modules.
const MODULES_MAX: usize = 16;

/// What a loop runs over, or why that is not known.
type Rounds = Result<Rc<Vec<Value>>, Value>;
/// A declaration, and which round of its loop.
type Round = (usize, Option<usize>);

/// A Bicep file with values for its parameters.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) source: Rc<Source>,
    pub(crate) id: FileId,
    params: HashMap<Rc<str>, Argument>,
    memo: HashMap<usize, Slot>,
    /// None while they are being found.
    rounds: HashMap<usize, Option<Rounds>>,
    modules: HashMap<Round, Option<Result<usize, Value>>>,
    /// How many modules lie around it.
    nesting: usize,
}

/// The body of a resource or module, taken apart.
#[derive(Clone, Copy)]
struct Body<'e> {
    round: Option<&'e For>,
    condition: Option<&'e Expr>,
    object: &'e Expr,
}

fn body(expr: &Expr) -> Body<'_> {
    let (round, inner) = match &expr.kind {
        ExprKind::For(for_loop) => (Some(&**for_loop), &for_loop.body),
        _ => (None, expr),
    };
    match &inner.kind {
        ExprKind::If(condition, object) => Body { round, condition: Some(condition), object },
        _ => Body { round, condition: None, object: inner },
    }
}

fn properties(object: &Expr) -> &[Property] {
    if let ExprKind::Object(properties) = &object.kind { properties } else { &[] }
}

fn has_decorator(declaration: &Declaration, wanted: &str) -> bool {
    declaration.decorators.iter().any(|d| {
        matches!(&d.kind, ExprKind::Call { name, .. } | ExprKind::Method { name, .. } if &*name.text == wanted)
    })
}

impl Evaluator<'_> {
    /// A file, read once.
    pub(crate) fn source(&mut self, id: FileId) -> Rc<Source> {
        if let Some(source) = self.sources.get(&id) {
            return source.clone();
        }
        let (file, syntax) = parse(id, &self.loader.text(id));
        let (source, names) = Source::new(file);
        // A statement that can't be read leaves names undefined, which is no second mistake.
        let names = if syntax.is_empty() { names } else { vec![] };
        syntax.into_iter().chain(names).for_each(|problem| self.say(problem));
        let source = Rc::new(source);
        self.sources.insert(id, source.clone());
        source
    }

    pub(crate) fn instance(
        &mut self,
        id: FileId,
        params: HashMap<Rc<str>, Argument>,
        nesting: usize,
    ) -> usize {
        let source = self.source(id);
        self.instances.push(Instance {
            source,
            id,
            params,
            memo: HashMap::new(),
            rounds: HashMap::new(),
            modules: HashMap::new(),
            nesting,
        });
        self.instances.len() - 1
    }

    /// Evaluates a file that was given: a template, or a parameter file with the template it is for.
    pub(crate) fn bicep_template(&mut self, id: FileId) {
        let source = self.source(id);
        let mut params = HashMap::new();
        let mut template = id;
        if let Some(using) = &source.file.using {
            self.given_params(id, &mut params, 0);
            let Some(path) = &using.path else { return };
            let Some(found) = self.loader.find(id, path) else {
                let message = format!("the template `{path}` can't be read");
                self.fail(codes::TEMPLATE_FILE, using.span, message);
                return;
            };
            template = found;
        }
        let source = self.source(template);
        let given: Vec<_> = params
            .iter()
            .filter_map(|(name, (_, at))| {
                let known = source
                    .find(name, None)
                    .is_some_and(|d| matches!(source.file.declarations[d].what, What::Param { .. }));
                if known { None } else { Some((name.clone(), *at)) }
            })
            .collect();
        for (name, at) in given {
            let params = source.file.declarations.iter().filter(|d| matches!(d.what, What::Param { .. }));
            let problem =
                error(codes::PARAMETER_VALUE, at, format!("the template has no parameter `{name}`"));
            self.say(match closest(&name, params.map(|d| &*d.name.text)) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem,
            });
        }
        let mut params: HashMap<Rc<str>, Argument> =
            params.into_iter().map(|(name, (argument, _))| (name, argument)).collect();
        for (name, argument) in self.options.parameters {
            params.insert(name.as_str().into(), argument.clone());
        }
        let instance = self.instance(template, params, 0);
        self.run_bicep(instance);
    }

    /// The values that a parameter file gives, those of the files it extends first.
    pub(crate) fn given_params(
        &mut self,
        id: FileId,
        params: &mut HashMap<Rc<str>, (Argument, Span)>,
        depth: usize,
    ) {
        let source = self.source(id);
        if let Some(extends) = &source.file.extends
            && let Some(path) = &extends.path
        {
            match self.loader.find(id, path).filter(|_| depth < MODULES_MAX) {
                Some(base) => self.given_params(base, params, depth + 1),
                None => {
                    let message = format!("the parameter file `{path}` can't be read");
                    self.fail(codes::TEMPLATE_FILE, extends.span, message);
                }
            }
        }
        let instance = self.instance(id, HashMap::new(), 0);
        for (place, declaration) in source.file.declarations.iter().enumerate() {
            if let What::Given(_) = declaration.what {
                let value = self.declared(instance, place, declaration.name.span);
                params.insert(declaration.name.text.clone(), (Argument::Value(value), declaration.name.span));
            }
        }
    }

    /// Takes the resources of a file and of its modules.
    fn run_bicep(&mut self, instance: usize) {
        let source = self.instances[instance].source.clone();
        for (place, declaration) in source.file.declarations.iter().enumerate() {
            if let What::Param { .. } = declaration.what {
                self.used_parameters.insert(declaration.name.text.to_string());
                self.declared(instance, place, declaration.name.span);
            }
        }
        for (place, declaration) in source.file.declarations.iter().enumerate() {
            match &declaration.what {
                What::Resource { existing: false, .. } => self.resource(instance, place, declaration),
                What::Module { body, .. } => self.module(instance, place, declaration, body),
                What::Imported { from, name } => {
                    self.imported(instance, *from, name);
                }
                What::Namespace { from } => {
                    self.library(instance, *from);
                }
                _ => {}
            }
        }
    }

    /// The value of a name that is declared in a file.
    pub(crate) fn declared(&mut self, instance: usize, place: usize, at: Span) -> Value {
        let declaration = self.instances[instance].source.file.declarations[place].clone();
        match &declaration.what {
            What::Resource { .. } | What::Module { .. } => return handle(instance, place, None, at),
            What::Imported { from, name } => {
                return match self.imported(instance, *from, name) {
                    Some((library, place)) => self.declared(library, place, at),
                    None => Value::error(at),
                };
            }
            What::Namespace { from } => {
                return match self.library(instance, *from) {
                    Some(library) => Value::new(Data::Handle(Handle::Namespace(library)), at),
                    None => Value::error(at),
                };
            }
            What::Type(_) | What::Function { .. } => {
                let what = if matches!(declaration.what, What::Type(_)) { "a type" } else { "a function" };
                return self.no_result(at, format!("`{}` is {what}, not a value", declaration.name.text));
            }
            What::Extension => return Value::unknown(format!("`{}`", declaration.name.text), at),
            What::Param { .. } | What::Var(_) | What::Given(_) | What::Output { .. } => {}
        }
        match self.instances[instance].memo.get(&place) {
            Some(Slot::Done(value)) => return value.clone(),
            Some(Slot::Busy) => {
                return self
                    .no_result(at, format!("the value of `{}` hangs on itself", declaration.name.text));
            }
            None => {}
        }
        self.instances[instance].memo.insert(place, Slot::Busy);
        let env = Env::of(Scope::Bicep(instance));
        let value = match &declaration.what {
            What::Var(value) | What::Given(value) | What::Output { value } => self.eval(value, &env),
            _ => self.param(instance, &declaration),
        };
        self.instances[instance].memo.insert(place, Slot::Done(value.clone()));
        value
    }

    fn param(&mut self, instance: usize, declaration: &Declaration) -> Value {
        let What::Param { of, default } = &declaration.what else { return Value::error(declaration.span) };
        let name = &declaration.name;
        let given = self.instances[instance].params.get(&name.text).cloned();
        let (value, what) = match (given, default) {
            (Some(Argument::Text(text)), _) => {
                let plain = of.as_ref().map(written);
                let value = self.as_written(&text, plain.as_deref(), name.span);
                (value, "the value")
            }
            (Some(Argument::Value(value)), _) if !(value.is_null() && default.is_some()) => {
                (value, "the value")
            }
            (_, Some(default)) => (self.eval(default, &Env::of(Scope::Bicep(instance))), "the default"),
            (Some(Argument::Value(value)), None) => (value, "the value"),
            (None, None) if is_nullable(of.as_ref()) => (Value::null(name.span), "the value"),
            (None, None) => {
                // A module complains where it is used.
                if self.instances[instance].nesting > 0 {
                    return Value::error(name.span);
                }
                let message = format!("parameter `{}` has no value and no default", name.text);
                let problem = error(codes::PARAMETER_MISSING, name.span, message);
                self.say(
                    problem
                        .help(format!("give it with `--param {}=VALUE` or `--param-file FILE`", name.text)),
                );
                return Value::error(name.span);
            }
        };
        let secure = has_decorator(declaration, "secure");
        if let Some(misfit) = self.misfit(instance, &value, of.as_ref(), &declaration.decorators, "") {
            let message = match misfit.path.as_str() {
                "" => format!("{what} of `{}` {}", name.text, misfit.message),
                path => format!("`{}{path}` in {what} {}", name.text, misfit.message),
            };
            let at = if secure { name.span } else { misfit.at };
            let message = if secure {
                format!("{what} of `{}` is not what its type asks for", name.text)
            } else {
                message
            };
            let problem = error(codes::PARAMETER_VALUE, at, message);
            self.say(if at == name.span { problem } else { problem.label(name.span, "the parameter") });
            return Value::error(name.span);
        }
        // Nobody is shown the line that a secret stands in.
        if secure { value.moved(name.span) } else { value }
    }

    /// The value of `--param`, as its type wants it.
    pub(crate) fn as_written(&mut self, text: &str, of: Option<&str>, at: Span) -> Value {
        if of.is_some_and(|of| {
            of.to_lowercase().starts_with("string") || of.to_lowercase().starts_with("secures")
        }) {
            return Value::text(text, at);
        }
        match self.loader.json_text(text, at) {
            Some(value) => value,
            None => Value::text(text, at),
        }
    }

    // Imports

    /// The file that an `import` names, as an instance without parameters.
    pub(crate) fn library(&mut self, instance: usize, from: usize) -> Option<usize> {
        let source = self.instances[instance].source.clone();
        let link = source.file.imports.get(from)?;
        let path = link.path.as_ref()?;
        let Some(file) = self.loader.find(self.instances[instance].id, path) else {
            let problem = if path.starts_with("br:") || path.starts_with("br/") || path.starts_with("ts") {
                error(codes::NOT_READ_YET, link.span, "modules from a registry are not read")
            } else {
                error(codes::TEMPLATE_FILE, link.span, format!("the file `{path}` can't be read"))
            };
            self.say(problem);
            return None;
        };
        if let Some(library) = self.libraries.get(&file) {
            return Some(*library);
        }
        let library = self.instance(file, HashMap::new(), 1);
        self.libraries.insert(file, library);
        Some(library)
    }

    /// What an imported name stands for: an instance, and the place of the declaration in its file.
    pub(crate) fn imported(&mut self, instance: usize, from: usize, name: &Name) -> Option<(usize, usize)> {
        let library = self.library(instance, from)?;
        let declaration = self.exported_declaration(library, name)?;
        let what = &self.instances[library].source.file.declarations[declaration].clone().what;
        match what {
            What::Imported { from, name } => {
                if self.depth > MODULES_MAX {
                    self.no_result(name.span, format!("`{}` is imported in a circle", name.text));
                    return None;
                }
                self.depth += 1;
                let found = self.imported(library, *from, name);
                self.depth -= 1;
                found
            }
            _ => Some((library, declaration)),
        }
    }

    pub(crate) fn exported_declaration(&mut self, library: usize, name: &Name) -> Option<usize> {
        let source = self.instances[library].source.clone();
        let found = source.find(&name.text, None);
        match found.map(|place| &source.file.declarations[place]) {
            Some(declaration) if has_decorator(declaration, "export") => found,
            Some(declaration) => {
                let message = format!("`{}` is not exported by its file", name.text);
                let problem = error(codes::UNKNOWN_SYMBOL, name.span, message);
                self.say(problem.label(declaration.name.span, "here `@export()` is missing"));
                None
            }
            None => {
                let exported = source.file.declarations.iter().filter(|d| has_decorator(d, "export"));
                let message = format!("the imported file has no `{}`", name.text);
                let problem = error(codes::UNKNOWN_SYMBOL, name.span, message);
                self.say(match closest(&name.text, exported.map(|d| &*d.name.text)) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
                None
            }
        }
    }

    pub(crate) fn exported(&mut self, library: usize, name: &Name) -> Value {
        match self.exported_declaration(library, name) {
            Some(place) => self.declared(library, place, name.span),
            None => Value::error(name.span),
        }
    }

    pub(crate) fn user_function(
        &mut self,
        instance: usize,
        declaration: usize,
        name: &Name,
        args: &[Expr],
        at: Span,
        env: &Env,
    ) -> Value {
        let found = self.instances[instance].source.file.declarations[declaration].clone();
        match &found.what {
            What::Function { params, body, .. } => {
                if params.len() != args.len() {
                    let message =
                        format!("`{}` takes {} arguments, not {}", name.text, params.len(), args.len());
                    return self.no_result(at, message);
                }
                let values: Vec<Value> = args.iter().map(|a| self.eval(a, env)).collect();
                self.apply(body, &values, &Env::of(Scope::Bicep(instance)))
            }
            What::Imported { from, name: original } => match self.imported(instance, *from, original) {
                Some((library, declaration)) => self.user_function(library, declaration, name, args, at, env),
                None => Value::error(at),
            },
            // A function may be called as a parameter is.
            _ => self.builtin(name, args, at, env),
        }
    }

    // Loops

    pub(crate) fn is_loop(&self, place: Place) -> bool {
        match &self.instances[place.instance].source.file.declarations[place.declaration].what {
            What::Resource { body: expr, .. } | What::Module { body: expr, .. } => body(expr).round.is_some(),
            _ => false,
        }
    }

    /// What the loop of a resource or module runs over.
    fn rounds(
        &mut self,
        instance: usize,
        declaration: usize,
        for_loop: &For,
    ) -> Result<Rc<Vec<Value>>, Value> {
        match self.instances[instance].rounds.get(&declaration) {
            Some(Some(rounds)) => return rounds.clone(),
            Some(None) => return Err(self.no_result(for_loop.over.span, "this loop runs over what it makes")),
            None => {}
        }
        self.instances[instance].rounds.insert(declaration, None);
        let within = self.instances[instance].source.file.declarations[declaration].within;
        let env = Env { within, ..Env::of(Scope::Bicep(instance)) };
        let over = self.eval(&for_loop.over, &env);
        let rounds = self.items_of(&over, for_loop.over.span);
        self.instances[instance].rounds.insert(declaration, Some(rounds.clone()));
        rounds
    }

    /// All that a loop of resources or modules makes.
    pub(crate) fn every(&mut self, place: Place, at: Span) -> Result<Rc<Vec<Value>>, Value> {
        let declaration = self.instances[place.instance].source.file.declarations[place.declaration].clone();
        let (What::Resource { body: expr, .. } | What::Module { body: expr, .. }) = &declaration.what else {
            return Err(Value::error(at));
        };
        let Some(for_loop) = body(expr).round else {
            return Err(self.no_result(at, format!("`{}` is no loop", declaration.name.text)));
        };
        let rounds = self.rounds(place.instance, place.declaration, for_loop)?;
        let all = (0..rounds.len()).map(|i| handle(place.instance, place.declaration, Some(i), at));
        Ok(Rc::new(all.collect()))
    }

    pub(crate) fn one_of_loop(&mut self, place: Place, index: i64, at: Span) -> Value {
        match self.every(place, at) {
            Ok(all) => match usize::try_from(index).ok().and_then(|i| all.get(i)) {
                Some(one) => one.clone(),
                None => self.no_result(at, format!("there is no round {index}: the loop has {}", all.len())),
            },
            Err(value) => value,
        }
    }

    /// What names mean in the body of a resource or module.
    fn env_of(&mut self, place: Place, expr: &Expr) -> Env {
        let env = Env { within: Some(place.declaration), ..Env::of(Scope::Bicep(place.instance)) };
        let (Some(for_loop), Some(index)) = (body(expr).round, place.index) else { return env };
        match self.rounds(place.instance, place.declaration, for_loop) {
            Ok(rounds) => match rounds.get(index) {
                Some(item) => self.in_round(for_loop, item, index, &env),
                None => env,
            },
            Err(_) => env,
        }
    }

    /// A property of a body, and where its key stands.
    fn property(&mut self, object: &Expr, key: &str, env: &Env) -> Option<(Value, Span)> {
        let mut found = None;
        for property in properties(object) {
            match property {
                Property::Entry { key: name, value } => {
                    if matches!(&name.kind, ExprKind::Text(text, _) if &**text == key) {
                        found = Some((self.eval(value, env), name.span));
                    }
                }
                Property::Spread(expr) => {
                    let spread = self.eval(expr, env);
                    if let Some(value) = spread.get(key) {
                        found = Some((value.clone(), expr.span));
                    }
                }
            }
        }
        found
    }
}
