//! What holds for every command.

use std::process::Stdio;

use crate::{run, tidegate};

#[test]
fn wrong_usage_exits_2_and_says_what_is_right() {
    for (args, expected) in [
        (&["chekc"][..], "subcommands exist: 'schema', 'check'"),
        (&["check"], "tidegate check PATH..."),
        (&["run", "--durability", "tape"], "[possible values: disk, memory]"),
        (&["top", "--interval", "soon"], "--interval"),
        (&["check", "--log", "a=b=c", "-"], "--log"),
        (&["bench", "mqtt", "--publishers", "2", "--topic", "t"], "put {i} into --topic"),
        (&["bench", "mqtt", "--topic", "a/#"], "wildcards"),
    ] {
        let said = run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{args:?}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{args:?}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, Some(0));
        assert!(said.stdout.contains("explain"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child =
        tidegate(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
