//! `state`, `schema` and `dlq` against an instance whose answers are written down, and what of them needs none.

use std::fs;

use crate::canned::{answer, json, refusal, serve};
use crate::transform::folder;
use crate::{Said, run, run_with_stdin};

/// Runs a command against an instance; what it said, and what it asked.
fn ask(args: &[&str], stdin: &str, answers: Vec<String>) -> (Said, Vec<String>) {
    let (address, asked) = serve(answers);
    let said = run_with_stdin(&[args, &["--api", &address]].concat(), stdin);
    (said, asked.join().unwrap())
}

/// The same, where all goes well.
fn fine(args: &[&str], answer: String) -> (String, String) {
    let (said, mut asked) = ask(args, "", vec![answer]);
    assert_eq!((said.stderr.as_str(), said.code), ("", Some(0)));
    (said.stdout, asked.remove(0))
}

#[test]
fn state_get_prints_the_value_as_it_is() {
    let value = answer("200 OK", "application/octet-stream", "{\"id\":1}\nno newline");
    let (said, asked) = fine(&["state", "get", "assets/line 7"], value.clone());
    assert_eq!(said, "{\"id\":1}\nno newline");
    assert_eq!(asked, "GET /api/v1/state/assets%2Fline%207 HTTP/1.1");
    let (said, _) = fine(&["state", "get", "k", "--output", "json"], value);
    assert_eq!(said, "{\"key\":\"k\",\"value\":\"{\\\"id\\\":1}\\nno newline\"}\n");
    let (said, _) = ask(&["state", "get", "k"], "", vec![refusal("404 Not Found", "there is no such key")]);
    assert_eq!((said.stderr.as_str(), said.code), ("error: there is no such key\n", Some(2)));
}

