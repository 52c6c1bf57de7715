//! Texts of rules turned into what a [`crate::Transform`] holds, with everything said that can be said beforehand.

use crate::check::{Env, Role, compile};
use crate::complaint::{SyntaxError, Warning, nearest};
use crate::input::{Host, Input, Output, parse_input, parse_output};
use crate::order;
use crate::path::Path;
use crate::program::Program;
use crate::rules::{DatasetRule, FilterRule, Finding, MapRule, Part, Rules, Stage};
use crate::transform::{DatasetMatch, Filter, Map, Root, Source};

/// How long a dataset's key may be in a Dataflow, alias included (API).
pub const DATASET_KEY_CHARS_MAX: usize = 64;

/// What compiled, and all that was found on the way; where a finding is an error, something is missing.
pub(crate) struct Compiled {
    pub(crate) datasets: Vec<DatasetMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) maps: Vec<Map>,
    pub(crate) findings: Vec<Finding>,
}

pub(crate) fn compile_rules(rules: &Rules, host: Host) -> Compiled {
    let mut compiler =
        Compiler { host, stage: Stage::Datasets, rule: 0, names: Vec::new(), findings: Vec::new() };
    let names = compiler.each(Stage::Datasets, &rules.datasets, Compiler::dataset_name);
    compiler.names = names;
    let datasets = compiler.each(Stage::Datasets, &rules.datasets, Compiler::dataset);
    let filters = compiler.each(Stage::Filter, &rules.filters, Compiler::filter);
    let maps = compiler.each(Stage::Map, &rules.maps, Compiler::map);
    if let Some(maps) = maps.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
        order::check_order(&maps, host, |rule, part, warning| {
            compiler.findings.push(Finding::warning(Stage::Map, rule, part, warning));
        });
    }
    compiler.findings.sort_by_key(|f| (f.stage, f.rule));
    Compiled {
        datasets: datasets.into_iter().flatten().collect(),
        filters: filters.into_iter().flatten().collect(),
        maps: maps.into_iter().flatten().collect(),
        findings: compiler.findings,
    }
}

struct Compiler {
    host: Host,
    /// Where it is.
    stage: Stage,
    rule: usize,
    /// Of the datasets.
    names: Vec<Name>,
    findings: Vec<Finding>,
}

struct Name {
    key: String,
    name: String,
}

impl Compiler {
    fn each<R, C>(&mut self, stage: Stage, rules: &[R], compile: fn(&mut Self, &R) -> C) -> Vec<C> {
        self.stage = stage;
        rules
            .iter()
            .enumerate()
            .map(|(i, rule)| {
                self.rule = i;
                compile(self, rule)
            })
            .collect()
    }

    fn error(&mut self, part: Part, error: SyntaxError) {
        self.findings.push(Finding::error(self.stage, self.rule, part, error));
    }

    fn warn(&mut self, part: Part, warning: Warning) {
        self.findings.push(Finding::warning(self.stage, self.rule, part, warning));
    }

    /// What was read, if it was; warnings and errors go where they belong.
    fn take<T>(&mut self, part: Part, read: Result<(T, Vec<Warning>), Vec<SyntaxError>>) -> Option<T> {
        match read {
            Ok((value, warnings)) => {
                warnings.into_iter().for_each(|w| self.warn(part, w));
                Some(value)
            }
            Err(errors) => {
                errors.into_iter().for_each(|e| self.error(part, e));
                None
            }
        }
    }

    /// The program of a rule; `Some(None)` if the rule has no formula.
    fn formula(&mut self, text: Option<&str>, inputs: usize, role: Role) -> Option<Option<Program>> {
        match text.filter(|t| !t.trim().is_empty()) {
            Some(text) => {
                let env = Env { inputs, host: self.host, role };
                self.take(Part::Expression, compile(text, env)).map(Some)
            }
            None => Some(None),
        }
    }

