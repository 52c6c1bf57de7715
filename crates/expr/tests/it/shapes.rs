//! What is known of messages before there are any.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tidegate_expr::{
    Dataset, Host, Json, MapRule, Message, Missing, MissingInput, Outcome, Rules, Semantics, Shape,
    Specialization, Transform, Transformer, Witnesses, parse_json,
};

use crate::laws::{compiled, message, rules};
use crate::support::{filter_rule, map_rules, properties_of};

fn shape(schema: &str) -> Shape {
    Shape::of_json_schema(&parse_json(schema.as_bytes()).unwrap())
}

fn inferred(rules: Rules, schema: &str) -> Shape {
    Transform::compile(rules, Semantics::default()).unwrap().0.infer(&shape(schema)).payload
}

/// What can be at a path, tried by one value of each kind: `missing null int`.
fn kinds(shape: &Shape, path: &str) -> String {
    let field = shape.field(path.split('.'));
    let mut kinds = match field.missing {
        Missing::Never => "",
        Missing::Possible => "missing ",
        Missing::Unknown => "unknown ",
    }
    .to_owned();
    if field.shape.is_unknown() {
        return kinds + "anything";
    }
    for (name, value) in [
        ("null", "null"),
        ("boolean", "true"),
        ("int", "7"),
        ("float", "21.5"),
        ("string", "\"text\""),
        ("array", "[]"),
        ("object", "{}"),
    ] {
        if field.shape.allows(&parse_json(value.as_bytes()).unwrap()) {
            kinds += &format!("{name} ");
        }
    }
    kinds.trim_end().into()
}

const PRESS: &str = r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
    "properties": {
        "machine": {"type": "string"},
        "force": {"type": ["number", "null"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 5000000000},
        "grade": {"enum": ["A", "B", null]},
        "oil": {"type": "object", "properties": {"temp": {"type": "number"}, "colour": {"type": "string"}},
                "required": ["temp"], "additionalProperties": false},
        "tags": {"type": "array", "items": {"type": "string"}},
        "odd": {"anyOf": [{"type": "string"}]}
    },
    "required": ["machine", "force", "oil"], "additionalProperties": false}"#;

