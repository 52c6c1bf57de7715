//! The control API as its clients see it.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::gateway::{Gateway, Request, dataflow, repository};

async fn instance() -> Gateway {
    Gateway::start(tempfile::tempdir().unwrap(), ["--mqtt-listen", "127.0.0.1:0"].map(String::from).to_vec())
        .await
}

/// Whether an answer has everything that is shown of it; arrays have the same length.
fn shows(shown: &Value, answer: &Value) -> bool {
    match (shown, answer) {
        (Value::Object(shown), Value::Object(answer)) => {
            shown.iter().all(|(key, value)| answer.get(key).is_some_and(|answer| shows(value, answer)))
        }
        (Value::Array(shown), Value::Array(answer)) => {
            shown.len() == answer.len() && shown.iter().zip(answer).all(|(s, a)| shows(s, a))
        }
        (shown, answer) => shown == answer,
    }
}

/// The fenced blocks of a page: what stands behind the first fence, and the text.
fn blocks(page: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(page).unwrap();
    let parts = text.split("```").skip(1).step_by(2);
    parts.map(|part| part.split_once('\n').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[tokio::test]
async fn the_examples_of_the_page_are_answered_as_it_says() {
    let gateway = instance().await;
    let mut last = None;
    let mut examples = 0;
    for (info, block) in blocks(&repository().join("docs/api.md")) {
        match info.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["http"] => {
                let (head, body) = block.split_once("\n\n").unwrap_or((&block, ""));
                let mut lines = head.trim().lines();
                let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
                let headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
                last = Some((
                    head.to_owned(),
                    gateway.ask(Request { method, path, headers: &headers, body }).await,
                ));
            }
            ["json", status @ ..] => {
                let (what, (answered, body)) = last.take().expect("an answer follows its question");
                let expected: u16 = status.first().map_or(200, |status| status.parse().unwrap());
                assert_eq!(answered, expected, "{what}: {body}");
                let answer: Value = serde_json::from_str(&body).unwrap();
                let shown: Value = serde_json::from_str(&block).unwrap();
                assert!(shows(&shown, &answer), "{what}:\n{answer:#}\nand the page says\n{shown:#}");
                examples += 1;
            }
            _ => {}
        }
    }
    assert!(examples > 5);
}

#[tokio::test]
async fn the_description_names_every_path_of_the_page() {
    let gateway = instance().await;
    let (status, body) = gateway.get("/api/v1/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&body).unwrap();
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let page = std::fs::read_to_string(repository().join("docs/api.md")).unwrap();
    let mut told = Vec::new();
    for row in
        page.lines().filter(|line| line.starts_with("| `")).take_while(|line| !line.contains("`source`"))
    {
        let cell = row.split('|').nth(1).unwrap();
        let mut before = String::new();
        let mut methods: Vec<&str> = Vec::new();
        for code in cell.split('`').skip(1).step_by(2) {
            let (head, path) = code.split_once(' ').unwrap_or((code, ""));
            methods.push(head);
            if path.is_empty() {
                continue;
            }
            let path = path.strip_prefix("...").map_or(path.to_owned(), |rest| format!("{before}{rest}"));
            told.extend(methods.drain(..).map(|method| format!("{method} {path}")));
            if !path.ends_with("/ID") {
                before = path;
            }
        }
    }
    // capitals stand for what is put in; so do braces in the description
    let plain = |path: &String| {
        let (method, path) = path.split_once(' ').unwrap();
        let part = |part: &str| match part.starts_with('{')
            || part.chars().all(|c| c.is_ascii_uppercase()) && !part.is_empty()
        {
            true => "*".to_owned(),
            false => part.to_owned(),
        };
        format!(
            "{method} {}",
            path.trim_start_matches("/api/v1").split('/').map(part).collect::<Vec<_>>().join("/")
        )
    };
    let mut described: Vec<_> = described.iter().map(plain).collect();
    let mut told: Vec<_> = told.iter().map(plain).collect();
    described.sort();
    told.sort();
    assert_eq!(described, told, "what is described, and what docs/api.md has");
    // each of them is there: whatever it answers, it is not that there is no such path
    for path in &described {
        let (method, path) = path.split_once(' ').unwrap();
        if method == "GET" && !path.contains("tap") && !path.contains("messages") {
            let (status, body) = gateway.get(&format!("/api/v1{}", path.replace('*', "1"))).await;
            assert!(!body.contains("the API has no such path"), "{path}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn a_tap_shows_messages_before_and_after_and_why_they_go_no_further() {
    let steps = "    - operationType: BuiltInTransformation\n      builtInTransformationSettings:\n        \
                 filter: [{ inputs: [n], expression: $1 < 0 }]\n        \
                 map: [{ inputs: [n], output: double, expression: $1 * 2 }]\n";
    let flow = dataflow("flow", ("default", "in"), ("default", "out"));
    let flow = flow.replace("    - operationType: D", &format!("{steps}    - operationType: D"));
    let gateway = Gateway::run(&(flow + &dataflow("other", ("default", "out"), ("default", "end")))).await;
    let mut events = gateway.events("/api/v1/tap?stage=transformed,filtered,dead-lettered").await;
    let mut broker = gateway.events("/api/v1/broker/messages?filter=end").await;
    for payload in ["{\"n\":1}", "{\"n\":-1}", "hot"] {
        let port = gateway.port().to_string();
        let published =
            Command::new("mosquitto_pub").args(["-q", "1", "-p", &port, "-t", "in", "-m", payload]).status();
        assert!(published.await.unwrap().success());
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(serde_json::from_str::<Value>(&events.next().await).unwrap());
    }
    let of = |flow: &str, stage: &str| {
        let found = seen.iter().find(|e| e["dataflow"] == flow && e["stage"] == stage);
        found.unwrap_or_else(|| panic!("no {stage} message of {flow} in {seen:?}"))
    };
    let transformed = of("flow", "transformed");
    assert_eq!(transformed["message"]["payload"], json!({ "double": 2 }));
    assert_eq!(transformed["before"]["payload"], json!({ "n": 1 }));
    assert_eq!(of("other", "transformed")["message"]["payload"], json!({ "double": 2 }));
    let filtered = of("flow", "filtered");
    assert_eq!(
        (&filtered["message"]["payload"], &filtered["reason"]),
        (&json!({ "n": -1 }), &"rule 1, which drops messages where n < 0".into())
    );
    assert!(of("flow", "dead-lettered")["reason"].is_string());
    let end: Value = serde_json::from_str(&broker.next().await).unwrap();
    assert_eq!((&end["topic"], &end["payload"]), (&"end".into(), &json!({ "double": 2 })));

    let (_, body) = gateway.get("/api/v1/broker/clients").await;
    let clients: Value = serde_json::from_str(&body).unwrap();
    let clients = clients["clients"].as_array().unwrap();
    let source = clients.iter().find(|c| c["clientId"] == "azure-iot-operations.default.flow").unwrap();
    assert_eq!(source["subscriptions"], json!(["in"]));
    let (_, body) = gateway.get("/api/v1/metrics").await;
    let metrics: Value = serde_json::from_str(&body).unwrap();
    let received =
        metrics["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "aio_dataflow_messages_received");
    let samples = received.unwrap()["samples"].as_array().unwrap();
    assert!(samples.iter().any(|s| s["labels"]["dataflow"] == "flow" && s["value"] == 3.0), "{samples:?}");
}
