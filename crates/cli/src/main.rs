//! The `tidegate` command: arguments in, rendered answers and diagnostics out. It has no rules of its own.

mod api;
mod args;
mod bench;
mod check;
mod convert;
mod diagnostics;
mod dlq;
mod doctor;
mod explain;
mod load;
mod out;
mod resources;
mod run;
mod schema;
mod state;
mod table;
mod tap;
mod test;
mod top;
mod transform;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use args::{Bench, Cli, Command, Form, Global};
use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

/// The input was judged and found wanting.
const FOUND_WANTING: u8 = 1;
/// Wrong usage, or something that can't be read or reached.
const CAN_NOT: u8 = 2;
/// A bug of ours; `EX_SOFTWARE` of `sysexits.h`.
const INTERNAL_ERROR: u8 = 70;

fn main() -> ExitCode {
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        shown(info);
        out::say(concat!(
            "This is a bug in tidegate ",
            env!("CARGO_PKG_VERSION"),
            ". Please report it with the lines above: ",
            env!("CARGO_PKG_REPOSITORY"),
            "/issues"
        ));
    }));
    guarded(|| {
        let Cli { global, command } = Cli::read();
        match start_log(&global).and_then(|()| dispatch(command, &global)) {
            Ok(code) => code,
            Err(error) if error.is::<out::ReaderGone>() => ExitCode::SUCCESS,
            Err(error) => {
                out::say(&format!("error: {error:#}"));
                ExitCode::from(CAN_NOT)
            }
        }
    })
}

fn dispatch(command: Command, global: &Global) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(*args, global),
        Command::Check(args) => check::check(&args, global),
        Command::Convert(args) => convert::convert(&args, global),
        Command::Transform(args) => transform::transform(&args, global),
        Command::Test(args) => test::test(&args, global),
        Command::Explain(args) => explain::explain(&args, global),
        Command::Get(args) => resources::get(&args, global),
        Command::Describe(args) => resources::describe(&args, global),
        Command::Apply(args) => resources::apply(&args, global),
        Command::Delete(args) => resources::delete(&args, global),
        Command::Diff(args) => resources::diff(&args, global),
        Command::Tap(args) => tap::tap(&args, global),
        Command::Top(args) => top::top(&args, global),
        Command::Dlq { what } => dlq::dlq(&what, global),
        Command::State { what } => state::state(&what, global),
        Command::Schema { what } => schema::schema(&what, global),
        Command::Doctor(args) => doctor::doctor(&args, global),
        Command::Bench { what: Bench::Mqtt(args) } => bench::mqtt(&args, global),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
            out::print(&String::from_utf8(script)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Turns a panic, which the hook has reported, into an exit code.
fn guarded(work: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(ExitCode::from(INTERNAL_ERROR))
}

fn start_log(global: &Global) -> anyhow::Result<()> {
    let filter = match (&global.log, global.quiet, global.verbose) {
        (Some(filter), ..) => filter,
        (None, true, _) => "error",
        (None, false, 0) => "warn,tidegate=info",
        (None, false, 1) => "info,tidegate=debug",
        (None, false, _) => "trace",
    };
    let filter = EnvFilter::try_new(filter).map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(out::colored(global.color, &io::stderr()));
    match global.log_format {
        Form::Human => log.init(),
        Form::Json => log.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_exit_code_70() {
        assert_eq!(guarded(|| panic!("a bug")), ExitCode::from(70));
        assert_eq!(guarded(|| ExitCode::from(1)), ExitCode::from(1));
    }
}
