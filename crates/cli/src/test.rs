//! `tidegate test`: the cases that people write beside their data flows.

mod compare;
mod rewrite;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;
use std::{fs, io};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_core::{Diagnostic, Files, Record, Severity, Span};
use tidegate_expr::{Dataset, Json, Object, parse_json};
use tidegate_model::cases::{self, Fate, Records, Step, Suite};
use tidegate_model::node::{Node, Text, Value};
use tidegate_model::{Catalog, LoadOptions, codes};
use tidegate_server::message;
use tidegate_server::offline::{self, Offline, Verdict};

use self::compare::Line;
use crate::FOUND_WANTING;
use crate::args::{Form, Global, TestArgs};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{colored, print, printable, say};

/// What a folder is searched for.
const CALLED: &str = ".test.yaml";

pub(crate) fn test(args: &TestArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let files = load::find(&args.paths, &load::is_test_file, CALLED)?;
    let options = LoadOptions { filter_semantics: args.filter_semantics.into(), ..LoadOptions::default() };
    let mut runner = Runner { options, resources: HashMap::new() };
    let mut tried = Vec::new();
    for path in files {
        let text = load::open(&path).with_context(|| format!("can't read {}", path.display()))?;
        let mut file = runner.run(&path, &text);
        if args.update && file.cases.iter().any(|case| !case.failures.is_empty()) {
            file = runner.update(&path, &text, file)?;
        }
        if global.output == Form::Human {
            print(&file.human(global, colored(global.color, &io::stdout())))?;
        }
        tried.push(file);
    }
    let summary = Summary::of(&tried);
    match global.output {
        Form::Human => print(&format!("{}\n", summary.human()))?,
        Form::Json => print(&json(&summary, &tried))?,
    }
    Ok(if summary.failed + summary.errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WANTING) })
}

/// Runs test files; resources that several of them use are loaded once.
struct Runner {
    options: LoadOptions,
    resources: HashMap<Vec<PathBuf>, Result<Rc<Loaded>, String>>,
}

/// A test file that was run.
struct Tried {
    /// The test file alone.
    files: Files,
    diagnostics: Vec<Diagnostic>,
    /// Resources with errors, which keep its cases from being run.
    broken: Vec<Rc<Loaded>>,
    cases: Vec<TriedCase>,
    /// All messages that go in, as JSON.
    inputs: Vec<String>,
    updated: usize,
}

struct TriedCase {
    name: String,
    line: u32,
    failures: Vec<Failure>,
}

/// A step that came to something else.
struct Failure {
    /// Which, counted from 1, if there are several.
    number: Option<usize>,
    step: Step,
    actual: Json<'static>,
}

