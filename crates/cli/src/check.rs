//! `tidegate check`: the verdict on resources, without connecting to anything.
use crate::args::*;
use std::process::ExitCode;
pub(crate) fn check(args: &CheckArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let files = crate::load::read(&args.load.paths)?;
    let r = crate::diagnostics::Report::new(&files, 0, &[]);
    crate::out::print(&if global.output == Form::Json { r.json() } else { r.human(false) })?;
    Ok(ExitCode::from(u8::from(r.has_errors())))
}
