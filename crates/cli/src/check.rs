//! `tidegate check`: the verdict on resources, without connecting to anything.

use std::io;
use std::process::ExitCode;

use crate::FOUND_WANTING;
use crate::args::{CheckArgs, Form, Global};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{colored, print};

pub(crate) fn check(args: &CheckArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let Loaded { files, catalog, diagnostics } = load::load(&args.load, args.strict)?;
    let report = Report::new(&files, catalog.resources().len(), &diagnostics);
    print(&match global.output {
        Form::Human => report.human(colored(global.color, &io::stdout())),
        Form::Json => report.json(),
    })?;
    Ok(if report.has_errors() { ExitCode::from(FOUND_WANTING) } else { ExitCode::SUCCESS })
}
