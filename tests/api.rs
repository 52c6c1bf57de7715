//! The control API as its clients see it.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::{Authority, EntraId, Validity, schemathesis_python};
use tokio::process::Command;

use crate::gateway::{Gateway, Request, ask, dataflow, repository, tidegate};

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
    let samples = async |query: &str| -> Vec<Value> {
        let (_, body) = gateway.get(&format!("/api/v1/metrics{query}")).await;
        let metrics: Value = serde_json::from_str(&body).unwrap();
        let families = metrics["metrics"].as_array().unwrap();
        let received = families.iter().find(|m| m["name"] == "aio_dataflow_messages_received");
        received.map(|family| family["samples"].as_array().unwrap().clone()).unwrap_or_default()
    };
    let of_flow = |s: &Value| s["labels"]["dataflow"] == "flow" && s["value"] == 3.0;
    assert!(samples("").await.iter().any(of_flow));
    assert!(samples("?dataflow=flow").await.iter().all(of_flow));
    assert_eq!(samples("?dataflow=none").await, Vec::<Value>::new());
}

/// A version of the flow `press`.
fn press(destination: &str) -> String {
    dataflow("press", ("default", "in/+"), ("default", destination))
}

#[tokio::test]
async fn two_people_who_edit_a_resource_do_not_overwrite_each_other() {
    let gateway = instance().await;
    let path = "/api/v1/resources/dataflow/azure-iot-operations/press";
    let put = async |headers: &[(&str, &str)], body: &str| {
        gateway.ask(Request { method: "PUT", path, headers, body }).await.0
    };
    let version = async || -> String {
        let resource: Value = serde_json::from_str(&gateway.get(path).await.1).unwrap();
        format!("\"{}\"", resource["resourceVersion"].as_str().unwrap())
    };
    assert_eq!(put(&[("If-Match", "\"0\"")], &press("out/a")).await, 412, "there is none yet");
    assert_eq!(put(&[("If-None-Match", "*")], &press("out/a")).await, 200);
    assert_eq!(put(&[("If-None-Match", "*")], &press("out/b")).await, 412);
    let first = version().await;
    assert_eq!(put(&[("If-Match", &first)], &press("out/b")).await, 200);
    assert_eq!(put(&[("If-Match", &first)], &press("out/c")).await, 412, "somebody else was faster");
    let second = version().await;
    assert_ne!(first, second);
    let delete = Request { method: "DELETE", path, headers: &[("If-Match", &first)], body: "" };
    assert_eq!(gateway.ask(delete).await.0, 412);
    let (_, body) = gateway.get("/api/v1/dataflows").await;
    assert!(body.contains("out/b"), "{body}");
    let delete = Request { method: "DELETE", path, headers: &[("If-Match", &second)], body: "" };
    assert_eq!(gateway.ask(delete).await.0, 200);
    // of many at once with the version they all saw, one wins
    assert_eq!(put(&[], &press("out/a")).await, 200);
    let seen = version().await;
    let bodies: Vec<String> = (0..8).map(|n| press(&format!("out/{n}"))).collect();
    let headers = [("If-Match", seen.as_str())];
    let tries = bodies.iter().map(|body| put(&headers, body));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 412).count(), 7, "{answers:?}");
}

#[tokio::test]
async fn the_values_of_a_secret_go_in_and_never_come_out() {
    let gateway = instance().await;
    let path = "/api/v1/resources/Secret/azure-iot-operations/hub";
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "hub", "namespace": "azure-iot-operations" },
        "data": { "username": "b3BlcmF0b3I=" },
        "stringData": { "password": "hush-hush" },
    });
    let put = Request { method: "PUT", path, headers: &[], body: &body.to_string() };
    let (status, answer) = gateway.ask(put).await;
    assert_eq!(status, 200, "{answer}");
    let (_, one) = gateway.get(path).await;
    let keys: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(keys["keys"], json!(["password", "username"]));
    let (_, all) = gateway.get("/api/v1/resources").await;
    for said in [answer, one, all] {
        assert!(!said.contains("hush-hush") && !said.contains("b3BlcmF0b3I="), "{said}");
    }
}

#[tokio::test]
async fn pages_of_other_hosts_and_other_machines_are_refused() {
    let gateway = instance().await;
    let status = async |host: &str, headers: &[(&str, &str)]| {
        let request = Request { method: "GET", path: "/api/v1/status", headers, body: "" };
        ask(&gateway.http, host, request).await.0
    };
    let port = gateway.http.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", &gateway.http, &format!("localhost:{port}")] {
        assert_eq!(status(host, &[]).await, 200, "{host}");
        assert_eq!(status(host, &[("Origin", &format!("http://{host}"))]).await, 200, "{host}");
    }
    // DNS rebinding: the name of another host leads here
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1"] {
        assert_eq!(status(host, &[]).await, 403, "{host}");
    }
    // CSRF: a page of another host has a browser ask here
    for headers in [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Origin", "http://localhost.evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        // a proxy passes on what was asked elsewhere
        [("X-Forwarded-For", "10.0.0.1")],
        [("Forwarded", "for=10.0.0.1")],
    ] {
        assert_eq!(status("127.0.0.1", &headers).await, 403, "{headers:?}");
    }
    let body = json!({ "files": [{ "name": "press.yaml", "text": press("out") }] }).to_string();
    let headers = [("Origin", "http://evil.example"), ("Content-Type", "text/plain")];
    let form = Request { method: "POST", path: "/api/v1/apply", headers: &headers, body: &body };
    assert_eq!(gateway.ask(form).await.0, 403);
    assert!(!gateway.get("/api/v1/resources").await.1.contains("press"));
}

