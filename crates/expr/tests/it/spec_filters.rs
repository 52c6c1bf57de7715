//! Filters, branches and enrichment.

use bytes::Bytes;
use tidegate_expr::{
    Dataset, Env, FilterSemantics, Host, Operand, Outcome, Part, Role, Rules, Semantics, Stage, Transform,
    Value, compile, parse_json,
};

use crate::support::{Bench, assert_same, dataset_rule, filter_rule, graph, map_rule, rejected};

fn filters(rules: &[&str]) -> Rules {
    Rules { filters: rules.iter().map(|r| filter_rule(r)).collect(), ..Rules::default() }
}

const PASS_WHEN_TRUE: FilterSemantics = FilterSemantics::PassWhenTrue;

#[test]
fn b_filters() {
    for (case, rules, messages) in [
        ("B01", &["temp :: $1 > 20"][..], &[(r#"{"temp":25}"#, "filtered"), (r#"{"temp":20}"#, "kept")][..]),
        (
            "B02",
            &["temp :: $1 < 0", "hum :: $1 > 95"],
            &[
                (r#"{"temp":5,"hum":50}"#, "kept"),
                (r#"{"temp":-1,"hum":50}"#, "filtered"),
                (r#"{"temp":5,"hum":99}"#, "filtered"),
            ],
        ),
        ("B03", &["temp :: $1 > 20"], &[(r#"{"hum":1}"#, "failed"), (r#"{"temp":null}"#, "failed")]),
        ("B04", &["temp ?? 0 :: $1 > 20"], &[("{}", "kept")]),
        ("B04", &["temp ?? null :: $1 == ()"], &[("{}", "filtered")]),
        ("B05", &["temp :: if($1 > 0, 1, true)"], &[(r#"{"temp":1}"#, "failed")]),
        (
            "B06",
            &["temp :: $1 > 20", "temp :: 1 / 0 == $1"],
            &[(r#"{"temp":25}"#, "filtered"), (r#"{"temp":1}"#, "failed")],
        ),
        ("B08", &["temp, hum :: $1 * $2 < 100"], &[(r#"{"temp":5,"hum":10}"#, "filtered")]),
        (
            "last",
            &["t ? $last :: $1 != 0"],
            &[(r#"{"t":0}"#, "kept"), ("{}", "kept"), (r#"{"t":4}"#, "filtered"), ("{}", "filtered")],
        ),
        ("topic", &[r#"$metadata.topic :: $1 == "plant/a/t1""#], &[("{}", "filtered")]),
    ] {
        let mut bench = Bench::new(filters(rules), graph());
        for (payload, expected) in messages {
            let expected = if *expected == "kept" { payload } else { expected };
            assert_eq!(bench.result(payload), *expected, "{case} {rules:?} on {payload}");
        }
    }
}

#[test]
fn b05_a_formula_that_is_never_true_or_false_is_rejected() {
    let findings = rejected(filters(&["temp :: $1 + 1"]), graph());
    assert_eq!((findings[0].stage, findings[0].part), (Stage::Filter, Part::Expression));
}

#[test]
fn b01_in_the_older_meaning_true_passes_and_all_rules_must_be_true() {
    let semantics = Semantics { filter: PASS_WHEN_TRUE, ..Semantics::default() };
    let mut one = Bench::new(filters(&["temp :: $1 > 20"]), semantics);
    assert_eq!(one.outcome(r#"{"temp":20}"#), Outcome::Filtered { rule: 0 });
    assert_eq!(one.result(r#"{"temp":25}"#), r#"{"temp":25}"#);
    let mut two = Bench::new(filters(&["temp :: $1 > 20", "temp :: $1 < 30"]), semantics);
    assert_eq!(two.result(r#"{"temp":25}"#), r#"{"temp":25}"#);
    assert_eq!(two.outcome(r#"{"temp":35}"#), Outcome::Filtered { rule: 1 });
    assert_eq!(two.outcome(r#"{"temp":5}"#), Outcome::Filtered { rule: 0 });
}

#[test]
fn b07_branches() {
    let env = Env { inputs: 1, host: Host::Graph, role: Role::Branch };
    let (program, _) = compile("$1 >= 3", env).unwrap();
    let branch = |json: &str| match program.eval(&[Operand::Json(&parse_json(json.as_bytes()).unwrap())]) {
        Ok(Value::Bool(value)) => Some(value),
        _ => None,
    };
    assert_eq!([branch("3"), branch("2"), branch("\"x\"")], [Some(true), Some(false), None]);
}

#[test]
fn w21_filters_and_datasets_have_no_wildcards() {
    let findings = rejected(filters(&["*.t :: $1 > 1"]), graph());
    assert_eq!(findings[0].part, Part::Input(0));
    let datasets = vec![dataset_rule("assets", "$source.*, $context.id :: $1 == $2")];
    let findings = rejected(Rules { datasets, ..Rules::default() }, graph());
    assert_eq!((findings[0].stage, findings[0].part), (Stage::Datasets, Part::Input(0)));
}

#[test]
fn filters_say_what_they_do() {
    let words = |filter| {
        let semantics = Semantics { filter, ..Semantics::default() };
        let rules = filters(&["temperature.Value, limit :: $1 <= $2 - 1"]);
        Transform::compile(rules, semantics).unwrap().0.filters_in_words()
    };
    assert_eq!(words(FilterSemantics::DropWhenTrue), ["drops messages where temperature.Value <= limit - 1"]);
    assert_eq!(words(PASS_WHEN_TRUE), ["drops messages unless temperature.Value <= limit - 1"]);
}

const ASSETS: &str = r#"{"id":"p7","site":"north","limit":80,"cfg":{"k":2}}
{"id":"p7","site":"dup"}

{"id":"p8","site":"south","limit":60}"#;

/// A flow enriched with [`ASSETS`] under that key and match rule.
fn enriched(key: &str, matching: &str, filters: &[&str], maps: &[&str], host: Host) -> Bench {
    let rules = Rules {
        datasets: vec![dataset_rule(key, matching)],
        filters: filters.iter().map(|r| filter_rule(r)).collect(),
        maps: maps.iter().map(|r| map_rule(r)).collect(),
    };
    Bench::new(rules, Semantics { host, ..Semantics::default() }).dataset("assets", ASSETS)
}

const BY_ID: &str = "$source.id, $context.id :: $1 == $2";

#[test]
fn e_enrichment() {
    for (case, key, matching, maps, payload, expected) in [
        (
            "E01",
            "assets as a",
            BY_ID,
            &["$context(a).site => site"][..],
            r#"{"id":"p7"}"#,
            r#"{"site":"north"}"#,
        ),
        ("E02", "assets as a", BY_ID, &["$context(a).site => site"], r#"{"id":"p8"}"#, r#"{"site":"south"}"#),
        (
            "E03",
            "assets as a",
            BY_ID,
            &["id => id", "$context(a).site => site"],
            r#"{"id":"zz"}"#,
            r#"{"id":"zz"}"#,
        ),
        (
            "E04",
            "assets as a",
            BY_ID,
            &["$context(a).* => asset.*"],
            r#"{"id":"p8"}"#,
            r#"{"asset":{"id":"p8","site":"south","limit":60}}"#,
        ),
        (
            "E04",
            "assets as a",
            BY_ID,
            &["$context(a).* => asset.*"],
            r#"{"id":"p7"}"#,
            r#"{"asset":{"id":"p7","site":"north","limit":80,"cfg":{"k":2}}}"#,
        ),
        ("E05", "assets as a", BY_ID, &["$context(a).cfg.* => *"], r#"{"id":"p7"}"#, r#"{"k":2}"#),
        (
            "E06",
            "assets as a",
            BY_ID,
            &["t, $context(a).limit :: $1 / $2 => load"],
            r#"{"id":"p8","t":30.0}"#,
            r#"{"load":0.5}"#,
        ),
        (
            "E08",
            "assets as a",
            "$context.id, $source.id :: $1 == $2",
            &["$context(a).site => site"],
            r#"{"id":"p7"}"#,
            r#"{"site":"north"}"#,
        ),
        (
            "E08",
            "assets as a",
            "$source.id, $context(a).id :: $1 == $2",
            &["$context(a).site => site"],
            r#"{"id":"p8"}"#,
            r#"{"site":"south"}"#,
        ),
        (
            "E08",
            "assets as a",
            "$source.id, $context(assets).id :: $1 == $2",
            &["$context(a).site => site"],
            r#"{"id":"p8"}"#,
            r#"{"site":"south"}"#,
        ),
        ("E09", "assets", BY_ID, &["$context(assets).site => site"], r#"{"id":"p7"}"#, r#"{"site":"north"}"#),
        // more than equality
        (
            "second record",
            "assets as a",
            r#"$source.id, $context.id, $context.site :: $1 == $2 && $3 != "north""#,
            &["$context(a).site => site"],
            r#"{"id":"p7"}"#,
            r#"{"site":"dup"}"#,
        ),
        (
            "no equality",
            "assets as a",
            "$source.t, $context.limit :: $1 > $2",
            &["$context(a).site => site"],
            r#"{"t":70}"#,
            r#"{"site":"south"}"#,
        ),
        (
            "any record",
            "assets as a",
            "[] :: 1 == 1",
            &["$context(a).site => site"],
            r#"{}"#,
            r#"{"site":"north"}"#,
        ),
        // a field the record lacks, and one that the message lacks
        (
            "absent in the record",
            "assets as a",
            BY_ID,
            &["$context(a).limit => limit"],
            r#"{"id":"p8"}"#,
            r#"{"limit":60}"#,
        ),
        ("absent in the message", "assets as a", BY_ID, &["$context(a).site => site"], "{}", "{}"),
        // the payload's own fields are not the dataset's
        (
            "no overlap",
            "assets as a",
            BY_ID,
            &["* => *", "$context(a).id => asset"],
            r#"{"id":"p8"}"#,
            r#"{"id":"p8","asset":"p8"}"#,
        ),
        (
            "specialized",
            "assets as a",
            BY_ID,
            &["$context(a).* => *", "$context(a).limit :: $1 * 2 => max", "$context(a).cfg => ∅"],
            r#"{"id":"p7"}"#,
            r#"{"id":"p7","site":"north","max":160}"#,
        ),
        (
            "a default for no record",
            "assets as a",
            BY_ID,
            &["$context(a).limit ?? 9 => limit"],
            r#"{"id":"zz"}"#,
            r#"{"limit":9}"#,
        ),
    ] {
        let mut bench = enriched(key, matching, &[], maps, Host::Graph);
        assert_same(&bench.result(payload), expected, &format!("{case} {maps:?} on {payload}"));
    }
}

#[test]
fn e03_in_a_dataflow_no_record_is_a_missing_value() {
    let maps = [r#"$context(a).site :: if($1 == (), "unknown", $1) => site"#, "$context(a).limit => limit"];
    let mut bench = enriched("assets as a", BY_ID, &[], &maps, Host::Dataflow);
    assert_eq!(bench.result(r#"{"id":"zz"}"#), r#"{"site":"unknown"}"#);
}

#[test]
fn e07_filters_see_the_record() {
    let mut bench = enriched("assets as a", BY_ID, &["t, $context(a).limit :: $1 > $2"], &[], Host::Graph);
    assert_eq!(bench.result(r#"{"id":"p8","t":70}"#), "filtered");
    assert_eq!(bench.result(r#"{"id":"p8","t":50}"#), r#"{"id":"p8","t":50}"#);
    assert_eq!(
        bench.result(r#"{"id":"zz","t":70}"#),
        r#"{"id":"zz","t":70}"#,
        "no record, the rule is skipped"
    );
}

#[test]
fn e10_new_records_take_effect_with_the_next_message() {
    let mut bench = enriched("assets as a", BY_ID, &[], &["$context(a).site => site"], Host::Graph);
    assert_eq!(bench.result(r#"{"id":"p7"}"#), r#"{"site":"north"}"#);
    let mut bench = bench.dataset("assets", r#"{"id":"p7","site":"moved"}"#);
    assert_eq!(bench.result(r#"{"id":"p7"}"#), r#"{"site":"moved"}"#);
    let mut bench = bench.dataset("assets", "");
    assert_eq!(bench.result(r#"{"id":"p7"}"#), "{}");
}

#[test]
fn e11_without_the_state_store_messages_fail() {
    let rules = Rules {
        datasets: vec![dataset_rule("assets as a", BY_ID)],
        maps: vec![map_rule("$context(a).site => site")],
        ..Rules::default()
    };
    let mut bench = Bench::new(rules, graph());
    let failure = |bench: &mut Bench| match bench.outcome(r#"{"id":"p7"}"#) {
        Outcome::Failed(failure) => failure.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failure(&mut bench), "datasets rule 1: dataset `assets` was not loaded yet");
    bench.transformer.dataset_unavailable("assets", "the state store does not answer");
    assert_eq!(failure(&mut bench), "datasets rule 1: the state store does not answer");
    let mut bench = bench.dataset("assets", ASSETS);
    assert_eq!(bench.result(r#"{"id":"p7"}"#), r#"{"site":"north"}"#);
}

#[test]
fn e12_filter_and_map_see_the_same_record_and_datasets_see_the_message() {
    let maps = ["$context(a).site => site", r#"[] :: "p8" => id"#];
    let mut bench = enriched("assets as a", BY_ID, &["$context(a).limit :: $1 < 70"], &maps, Host::Dataflow);
    assert_eq!(bench.result(r#"{"id":"p7"}"#), r#"{"site":"north","id":"p8"}"#);
    assert_eq!(bench.result(r#"{"id":"p8"}"#), "filtered");
}

#[test]
fn records_are_found_by_equal_values_whatever_their_kind() {
    let lines = r#"{"k":1,"v":"one"}
{"k":"1","v":"text"}
{"k":2.5,"v":"float"}
{"k":true,"v":"bool"}
{"k":[1,2],"v":"list"}
{"v":"none"}
{"k":{"o":1},"v":"object"}
{"k":9007199254740993,"v":"exact"}
{"k":1.0,"v":"later"}"#;
    let rules = Rules {
        datasets: vec![dataset_rule("d", "$source.k, $context.k :: $1 == $2")],
        maps: vec![map_rule("$context(d).v => v")],
        ..Rules::default()
    };
    let mut bench = Bench::new(rules, graph()).dataset("d", lines);
    for (k, v) in [
        ("1", r#"{"v":"one"}"#),
        ("1.0", r#"{"v":"one"}"#),
        ("1e0", r#"{"v":"one"}"#),
        (r#""1""#, r#"{"v":"text"}"#),
        ("2.5", r#"{"v":"float"}"#),
        ("true", r#"{"v":"bool"}"#),
        ("[1.0,2]", r#"{"v":"list"}"#),
        ("null", r#"{"v":"none"}"#),
        (r#"{"o":1}"#, "{}"),
        ("9007199254740993", r#"{"v":"exact"}"#),
        ("9007199254740992", "{}"),
        ("false", "{}"),
        ("1e400", "{}"),
    ] {
        assert_eq!(bench.result(&format!("{{\"k\":{k}}}")), v, "{k}");
    }
}

#[test]
fn bad_lines_of_a_dataset_are_passed_over_and_told_of() {
    let (dataset, bad) =
        Dataset::parse(Bytes::from_static(b"{\"a\":1}\n\n[1]\r\n{\"a\":\n  {\"a\":2}  \r\n"));
    assert_eq!(dataset.len(), 2);
    assert_eq!(bad.iter().map(|b| b.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn dataset_rules_of_the_wrong_shape_are_rejected() {
    for (key, matching, host) in [
        ("", BY_ID, Host::Graph),
        ("a)", BY_ID, Host::Graph),
        ("assets", "$source.id, $context(b).id :: $1 == $2", Host::Graph),
        ("assets", "$source.id, $context(other).id :: $1 == $2", Host::Graph),
        ("assets", "$source.id, $context.id ? $last :: $1 == $2", Host::Graph),
        ("assets", "$source.id :: $1 + 1", Host::Graph),
        ("assets", "$source.id", Host::Graph),
    ] {
        let datasets = vec![dataset_rule(key, matching), dataset_rule("other as b", BY_ID)];
        let semantics = Semantics { host, ..Semantics::default() };
        let findings = rejected(Rules { datasets, ..Rules::default() }, semantics);
        assert_eq!((findings[0].stage, findings[0].rule), (Stage::Datasets, 0), "{key} {matching}");
    }
    let twice = vec![dataset_rule("a as x", BY_ID), dataset_rule("b as x", BY_ID)];
    assert_eq!(rejected(Rules { datasets: twice, ..Rules::default() }, graph())[0].rule, 1);
    let long = vec![dataset_rule(&"k".repeat(65), BY_ID)];
    rejected(Rules { datasets: long, ..Rules::default() }, Semantics::default());
}

#[test]
fn what_dataset_inputs_are_not_documented_to_be_is_a_warning() {
    let warnings = |matching: &str| {
        let datasets = vec![dataset_rule("assets", matching)];
        let rules = Rules { datasets, ..Rules::default() };
        Transform::compile(rules, Semantics::default()).unwrap().1.len()
    };
    assert_eq!(warnings(BY_ID), 0);
    assert_eq!(warnings("id, $context.id :: $1 == $2"), 1);
    assert_eq!(warnings("$metadata.topic, $context.id :: $1 == $2"), 1);
    assert_eq!(warnings("$source.id"), 1, "no formula");
}