#[test]
fn state_set_takes_text_files_and_standard_input() {
    let dir = folder(&[("records.jsonl", "{\"id\":1}\n{\"id\":2}\n")]);
    let file = format!("@{}", dir.path().join("records.jsonl").display());
    for (value, body) in
        [("21.5", "21.5"), ("-1", "-1"), (&file, "{\"id\":1}\n{\"id\":2}\n"), ("-", "from\nstdin")]
    {
        let (said, asked) =
            ask(&["state", "set", "k", value], "from\nstdin", vec![json(r#"{"version":"1:0:x"}"#)]);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str(), said.code), ("", "", Some(0)));
        assert_eq!(asked, [format!("PUT /api/v1/state/k HTTP/1.1\n{body}")]);
    }
    let args = ["state", "set", "k", "v", "--expires", "1500ms", "--output", "json"];
    let (said, asked) = fine(&args, json(r#"{"version":"1:0:x"}"#));
    assert_eq!(said, "{\"version\":\"1:0:x\"}\n");
    assert_eq!(asked, "PUT /api/v1/state/k?expiresSeconds=2 HTTP/1.1\nv");
    let said = run(&["state", "set", "k", "@nowhere"]);
    assert!(said.stderr.starts_with("error: can't read nowhere: No such file"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
}

#[test]
fn state_del_deletes_what_is_there() {
    let gone = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned();
    let (said, asked) = fine(&["state", "del", "k"], gone);
    assert_eq!((said.as_str(), asked.as_str()), ("", "DELETE /api/v1/state/k HTTP/1.1"));
    let (said, _) = ask(&["state", "del", "k"], "", vec![refusal("404 Not Found", "there is no such key")]);
    assert_eq!(said.code, Some(2));
}

#[test]
fn state_watch_prints_each_value() {
    let events = answer(
        "200 OK",
        "text/event-stream",
        "data: {\"value\":\"a\\u001b\",\"version\":\"1\"}\n\n: alive\n\ndata: {\"valueBase64\":\"/w==\",\"version\":\"2\"}\n\ndata: {\"value\":null,\"version\":null}\n\n",
    );
    let (said, asked) = ask(&["state", "watch", "k", "--count", "3"], "", vec![events.clone()]);
    assert_eq!(said.stdout, "a\\u{1b}\nbase64:/w==\n(no value)\n");
    assert_eq!((asked[0].as_str(), said.code), ("GET /api/v1/state/k?watch=true HTTP/1.1", Some(0)));
    let (said, _) = ask(&["state", "watch", "k", "--output", "json"], "", vec![events]);
    assert!(said.stdout.ends_with("{\"value\":null,\"version\":null}\n"), "{}", said.stdout);
    assert_eq!(said.stderr, "error: the instance closed the stream\n");
}

const SCHEMAS: &str = r#"{"schemas":[{"name":"press-row","version":"1","format":"Delta/1.0","hash":"ab","reference":"aio-sr://press-row:1"},{"name":"oven","version":"12","format":"JsonSchema/draft-07","hash":"cd","reference":"aio-sr://oven:12"}]}"#;

#[test]
fn schema_list_is_a_table() {
    let (said, asked) = fine(&["schema", "list"], json(SCHEMAS));
    assert_eq!(
        said,
        "\
NAME       VERSION  FORMAT               REFERENCE
press-row  1        Delta/1.0            aio-sr://press-row:1
oven       12       JsonSchema/draft-07  aio-sr://oven:12
"
    );
    assert_eq!(asked, "GET /api/v1/schemas HTTP/1.1");
    assert_eq!(fine(&["schema", "list", "--output", "json"], json(SCHEMAS)).0, format!("{SCHEMAS}\n"));
}

#[test]
fn schema_show_takes_a_reference_as_resources_write_it() {
    for reference in ["press-row:1", "aio-sr://press-row:1", "aio-sr://plant/press-row:1"] {
        let (said, asked) = fine(&["schema", "show", reference], json("{\"type\":\"object\"}"));
        assert_eq!(
            (said.as_str(), asked.as_str()),
            ("{\"type\":\"object\"}\n", "GET /api/v1/schemas/press-row/1 HTTP/1.1")
        );
    }
    let said = run(&["schema", "show", "press-row"]);
    assert!(said.stderr.contains("write NAME:VERSION"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
}

#[test]
fn schema_add_puts_a_document() {
    let dir = folder(&[("row.json", "{\"$schema\": \"Delta/1.0\"}")]);
    let file = dir.path().join("row.json").display().to_string();
    let added = json(r#"{"reference":"aio-sr://press-row:2","hash":"ab"}"#);
    let (said, asked) = fine(&["schema", "add", "press-row:2", &file], added.clone());
    assert_eq!(said, "aio-sr://press-row:2\n");
    assert_eq!(asked, "PUT /api/v1/schemas/press-row/2 HTTP/1.1\n{\"$schema\": \"Delta/1.0\"}");
    let (_, asked) = ask(&["schema", "add", "press-row:2", "-"], "{}", vec![added]);
    assert!(asked[0].ends_with("\n{}"));
    let conflict = refusal("409 Conflict", "version 2 of press-row has other content");
    let (said, _) = ask(&["schema", "add", "press-row:2", &file], "", vec![conflict]);
    assert_eq!(
        (said.stderr.as_str(), said.code),
        ("error: version 2 of press-row has other content\n", Some(2))
    );
}

#[test]
fn schema_generate_makes_one_schema_of_all_samples() {
    let dir = folder(&[
        ("a.json", "{\"t\": 21.5, \"at\": \"2026-03-01T00:00:00Z\"}"),
        ("more.jsonl", "{\"t\": 20, \"id\": \"Good\"}\n\n{\"id\": null}\n"),
        ("wrong.jsonl", "{}\n{\n"),
    ]);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let said = run(&["schema", "generate", &path("a.json"), &path("more.jsonl")]);
    let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let columns: Vec<_> = document["properties"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| format!("{}:{}:{}", field["name"], field["type"], field["nullable"]).replace('"', ""))
        .collect();
    assert_eq!(columns, ["t:double:true", "at:timestamp:true", "id:string:true"]);
    assert_eq!((said.stderr.as_str(), said.code), ("", Some(0)));

    let said = run(&[
        "schema",
        "generate",
        &path("a.json"),
        "--nullable",
        "observed",
        "--format",
        "json",
        "--title",
        "Press",
    ]);
    let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (&document["name"], &document["required"]),
        (&"Press".into(), &serde_json::json!(["t", "at"]))
    );

    let said = run_with_stdin(&["schema", "generate", "-", "--compat"], "{\"id\":\"Good\"}");
    assert!(
        said.stdout.contains("\"binary\"") && said.stdout.contains("\"nullable\": false"),
        "{}",
        said.stdout
    );

    for (args, code, expected) in [
        (vec![path("a.json"), path("a.json"), "--compat".into()], 1, "takes one sample"),
        (vec![path("wrong.jsonl")], 2, "wrong.jsonl:2: not JSON: EOF"),
        (vec![path("none.json")], 2, "none.json: No such file"),
    ] {
        let args: Vec<&str> =
            ["schema", "generate"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let said = run(&args);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert_eq!((said.stdout.as_str(), said.code), ("", Some(code)));
    }
    let said = run_with_stdin(&["schema", "generate", "-"], "{\"list\":[]}");
    assert!(said.stderr.starts_with("warning: "), "{}", said.stderr);
    assert_eq!(said.code, Some(0));
}

#[test]
fn a_generated_schema_is_one_that_check_accepts() {
    let dir = folder(&[("a.json", "{\"t\": 21.5, \"s\": {\"x\": [1]}}")]);
    let sample = dir.path().join("a.json").display().to_string();
    let registry = dir.path().join("schemas/press-row");
    fs::create_dir_all(&registry).unwrap();
    for (version, format) in [("1", "delta"), ("2", "json")] {
        let said = run(&["schema", "generate", &sample, "--format", format]);
        fs::write(registry.join(format!("{version}.json")), said.stdout).unwrap();
    }
    let said = run(&["check", dir.path().join("schemas").to_str().unwrap()]);
    assert_eq!((said.stdout.as_str(), said.code), ("2 files, 2 resources: no problems\n", Some(0)));
}

const LETTERS: &str = r#"{"deadLetters":[{"id":"17","at":"2026-03-01T00:00:00.000Z","reason":"map rule 2: `t` is missing","message":{"topic":"a","payload":{"x":1.0}}},{"id":"18","at":"2026-03-01T00:00:01.000Z","reason":"no JSON","message":{"topic":"a","payloadBase64":"/w=="}}],"count":5,"bytes":420,"dropped":3}"#;

#[test]
fn dlq_list_says_why_and_how_many() {
    let (said, asked) =
        ask(&["dlq", "list", "press", "--limit", "2", "--namespace", "plant"], "", vec![json(LETTERS)]);
    assert_eq!(
        said.stdout,
        "\
ID  SINCE                     REASON
17  2026-03-01T00:00:00.000Z  map rule 2: `t` is missing
18  2026-03-01T00:00:01.000Z  no JSON
"
    );
    assert_eq!(said.stderr, "5 dead letters, 420 bytes; the oldest 2 are shown; 3 older ones fell out\n");
    assert_eq!(
        (asked[0].as_str(), said.code),
        ("GET /api/v1/dataflows/press/dead-letters?namespace=plant&limit=2 HTTP/1.1", Some(0))
    );
    assert_eq!(fine(&["dlq", "list", "press", "--output", "json"], json(LETTERS)).0, format!("{LETTERS}\n"));
}

#[test]
fn dlq_show_prints_messages_that_transform_reads() {
    let (said, asked) = fine(&["dlq", "show", "press"], json(LETTERS));
    assert_eq!(
        said,
        "{\"topic\":\"a\",\"payload\":{\"x\":1.0}}\n{\"topic\":\"a\",\"payloadBase64\":\"/w==\"}\n"
    );
    assert!(asked.starts_with("GET /api/v1/dataflows/press/dead-letters?limit="), "{asked}");
    let dir = folder(&[("flow.yaml", &crate::transform::flow("press", "a", "", "b"))]);
    let flow = dir.path().join("flow.yaml").display().to_string();
    let again = run_with_stdin(&["transform", &flow, "--format", "message"], &said);
    assert_eq!(again.stderr, "in=2 out=2 filtered=0 errors=0\n");

    let letter =
        r#"{"id":"17","at":"2026-03-01T00:00:00.000Z","reason":"r","message":{"topic":"a","payload":1}}"#;
    let (said, asked) = ask(&["dlq", "show", "press", "17", "17"], "", vec![json(letter); 2]);
    assert_eq!(said.stdout, "{\"topic\":\"a\",\"payload\":1}\n".repeat(2));
    assert_eq!(asked[0], "GET /api/v1/dataflows/press/dead-letters/17 HTTP/1.1");
    assert_eq!(
        fine(&["dlq", "show", "press", "17", "--output", "json"], json(letter)).0,
        format!("{letter}\n")
    );
}

#[test]
fn dlq_replays_and_drops_some_or_all() {
    let post = "POST /api/v1/dataflows/press/dead-letters/replay HTTP/1.1";
    for (args, answer, expected, request) in [
        (&["replay", "press"][..], r#"{"replayed":2}"#, "2 replayed\n", format!("{post}\n{{}}")),
        (
            &["replay", "press", "17", "18"],
            r#"{"replayed":2}"#,
            "2 replayed\n",
            format!("{post}\n{{\"ids\":[\"17\",\"18\"]}}"),
        ),
        (
            &["drop", "press", "17", "18"],
            r#"{"dropped":2}"#,
            "2 dropped\n",
            "DELETE /api/v1/dataflows/press/dead-letters?id=17&id=18 HTTP/1.1".into(),
        ),
        (
            &["drop", "press", "--all"],
            r#"{"dropped":5}"#,
            "5 dropped\n",
            "DELETE /api/v1/dataflows/press/dead-letters HTTP/1.1".into(),
        ),
        (
            &["drop", "press", "--all", "--output", "json"],
            r#"{"dropped":5}"#,
            "{\"dropped\":5}\n",
            "DELETE /api/v1/dataflows/press/dead-letters HTTP/1.1".into(),
        ),
    ] {
        let (said, asked) = fine(&[&["dlq"], args].concat(), json(answer));
        assert_eq!((said.as_str(), asked), (expected, request), "{args:?}");
    }
    let said = run(&["dlq", "drop", "press"]);
    assert!(said.stderr.contains("which ones? Name them, or say --all"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
}

#[test]
fn an_instance_that_is_not_there_is_a_sentence_with_the_way_out() {
    let free = format!("127.0.0.1:{}", tidegate_testkit::free_port());
    for args in [
        &["state", "get", "k"][..],
        &["schema", "list"],
        &["dlq", "list", "press"],
        &["dlq", "replay", "press"],
    ] {
        let said = run(&[args, &["--api", &free]].concat());
        assert_eq!(said.code, Some(2));
        assert!(
            said.stderr.contains(&free) && said.stderr.contains("`tidegate run PATH...`"),
            "{}",
            said.stderr
        );
    }
}
