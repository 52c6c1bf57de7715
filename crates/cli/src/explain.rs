//! `tidegate explain`
use crate::args::*;
use std::process::ExitCode;
pub(crate) fn explain(_: &ExplainArgs, _: &Global) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
