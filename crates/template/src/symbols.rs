//! What the names in a Bicep file mean, and whether all of them mean something: also where nobody needs the value, as
//! Bicep compiles all of a file or nothing.

use std::collections::HashMap;
use std::rc::Rc;

use tidegate_core::Diagnostic;

use crate::ast::{Decorated, Expr, ExprKind, File, Name, Property, Type, TypeKind, What};
use crate::codes;
use crate::functions::{FUNCTIONS, function, is_list_function};
use crate::problems::{closest, error};

/// A Bicep file and its names.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) file: File,
    names: HashMap<Rc<str>, usize>,
    /// Of the resources in a resource.
    children: HashMap<usize, HashMap<Rc<str>, usize>>,
    pub(crate) outputs: HashMap<Rc<str>, usize>,
}

const TYPES: [&str; 9] =
    ["string", "int", "bool", "object", "array", "any", "securestring", "secureString", "secureObject"];
const DECORATORS: [&str; 18] = [
    "description",
    "allowed",
    "minValue",
    "maxValue",
    "minLength",
    "maxLength",
    "secure",
    "metadata",
    "batchSize",
    "export",
    "sealed",
    "discriminator",
    "onlyIfNotExists",
    "retryOn",
    "waitUntil",
    "validate",
    "nullIfNotFound",
    "inlineResources",
];

impl Source {
    /// The second is what is wrong with the names.
    pub(crate) fn new(file: File) -> (Self, Vec<Diagnostic>) {
        let mut source = Self { file, ..Self::default() };
        let mut problems = Vec::new();
        for (place, declaration) in source.file.declarations.iter().enumerate() {
            let names = match (&declaration.what, declaration.within) {
                (What::Output { .. }, _) => &mut source.outputs,
                (_, Some(within)) => source.children.entry(within).or_default(),
                _ => &mut source.names,
            };
            let first = *names.entry(declaration.name.text.clone()).or_insert(place);
            if first != place {
                let message = format!("`{}` is declared twice", declaration.name.text);
                let first = source.file.declarations[first].name.span;
                let problem = error(codes::BICEP_SYNTAX, declaration.name.span, message);
                problems.push(problem.label(first, "first here"));
            }
        }
        let mut check = Check { source: &source, problems, locals: Vec::new(), within: None };
        check.all();
        let problems = check.problems;
        (source, problems)
    }

    /// The declaration of a name, as seen from the body of the resource `within`.
    pub(crate) fn find(&self, name: &str, within: Option<usize>) -> Option<usize> {
        let mut at = within;
        while let Some(resource) = at {
            if let Some(found) = self.child(resource, name) {
                return Some(found);
            }
            at = self.file.declarations.get(resource)?.within;
        }
        self.names.get(name).copied()
    }

    /// A resource declared in the body of another.
    pub(crate) fn child(&self, of: usize, name: &str) -> Option<usize> {
        self.children.get(&of)?.get(name).copied()
    }
}

struct Check<'a> {
    source: &'a Source,
    problems: Vec<Diagnostic>,
    locals: Vec<Rc<str>>,
    within: Option<usize>,
}

impl<'a> Check<'a> {
    fn all(&mut self) {
        let file = &self.source.file;
        for (place, declaration) in file.declarations.iter().enumerate() {
            self.decorators(&declaration.decorators);
            match &declaration.what {
                What::Param { of, default } => {
                    of.iter().for_each(|of| self.a_type(of));
                    default.iter().for_each(|default| self.expr(default));
                }
                What::Var(value) | What::Output { value } | What::Given(value) => self.expr(value),
                What::Type(of) => self.a_type(of),
                What::Function { params, returns, body } => {
                    params.iter().for_each(|(_, of)| self.a_type(of));
                    returns.iter().for_each(|of| self.a_type(of));
                    let names: Vec<_> = body.params.iter().collect();
                    self.with(&names, |check| check.expr(&body.body));
                }
                What::Resource { of, body, .. } => {
                    self.expr(of);
                    self.within = Some(place);
                    self.expr(body);
                    self.within = None;
                }
                What::Module { path, body } => {
                    self.expr(path);
                    self.expr(body);
                }
                What::Imported { .. } | What::Namespace { .. } | What::Extension => {}
            }
        }
        file.loose.iter().for_each(|expr| self.expr(expr));
    }

    fn with(&mut self, names: &[&Name], check: impl FnOnce(&mut Self)) {
        let before = self.locals.len();
        self.locals.extend(names.iter().map(|n| n.text.clone()));
        check(self);
        self.locals.truncate(before);
    }

    fn known(&self, name: &str) -> bool {
        self.locals.iter().any(|l| &**l == name) || self.source.find(name, self.within).is_some()
    }