/// Who is on another machine shows by its address or, as here, by the host it asks for.
#[tokio::test]
async fn whoever_has_the_token_is_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let args = ["--mqtt-listen", "127.0.0.1:0", "--api-token-file", file.to_str().unwrap()];
    let gateway = Gateway::start(dir, args.map(String::from).to_vec()).await;
    let status = async |host: &str, path: &str, authorization: &[(&str, &str)]| {
        let request = Request { method: "GET", path, headers: authorization, body: "" };
        ask(&gateway.http, host, request).await.0
    };
    let good = [("Authorization", "Bearer 0123456789abcdef")];
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/api/v1/no/such/path", "/api/v1/tap"] {
        for host in ["127.0.0.1", "gateway.plant:9464"] {
            assert_eq!(status(host, path, &[]).await, 401, "{host} {path}");
        }
    }
    assert_eq!(status("gateway.plant:9464", "/api/v1/status", &good).await, 200);
    assert_eq!(status("127.0.0.1", "/healthz", &[]).await, 200);
    for wrong in [
        "Bearer 0123456789abcdeg",
        "Bearer 0123456789abcde",
        "Bearer 0123456789abcdef0",
        "Bearer",
        "Basic 0123456789abcdef",
        "",
    ] {
        assert_eq!(status("127.0.0.1", "/api/v1/status", &[("Authorization", wrong)]).await, 401, "{wrong}");
    }
    let address = format!("http://{}", gateway.http);
    let get = ["get", "all", "--api", address.as_str()];
    let refused = tidegate().args(get).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--api-token-file"));
    let said = tidegate().args(get).env("TIDEGATE_API_TOKEN_FILE", &file).output().await.unwrap();
    assert!(said.status.success(), "{said:?}");
    let short = gateway.dir.path().join("short");
    std::fs::write(&short, "short").unwrap();
    for command in [get.as_slice(), &["run", "--http-listen", "127.0.0.1:0"]] {
        let refused = tidegate().args(command).arg("--api-token-file").arg(&short).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8(refused.stderr).unwrap().contains("at least 16"));
    }
}

/// A proxy before the API, or anything else that speaks TLS.
#[tokio::test]
async fn commands_ask_by_tls() {
    let authority = Authority::new("plant");
    let server = EntraId::start_tls(&authority.server(&["localhost"], Validity::Now)).await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("ca.pem");
    std::fs::write(&trusted, authority.certificate()).unwrap();
    let get = async |authorities: &Path| {
        let get = ["get", "all", "--api", server.url()];
        let said = tidegate().args(get).env("SSL_CERT_FILE", authorities).output().await.unwrap();
        String::from_utf8(said.stderr).unwrap()
    };
    let said = get(&trusted).await;
    assert!(said.contains("is it a tidegate?"), "{said}");
    std::fs::write(dir.path().join("other.pem"), Authority::new("other").certificate()).unwrap();
    let said = get(&dir.path().join("other.pem")).await;
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_browser_gets_a_cookie_for_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    let args = ["--mqtt-listen", "127.0.0.1:0", "--api-token-file", file.to_str().unwrap()];
    let gateway = Gateway::start(dir, args.map(String::from).to_vec()).await;
    let client = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = |path: &str| format!("http://{}/api/v1{path}", gateway.http);
    let sign_in = |token: &str, origin: &str| {
        let body = json!({ "token": token }).to_string();
        client.post(url("/session")).header("Origin", origin).send(body).unwrap()
    };
    let here = format!("http://{}", gateway.http);
    assert_eq!(sign_in("0123456789abcdeg", &here).status(), 401);
    assert_eq!(sign_in("0123456789abcdef", "http://evil.example").status(), 403);
    let answer = sign_in("0123456789abcdef", &here);
    assert_eq!(answer.status(), 204);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
    assert!(!cookie.contains("0123456789abcdef"));
    let by_tls = sign_in("0123456789abcdef", &here.replace("http:", "https:"));
    assert!(by_tls.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let session = cookie.split(';').next().unwrap();
    let with = async |method: &str, origin: Option<&str>| {
        let mut headers = vec![("Cookie", session)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let (path, body) = if method == "GET" { ("/api/v1/status", "") } else { ("/api/v1/delete", "{}") };
        ask(&gateway.http, &gateway.http, Request { method, path, headers: &headers, body }).await.0
    };
    assert_eq!(with("GET", None).await, 200);
    assert_eq!(with("POST", Some(&here)).await, 400, "it is read, and holds no names");
    assert_eq!(with("POST", None).await, 401);
    for foreign in ["http://evil.example", "http://127.0.0.1:1", "null"] {
        assert_eq!(with("POST", Some(foreign)).await, 401, "{foreign}");
        assert_eq!(with("GET", Some(foreign)).await, 401, "{foreign}");
    }
}

/// Whatever the description allows, and much that it does not, gets an answer as described, and none that says that there
/// is a bug.
#[tokio::test]
async fn schemathesis_finds_no_server_error() {
    let args = ["--mqtt-listen", "127.0.0.1:0", "--durability", "memory"];
    let gateway = Gateway::start(tempfile::tempdir().unwrap(), args.map(String::from).to_vec()).await;
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let output = Command::new(schemathesis_python())
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/api/v1/openapi.json", gateway.http)])
        .args(["--checks", checks, "--phases", "coverage,fuzzing", "--max-examples", "5", "--no-color"])
        // the same questions each time
        .args(["--seed", "7", "--generation-deterministic"])
        // streams that say nothing until something happens
        .args(["--exclude-path-regex", "(tap|broker/messages)$", "--exclude-operation-id", "get_state"])
        .current_dir(gateway.dir.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gateway.get("/healthz").await.0, 200);
}
