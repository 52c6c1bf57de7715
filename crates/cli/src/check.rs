//! `tidegate check`: the verdict on resources, without connecting to anything.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tidegate_expr::{Json, Shape, parse_json};
use tidegate_model::Kind;

use crate::FOUND_WANTING;
use crate::args::{CheckArgs, Form, Global};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{colored, print};

pub(crate) fn check(args: &CheckArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let (files, mut options) = load::given(&args.load, args.strict)?;
    options.samples = samples(&args.sample)?;
    let Loaded { files, catalog, diagnostics } = load::load_files(files, &options)?;
    for name in options.samples.keys() {
        let known = catalog.resources().iter().any(|r| r.kind == Kind::Dataflow && r.name == *name);
        ensure!(known, "--sample {name}: the files hold no such data flow");
    }
    let report = Report::new(&files, catalog.resources().len(), &diagnostics);
    print(&match global.output {
        Form::Human => report.human(colored(global.color, &io::stdout())),
        Form::Json => report.json(),
    })?;
    Ok(if report.has_errors() { ExitCode::from(FOUND_WANTING) } else { ExitCode::SUCCESS })
}

/// By data flow, what its messages look like.
fn samples(of_flows: &[(String, PathBuf)]) -> anyhow::Result<BTreeMap<String, Shape>> {
    let mut samples: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (flow, file) in of_flows {
        let name = file.display();
        let text = load::open(file).with_context(|| format!("can't read {name}"))?;
        ensure!(load::payloads(file, &text).next().is_some(), "{name} holds no payload");
        for (line, payload) in load::payloads(file, &text) {
            let sample =
                parse_json(payload.as_bytes()).with_context(|| format!("{name}:{line}: not JSON"))?;
            ensure!(matches!(sample, Json::Object(_)), "{name}:{line}: not a JSON object");
            samples.entry(flow.clone()).or_default().push(sample.into_owned());
        }
    }
    let shapes = samples.iter().filter_map(|(flow, all)| Some((flow.clone(), Shape::of_samples(all)?)));
    Ok(shapes.collect())
}
