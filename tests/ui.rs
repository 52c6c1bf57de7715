//! The web UI as people use it, in Chromium. The scripts in `tests/ui` do the clicking; each gets an instance of its own.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::gateway::{Gateway, repository};
use crate::lake;

/// What a whole script may take before the test gives up; nothing is measured by it.
const SCRIPT_MAX: Duration = Duration::from_secs(600);

/// Runs `tests/ui/<script>.mjs` against an instance that has no resources yet, and gives the instance.
async fn play(script: &str, args: &[&str]) -> Gateway {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--mqtt-listen", "127.0.0.1:0"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    let gateway = Gateway::start(dir, args).await;
    let browser = Command::new(repository().join("tests/peers/browser.sh")).output().await.unwrap();
    assert!(browser.status.success(), "{}", String::from_utf8_lossy(&browser.stderr));
    let child = Command::new("node")
        .arg(repository().join(format!("tests/ui/{script}.mjs")))
        .env("TIDEGATE_BROWSER", String::from_utf8(browser.stdout).unwrap().trim())
        .env("TIDEGATE_HTTP", &gateway.http)
        .env("TIDEGATE_MQTT", gateway.port().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SCRIPT_MAX, child).await.expect("the script ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    gateway
}

#[tokio::test]
async fn a_flow_is_built_from_nothing() {
    play("build", &[]).await;
}

#[tokio::test]
async fn machines_get_a_history_on_the_local_disk() {
    let gateway = play("lake", &["--local-storage-latency", "1s"]).await;
    let table = gateway.dir.path().join("data/volumes/history/press");
    let rows = lake::rows_py(&["delta", table.to_str().unwrap(), "n"]).await.unwrap();
    assert!(rows.lines().next().is_some_and(|row| row.contains("temperature")), "{rows}");
}

#[tokio::test]
async fn every_endpoint_type_is_made_by_form_alone() {
    play("forms", &[]).await;
}

#[tokio::test]
async fn an_instance_that_runs_files_says_how_to_change_them() {
    play("files", &[repository().join("examples/quickstart").to_str().unwrap()]).await;
}

#[tokio::test]
async fn text_and_picture_follow_each_other() {
    play("yaml", &[]).await;
}

#[tokio::test]
async fn a_dead_letter_is_read_mended_and_replayed() {
    play("letters", &[]).await;
}

#[tokio::test]
async fn every_page_is_for_everybody() {
    play("pages", &[]).await;
}

#[tokio::test]
async fn who_has_the_token_signs_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "the-token-of-this-test").unwrap();
    play("signin", &["--api-token-file", file.to_str().unwrap()]).await;
}
