//! Bicep files and ARM templates, evaluated: text in, the resources that a deployment would make out, each value with
//! the place it was written at.
//!
//! Both languages become one tree of expressions and share one evaluator. Everything is evaluated when it is asked
//! for, so what only a deployment knows is a mistake only where one of the wanted resources needs it. No I/O: other files
//! come through a [`Loader`]. Depth, steps and sizes have limits, and no input panics.

mod arm;
mod arm_expr;
mod ast;
mod bicep;
pub mod codes;
mod eval;
mod functions;
mod lexer;
mod parse;
mod problems;
mod symbols;
mod types;
mod value;

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_core::{Diagnostic, FileId, Span};

pub use crate::value::{Data, Entry, Value};

/// Where the files come from that templates name.
pub trait Loader {
    /// The file at `path` as seen from another, if it can be had.
    fn find(&self, from: FileId, path: &str) -> Option<FileId>;
    /// The text of a file that [`Loader::find`] gave, or that was given to start with.
    fn text(&self, file: FileId) -> Arc<str>;
    /// The value in a JSON file; what is wrong with it the loader says itself.
    fn json(&self, file: FileId) -> Option<Value>;
    /// The value in a YAML file, likewise.
    fn yaml(&self, file: FileId) -> Option<Value>;
    /// The value in a text of JSON, as if all of it stood at `at`. Nothing is said of a text that is none.
    fn json_text(&self, text: &str, at: Span) -> Option<Value>;
}

/// A value for a parameter.
#[derive(Clone, Debug)]
pub enum Argument {
    /// As the command line has it: what it means hangs on the parameter's type.
    Text(String),
    /// As a parameter file has it.
    Value(Value),
}

/// How templates are evaluated.
pub struct Options<'a> {
    /// Whether resources of a type are wanted: `Microsoft.IoTOperations/instances/dataflowEndpoints`, say.
    pub wanted: &'a dyn Fn(&str) -> bool,
    /// Values for parameters. The last for a name counts, and all of them more than a template's own defaults.
    pub parameters: &'a [(String, Argument)],
    /// What `readEnvironmentVariable` finds.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// A resource that a deployment would make. What is wrong in it was complained about and is a [`Data::Error`].
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its type in full, without the version.
    pub of: String,
    /// Where the type stands.
    pub of_at: Span,
    /// The last segment of its name: text. None if there is no name.
    pub name: Option<Value>,
    /// The segment before that, if a third segment is before it; empty within if it is not known.
    pub parent: Option<Option<(String, Span)>>,
    /// All keys of its body.
    pub fields: Vec<(Rc<str>, Span)>,
    /// `properties`, and where that key stands.
    pub properties: Option<(Value, Span)>,
}

/// What came of some templates.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// In the order of the templates, the resources of modules in their place.
    pub resources: Vec<Resource>,
    /// All that was wrong, in the order found.
    pub diagnostics: Vec<Diagnostic>,
    /// The names of all parameters that there were.
    pub parameters: Vec<String>,
}

/// Evaluates a Bicep file: a template, or a parameter file (`.bicepparam`) with the template it names.
pub fn bicep(file: FileId, loader: &dyn Loader, options: &Options<'_>) -> Evaluated {
    let mut evaluator = eval::Evaluator::new(loader, options);
    evaluator.bicep_template(file);
    finish(evaluator)
}

/// Evaluates an ARM template.
pub fn arm(template: Value, loader: &dyn Loader, options: &Options<'_>) -> Evaluated {
    let mut evaluator = eval::Evaluator::new(loader, options);
    evaluator.arm_template(template);
    finish(evaluator)
}

/// The values in a Bicep parameter file, for templates that are given elsewhere.
pub fn bicep_parameters(
    file: FileId,
    loader: &dyn Loader,
    options: &Options<'_>,
) -> (Vec<(String, Argument)>, Vec<Diagnostic>) {
    let mut evaluator = eval::Evaluator::new(loader, options);
    let values = evaluator.parameter_file(file);
    (values, evaluator.problems)
}

/// The values in an ARM parameter file.
pub fn arm_parameters(
    document: &Value,
    loader: &dyn Loader,
    options: &Options<'_>,
) -> Vec<(String, Argument)> {
    eval::Evaluator::new(loader, options).parameter_values(document)
}

/// What other files a Bicep file names with literal paths: modules, imports, the template of a parameter file, and
/// contents that are loaded.
pub fn named_files(file: FileId, text: &str) -> Vec<String> {
    let (parsed, _) = parse::parse(file, text);
    let mut names: Vec<String> = Vec::new();
    let links = parsed.imports.iter().chain(&parsed.using).chain(&parsed.extends);
    names.extend(links.filter_map(|link| link.path.as_deref().map(str::to_owned)));
    for declaration in &parsed.declarations {
        declaration.what.paths(&mut |path| names.push(path.to_owned()));
    }
    names
}

/// Where the comments of a Bicep file are, in bytes.
pub fn comments(file: FileId, text: &str) -> Vec<Range<usize>> {
    lexer::lex(file, text).comments
}

fn finish(evaluator: eval::Evaluator<'_>) -> Evaluated {
    let mut parameters: Vec<String> = evaluator.used_parameters.into_iter().collect();
    parameters.sort();
    Evaluated { resources: evaluator.found, diagnostics: evaluator.problems, parameters }
}
