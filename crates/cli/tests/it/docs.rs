//! Pages whose examples are run: a block with the name of a file becomes that file, a block of commands is what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The fenced blocks of a page: what stands behind the first fence, and the text.
pub(crate) fn blocks(page: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = page.split("```").collect();
    let block = |part: &&str| part.split_once('\n').map(|(info, text)| (info.to_owned(), text.to_owned()));
    parts.iter().skip(1).step_by(2).filter_map(block).collect()
}

/// What the shell says, standard error included, in a world where `tidegate` is the one that was built.
fn shell(command: &str, folder: &Path) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", built.display());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}; }} 2>&1")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the page's commands in a folder.
fn check(page: &Path, folder: &Path) {
    let text = std::fs::read_to_string(page).unwrap();
    let mut commands = 0;
    for (info, block) in blocks(&text) {
        match info.split_once(' ') {
            Some((_, file)) => std::fs::write(folder.join(file), block).unwrap(),
            None if info == "console" => {
                for example in block.split("$ ").skip(1) {
                    let (command, expected) = example.split_once('\n').unwrap();
                    assert_eq!(shell(command, folder), expected, "{}: {command}", page.display());
                    commands += 1;
                }
            }
            None => {}
        }
    }
    assert!(commands > 0, "{} has no commands", page.display());
}

#[test]
fn the_page_on_testing_says_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    check(&repository().join("docs/testing.md"), folder.path());
}

#[test]
fn the_examples_of_transformations_do_what_their_page_says() {
    check(&repository().join("examples/transform/README.md"), &repository());
}

#[test]
fn the_test_cases_of_all_examples_pass() {
    let said = crate::run(&["test", repository().join("examples").to_str().unwrap()]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
}