    fn dataset_name(&mut self, dataset: &DatasetRule) -> Name {
        let (key, name) = dataset.key.rsplit_once(" as ").unwrap_or((&dataset.key, &dataset.key));
        let (key, name) = (key.trim(), name.trim());
        let whole = 0..dataset.key.len();
        if key.is_empty() || name.is_empty() {
            let error = SyntaxError::new(whole.clone(), "the dataset has no key");
            self.error(
                Part::Key,
                error.help("write the key in the state store, perhaps with an alias: `assets.line7 as line`"),
            );
        } else if name.contains(')') {
            let error = SyntaxError::new(whole.clone(), "a dataset's name holds no `)`");
            self.error(Part::Key, error.help(format!("give it an alias: `{key} as <alias>`")));
        }
        if self.host == Host::Dataflow && dataset.key.chars().count() > DATASET_KEY_CHARS_MAX {
            let message = format!("a dataset's key has at most {DATASET_KEY_CHARS_MAX} characters");
            self.error(Part::Key, SyntaxError::new(whole, message));
        }
        Name { key: key.to_owned(), name: name.to_owned() }
    }

    fn dataset(&mut self, dataset: &DatasetRule) -> Option<DatasetMatch> {
        let Name { key, name } = &self.names[self.rule];
        let (key, name) = (key.clone(), name.clone());
        if self.names[..self.rule].iter().any(|other| other.name == name) {
            let error = SyntaxError::new(0..dataset.key.len(), format!("another dataset is called `{name}`"));
            self.error(Part::Key, error.help(format!("give this one an alias: `{key} as <alias>`")));
        }
        let inputs = self.inputs(&dataset.inputs);
        let program =
            self.formula(dataset.expression.as_deref(), dataset.inputs.len(), Role::DatasetMatch)?;
        if program.is_none() {
            let help = "add `expression`, such as `$1 == $2`";
            match self.host {
                Host::Graph => {
                    let message = "a dataset needs a formula that says which record belongs to a message";
                    self.error(Part::Rule, SyntaxError::new(0..0, message).help(help));
                }
                Host::Dataflow => {
                    let message = "without a formula the first record belongs to every message";
                    self.warn(Part::Rule, Warning::new(0..0, message).help(help));
                }
            }
        }
        Some(DatasetMatch { key, name, inputs: inputs?, program })
    }

    fn filter(&mut self, filter: &FilterRule) -> Option<Filter> {
        let inputs = self.inputs(&filter.inputs);
        let program = self.formula(Some(&filter.expression), filter.inputs.len(), Role::Filter)?;
        if program.is_none() {
            let error = SyntaxError::new(0..filter.expression.len(), "a filter needs a formula");
            self.error(Part::Expression, error.help("write a condition, such as `$1 > 20`"));
        }
        Some(Filter { inputs: inputs?, program: program? })
    }

    fn map(&mut self, map: &MapRule) -> Option<Map> {
        let inputs = self.inputs(&map.inputs);
        let output = self.take(Part::Output, parse_output(&map.output, self.host).map_err(|e| vec![e]));
        let program = self.formula(map.expression.as_deref(), map.inputs.len(), Role::Map);
        let (inputs, output, program) = (inputs?, output?, program?);
        match &output {
            Output::Remove => {
                if let Some(program) = &program {
                    let error = SyntaxError::new(
                        0..program.text().len(),
                        "a rule without an output computes nothing",
                    );
                    self.error(
                        Part::Expression,
                        error.help("remove the formula, or say where its value goes"),
                    );
                }
                if inputs.is_empty() {
                    self.error(
                        Part::Rule,
                        SyntaxError::new(0..0, "the rule has neither inputs nor an output"),
                    );
                }
            }
            output => self.copies_or_computes(map, &inputs, output, program.is_some()),
        }
        Some(Map { inputs, output, program })
    }

    fn copies_or_computes(&mut self, map: &MapRule, inputs: &[Source], output: &Output, computes: bool) {
        let help = "add `expression`, such as `$1 + $2`";
        match (computes, inputs.len(), self.host) {
            (false, 0, _) => {
                self.error(Part::Rule, SyntaxError::new(0..0, "the rule has neither inputs nor a formula"));
            }
            (false, 2.., Host::Dataflow) => {
                let message = "several inputs need a formula that makes one value of them";
                self.error(Part::Rule, SyntaxError::new(0..0, message).help(help));
            }
            (false, 2.., Host::Graph) => {
                let message = "without a formula the first input is copied, and the others are ignored";
                self.warn(Part::Rule, Warning::new(0..0, message).help(help));
            }
            _ => {}
        }
        let first = inputs.first().is_some_and(Source::has_wildcard);
        if let Some(later) = inputs.iter().position(Source::has_wildcard).filter(|_| !first) {
            let error =
                SyntaxError::new(0..map.inputs[later].len(), "the first input decides what `*` stands for");
            self.error(Part::Input(later), error.help("put an input with `*` first"));
            return;
        }
        let to_wildcard = matches!(output, Output::Field(fields) if fields.wildcard().is_some());
        let whole = 0..map.output.len();
        if first && !to_wildcard {
            let error =
                SyntaxError::new(whole, "every field that `*` matches would be written to the same place");
            self.error(Part::Output, error.help("put a `*` in the output as well"));
        } else if to_wildcard && !first {
            let error =
                SyntaxError::new(whole, "there is no `*` in the inputs that this one could stand for");
            self.error(Part::Output, error.help("name the field to write"));
        }
    }