#[test]
fn a_schema_says_what_may_come_in() {
    let press = shape(PRESS);
    let cases = [
        ("machine", "string"),
        ("force", "null int float"),
        ("count", "missing int"),
        ("oil", ""),
        ("oil.temp", "int float"),
        ("oil.colour", "missing string"),
        ("oil.other", "missing"),
        ("tags", "missing array"),
        ("odd", "missing anything"),
        ("odd.inner", "unknown anything"),
        ("machine.inner", "missing"),
    ];
    for (path, expected) in cases {
        assert_eq!(kinds(&press, path), expected, "{path}");
    }
    assert!(
        press.allows(&parse_json(br#"{"machine":"m","force":null,"oil":{"temp":1},"grade":"A"}"#).unwrap())
    );
    assert!(!press.allows(&parse_json(br#"{"machine":"m","force":null,"oil":{}}"#).unwrap()));
    assert!(!press.allows(&parse_json(br#"{"machine":"m","force":null,"oil":{"temp":1},"x":1}"#).unwrap()));
}

#[test]
fn keywords_that_are_not_understood_leave_everything_open() {
    for schema in [
        "true",
        r#"{"type": "object", "patternProperties": {}}"#,
        r#"{"type": "string", "not": {"const": "a"}}"#,
        r##"{"$ref": "#/definitions/a"}"##,
        r#"{"properties": {}}"#,
        r#"{"type": "object", "required": "a"}"#,
        r#"{"enum": [1], "minimum": 2}"#,
    ] {
        assert_eq!(shape(schema), Shape::Unknown, "{schema}");
    }
}

#[test]
fn rules_say_what_goes_out() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let cases: &[Case<'_>] = &[
        (&[], &[("machine", "string"), ("oil.colour", "missing string")]),
        (&["* => *"], &[("force", "null int float"), ("oil.temp", "int float"), ("x", "missing")]),
        (&["* => Press.*"], &[("Press.oil.colour", "missing string"), ("machine", "missing")]),
        (&["oil.* => *"], &[("temp", "int float"), ("colour", "missing string")]),
        (&["machine => id", "count => n"], &[("id", "string"), ("n", "missing int"), ("count", "missing")]),
        (&["count :: $1 + 1 => n"], &[("n", "int")]),
        (&["count :: $1 + \"!\" => n"], &[("n", "string")]),
        (&["count :: $1 / 2.0 => n"], &[("n", "float")]),
        (&["count :: if($1 == (), \"none\", $1) => n"], &[("n", "null int string")]),
        (&["machine, count :: ($1, $2) => pair"], &[("pair", "array")]),
        (&["* => *", "force :: cToF($1) => force"], &[("force", "float"), ("machine", "string")]),
        (&["* => *", "machine => id"], &[("machine", "missing"), ("id", "string")]),
        (&["* => *", "oil => ∅"], &[("oil", "missing"), ("machine", "string")]),
        // the second takes the place of the first if there is a colour
        (&["* => *", "*.temp, *.colour :: $1 => *.x"], &[("oil.temp", "unknown int float")]),
        (&["force => a", "count => a"], &[("a", "null int float")]),
        (&["machine => oil.temp", "oil.temp => oil"], &[("oil", "int float"), ("oil.temp", "missing")]),
        (
            &["$metadata.topic => t", "$metadata.user_property.u => u"],
            &[("t", "string"), ("u", "unknown anything")],
        ),
        (&["odd => a", "odd :: str::from($1) => b"], &[("a", "missing anything"), ("b", "anything")]),
        (&["count ? $last => a"], &[("a", "missing int")]),
    ];
    for (rules, fields) in cases {
        let out = inferred(map_rules(rules), PRESS);
        for (path, expected) in *fields {
            assert_eq!(kinds(&out, path), *expected, "{rules:?} {path}");
        }
    }
}

#[test]
fn what_passes_a_filter_has_what_the_filter_reads() {
    let cases = [
        ("count :: $1 > 3", "count", "int"),
        ("force :: $1 > 3", "force", "int float"),
        ("force :: $1 > 3 && true", "force", "int float"),
        ("grade :: $1 == \"A\"", "grade", "string"),
        ("grade :: $1 < \"B\"", "oil.colour", "missing string"),
        ("oil.colour :: len($1) > 3", "oil.colour", "string"),
        ("force ? $last :: $1 > 3", "force", "null int float"),
    ];
    for (filter, path, expected) in cases {
        let rules = Rules { filters: vec![filter_rule(filter)], ..map_rules(&["* => *"]) };
        assert_eq!(kinds(&inferred(rules, PRESS), path), expected, "{filter}");
    }
}

#[test]
fn witnesses_are_of_the_shape_and_pass() {
    let rules = Rules { filters: vec![filter_rule("force :: $1 < 500")], ..map_rules(&["* => *"]) };
    let (transform, _) = Transform::compile(rules, Semantics::default()).unwrap();
    let witnesses = Witnesses::of(&Arc::new(transform), &shape(PRESS));
    let found = witnesses.find(|_| true).unwrap();
    assert_eq!(found.message, found.payload);
    assert_eq!(found.message.to_string(), r#"{"machine":"text","force":1000.5,"oil":{"temp":1000.5}}"#);
    let press = shape(PRESS);
    assert!(witnesses.find(|witness| !press.allows(&witness.message)).is_none());
    for wanted in [r#""count":5000000000"#, r#""colour""#, r#""grade":"B""#, r#""tags":[]"#] {
        assert!(witnesses.find(|w| w.message.to_string().contains(wanted)).is_some(), "{wanted}");
    }
}

#[derive(Clone, Debug)]
enum Spec {
    Any,
    Scalars(Vec<&'static str>),
    Array(Box<Spec>),
    Object { fields: Vec<(&'static str, Spec, bool)>, open: bool, or_text: bool },
}

fn spec() -> impl Strategy<Value = Spec> {
    const TYPES: &[&str] = &["null", "boolean", "integer", "number", "string"];
    let leaf = prop_oneof![
        1 => Just(Spec::Any),
        5 => prop::sample::subsequence(TYPES, 1..3).prop_map(Spec::Scalars),
    ];
    let inner = leaf.prop_recursive(
        3,
        20,
        4,
        |inner| prop_oneof![1 => inner.clone().prop_map(|s| Spec::Array(Box::new(s))), 3 => object(inner)],
    );
    object(inner)
}

fn object(inner: impl Strategy<Value = Spec>) -> impl Strategy<Value = Spec> {
    const NAMES: &[&str] = &["a", "b", "c", "v", "x.y", "o"];
    let fields = prop::sample::subsequence(NAMES, 0..5)
        .prop_flat_map(|names| (Just(names.clone()), prop::collection::vec(any::<bool>(), names.len())));
    let fields = (fields, prop::collection::vec(inner, 5));
    (fields, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(((names, required), specs), open, or_text)| {
            let fields = names.into_iter().zip(specs).zip(required);
            Spec::Object {
                fields: fields.map(|((name, spec), required)| (name, spec, required)).collect(),
                open,
                or_text,
            }
        },
    )
}

impl Spec {
    fn schema(&self) -> String {
        match self {
            Spec::Any => "{}".into(),
            Spec::Scalars(types) => format!(r#"{{"type":{types:?}}}"#),
            Spec::Array(items) => format!(r#"{{"type":"array","items":{}}}"#, items.schema()),
            Spec::Object { fields, open, or_text } => {
                let types = if *or_text { r#"["object","string"]"# } else { r#""object""# };
                let properties: Vec<_> =
                    fields.iter().map(|(name, spec, _)| format!("{name:?}:{}", spec.schema())).collect();
                let required: Vec<_> = fields.iter().filter(|f| f.2).map(|f| f.0).collect();
                format!(
                    r#"{{"type":{types},"properties":{{{}}},"required":{required:?},"additionalProperties":{open}}}"#,
                    properties.join(","),
                )
            }
        }
    }

    /// A value, as the choices have it.
    fn value(
        &self,
        choices: &mut dyn Iterator<Item = usize>,
        others: &Json<'static>,
        outermost: bool,
    ) -> String {
        let mut choose = |n: usize| choices.next().unwrap_or(0) % n;
        match self {
            Spec::Any => others.to_string(),
            Spec::Scalars(types) => match types[choose(types.len())] {
                "null" => "null".into(),
                "boolean" => (choose(2) == 0).to_string(),
                "integer" => ["0", "7", "-3", "1000"][choose(4)].into(),
                "number" => ["0", "7.5", "-3e2", "1000", "1e400"][choose(5)].into(),
                _ => ["\"\"", "\"a\"", "\"text\""][choose(3)].into(),
            },
            Spec::Array(items) => {
                let items: Vec<_> = (0..choose(3)).map(|_| items.value(choices, others, false)).collect();
                format!("[{}]", items.join(","))
            }
            Spec::Object { fields, open, or_text } => {
                if *or_text && !outermost && choose(2) == 0 {
                    return "\"text\"".into();
                }
                let with_others = *open && choose(2) == 0;
                let mut members = Vec::new();
                for (name, spec, required) in fields {
                    if *required || choices.next().is_none_or(|choice| choice % 2 == 0) {
                        members.push(format!("{name:?}:{}", spec.value(choices, others, false)));
                    }
                }
                if with_others && let Json::Object(others) = others {
                    let undeclared = others.iter().filter(|(name, _)| fields.iter().all(|f| f.0 != &***name));
                    members.extend(
                        undeclared.map(|(name, value)| format!("{}:{value}", Json::String(name.clone()))),
                    );
                }
                format!("{{{}}}", members.join(","))
            }
        }
    }
}

/// Rules that move fields about, and hence replace each other.
fn moves() -> impl Strategy<Value = Rules> {
    const INPUTS: &[&str] = &["*", "*", "a", "b", "a.b", "a.*", "b.*", "*.v", "*.a", "o.*", "* ? $last"];
    const OUTPUTS: &[&str] = &["*", "*", "", "a", "a.b", "o.*", "a.*", "*.v"];
    let inputs = prop::collection::vec(prop::sample::select(INPUTS), 1..3);
    let rule = (inputs, prop::sample::select(OUTPUTS)).prop_map(|(inputs, output)| MapRule {
        expression: (inputs.len() > 1 && !output.is_empty()).then(|| "if($1 == (), $2, $1)".to_owned()),
        inputs: inputs.into_iter().map(String::from).collect(),
        output: output.into(),
        description: None,
    });
    prop::collection::vec(rule, 1..5).prop_map(|maps| Rules { maps, ..Rules::default() })
}

proptest! {
    #[test]
    fn what_comes_out_is_of_the_shape_that_was_inferred(
        rules in prop_oneof![rules(), moves()],
        spec in spec(),
        inputs in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), message()), 1..4),
        records in prop::collection::vec(message(), 0..3),
        graph in any::<bool>(),
        by_output in any::<bool>(),
        strict in any::<bool>(),
    ) {
        let semantics = Semantics {
            host: if graph { Host::Graph } else { Host::Dataflow },
            specialization: if by_output { Specialization::ByOutput } else { Specialization::ByInput },
            missing: if strict { MissingInput::Error } else { MissingInput::Empty },
            ..Semantics::default()
        };
        let schema = spec.schema();
        let input = shape(&schema);
        let (transform, _) = compiled(rules, semantics);
        let output = transform.infer(&input).payload;
        let mut transformer = Transformer::new(Arc::new(transform));
        let (dataset, _) = Dataset::parse(Bytes::from(records.join("\n")));
        transformer.set_dataset("d", &dataset);
        for (choices, others) in inputs {
            let others = parse_json(others.as_bytes()).unwrap().into_owned();
            let payload = spec.value(&mut choices.into_iter().map(usize::from), &others, true);
            prop_assert!(input.allows(&parse_json(payload.as_bytes()).unwrap()), "{payload} is not of {schema}");
            let (bytes, properties) = (Bytes::from(payload.clone()), properties_of(&[("a", "1")]));
            let outcome = transformer.apply(Message { payload: &bytes, topic: "t", properties: &properties });
            if let Outcome::Pass(passed) = outcome {
                let out = parse_json(&passed.payload).unwrap();
                prop_assert!(output.allows(&out), "{schema}\n{payload}\n{out}\n{output:#?}");
            }
        }
    }

    #[test]
    fn samples_are_of_their_common_shape(samples in prop::collection::vec(message(), 1..5)) {
        let samples: Vec<Json<'_>> = samples.iter().map(|s| parse_json(s.as_bytes()).unwrap()).collect();
        let shape = Shape::of_samples(&samples).unwrap();
        for sample in &samples {
            prop_assert!(shape.allows(sample));
        }
    }
}