impl Runner {
    fn run(&mut self, path: &Path, text: &str) -> Tried {
        let mut files = Files::default();
        let file = files.add(path.display().to_string(), text);
        let parsed = cases::parse(file, text);
        let mut tried = Tried {
            files,
            diagnostics: parsed.diagnostics,
            broken: Vec::new(),
            cases: Vec::new(),
            inputs: Vec::new(),
            updated: 0,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        for suite in parsed.value {
            let steps = suite.cases.iter().flat_map(|case| &case.steps);
            tried.inputs.extend(steps.map(|step| step.input.value.to_json()));
            let resources = match self.resources(&suite, folder) {
                Ok(resources) => resources,
                Err(problem) => {
                    tried.diagnostics.push(problem);
                    continue;
                }
            };
            if resources.diagnostics.iter().any(|d| d.severity == Severity::Error) {
                if !tried.broken.iter().any(|other| Rc::ptr_eq(other, &resources)) {
                    tried.broken.push(resources);
                }
                continue;
            }
            let cases = flow(&suite, folder, &resources.catalog).and_then(|flow| {
                suite.cases.iter().map(|case| run_case(&flow, case, &tried.files)).collect()
            });
            match cases {
                Ok::<Vec<_>, _>(cases) => tried.cases.extend(cases),
                Err(problem) => tried.diagnostics.push(problem),
            }
        }
        tried
    }

    fn resources(&mut self, suite: &Suite, folder: &Path) -> Result<Rc<Loaded>, Diagnostic> {
        let named = |name: &Text| folder.join(name.as_str());
        let (paths, at) = match suite.resources.as_slice() {
            // the folder of a bare name is the current one
            [] if folder == Path::new("") => (vec![PathBuf::from(".")], suite.at),
            [] => (vec![folder.to_owned()], suite.at),
            [first, ..] => (suite.resources.iter().map(named).collect(), first.span()),
        };
        let options = &self.options;
        let load = |paths: &Vec<PathBuf>| {
            let loaded = load::read(paths).and_then(|files| load::load_files(files, options));
            loaded.map(Rc::new).map_err(|e| format!("{e:#}"))
        };
        let resources = self.resources.entry(paths).or_insert_with_key(load);
        resources.clone().map_err(|why| absent(at, why))
    }

    /// Writes what came out into the file, provided that it then passes.
    ///
    /// # Errors
    /// The file can't be written.
    fn update(&mut self, path: &Path, text: &str, tried: Tried) -> anyhow::Result<Tried> {
        let failures: Vec<_> = tried.cases.iter().flat_map(|case| &case.failures).collect();
        let steps: Vec<_> = failures.iter().map(|failure| (&failure.step, &failure.actual)).collect();
        let new = rewrite::rewrite(text, &steps);
        let mut again = self.run(path, &new);
        let passes = again.diagnostics.len() == tried.diagnostics.len()
            && again.inputs == tried.inputs
            && again.cases.len() == tried.cases.len()
            && again.cases.iter().all(|case| case.failures.is_empty());
        if !passes {
            say(&format!("{}: left as it is, as it would fail again with what came out now", path.display()));
            return Ok(tried);
        }
        fs::write(path, &new).with_context(|| format!("can't write {}", path.display()))?;
        again.updated = failures.len();
        Ok(again)
    }
}

/// The complaint about something that a test file names.
fn absent(at: Span, message: String) -> Diagnostic {
    Diagnostic::new(codes::CASE_REFERENCE, Severity::Error, message).at(at)
}

/// What makes a suite's data flow, without memory.
fn flow(suite: &Suite, folder: &Path, catalog: &Catalog) -> Result<impl Fn() -> Offline + use<>, Diagnostic> {
    let at = suite.flow.as_ref().map_or(suite.at, Text::span);
    let [namespace, name] = [&suite.namespace, &suite.flow].map(|text| text.as_ref().map(Text::as_str));
    let outline = offline::choose(catalog, namespace, name).map_err(|why| absent(at, why))?.clone();
    let known = Offline::new(&outline).dataset_keys();
    let mut datasets = Vec::new();
    for dataset in &suite.datasets {
        if !known.contains(&dataset.key) {
            let takes = if known.is_empty() { "no datasets".into() } else { known.join(", ") };
            let problem = absent(dataset.key_at, format!("there is no dataset `{}`", dataset.key));
            return Err(problem.help(format!("the data flow takes {takes}")));
        }
        let records = match &dataset.records {
            Records::Here(lines) => Dataset::parse(Bytes::copy_from_slice(lines.as_bytes())).0,
            Records::File(name) => load::open_dataset(&folder.join(name.as_str()))
                .map_err(|e| absent(name.span(), format!("can't read it: {e:#}")))?,
        };
        datasets.push((dataset.key.clone(), records));
    }
    Ok(move || {
        let mut flow = Offline::new(&outline);
        datasets.iter().for_each(|(key, records)| flow.set_dataset(key, records));
        flow
    })
}

fn run_case(flow: &impl Fn() -> Offline, case: &cases::Case, files: &Files) -> Result<TriedCase, Diagnostic> {
    let at = case.name.span();
    let mut flow = flow();
    let mut failures = Vec::new();
    for (i, step) in case.steps.iter().enumerate() {
        let record = message::parse(&step.input.value.to_json(), Instant::now()).map_err(|why| {
            let problem =
                Diagnostic::new(codes::BAD_CASE, Severity::Error, format!("this is no message: {why}"));
            problem.at(step.input.value.head())
        })?;
        let verdict = match flow.transform(record) {
            Verdict::Passed(record) => flow.send(&record).map_or_else(Verdict::Failed, Verdict::Passed),
            other => other,
        };
        let actual = actual(step, &verdict);
        let expected = step.expect.as_ref().map(|expect| expect.entry.value.to_json());
        let expected = expected.as_ref().and_then(|text| parse_json(text.as_bytes()).ok());
        if !expected.is_some_and(|expected| compare::matches(&expected, &actual)) {
            let number = (case.steps.len() > 1).then_some(i + 1);
            failures.push(Failure { number, step: step.clone(), actual });
        }
    }
    let line = files.position(at.file, at.start).line;
    Ok(TriedCase { name: case.name.as_str().to_owned(), line, failures })
}

/// What came of a message, as far as is asked for.
fn actual(step: &Step, verdict: &Verdict) -> Json<'static> {
    let asked = step.expect.as_ref();
    let mut members = Object::default();
    let mut add = |name: &str, value| {
        members.insert(Cow::Owned(name.to_owned()), value);
    };
    match verdict {
        Verdict::Filtered { .. } => add("dropped", text("filter")),
        Verdict::Failed(why) => {
            add("dropped", text("error"));
            match asked.map(|expect| &expect.fate) {
                Some(Fate::Failed { reason: None }) => {}
                Some(Fate::Failed { reason: Some(part) }) if why.contains(part) => add("reason", text(part)),
                _ => add("reason", text(why)),
            }
        }
        Verdict::Passed(record) => {
            let asked = asked.filter(|expect| expect.fate == Fate::Passed);
            let entries = asked.map_or(&[][..], |expect| expect.entry.value.entries());
            for entry in entries {
                match entry.key.as_str() {
                    "payload" => payload(record, &mut add),
                    "payloadBase64" => add("payloadBase64", text(&STANDARD.encode(&record.payload))),
                    "topic" => add("topic", text(&record.topic)),
                    "userProperties" => add("userProperties", user_properties(record, &entry.value)),
                    "contentType" => {
                        add("contentType", record.properties.content_type().map_or(Json::Null, text));
                    }
                    _ => {}
                }
            }
            if asked.is_none() {
                payload(record, &mut add);
            }
        }
    }
    Json::Object(members)
}

