//! What the readers of YAML and JSON say, and what they put up with.

use expect_test::expect;
use tidegate_model::LoadOptions;

use crate::support::{check, check_each, endpoint, flow, loaded, report};

/// A profile whose spec is `spec`.
fn profile(spec: &str) -> String {
    format!(
        "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {{name: line-a}}\nspec:\n{spec}"
    )
}

#[test]
fn yaml_errors_stand_where_they_are_with_a_hint() {
    check(
        &profile("\tinstanceCount: 1\n"),
        expect![[r#"
        error TG0001 5:2 invalid YAML: tabs disallowed within this context (block indentation)
            help: indent with spaces, YAML allows no tabs
    "#]],
    );
    check(
        &profile("  instanceCount: 1\n bad\n"),
        expect![[r#"
        error TG0001 6:2 invalid YAML: while parsing a block mapping, did not find expected key
    "#]],
    );
    check(
        &profile("  instanceCount: *\n"),
        expect![[r#"
        error TG0001 5:18 invalid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character
            help: put a value that starts with this character in quotes
    "#]],
    );
    check(
        &profile("  instanceCount: *count\n"),
        expect![[r#"
        error TG0001 5:18 invalid YAML: while parsing node, found unknown anchor
            help: put a value that starts with this character in quotes
    "#]],
    );
    check(
        &profile("  instanceCount: @1\n"),
        expect![[r#"
        error TG0001 5:18 invalid YAML: unexpected character: `@'
            help: put a value that starts with this character in quotes
    "#]],
    );
    check(
        &profile("  instanceCount: \"1\n"),
        expect![[r#"
        error TG0001 5:18 invalid YAML: while scanning a quoted scalar, found unexpected end of stream
    "#]],
    );
    check(
        "apiVersion: v1\n{{- if .Values.line }}\nkind: Dataflow\n",
        expect![[r#"
            error TG0001 2:3 invalid YAML: "-" is only valid inside a block
                help: this looks like a template: render it first, then load the result
        "#]],
    );
    check(
        &profile("  instanceCount: {{ .Values.count }}\n"),
        expect![[r#"
            error TG0117 5:18 `{{ .Values.count }}` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
        "#]],
    );
    check(
        &profile("  instanceCount: 1\n  [a]: b\n"),
        expect![[r#"
        error TG0001 6:4 the key of an object is text
    "#]],
    );
    check(
        "kind: a\0b\n",
        expect![[r#"
        error TG0001 1:8 invalid YAML: found unprintable character
    "#]],
    );
}

#[test]
fn an_error_in_one_document_does_not_hide_the_others() {
    let bad = "kind: Dataflow\nspec: [\n";
    let text = format!(
        "{bad}---\n{}---\n{bad}---\n{}",
        profile("  instanceCount: 21\n"),
        profile("  instanceCount: 0\n")
    );
    check(
        &text,
        expect![[r#"
        error TG0001 3:1 invalid YAML: while parsing a node, did not find expected node content
        error TG0114 8:18 21 is not a whole number from 1 to 20
        error TG0001 12:1 invalid YAML: while parsing a node, did not find expected node content
        error TG0106 15:18 DataflowProfile `line-a` is defined twice
            at 6:18: first here
            help: remove one, or give it another name
        error TG0114 17:18 0 is not a whole number from 1 to 20
    "#]],
    );
}

#[test]
fn keys_that_stand_twice_are_shown_twice() {
    check(
        &profile(
            "  instanceCount: 1\n  diagnostics: {logs: {level: info, level: debug}}\n  instanceCount: 2\n",
        ),
        expect![[r#"
        error TG0004 6:37 `level` stands twice in this object
            at 6:24: first here
        error TG0004 7:3 `instanceCount` stands twice in this object
            at 5:3: first here
    "#]],
    );
    check(
        r#"{"instanceCount": 1, "instanceCount": 2}"#,
        expect![[r#"
        error TG0004 1:22 `instanceCount` stands twice in this object
            at 1:2: first here
    "#]],
    );
}

#[test]
fn anchors_aliases_and_merge_keys_mean_what_they_say() {
    let text = endpoint(
        "line",
        "Kafka",
        "
host: kafka.example:9092
authentication: &login {method: Anonymous}
batching:
  <<: [{latencyMs: 1, maxMessages: 7}, {maxMessages: 8, maxBytes: 9}]
  latencyMs: 2
",
    ) + &endpoint(
        "line-b",
        "Kafka",
        "\nhost: kafka.example:9092\nauthentication: &login\n  method: Anonymous\ntls: &tls {mode: Disabled}\nbatching: {<<: *tls, latencyMs: 3}\n",
    );
    let (files, parsed) = loaded(&[("a.yaml", &text)], &LoadOptions::default());
    assert_eq!(report(&files, &parsed.diagnostics), "");
    let batching: Vec<_> = parsed
        .value
        .endpoints()
        .map(|e| match &e.settings {
            tidegate_model::endpoint::Settings::Kafka(k) => {
                k.batching.map(|b| (b.latency.as_millis(), b.messages_max, b.bytes_max))
            }
            _ => None,
        })
        .collect();
    assert_eq!(batching, [Some((2, 7, 9)), None]);
}

#[test]
fn anchors_end_with_their_document() {
    check(
        &format!("{}---\n{}", profile("  instanceCount: &count 1\n"), profile("  instanceCount: *count\n")),
        expect![[r#"
        error TG0001 11:18 this alias names no anchor before it in its document
    "#]],
    );
}

#[test]
fn bombs_and_bottomless_pits_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    check(
        &bomb,
        expect![[r#"
            error TG0005 5:40 aliases make this file more than 100000 values long
        "#]],
    );
    let mut ladder = String::from("a0: &a0 [x]\n");
    for n in 1..200 {
        ladder += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    check(
        &ladder,
        expect![[r#"
        error TG0005 128:14 lists and objects nest more than 128 levels deep
    "#]],
    );
    check(
        &"- ".repeat(200),
        expect![[r#"
        error TG0005 1:257 lists and objects nest more than 128 levels deep
    "#]],
    );
    check(
        &format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200)),
        expect![[r#"
        error TG0005 1:135 lists and objects nest more than 128 levels deep
    "#]],
    );
}

#[test]
fn deep_nests_do_not_overflow_the_stack() {
    for (open, name) in [
        ("[", "a.yaml"),
        ("- ", "a.yaml"),
        ("{a: ", "a.yaml"),
        ("? ", "a.yaml"),
        ("[", "a.json"),
        ("{\"a\":", "a.json"),
    ] {
        let (_, parsed) = loaded(&[(name, &open.repeat(100_000))], &LoadOptions::default());
        assert!(parsed.has_errors(), "{open}");
    }
}

#[test]
fn scalars_are_of_the_core_schema() {
    // Words that other schemas take for booleans are text, and other ways to write a number are numbers.
    check(&flow("default", "[yes, on, No, '1']", "", "default", "off"), expect![[""]]);
    let counts = [
        "0x10",
        "0o20",
        "+3",
        "1.5",
        "1e1",
        "99999999999999999999",
        "~",
        "true",
        ".inf",
        "!!int '3'",
        "!!str 3",
        "!three 3",
    ];
    check_each(
        counts.map(|n| (n, profile(&format!("  instanceCount: {n}\n")))),
        expect![[r#"
        0x10
        0o20
        +3
        1.5
        error TG0114 5:18 1.5 is not a whole number from 1 to 20
        1e1
        error TG0114 5:18 1e1 is not a whole number from 1 to 20
        99999999999999999999
        error TG0114 5:18 99999999999999999999 is not a whole number from 1 to 20
        ~
        true
        error TG0112 5:18 expected a whole number from 1 to 20, found a boolean
        .inf
        error TG0114 5:18 .inf is not a whole number from 1 to 20
        !!int '3'
        !!str 3
        warning TG0118 5:18 this number is text to the product
            help: write 3 without quotes
        !three 3
        warning TG0006 5:18 the tag `!three` means nothing here and is ignored
    "#]],
    );
}

#[test]
fn untidy_files_are_read() {
    let tidy = flow("default", "[a/#]", "", "default", "b");
    for text in [
        format!("\u{feff}{tidy}"),
        tidy.replace('\n', "\r\n"),
        format!("# a comment\n---\n---\n{tidy}...\n---\n# nothing more\n"),
        tidy.replace("kind:", "kind :").replace("spec:", "spec:   # the rest"),
        tidy.replace("spec:", "status: {}\nspec:\n  mode:\n  requestDiskPersistence: null"),
    ] {
        check(&text, expect![[""]]);
    }
}

#[test]
fn places_count_characters_after_a_byte_order_mark_and_in_crlf_files() {
    let text = flow("default", "['ä/ü#/b']", "", "default", "b");
    let crlf = text.replace('\n', "\r\n");
    let marked = format!("\u{feff}{text}");
    check_each(
        [("as it is", text), ("CRLF", crlf), ("with a byte order mark", marked)],
        expect![[r#"
        as it is
        error TG0304 8:64 `#` stands alone in the last level of a topic filter
        CRLF
        error TG0304 8:64 `#` stands alone in the last level of a topic filter
        with a byte order mark
        error TG0304 8:64 `#` stands alone in the last level of a topic filter
    "#]],
    );
}

#[test]
fn complaints_about_part_of_a_text_point_at_it_where_the_file_holds_it_as_it_is() {
    // Plain, single quoted, double quoted: exact. With an escape, folded over lines, in a block: the whole scalar.
    let sources =
        ["[a/b#/c]", "['a/b#/c']", "[\"a/b#/c\"]", "[\"a\\/b#/c\"]", "[a\n          b/c#]", "[&x a/b#]"];
    check_each(
        sources.map(|s| (s, flow("default", s, "", "default", "b"))),
        expect![[r#"
        [a/b#/c]
        error TG0304 8:63 `#` stands alone in the last level of a topic filter
        ['a/b#/c']
        error TG0304 8:64 `#` stands alone in the last level of a topic filter
        ["a/b#/c"]
        error TG0304 8:64 `#` stands alone in the last level of a topic filter
        ["a\/b#/c"]
        error TG0304 8:61 `#` stands alone in the last level of a topic filter
        [a
                  b/c#]
        error TG0304 8:61 `#` stands alone in the last level of a topic filter
        [&x a/b#]
        error TG0304 8:66 `#` stands alone in the last level of a topic filter
    "#]],
    );
}

#[test]
fn json_is_strict_but_for_comments_and_trailing_commas() {
    check(
        "{\"instanceCount\": 1 \"diagnostics\": {}}",
        expect![[r#"
        error TG0002 1:20 invalid JSON: expected comma
            help: put a comma here
    "#]],
    );
    check("{instanceCount: 1}", expect![""]);
    check("{'instanceCount': 1}", expect![""]);
    check(
        "{\"instanceCount\": 0x1}",
        expect![[r#"
        error TG0002 1:19 invalid JSON: hexadecimal numbers are not allowed
    "#]],
    );
    check(
        "{\"instanceCount\": 1",
        expect![[r#"
        error TG0002 1:1 invalid JSON: unterminated object
    "#]],
    );
    check(
        "{\"instanceCount\": }",
        expect![[r#"
        error TG0002 1:19 invalid JSON: unexpected close brace
    "#]],
    );
    check(
        "{\"instanceCount\": 1} {}",
        expect![[r#"
        error TG0002 1:22 invalid JSON: text cannot contain more than one JSON value
    "#]],
    );
    check(
        "{\n  /* one */\n  \"instanceCount\": 1,\n}",
        expect![[r#"
        note TG0003 2:3 strict JSON has no comments and no trailing commas
            help: `az` refuses this file as it is
    "#]],
    );
    check(
        "{\"instanceCount\": \"\\ud800\"}",
        expect![[r#"
        error TG0002 1:20 invalid JSON: invalid unicode escape sequence. 'd800 (unpaired high surrogate)' is not a valid UTF8 character
    "#]],
    );
}

#[test]
fn files_without_resources_are_mentioned() {
    check(
        "",
        expect![[r#"
        note TG0008 1:1 there is no resource in this file
    "#]],
    );
    check(
        "# nothing yet\n---\n",
        expect![[r#"
        note TG0008 1:1 there is no resource in this file
    "#]],
    );
    check(
        "just text\n",
        expect![[r#"
        error TG0101 1:1 expected a resource, found text
    "#]],
    );
    check(
        "- a\n- list\n",
        expect![[r#"
        error TG0101 1:3 expected a resource, found a list
    "#]],
    );
}