    fn undefined(&mut self, name: &str, at: tidegate_core::Span) {
        let problem = error(codes::UNKNOWN_SYMBOL, at, format!("undefined symbol `{name}`"));
        let mut candidates: Vec<&str> = self.locals.iter().map(|l| &**l).collect();
        candidates.extend(self.source.names.keys().map(|k| &**k));
        candidates.extend(self.source.children.values().flat_map(|c| c.keys()).map(|k| &**k));
        candidates.sort_unstable();
        self.problems.push(match closest(name, candidates) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem,
        });
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Name(name) => {
                if !self.known(name) {
                    self.undefined(name, expr.span);
                }
            }
            ExprKind::Lambda(lambda) => {
                let names: Vec<_> = lambda.params.iter().collect();
                self.with(&names, |check| check.expr(&lambda.body));
            }
            ExprKind::For(for_loop) => {
                self.expr(&for_loop.over);
                let names: Vec<_> = std::iter::once(&for_loop.item).chain(&for_loop.index).collect();
                self.with(&names, |check| check.expr(&for_loop.body));
            }
            ExprKind::Call { name, args } => {
                self.function(name);
                args.iter().for_each(|arg| self.expr(arg));
            }
            ExprKind::Method { base, name, args } => {
                match &base.kind {
                    ExprKind::Name(namespace)
                        if matches!(&**namespace, "sys" | "az") && !self.known(namespace) =>
                    {
                        self.function(name);
                    }
                    _ => self.expr(base),
                }
                args.iter().for_each(|arg| self.expr(arg));
            }
            ExprKind::Nested { base, name } => {
                self.expr(base);
                let parent = match &base.kind {
                    ExprKind::Name(base) => self.source.find(base, self.within),
                    _ => None,
                };
                if let Some(parent) = parent
                    && self.source.child(parent, &name.text).is_none()
                {
                    self.undefined(&name.text, name.span);
                }
            }
            ExprKind::Object(properties) => {
                for property in properties {
                    match property {
                        Property::Entry { key, value } => {
                            if !matches!(key.kind, ExprKind::Text(..)) {
                                self.expr(key);
                            }
                            self.expr(value);
                        }
                        Property::Spread(value) => self.expr(value),
                    }
                }
            }
            kind => {
                let mut parts = Vec::new();
                kind.each(&mut |part| parts.push(part));
                parts.into_iter().for_each(|part| self.expr(part));
            }
        }
    }

    fn function(&mut self, name: &Name) {
        let own = self.source.find(&name.text, None).map(|at| &self.source.file.declarations[at].what);
        let is_function = matches!(own, Some(What::Function { .. } | What::Imported { .. }));
        if is_function || function(&name.text, false).is_some() || is_list_function(&name.text) {
            return;
        }
        let own = self.source.file.declarations.iter().filter(|d| matches!(d.what, What::Function { .. }));
        let names = FUNCTIONS.iter().map(|f| f.name).chain(own.map(|d| &*d.name.text));
        let message = format!("there is no function `{}`", name.text);
        let problem = error(codes::UNKNOWN_SYMBOL, name.span, message);
        self.problems.push(match closest(&name.text, names) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem,
        });
    }

    fn decorators(&mut self, decorators: &'a [Expr]) {
        for decorator in decorators {
            let (name, args) = match &decorator.kind {
                ExprKind::Call { name, args } => (name, args),
                ExprKind::Method { name, args, .. } => (name, args),
                _ => {
                    let message = "a decorator is a function call, such as `@description('...')`";
                    self.problems.push(error(codes::BICEP_SYNTAX, decorator.span, message));
                    continue;
                }
            };
            if !DECORATORS.contains(&&*name.text) {
                let message = format!("there is no decorator `{}`", name.text);
                let problem = error(codes::UNKNOWN_SYMBOL, name.span, message);
                self.problems.push(match closest(&name.text, DECORATORS) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
            args.iter().for_each(|arg| self.expr(arg));
        }
    }

    fn a_type(&mut self, of: &'a Type) {
        match &of.kind {
            TypeKind::Named(names) => {
                let Some(first) = names.first() else { return };
                let declared =
                    self.source.find(&first.text, None).map(|at| &self.source.file.declarations[at].what);
                let is_type = matches!(
                    declared,
                    Some(What::Type(_) | What::Imported { .. } | What::Namespace { .. } | What::Extension)
                );
                if is_type || TYPES.contains(&&*first.text) || &*first.text == "sys" {
                    return;
                }
                let own = self.source.file.declarations.iter().filter(|d| matches!(d.what, What::Type(_)));
                let names = TYPES.into_iter().chain(own.map(|d| &*d.name.text));
                let problem =
                    error(codes::UNKNOWN_SYMBOL, first.span, format!("there is no type `{}`", first.text));
                self.problems.push(match closest(&first.text, names) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
            TypeKind::Array(inner) | TypeKind::Nullable(inner) => self.a_type(inner),
            TypeKind::Tuple(items) => items.iter().for_each(|item| self.decorated(item)),
            TypeKind::Object(properties) => properties.iter().for_each(|p| self.decorated(&p.value)),
            TypeKind::Union(members) => members.iter().for_each(|m| self.a_type(m)),
            TypeKind::Literal(_) | TypeKind::Any => {}
        }
    }

    fn decorated(&mut self, of: &'a Decorated<Type>) {
        self.decorators(&of.decorators);
        self.a_type(&of.value);
    }
}