fn text(text: &str) -> Json<'static> {
    Json::String(Cow::Owned(text.to_owned()))
}

fn payload(record: &Record, add: &mut impl FnMut(&str, Json<'static>)) {
    match parse_json(&record.payload) {
        Ok(json) => add("payload", json.into_owned()),
        Err(_) => add("payloadBase64", text(&STANDARD.encode(&record.payload))),
    }
}

/// All of them as pairs, or those that are named.
fn user_properties(record: &Record, asked: &Node) -> Json<'static> {
    let all = || record.properties.user_properties();
    match &asked.value {
        Value::Map(entries) => {
            let values = |name: &str| {
                let mut values: Vec<_> =
                    all().filter(|(n, _)| *n == name).map(|(_, value)| text(value)).collect();
                match values.len() {
                    0 => Json::Null,
                    1 => values.remove(0),
                    _ => Json::Array(values),
                }
            };
            Json::Object(entries.iter().map(|e| (Cow::Owned(e.key.clone()), values(&e.key))).collect())
        }
        _ => Json::Array(all().map(|(name, value)| Json::Array(vec![text(name), text(value)])).collect()),
    }
}

impl Tried {
    fn errors(&self) -> usize {
        self.reports().iter().map(Report::errors).sum()
    }

    fn reports(&self) -> Vec<Report<'_>> {
        let broken = self.broken.iter().map(|loaded| (&loaded.files, &loaded.diagnostics));
        let all = broken.chain([(&self.files, &self.diagnostics)]);
        all.map(|(files, diagnostics)| Report::new(files, 0, diagnostics)).collect()
    }

    fn name(&self) -> &str {
        self.files.iter().next().map_or("", |(_, file)| &file.name)
    }

    fn human(&self, global: &Global, colored: bool) -> String {
        let mut shown = String::new();
        self.reports().iter().for_each(|report| shown.push_str(&report.problems(colored)));
        let paint = Paint { colored };
        for case in &self.cases {
            let place = format!("{}:{}: {}", self.name(), case.line, printable(&case.name));
            if case.failures.is_empty() {
                if !global.quiet {
                    let _ = writeln!(shown, "{}  {place}", paint.green("ok  "));
                }
                continue;
            }
            let _ = writeln!(shown, "{}  {place}", paint.red("FAIL"));
            for failure in &case.failures {
                failure.show(&paint, &mut shown);
            }
        }
        if self.updated > 0 {
            let _ = writeln!(shown, "{}: {} written anew", self.name(), count(self.updated, "expectation"));
        }
        shown
    }
}

