//! `tidegate run`: one instance, until it is told to stop.

use std::process::ExitCode;

use crate::args::{Global, RunArgs};

pub(crate) fn run(_args: RunArgs, _global: &Global) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build can't run data flows")
}
