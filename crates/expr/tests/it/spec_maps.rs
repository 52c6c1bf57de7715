//! Map rules: paths and copies, wildcards and precedence, missing values, metadata.

use tidegate_expr::{
    Host, JSON_DEPTH_MAX, MapRule, MissingInput, Part, Rules, Semantics, Specialization, Stage,
};

use crate::support::{Bench, assert_same, check_maps, check_maps_with, graph, map_rules, rejected, text};

#[test]
fn p_paths_and_copies() {
    for (case, rule, payload, expected) in [
        (
            "P01",
            "born => person.birthDate",
            r#"{"born":"1990-02-03","x":1}"#,
            r#"{"person":{"birthDate":"1990-02-03"}}"#,
        ),
        ("P02", r#"line."cell.4".temp => t"#, r#"{"line":{"cell.4":{"temp":7}}}"#, r#"{"t":7}"#),
        ("P03*", "line.cell.4.temp => t", r#"{"line":{"cell.4":{"temp":7}}}"#, "{}"),
        ("P04", r#""a"."b" => x"#, r#"{"a":{"b":1}}"#, r#"{"x":1}"#),
        ("P07", "Serial No => id.Serial No", r#"{"Serial No":"A1"}"#, r#"{"id":{"Serial No":"A1"}}"#),
        ("P08", "meta => m", r#"{"meta":{"a":[1,{"b":2}],"c":null}}"#, r#"{"m":{"a":[1,{"b":2}],"c":null}}"#),
        ("P09", r#"v => out."x.y""#, r#"{"v":1}"#, r#"{"out":{"x.y":1}}"#),
        ("P10", "$source.v => w", r#"{"v":1}"#, r#"{"w":1}"#),
        ("P11", "a, b => c", r#"{"a":1,"b":2}"#, r#"{"c":1}"#),
        ("P12", r#"[] :: "pump" => kind"#, r#"{"z":9}"#, r#"{"kind":"pump"}"#),
        ("P13*", "tags[0] => t", r#"{"tags":["x","y"]}"#, "{}"),
        ("P14", r#""p.q"."r", s :: $1 + $2 => t"#, r#"{"p.q":{"r":1},"s":2}"#, r#"{"t":3}"#),
    ] {
        check_maps(case, &[rule], &[(payload, expected)]);
    }
}

#[test]
fn p05_a_quote_that_is_not_first_is_an_ordinary_character() {
    let rule = MapRule {
        inputs: vec![r#"log.Op said: "Stop", then left"#.into()],
        output: "m".into(),
        ..MapRule::default()
    };
    let mut bench = Bench::new(Rules { maps: vec![rule], ..Rules::default() }, graph());
    assert_eq!(bench.result(r#"{"log":{"Op said: \"Stop\", then left":"ok"}}"#), r#"{"m":"ok"}"#);
}

#[test]
fn w_wildcards() {
    const AVERAGE: &str = "*.hi, *.lo :: ($1 + $2) / 2 => mid.*";
    for (case, rules, payload, expected) in [
        ("W01", &["* => *"][..], r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#, r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#),
        ("W02", &["env.* => *"], r#"{"env":{"t":1,"h":{"rel":40}},"z":0}"#, r#"{"t":1,"h":{"rel":40}}"#),
        ("W03", &["* => tele.*"], r#"{"a":1,"b":{"c":2}}"#, r#"{"tele":{"a":1,"b":{"c":2}}}"#),
        (
            "W04",
            &[AVERAGE],
            r#"{"t":{"hi":30.0,"lo":10.0},"p":{"hi":4.0,"lo":2.0}}"#,
            r#"{"mid":{"t":20.0,"p":3.0}}"#,
        ),
        ("W05", &[AVERAGE], r#"{"t":{"hi":30.0,"lo":10.0},"p":{"hi":4.0}}"#, r#"{"mid":{"t":20.0}}"#),
        (
            "W06",
            &["*.hi, *.m.avg :: $1 - $2 => d.*"],
            r#"{"t":{"hi":30,"m":{"avg":21}}}"#,
            r#"{"d":{"t":9}}"#,
        ),
        ("W07", &[AVERAGE], r#"{"hall":{"t":{"hi":30.0,"lo":10.0}}}"#, r#"{"mid":{"hall":{"t":20.0}}}"#),
        (
            "W08",
            &["s.*.val => r.*.v"],
            r#"{"s":{"a":{"val":1,"u":"C"},"b":{"val":2}}}"#,
            r#"{"r":{"a":{"v":1},"b":{"v":2}}}"#,
        ),
        (
            "W09",
            &["*.hi, *.lo :: ($1 + $2)/2 => st.*.avg", "*.hi, *.lo :: $1 - $2 => st.*.range"],
            r#"{"t":{"hi":30.0,"lo":10.0}}"#,
            r#"{"st":{"t":{"avg":20.0,"range":20.0}}}"#,
        ),
        (
            "W10",
            &["* => *", "temp :: cToF($1) => temp"],
            r#"{"temp":100,"id":"a"}"#,
            r#"{"temp":212.0,"id":"a"}"#,
        ),
        ("W11", &["* => *", "pin, token => ∅"], r#"{"pin":1,"token":"t","v":5}"#, r#"{"v":5}"#),
        (
            "W12",
            &[AVERAGE, "p.hi, p.lo :: ($1+$2+1.0)/2 => mid.pAdj"],
            r#"{"t":{"hi":30.0,"lo":10.0},"p":{"hi":4.0,"lo":2.0}}"#,
            r#"{"mid":{"t":20.0,"pAdj":3.5}}"#,
        ),
        (
            "W13",
            &[AVERAGE, "p.hi, p.lo => ∅"],
            r#"{"t":{"hi":30.0,"lo":10.0},"p":{"hi":4.0,"lo":2.0}}"#,
            r#"{"mid":{"t":20.0}}"#,
        ),
        ("W14", &["t :: cToF($1) => tf", "t :: $1 > 50 => hot"], r#"{"t":60}"#, r#"{"tf":140.0,"hot":true}"#),
        ("W17*", &["* => *", "w => ∅"], r#"{"w":{"v":1,"s":{"c":0}},"k":1}"#, r#"{"k":1}"#),
        ("W19", &["A.* => *", "B.* => *"], r#"{"A":{"x":1},"B":{"y":2}}"#, r#"{"x":1,"y":2}"#),
        (
            "W20",
            &["*.hi, *.lo, *.m.avg :: ($1, $2, $3) => arr.*"],
            r#"{"o":{"hi":0.9,"lo":0.1,"m":{"avg":0.5}}}"#,
            r#"{"arr":{"o":[0.9,0.1,0.5]}}"#,
        ),
    ] {
        check_maps(case, rules, &[(payload, expected)]);
    }
}

#[test]
fn w_specialization_by_input_or_by_output() {
    let by_output = Semantics { specialization: Specialization::ByOutput, ..graph() };
    for (case, rules, payload, by_input_expected, by_output_expected) in [
        (
            "W15",
            &["* => *", "t :: cToF($1) => tf"][..],
            r#"{"t":0,"id":"a"}"#,
            r#"{"id":"a","tf":32.0}"#,
            r#"{"t":0,"id":"a","tf":32.0}"#,
        ),
        (
            "W16",
            &["* => *", "cfg.* => c.*"],
            r#"{"cfg":{"x":1},"y":2}"#,
            r#"{"y":2,"c":{"x":1}}"#,
            r#"{"cfg":{"x":1},"y":2,"c":{"x":1}}"#,
        ),
        ("removal", &["* => *", "t => ∅"], r#"{"t":0,"id":"a"}"#, r#"{"id":"a"}"#, r#"{"id":"a"}"#),
        ("same output", &["* => *", "t :: $1 + 1 => t"], r#"{"t":0}"#, r#"{"t":1}"#, r#"{"t":1}"#),
    ] {
        check_maps(case, rules, &[(payload, by_input_expected)]);
        check_maps_with(case, rules, by_output, &[(payload, by_output_expected)]);
    }
}

#[test]
fn w_precedence_beyond_the_documented_cases() {
    for (case, rules, payload, expected) in [
        // the later general rule has the higher rank: both apply, and the last write wins
        ("general last", &["t :: $1 + 1 => t", "* => *"][..], r#"{"t":0}"#, r#"{"t":0}"#),
        // an object named whole stands for what is in it
        (
            "renamed object",
            &["* => *", "cfg => c"],
            r#"{"cfg":{"x":1,"y":{"z":2}},"k":1}"#,
            r#"{"k":1,"c":{"x":1,"y":{"z":2}}}"#,
        ),
        (
            "removal with a wildcard",
            &["* => *", "cfg.* => ∅"],
            r#"{"cfg":{"x":1,"y":{"z":2}},"k":1}"#,
            r#"{"k":1}"#,
        ),
        (
            "removal of each input on its own",
            &["* => *", "a, c.* => ∅"],
            r#"{"a":1,"b":2,"c":{"d":3}}"#,
            r#"{"b":2}"#,
        ),
        ("removal of what is not there", &["* => *", "pin => ∅"], r#"{"v":5}"#, r#"{"v":5}"#),
        (
            "kept out of a removed object",
            &["* => *", "cfg.* => ∅", "cfg.id => id"],
            r#"{"cfg":{"id":7,"x":1}}"#,
            r#"{"id":7}"#,
        ),
        // half of what a rule reads is not enough to replace it
        (
            "partly special",
            &["*.hi, *.lo :: $1 - $2 => d.*", "p.hi => p"],
            r#"{"p":{"hi":3,"lo":1}}"#,
            r#"{"d":{"p":2},"p":3}"#,
        ),
        (
            "metadata replaces nothing",
            &["* => *", "t => $metadata.user_property.t"],
            r#"{"t":1}"#,
            r#"{"t":1}"#,
        ),
        // a capture without a partner resolves to nothing and so replaces nothing
        ("no partner", &["* => *", "*.hi, *.lo :: $1 - $2 => *.d"], r#"{"t":{"hi":3}}"#, r#"{"t":{"hi":3}}"#),
    ] {
        check_maps(case, rules, &[(payload, expected)]);
    }
}

#[test]
fn w_what_a_wildcard_matches() {
    for (case, rules, payload, expected) in [
        (
            "empty object is a leaf",
            &["* => o.*"][..],
            r#"{"a":{},"b":{"c":{}}}"#,
            r#"{"o":{"a":{},"b":{"c":{}}}}"#,
        ),
        ("null is a leaf", &["* => o.*"], r#"{"a":null}"#, r#"{"o":{"a":null}}"#),
        (
            "object behind the wildcard",
            &["s.*.cfg => *"],
            r#"{"s":{"a":{"cfg":{"x":1}}}}"#,
            r#"{"a":{"x":1}}"#,
        ),
        (
            "formulas get leaves only",
            &["*.v :: $1 + 1 => *"],
            r#"{"a":{"v":1},"b":{"v":{"x":1}}}"#,
            r#"{"a":2}"#,
        ),
        ("at least one segment", &["a.*.b => *"], r#"{"a":{"b":1}}"#, "{}"),
        (
            "a plain path beside it",
            &["s.*.v, f :: $1 * $2 => *"],
            r#"{"s":{"a":{"v":2},"b":{"v":3}},"f":10}"#,
            r#"{"a":20,"b":30}"#,
        ),
        (
            "null among several is no capture",
            &["*.hi, *.lo :: $1 - $2 => *"],
            r#"{"t":{"hi":1,"lo":null}}"#,
            "{}",
        ),
        ("a default is", &["*.hi, *.lo ?? 0 :: $1 - $2 => *"], r#"{"t":{"hi":1}}"#, r#"{"t":1}"#),
    ] {
        check_maps(case, rules, &[(payload, expected)]);
    }
    check_maps(
        "each capture remembers its own",
        &["*.hi, *.lo ? $last :: $1 - $2 => *"],
        &[
            (r#"{"a":{"hi":5,"lo":1},"b":{"hi":5,"lo":2}}"#, r#"{"a":4,"b":3}"#),
            (r#"{"a":{"hi":9},"b":{"hi":9}}"#, r#"{"a":8,"b":7}"#),
        ],
    );
}

#[test]
fn w18_one_wildcard_a_path_and_a_whole_segment() {
    for (rule, part) in [
        ("Sens* => *", Part::Input(0)),
        ("*.a.* => *", Part::Input(0)),
        ("* => a.*.*", Part::Output),
        ("* => a", Part::Output),
        ("a => *", Part::Output),
        ("* => $metadata.topic", Part::Output),
        ("* => $metadata.user_property.*", Part::Output),
        ("a, *.b :: $1 + $2 => *", Part::Input(1)),
    ] {
        let findings = rejected(map_rules(&[rule]), graph());
        assert_eq!((findings[0].stage, findings[0].rule, findings[0].part), (Stage::Map, 0, part), "{rule}");
    }
}

#[test]
fn rules_of_the_wrong_shape_are_rejected() {
    for (case, rule, host) in [
        ("a removal computes nothing", "a :: $1 + 1 => ∅", Host::Graph),
        ("several inputs without a formula", "a, b => c", Host::Dataflow),
        ("neither input nor formula", "[] => c", Host::Graph),
        ("no such input", "a :: $2 => c", Host::Graph),
        ("no inputs at all", "[] :: $1 => c", Host::Graph),
        ("no dataset named", "$context.a => c", Host::Graph),
        ("no such dataset", "$context(line).a => c", Host::Graph),
        ("an aggregation", "a :: average($1) => c", Host::Graph),
        ("the content type", "a => $metadata.system_property.content_type", Host::Graph),
        ("L07: a default outside graphs", "t ?? 0 => t", Host::Dataflow),
    ] {
        rejected(map_rules(&[rule]), Semantics { host, ..Semantics::default() });
        let _ = case;
    }
}

#[test]
fn rules_that_undo_each_other_are_a_warning() {
    let warnings = |rules: &[&str]| {
        let (_, findings) =
            tidegate_expr::Transform::compile(map_rules(rules), Semantics::default()).unwrap();
        findings.into_iter().map(|f| (f.rule, f.message)).collect::<Vec<_>>()
    };
    for fine in [
        &["* => *", "pin => ∅"][..],
        &["cfg.* => *", "cfg => ∅"],
        &["* => *", "t :: cToF($1) => t"],
        &["a => x", "b => x"],
        &["a => x", "b => x.y"],
        &["a => kind", "* => *"],
        &["a.b => b", "* => o.*"],
    ] {
        assert_eq!(warnings(fine), [], "{fine:?}");
    }
    for (rules, rule, message) in [
        (&["pin => ∅", "* => *"][..], 0, "`pin` is not removed from anything"),
        (&["cfg.* => *", "pin => ∅"], 1, "`pin` is not removed from anything"),
        (&["t :: cToF($1) => t", "* => *"], 0, "rule 2 copies the input over what this rule writes"),
        (
            &["a => x", "s.t :: $1 * 2 => o.t.v", "s.* => o.*.v"],
            1,
            "rule 3 copies the input over what this rule writes",
        ),
        (
            &["a :: $1 => x", "b => x.y"],
            1,
            "this replaces what rule 1 writes: a field is either a value or an object",
        ),
        (
            &["a => x.y", "b => x"],
            1,
            "this replaces what rule 1 writes: a field is either a value or an object",
        ),
    ] {
        assert_eq!(warnings(rules), [(rule, message.to_owned())], "{rules:?}");
    }
}

#[test]
fn l_missing_values() {
    for (case, rule, messages) in [
        (
            "L01",
            "t ? $last => t",
            &[
                (r#"{"t":5}"#, r#"{"t":5}"#),
                ("{}", r#"{"t":5}"#),
                (r#"{"t":7}"#, r#"{"t":7}"#),
                ("{}", r#"{"t":7}"#),
            ][..],
        ),
        ("L02*", "t ? $last => t", &[("{}", "{}")]),
        ("L04", "t ?? 0 => t", &[("{}", r#"{"t":0}"#), (r#"{"t":4}"#, r#"{"t":4}"#), ("{}", r#"{"t":0}"#)]),
        (
            "L05",
            "t ? $last ?? 0 => t",
            &[("{}", r#"{"t":0}"#), (r#"{"t":4}"#, r#"{"t":4}"#), ("{}", r#"{"t":4}"#)],
        ),
        ("L06", r#"s ?? "unknown" => s"#, &[("{}", r#"{"s":"unknown"}"#)]),
        ("L06", "e ?? true => e", &[("{}", r#"{"e":true}"#)]),
        ("L06", "h ?? 98.6 => h", &[("{}", r#"{"h":98.6}"#)]),
        ("L06", "n ?? null :: $1 == () => none", &[("{}", r#"{"none":true}"#)]),
        (
            "L08",
            "a, b :: if($2 == (), $1, $1 + $2) => s",
            &[
                (r#"{"a":1}"#, r#"{"s":1}"#),
                (r#"{"a":1,"b":2}"#, r#"{"s":3}"#),
                (r#"{"a":1,"b":null}"#, r#"{"s":1}"#),
            ],
        ),
        ("L09*", "a, b :: $1 + $2 => s", &[(r#"{"a":1}"#, "failed")]),
        ("L10*", "a => x", &[(r#"{"b":1}"#, "{}"), (r#"{"a":null}"#, r#"{"x":null}"#)]),
        (
            "L11",
            "t ? $last :: $1 > 40 => spike",
            &[(r#"{"t":50}"#, r#"{"spike":true}"#), ("{}", r#"{"spike":true}"#)],
        ),
        // null is missing too, and does not wipe the memory
        (
            "null*",
            "t ? $last => t",
            &[(r#"{"t":5}"#, r#"{"t":5}"#), (r#"{"t":null}"#, r#"{"t":5}"#), ("{}", r#"{"t":5}"#)],
        ),
        (
            "a default is not remembered*",
            "t ? $last ?? 0 => t",
            &[("{}", r#"{"t":0}"#), ("{}", r#"{"t":0}"#)],
        ),
        (
            "objects are remembered",
            "o ? $last => o",
            &[(r#"{"o":{"a":[1]}}"#, r#"{"o":{"a":[1]}}"#), ("{}", r#"{"o":{"a":[1]}}"#)],
        ),
        ("metadata is there", "$metadata.topic ? $last => t", &[("{}", r#"{"t":"plant/a/t1"}"#)]),
    ] {
        check_maps(case, &[rule], messages);
    }
}

#[test]
fn l10_a_missing_input_may_be_an_error() {
    let strict = Semantics { missing: MissingInput::Error, ..graph() };
    for (rule, payload, expected) in [
        ("a => x", r#"{"b":1}"#, "failed"),
        ("a => x", r#"{"a":null}"#, "failed"),
        ("a, b :: if($2 == (), $1, $2) => x", r#"{"a":1}"#, "failed"),
        ("a ?? 0 => x", "{}", r#"{"x":0}"#),
        ("a ?? null => x", "{}", r#"{"x":null}"#),
        ("a => x", r#"{"a":1}"#, r#"{"x":1}"#),
    ] {
        check_maps_with("strict", &[rule], strict, &[(payload, expected)]);
    }
}

#[test]
fn l_a_message_that_fails_still_updates_the_memory() {
    check_maps(
        "*",
        &["t ? $last => t", "f :: 1 / $1 => q"],
        &[(r#"{"t":5,"f":0}"#, "failed"), (r#"{"f":1}"#, r#"{"t":5,"q":1}"#)],
    );
}

#[test]
fn m_metadata_as_input() {
    for (case, rule, expected) in [
        ("M01", "$metadata.topic => origin", r#"{"origin":"plant/a/t1"}"#),
        ("M02", "$metadata.user_property.asset => id", r#"{"id":"p7"}"#),
        ("M02", "$metadata.user_properties.asset => id", r#"{"id":"p7"}"#),
        ("M02", "$metadata.header.asset => id", r#"{"id":"p7"}"#),
        ("M03*", "$metadata.user_property.none => id", "{}"),
        ("M03*", "$metadata.system_property.content_type => type", "{}"),
        (
            "M06",
            r#"$metadata.topic, $metadata.user_property.asset :: $1 + "/" + $2 => k"#,
            r#"{"k":"plant/a/t1/p7"}"#,
        ),
        ("M08", r#"$metadata.user_property."weird key" => k"#, r#"{"k":"w"}"#),
    ] {
        check_maps(case, &[rule], &[("{}", expected)]);
    }
}

#[test]
fn m_metadata_as_output() {
    let passed = |rule: &str, payload: &str| Bench::new(map_rules(&[rule]), graph()).passed(payload);

    let m04 = passed("line => $metadata.user_property.line", r#"{"line":"L3"}"#);
    assert_eq!((text(&m04.payload), m04.properties.user_property("line")), ("{}".into(), Some("L3")));
    assert_eq!(m04.properties.user_property("asset"), Some("p7"), "what no rule names travels on");

    let m05 = r#"t :: if($1 > 90, "alerts", "history") => $metadata.topic"#;
    assert_eq!(passed(m05, r#"{"t":95}"#).topic.as_deref(), Some("alerts"));
    assert_eq!(passed(m05, r#"{"t":20}"#).topic.as_deref(), Some("history"));

    let m07 = passed("[] :: () => $metadata.user_property.asset", "{}");
    assert_eq!(m07.properties.user_property("asset"), None);

    let m10 =
        passed(r#"$metadata.topic :: str::regex_replace($1, "^plant/", "site/") => $metadata.topic"#, "{}");
    assert_eq!(m10.topic.as_deref(), Some("site/a/t1"));

    let number = passed("v => $metadata.user_property.v", r#"{"v":1.50}"#);
    assert_eq!(number.properties.user_property("v"), Some("1.5"));
    let missing = passed("v => $metadata.user_property.asset", "{}");
    assert_eq!(missing.properties.user_property("asset"), Some("p7"));
    let null = passed("v => $metadata.user_property.asset", r#"{"v":null}"#);
    assert_eq!(null.properties.user_property("asset"), None);
    let mut object = Bench::new(map_rules(&["v => $metadata.user_property.v"]), graph());
    assert_eq!(object.result(r#"{"v":{}}"#), "failed");
    assert_eq!(object.result(&format!(r#"{{"v":"{}"}}"#, "x".repeat(70_000))), "failed");
}

#[test]
fn m_a_written_property_replaces_all_of_its_name() {
    let mut bench = Bench::new(map_rules(&[r#"[] :: "new" => $metadata.user_property.k"#]), graph());
    let outcome = bench.outcome_of("{}", "t", &[("k", "1"), ("other", "x"), ("k", "2")]);
    let tidegate_expr::Outcome::Pass(passed) = outcome else { panic!() };
    assert_eq!(passed.properties.user_properties().collect::<Vec<_>>(), [("other", "x"), ("k", "new")]);
}

#[test]
fn outputs_write_over_each_other_and_keep_the_order_of_first_writes() {
    for (rules, expected) in [
        (&["a => x", "b => y", "b => x"][..], r#"{"x":2,"y":2}"#),
        (&["a => x", "b => x.y"], r#"{"x":{"y":2}}"#),
        (&["o => x", "b => x.y"], r#"{"x":{"p":1,"q":{"r":1},"y":2}}"#),
        (&["o => x", "b => x.q.s"], r#"{"x":{"p":1,"q":{"r":1,"s":2}}}"#),
        (&["b => x.y", "o => x"], r#"{"x":{"p":1,"q":{"r":1}}}"#),
        (&["[] :: (1, \"a\", ()) => x"], r#"{"x":[1,"a",null]}"#),
        (&["n :: $1 => x"], r#"{"x":null}"#),
    ] {
        let mut bench = Bench::new(map_rules(rules), graph());
        assert_eq!(bench.result(r#"{"a":1,"b":2,"o":{"p":1,"q":{"r":1}}}"#), expected, "{rules:?}");
    }
}

#[test]
fn copies_keep_the_text_of_numbers() {
    let payload =
        r#"{"a":1.50,"b":123456789012345678901234567890,"c":-0,"d":1e400,"e":1E3,"f":113.30600000000001}"#;
    check_maps("copy", &["* => o.*"], &[]);
    let mut bench = Bench::new(map_rules(&["* => o.*"]), graph());
    assert_eq!(bench.result(payload), format!("{{\"o\":{payload}}}"));
    let computed = |rule: &str| Bench::new(map_rules(&[rule]), graph()).result(payload);
    assert_eq!(computed("f :: $1 + 0 => x"), r#"{"x":113.30600000000001}"#);
    assert_eq!(computed("b :: $1 + 0 => x"), r#"{"x":1.2345678901234568e+29}"#);
    assert_eq!(computed("d :: $1 + 0 => x"), "failed");
    assert_eq!(computed("d :: if(true, 1, $1) => x"), r#"{"x":1}"#, "not read, no error");
}

#[test]
fn what_is_not_changed_is_not_written_anew() {
    let payload = " {\"b\" : 1.0, \"a\":\"\\u00e9\", \"b\": 2}\n";
    for rules in [&["* => *"][..], &["* => *", "a => $metadata.user_property.a"]] {
        let passed = Bench::new(map_rules(rules), graph()).passed(payload);
        assert_eq!(text(&passed.payload), payload, "{rules:?}");
    }
    let changed = Bench::new(map_rules(&["* => *", "c => d"]), graph()).result(payload);
    assert_eq!(changed, payload.trim());
}

#[test]
fn payloads_that_are_no_objects_fail() {
    let mut bench = Bench::new(map_rules(&["* => *"]), graph());
    for payload in ["", "not json", "[1]", "1", "null", "{\"a\":1", "{\"a\":\"\\ud800\"}", "{\"a\":01}"] {
        assert_same(&bench.result(payload), "failed", payload);
    }
    let nested = |n: usize| format!("{}{}", "{\"a\":".repeat(n), "1".to_owned() + &"}".repeat(n));
    assert_eq!(bench.result(&nested(127)), nested(127));
    assert_eq!(bench.result(&nested(128)), "failed");
    assert_eq!(bench.result(&nested(100_000)), "failed");
    // without rules nothing looks into it
    assert_eq!(Bench::new(Rules::default(), graph()).result("not json"), "not json");
}

/// Arrays and objects alike, whether the payload passes as it is or not.
#[test]
fn a_message_may_nest_so_deep_and_no_deeper() {
    let objects = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let arrays = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
    for rules in [&["* => *"][..], &["* => *", "none => none"], &["a => a"]] {
        let mut bench = Bench::new(map_rules(rules), graph());
        for deep in [objects(JSON_DEPTH_MAX), arrays(JSON_DEPTH_MAX)] {
            assert_eq!(bench.result(&deep), deep, "{rules:?}");
        }
        for too_deep in [objects(JSON_DEPTH_MAX + 1), arrays(JSON_DEPTH_MAX + 1), "[".repeat(100_000)] {
            assert_eq!(bench.result(&too_deep), "failed", "{rules:?}");
        }
    }
}