impl Failure {
    fn show(&self, paint: &Paint, shown: &mut String) {
        const INDENT: &str = "      ";
        if let Some(number) = self.number {
            let _ = writeln!(shown, "{INDENT}step {number}:");
        }
        let Some(expect) = &self.step.expect else {
            let _ = writeln!(shown, "{INDENT}nothing is expected yet; `--update` writes what comes out:");
            for line in compare::pretty(&self.actual).lines() {
                let _ = writeln!(shown, "{INDENT}{}", paint.green(&format!("+ {}", printable(line))));
            }
            return;
        };
        let expected = expect.entry.value.to_json();
        let expected = parse_json(expected.as_bytes()).unwrap_or(Json::Null);
        let expected = compare::pretty(&compare::aligned(&expected, &self.actual));
        for line in compare::diff(&expected, &compare::pretty(&self.actual)) {
            let line = match line {
                Line::Both(text) => format!("  {}", printable(text)),
                Line::Expected(text) => paint.red(&format!("- {}", printable(text))),
                Line::Actual(text) => paint.green(&format!("+ {}", printable(text))),
            };
            let _ = writeln!(shown, "{INDENT}{line}");
        }
    }
}

struct Paint {
    colored: bool,
}

impl Paint {
    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colored { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    cases: usize,
    passed: usize,
    failed: usize,
    updated: usize,
    errors: usize,
}

impl Summary {
    fn of(tried: &[Tried]) -> Self {
        let cases = || tried.iter().flat_map(|file| &file.cases);
        let failed = cases().filter(|case| !case.failures.is_empty()).count();
        Self {
            files: tried.len(),
            cases: cases().count(),
            passed: cases().count() - failed,
            failed,
            updated: tried.iter().map(|file| file.updated).sum(),
            errors: tried.iter().map(Tried::errors).sum(),
        }
    }

    fn human(&self) -> String {
        let mut text =
            format!("{}, {}: {} passed", count(self.files, "file"), count(self.cases, "case"), self.passed);
        if self.failed > 0 {
            let _ = write!(text, ", {} failed (- expected, + what came out)", self.failed);
        }
        if self.errors > 0 {
            let _ = write!(text, ", {}", count(self.errors, "error"));
        }
        text
    }
}

fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

fn json(summary: &Summary, tried: &[Tried]) -> String {
    #[derive(Serialize)]
    struct Root<'a> {
        summary: &'a Summary,
        cases: Vec<CaseEntry<'a>>,
        diagnostics: Vec<Box<RawValue>>,
    }
    #[derive(Serialize)]
    struct CaseEntry<'a> {
        file: &'a str,
        line: u32,
        name: &'a str,
        passed: bool,
        failures: Vec<FailureEntry>,
    }
    #[derive(Serialize)]
    struct FailureEntry {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<usize>,
        expected: Option<Box<RawValue>>,
        actual: Option<Box<RawValue>>,
    }
    let raw = |text: String| RawValue::from_string(text).ok();
    let failure = |failure: &Failure| FailureEntry {
        step: failure.number,
        expected: failure.step.expect.as_ref().and_then(|expect| raw(expect.entry.value.to_json())),
        actual: raw(failure.actual.to_string()),
    };
    let cases = tried.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case)));
    let root = Root {
        summary,
        cases: cases
            .map(|(file, case)| CaseEntry {
                file: file.name(),
                line: case.line,
                name: &case.name,
                passed: case.failures.is_empty(),
                failures: case.failures.iter().map(failure).collect(),
            })
            .collect(),
        diagnostics: tried.iter().flat_map(Tried::reports).flat_map(|report| report.entries()).collect(),
    };
    let mut text = serde_json::to_string(&root).expect("all keys are strings");
    text.push('\n');
    text
}
