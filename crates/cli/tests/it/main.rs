//! The commands that talk to nobody, or to somebody whose every answer is known, as users run them.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod bench;
mod canned;
mod cases;
mod check;
mod client;
mod convert;
mod docs;
mod general;
mod language;
mod services;
mod transform;

use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

/// The built binary, deaf to the environment of whoever runs the tests.
fn tidegate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// What a finished command has said, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }
}

fn run(args: &[&str]) -> Said {
    tidegate(args).output().unwrap().into()
}

fn run_with_stdin(args: &[&str], stdin: &str) -> Said {
    let mut child =
        tidegate(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    match child.stdin.take().unwrap().write_all(stdin.as_bytes()) {
        // a command that has already said why it will not read is judged by what it said
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap().into()
}