    fn inputs(&mut self, texts: &[String]) -> Option<Vec<Source>> {
        let sources: Vec<_> = texts.iter().enumerate().map(|(i, text)| self.input(i, text)).collect();
        sources.into_iter().collect()
    }

    fn input(&mut self, index: usize, text: &str) -> Option<Source> {
        let part = Part::Input(index);
        let whole = 0..text.len();
        let input = self.take(part, parse_input(text, self.host).map_err(|e| vec![e]))?;
        if self.stage != Stage::Map && input.path.has_wildcard() {
            let error =
                SyntaxError::new(whole.clone(), format!("no `*` in a {} rule", self.stage.singular()));
            self.error(part, error.help("name the field; wildcards are for map rules"));
        }
        if self.stage == Stage::Datasets {
            self.dataset_input(part, text, &input);
        }
        let Input { path, last, default } = input;
        let root = match &path {
            Path::Source(_) => Root::Message,
            Path::Metadata(_) => Root::Metadata,
            Path::Context(_) if self.stage == Stage::Datasets => Root::Candidate,
            Path::Context(_) => {
                let message = "`$context` alone is the record under test, which only a dataset's rule has";
                let error = SyntaxError::new(whole, message);
                self.error(part, error.help("name the dataset: `$context(<alias or key>).<field>`"));
                return None;
            }
            Path::Dataset { name, .. } => self.matched_or_tested(part, text, name)?,
        };
        Some(Source { path, root, last, default })
    }

    /// What `$context(name)` stands for: within its own dataset the record under test, elsewhere the one it matched.
    fn matched_or_tested(&mut self, part: Part, text: &str, name: &str) -> Option<Root> {
        let known = self
            .names
            .iter()
            .position(|n| n.name == name)
            .or_else(|| self.names.iter().position(|n| n.key == name));
        let whole = 0..text.len();
        match known {
            Some(dataset) if self.stage != Stage::Datasets => Some(Root::Matched(dataset)),
            Some(dataset) if dataset == self.rule => Some(Root::Candidate),
            Some(_) => {
                let error = SyntaxError::new(whole, "a dataset can't use what another one matched");
                self.error(part, error.help("`$context.<field>` is a field of the record under test"));
                None
            }
            None => {
                let mut error = SyntaxError::new(whole, format!("no dataset is called `{name}`"));
                error.help = match nearest(name, self.names.iter().map(|n| n.name.as_str())) {
                    Some(meant) => Some(format!("did you mean `$context({meant})`?")),
                    None => Some("add it to `datasets`".into()),
                };
                self.error(part, error);
                None
            }
        }
    }

    /// Dataset inputs as documented are `$source` and `$context` paths and no more.
    fn dataset_input(&mut self, part: Part, text: &str, input: &Input) {
        let whole = 0..text.len();
        let suffixed = input.last || input.default.is_some();
        let (message, help) = match &input.path {
            Path::Context(_) | Path::Dataset { .. } if suffixed => {
                let error = SyntaxError::new(
                    whole,
                    "a field of the record under test has no earlier value and no default",
                );
                return self.error(part, error);
            }
            _ if suffixed => ("a suffix on a dataset's input is not documented, and AIO may refuse it", None),
            Path::Metadata(_) => {
                ("metadata as a dataset's input is not documented, and AIO may refuse it", None)
            }
            Path::Source(_) if !text.starts_with("$source.") => (
                "a dataset's inputs are documented with a prefix, and AIO may refuse one without",
                Some(format!("write `$source.{text}`, or `$context.{text}` if it is a field of the record")),
            ),
            _ => return,
        };
        self.warn(part, Warning { range: whole, message: message.into(), help });
    }
}

impl Stage {
    fn singular(self) -> &'static str {
        match self {
            Stage::Datasets => "dataset",
            Stage::Filter => "filter",
            Stage::Map => "map",
        }
    }
}
