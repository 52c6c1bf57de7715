//! What holds for all formulas, rules and messages.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tidegate_core::Properties;
use tidegate_expr::{
    Dataset, DatasetRule, Effect, Env, FilterRule, Host, Json, MapRule, Message, Operand, Outcome, Role,
    Rules, Semantics, Specialization, Step, Transform, Transformer, compile, parse_json,
};

use crate::formulas::formula;
use crate::support::{Bench, map_rules, properties_of, same_json};

/// Field names few enough for paths to find something.
fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &["a", "b", "c", "v", "x.y", "he said \"no\"", "", "é"];
    prop::sample::select(NAMES).prop_map(String::from)
}

fn json() -> impl Strategy<Value = Json<'static>> {
    const NUMBERS: &[&str] = &["0", "-0", "1.50", "1e3", "1E-400", "1e400", "123456789012345678901234567890"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|i| Json::Number(i.to_string().into())),
        prop::sample::select(NUMBERS).prop_map(|n| Json::Number(n.into())),
        "\\PC{0,5}|[\u{0}-\u{20}\"\\\\]{0,5}".prop_map(|text| Json::String(text.into())),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            3 => object_of(inner),
        ]
    })
}

fn object_of(value: impl Strategy<Value = Json<'static>>) -> impl Strategy<Value = Json<'static>> {
    prop::collection::vec((name(), value), 0..5).prop_map(|members| {
        Json::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    })
}

pub(crate) fn message() -> impl Strategy<Value = String> {
    object_of(json()).prop_map(|json| json.to_string())
}

fn path() -> impl Strategy<Value = String> {
    const SEGMENTS: &[&str] = &["a", "b", "c", "v", "\"x.y\"", "*", "\"\"", "é"];
    const PREFIXES: &[&str] = &["", "", "", "", "$source.", "$context(d).", "$metadata.user_property."];
    const SUFFIXES: &[&str] = &["", "", "", "", " ? $last", " ?? 1", " ? $last ?? \"x\""];
    let segments = prop::collection::vec(prop::sample::select(SEGMENTS), 1..4);
    (prop::sample::select(PREFIXES), segments, prop::sample::select(SUFFIXES))
        .prop_map(|(prefix, segments, suffix)| format!("{prefix}{}{suffix}", segments.join(".")))
}

fn output() -> impl Strategy<Value = String> {
    const OUTPUTS: &[&str] =
        &["", "*", "o.*", "*.o", "a", "o.a", "o", "$metadata.topic", "$metadata.header.h"];
    prop::sample::select(OUTPUTS).prop_map(String::from)
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let inputs = || prop::collection::vec(path(), 0..3);
    let map = (inputs(), output(), prop::option::of(formula()))
        .prop_map(|(inputs, output, expression)| MapRule { inputs, output, expression, description: None });
    let filter = (inputs(), formula()).prop_map(|(inputs, expression)| FilterRule {
        inputs,
        expression,
        description: None,
    });
    let dataset = DatasetRule {
        key: "d".into(),
        inputs: vec!["$source.a".into(), "$context.a".into()],
        expression: Some("$1 == $2".into()),
    };
    (prop::collection::vec(map, 0..4), prop::collection::vec(filter, 0..2))
        .prop_map(move |(maps, filters)| Rules { datasets: vec![dataset.clone()], filters, maps })
}

/// Leaves out the rules that do not compile.
pub(crate) fn compiled(mut rules: Rules, semantics: Semantics) -> (Transform, Vec<tidegate_expr::Finding>) {
    loop {
        match Transform::compile(rules.clone(), semantics) {
            Ok(compiled) => return compiled,
            Err(findings) => {
                let wrong = findings.iter().find(|f| f.severity == tidegate_core::Severity::Error).unwrap();
                match wrong.stage {
                    tidegate_expr::Stage::Map => drop(rules.maps.remove(wrong.rule)),
                    tidegate_expr::Stage::Filter => drop(rules.filters.remove(wrong.rule)),
                    tidegate_expr::Stage::Datasets => panic!("{wrong}"),
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn evaluating_ends_with_a_value_or_an_error(text in formula(), first in json(), second in json()) {
        let env = Env { inputs: 2, host: Host::Graph, role: Role::Map };
        if let Ok((program, _)) = compile(&text, env) {
            let operands = [Operand::Json(&first), Operand::Json(&second)];
            if let Err(error) = program.eval(&operands) {
                prop_assert!(text.get(error.range).is_some());
            }
            let _ = program.eval(&[]);
        }
    }

    #[test]
    fn a_printed_program_has_the_same_value(text in formula(), first in json(), second in json()) {
        let env = Env { inputs: 2, host: Host::Graph, role: Role::Map };
        if let Ok((program, _)) = compile(&text, env) {
            let (printed, _) = compile(&program.to_string(), env).expect("what was printed");
            let operands = [Operand::Json(&first), Operand::Json(&second)];
            let value = |p: &tidegate_expr::Program| p.eval(&operands).ok().map(|v| format!("{v:?}"));
            prop_assert_eq!(value(&printed), value(&program));
        }
    }

    #[test]
    fn applying_rules_ends_with_json_or_a_reason(
        rules in rules(),
        messages in prop::collection::vec(message(), 1..4),
        records in prop::collection::vec(message(), 0..3),
        graph in any::<bool>(),
        by_output in any::<bool>(),
    ) {
        let semantics = Semantics {
            host: if graph { Host::Graph } else { Host::Dataflow },
            specialization: if by_output { Specialization::ByOutput } else { Specialization::ByInput },
            ..Semantics::default()
        };
        let (transform, _) = compiled(rules, semantics);
        let transform = Arc::new(transform);
        let mut transformer = Transformer::new(transform.clone());
        let (dataset, _) = Dataset::parse(Bytes::from(records.join("\n")));
        transformer.set_dataset("d", &dataset);
        let mut explained = Transformer::new(transform.clone());
        explained.set_dataset("d", &dataset);
        let _ = (transform.filters_in_words(), transform.maps_in_words());
        for payload in messages {
            let payload = Bytes::from(payload);
            let properties = properties_of(&[("a", "1")]);
            let message = Message { payload: &payload, topic: "t", properties: &properties };
            let outcome = transformer.apply(message);
            if let Outcome::Pass(passed) = &outcome {
                prop_assert!(matches!(parse_json(&passed.payload), Ok(Json::Object(_))));
            }
            let (same, steps) = explained.explain(message);
            prop_assert_eq!(same, outcome);
            let _ = steps.iter().map(ToString::to_string).collect::<String>();
        }
    }

    #[test]
    fn json_that_is_printed_is_read_as_it_was(json in json()) {
        let text = json.to_string();
        prop_assert_eq!(parse_json(text.as_bytes()), Ok(json));
    }

    #[test]
    fn what_is_json_is_what_serde_json_says(bytes in json_like()) {
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match (parse_json(&bytes), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert!(same_json(&ours, &parse_json(theirs.to_string().as_bytes()).unwrap())),
            // numbers of any size can be copied
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{}", error),
            (Err(ours), Ok(_)) => prop_assert!(false, "{}", ours),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn all_fields_moved_into_one_are_all_fields(payload in message()) {
        let moved = Bench::new(map_rules(&["* => o.*"]), Semantics::default()).result(&payload);
        let expected = if payload == "{}" { "{}".into() } else { format!("{{\"o\":{payload}}}") };
        prop_assert_eq!(moved, expected);
    }

    #[test]
    fn removing_what_was_read_leaves_the_rest(payload in message()) {
        let all = parse_json(payload.as_bytes()).unwrap();
        let Json::Object(mut rest) = all.clone() else { panic!() };
        rest.shift_remove("a");
        let removed = Bench::new(map_rules(&["* => *", "a => ∅"]), Semantics::default()).result(&payload);
        let rest = Json::Object(rest);
        prop_assert_eq!(removed, rest.to_string());
    }

    #[test]
    fn an_index_finds_the_record_that_a_search_finds(
        records in prop::collection::vec(message(), 0..6),
        payload in message(),
    ) {
        let found = |formula: &str| {
            let dataset = DatasetRule {
                key: "d".into(),
                inputs: vec!["$source.a".into(), "$context.a".into()],
                expression: Some(formula.into()),
            };
            let maps = map_rules(&["$context(d).* => *"]).maps;
            let rules = Rules { datasets: vec![dataset], maps, ..Rules::default() };
            let (transform, _) = Transform::compile(rules, Semantics::default()).unwrap();
            let mut transformer = Transformer::new(Arc::new(transform));
            transformer.set_dataset("d", &Dataset::parse(Bytes::from(records.join("\n"))).0);
            let payload = Bytes::from(payload.clone());
            let properties = Properties::default();
            transformer.apply(Message { payload: &payload, topic: "", properties: &properties })
        };
        prop_assert_eq!(found("$1 == $2"), found("!($1 != $2)"));
    }
}

/// Texts that are JSON, or nearly.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    const BITS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\udc00",
        "\\n",
        "1",
        "-",
        "0",
        ".5",
        "e9",
        "true",
        "null",
        " ",
        "\n",
        "\t",
        "\u{1}",
        "é",
    ];
    let soup =
        prop::collection::vec(prop::sample::select(BITS), 0..10).prop_map(|bits| bits.concat().into_bytes());
    let cut = (message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    prop_oneof![soup, cut, message().prop_map(String::into_bytes)]
}

#[test]
fn steps_say_what_each_rule_did() {
    let rules = Rules {
        datasets: vec![crate::support::dataset_rule("assets as a", "$source.id, $context.id :: $1 == $2")],
        filters: vec![crate::support::filter_rule("t :: $1 > 100")],
        ..map_rules(&[
            "* => *",
            "t :: cToF($1) => tf",
            "pin, cfg.* => ∅",
            "none => x",
            "$context(a).site => site",
            "[] :: \"k\" => $metadata.topic",
        ])
    };
    let mut bench = Bench::new(rules, crate::support::graph()).dataset("assets", "");
    let payload = Bytes::from_static(br#"{"id":"p7","t":10,"pin":1,"cfg":{"x":1}}"#);
    let message = Message { payload: &payload, topic: "x", properties: &Properties::default() };
    let (_, steps) = bench.transformer.explain(message);
    let lines: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "datasets rule 1 (a): no record",
            "filter rule 1: false",
            "map rule 1: id -> id",
            "map rule 1: t replaced by rule 2",
            "map rule 1: pin replaced by rule 3",
            "map rule 1: cfg.x replaced by rule 3",
            "map rule 2: t -> tf",
            "map rule 3: pin, cfg.x removed",
            "map rule 4: none missing, nothing written",
            "map rule 5: $context(a).site skipped, no record in the dataset",
            "map rule 6: -> $metadata.topic",
        ]
    );
    assert!(matches!(&steps[3], Step::Map { effect: Effect::Replaced(1), .. }));
}

#[test]
fn failures_name_the_rule_and_the_part_of_its_formula() {
    let failure =
        |rule: &str, payload: &str| match Bench::new(map_rules(&["a => x", rule]), Semantics::default())
            .outcome(payload)
        {
            Outcome::Failed(failure) => failure.to_string(),
            other => panic!("{other:?}"),
        };
    assert_eq!(
        failure("a, b :: 1 + $1 / $2 => y", r#"{"a":1,"b":0}"#),
        "map rule 2: `a / b`: division by zero"
    );
    assert_eq!(
        failure("a :: $1 * 2 => y", r#"{"a":"x"}"#),
        "map rule 2: `a`: `*` takes a number, and this is a text"
    );
    assert_eq!(failure("a :: $1 * 2 => y", "{}"), "map rule 2: `a`: `*` takes a number, and this is missing");
    let mut described = map_rules(&["a :: 1 / $1 => y"]);
    described.maps[0].description = Some("the inverse".into());
    let Outcome::Failed(failed) = Bench::new(described, Semantics::default()).outcome(r#"{"a":0}"#) else {
        panic!()
    };
    assert_eq!(failed.to_string(), "map rule 1 (the inverse): `1 / a`: division by zero");
    assert_eq!(failure("a => y", "[1]"), "the payload is not a JSON object");
    assert_eq!(failure("a => y", "{\"a\""), "the payload is not JSON: a `:` is missing (byte 4)");
}

#[test]
fn a_formula_as_deep_as_allowed_is_evaluated() {
    let deepest = tidegate_expr::EXPRESSION_DEPTH_MAX - 1;
    let env = Env { inputs: 1, host: Host::Graph, role: Role::Map };
    for formula in [
        vec!["$1"; deepest].join(" + "),
        format!("{}$1{}", "min(1, ".repeat(deepest), ")".repeat(deepest)),
        format!("{}$1{}", "if(true, ".repeat(deepest), ", 2)".repeat(deepest)),
        format!("{}$1", "-".repeat(deepest)),
        format!("{}$1{}", "(1, ".repeat(deepest), ")".repeat(deepest)),
    ] {
        let (program, _) = compile(&formula, env).unwrap();
        let one = Json::Number("1".into());
        assert!(program.eval(&[Operand::Json(&one)]).is_ok(), "{formula}");
        assert_eq!(compile(&program.to_string(), env).unwrap().0, program);
    }
}

#[test]
fn a_transformer_can_move_to_another_thread() {
    fn moves<T: Send + 'static>() {}
    moves::<Transformer>();
}
