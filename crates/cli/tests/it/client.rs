//! `tap` and `top` against a server whose answers are written down.

use crate::canned::{answer, serve};
use crate::{Said, run};

fn dataflows(received: u64) -> String {
    let flow = |name: &str, state: &str, status: &str, message: &str| {
        format!(
            r#"{{"namespace":"azure-iot-operations","name":"{name}","profile":"default","mode":"Enabled","state":"{state}",
            "instanceCount":1,"health":{{"status":"{status}","reasonCode":null,"message":"{message}"}},
            "messages":{{"received":{received},"delivered":{received},"inFlight":2,"retried":0,"filtered":0,"deadLettered":0}}}}"#
        )
    };
    let flows = [
        flow("mill", "running", "Available", "all is well"),
        flow("press", "troubled", "Unavailable", "endpoint lake: connection refused"),
    ];
    answer("200 OK", "application/json", &format!("{{\"dataflows\":[{}]}}", flows.join(",")))
}

const EVENTS: &str = r#": keep-alive

data: {"stage":"source","topic":"line/1","payload":{"temperature":21.50},"userProperties":[["site","7"]]}

event: lagged
data: {"skipped":12}

data: {"stage":"destination","topic":"out","payloadBase64":"AP8="}

data: {"stage":"source","topic":"line/1","payload":"never seen"}

"#;

fn tap(args: &[&str], answers: Vec<String>) -> (Said, Vec<String>) {
    let (address, asked) = serve(answers);
    let said = run(&[&["tap", "--api", &address], args].concat());
    (said, asked.join().unwrap())
}

#[test]
fn tap_shows_messages_and_stops_after_as_many_as_asked_for() {
    let (said, asked) = tap(&["press", "--count", "2"], vec![answer("200 OK", "text/event-stream", EVENTS)]);
    assert_eq!(said.stdout, "source      [line/1] {\"temperature\":21.50}\ndestination [out] base64:AP8=\n");
    assert!(said.stderr.starts_with("12 messages went by unseen"), "{}", said.stderr);
    assert_eq!(said.code, Some(0));
    assert_eq!(asked, ["GET /api/v1/dataflows/press/tap HTTP/1.1"]);
}

#[test]
fn tap_at_one_stage_prints_what_transform_reads() {
    let args = ["press", "--stage", "source", "--namespace", "plant 1", "--count", "1"];
    let (said, asked) = tap(&args, vec![answer("200 OK", "text/event-stream", EVENTS)]);
    assert_eq!(said.stdout, "[line/1] {\"temperature\":21.50}\n");
    assert_eq!(asked, ["GET /api/v1/dataflows/press/tap?stage=source&namespace=plant%201 HTTP/1.1"]);
}

#[test]
fn tap_as_json_prints_messages_as_they_came() {
    let args = ["press", "--output", "json", "--count", "1"];
    let (said, _) = tap(&args, vec![answer("200 OK", "text/event-stream", EVENTS)]);
    assert_eq!(
        said.stdout,
        "{\"stage\":\"source\",\"topic\":\"line/1\",\"payload\":{\"temperature\":21.50},\"userProperties\":[[\"site\",\"7\"]]}\n"
    );
}

#[test]
fn tap_of_an_unknown_flow_says_what_the_instance_says() {
    let refusal = r#"{"error":{"message":"there is no data flow \"pres\""}}"#;
    let (said, _) = tap(&["pres"], vec![answer("404 Not Found", "application/json", refusal)]);
    assert_eq!(said.stderr, "error: there is no data flow \"pres\"\n");
    assert_eq!(said.code, Some(2));
}

#[test]
fn tap_says_when_the_stream_ends() {
    let (said, _) = tap(&["press", "--count", "9"], vec![answer("200 OK", "text/event-stream", EVENTS)]);
    assert_eq!(said.stdout.lines().count(), 3);
    assert!(said.stderr.ends_with("error: the instance closed the stream\n"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
}

#[test]
fn top_without_a_terminal_prints_one_table_with_problems_first() {
    // where another process is the local broker, nothing is known of it
    let nothing = || answer("404 Not Found", "application/json", "{}");
    let (address, asked) = serve(vec![dataflows(0), nothing(), dataflows(0), nothing()]);
    let said = run(&["top", "--api", &address, "--interval", "1ms"]);
    assert_eq!(
        said.stdout,
        "\
DATA FLOW  STATE     IN/S  OUT/S  IN FLIGHT  RETRIED  FILTERED  DEAD  HEALTH
press      troubled     0      0          2        0         0     0  Unavailable: endpoint lake: connection refused
mill       running      0      0          2        0         0     0  ok: all is well
"
    );
    assert_eq!(said.code, Some(0));
    let one = ["GET /api/v1/dataflows HTTP/1.1", "GET /api/v1/broker HTTP/1.1"];
    assert_eq!(asked.join().unwrap(), [one, one].concat());
}

#[test]
fn top_as_json_is_the_answer_of_the_api() {
    let (address, _) = serve(vec![dataflows(7)]);
    let said = run(&["top", "--api", &format!("http://{address}/"), "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(value["dataflows"][1]["messages"]["received"], 7);
}

#[test]
fn an_instance_that_is_not_there_is_a_sentence_with_the_way_out() {
    let free = format!("127.0.0.1:{}", tidegate_testkit::free_port());
    for args in [&["top"][..], &["tap", "press"]] {
        let said = run(&[args, &["--api", &free]].concat());
        assert_eq!(said.code, Some(2));
        assert!(
            said.stderr.contains(&free) && said.stderr.contains("`tidegate run PATH...`"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn an_answer_that_is_not_a_tidegates_is_named() {
    let (address, _) = serve(vec![answer("502 Bad Gateway", "text/html", "<html>")]);
    let said = run(&["top", "--once", "--api", &address]);
    assert!(said.stderr.contains("answers 502 Bad Gateway; is it a tidegate?"), "{}", said.stderr);
    let (address, _) = serve(vec![answer("200 OK", "text/html", "<html>")]);
    let said = run(&["top", "--once", "--api", &address]);
    assert!(said.stderr.contains("no list of data flows"), "{}", said.stderr);
}
