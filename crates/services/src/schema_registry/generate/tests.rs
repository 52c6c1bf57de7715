use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema_registry::registry::parse;

fn run(samples: &[&str], format: SchemaFormat, options: &GenerateOptions) -> (Value, Vec<String>) {
    let samples: Vec<Json> = samples.iter().map(|sample| sample.parse().unwrap()).collect();
    let Generated { document, warnings } = generate(&samples, format, options).unwrap();
    (serde_json::from_str(&document).unwrap(), warnings)
}

/// The fields of a Delta document, as `name: type` with `?` for nullable ones and `[type?]` for arrays.
fn fields(document: &Value) -> String {
    fn data_type(value: &Value) -> String {
        match value["type"].as_str() {
            None => value.as_str().unwrap().to_owned(),
            Some("array") => {
                let null = if value["containsNull"] == true { "?" } else { "" };
                format!("[{}{null}]", data_type(&value["elementType"]))
            }
            Some("decimal") => format!("decimal {} {}", value["precision"], value["scale"]),
            _ => format!("{{{}}}", fields(value)),
        }
    }
    fn fields(value: &Value) -> String {
        let field = |field: &Value| {
            let null = if field["nullable"] == true { "?" } else { "" };
            assert_eq!(field["metadata"], json!({}));
            format!("{}: {}{null}", field["name"].as_str().unwrap(), data_type(&field["type"]))
        };
        value["fields"].as_array().unwrap().iter().map(field).collect::<Vec<_>>().join(", ")
    }
    assert_eq!((&document["$schema"], &document["type"]), (&json!("Delta/1.0"), &json!("object")));
    fields(&document["properties"])
}

fn strict() -> GenerateOptions {
    GenerateOptions { all_nullable: false, ..GenerateOptions::default() }
}

fn compat() -> GenerateOptions {
    GenerateOptions { compat: true, ..strict() }
}

#[test]
fn one_sample_gives_its_fields_in_their_order() {
    let sample = r#"{"z": 1, "a": {"c": 2.5, "b": true}, "at": "2026-01-02T03:04:05.678+01:00"}"#;
    let (document, warnings) = run(&[sample], SchemaFormat::Delta, &GenerateOptions::default());
    assert_eq!(fields(&document), "z: integer?, a: {c: double?, b: boolean?}?, at: timestamp?");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn the_document_is_indented_by_two_blanks() {
    let samples = [r#"{"a": []}"#.parse().unwrap()];
    let generated = generate(&samples, SchemaFormat::Delta, &GenerateOptions::default()).unwrap();
    let expected = r#"{
  "$schema": "Delta/1.0",
  "type": "object",
  "properties": {
    "type": "struct",
    "fields": [
      {
        "name": "a",
        "type": {
          "type": "array",
          "elementType": "string",
          "containsNull": true
        },
        "nullable": true,
        "metadata": {}
      }
    ]
  }
}"#;
    assert_eq!(generated.document, expected);
}

#[test]
fn samples_become_one_schema() {
    for (samples, expected, warning) in [
        (&[r#"{"a": 1}"#, r#"{"a": 1.5}"#][..], "a: double", None),
        (&[r#"{"a": 1}"#, r#"{"a": 3000000000}"#], "a: long", None),
        (&[r#"{"a": 5.0}"#], "a: double", None),
        (&[r#"{"a": 1}"#, r#"{"a": null}"#], "a: integer?", None),
        (&[r#"{"a": null}"#, r#"{"a": 1}"#], "a: integer?", None),
        (&[r#"{"a": 1}"#, r#"{"b": true}"#], "a: integer?, b: boolean?", None),
        (&[r#"{"a": 1}"#, "{}", r#"{"a": 2}"#], "a: integer?", None),
        (
            &[r#"{"a": 1}"#, r#"{"a": "x"}"#],
            "a: string",
            Some("`a` is a number in one sample and a string in another"),
        ),
        (
            &[r#"{"a": {"b": 1}}"#, r#"{"a": [1]}"#],
            "a: string",
            Some("`a` is an object in one sample and an array"),
        ),
        (&[r#"{"a": "2026-01-02"}"#, r#"{"a": "today"}"#], "a: string", None),
        (&[r#"{"a": "2026-01-02"}"#, r#"{"a": "2026-01-03"}"#], "a: date", None),
        (&[r#"{"a": "1.25"}"#, r#"{"a": "-100.5"}"#], "a: decimal(5,2)", None),
        (&[r#"{"a": {"b": 1}}"#, r#"{"a": {"c": 2}}"#], "a: {b: integer?, c: integer?}", None),
        (&[r#"{"a": [1, null]}"#], "a: [integer?]", None),
        (&[r#"{"a": [1, 2.5]}"#], "a: [double]", None),
        (&[r#"{"a": [[1], [2.5, null]]}"#], "a: [[double?]]", None),
        (&[r#"{"a": [{"b": 1}, {"b": 2, "c": "x"}]}"#], "a: [{b: integer, c: string?}]", None),
        (
            &[r#"{"a": [1, "x"]}"#],
            "a: [string]",
            Some("`a[]` is a number in one sample and a string in another"),
        ),
        (&[r#"{"a": ["Good", "", "1234"]}"#], "a: [string]", None),
        (&[r#"{"a": null}"#], "a: string?", Some("`a` has no value in any sample: taken for a string")),
        (&[r#"{"a": {}}"#], "a: string", Some("`a` has no fields in any sample: taken for a string")),
        (&[r#"{"a": []}"#], "a: [string]", Some("`a[]` has no value in any sample: taken for a string")),
        (&["{}"], "", Some("there are no fields in any sample")),
        (
            &[r#"{"Ab": 1, "aB": 2}"#],
            "Ab: integer",
            Some("`aB` is left out: it differs from `Ab` only in case"),
        ),
        (&["[1, true]"], "0: integer, 1: boolean", None),
        (&["17"], "", Some("there are no fields in any sample")),
    ] {
        let (document, warnings) = run(samples, SchemaFormat::Delta, &strict());
        assert_eq!(fields(&document), expected, "{samples:?}");
        match warning {
            Some(start) => {
                assert!(warnings.len() == 1 && warnings[0].starts_with(start), "{samples:?}: {warnings:?}")
            }
            None => assert_eq!(warnings, [""; 0], "{samples:?}"),
        }
    }
}

#[test]
fn base64_is_guessed_and_status_codes_are_added_when_asked_for() {
    let options = GenerateOptions { guess_binary: true, status_code: true, ..strict() };
    let sample = r#"{"raw": "AAEC", "t": {"v": 1, "StatusCode": {"Code": 0}}, "u": {"v": 1}, "x": 1}"#;
    let (document, _) = run(&[sample], SchemaFormat::Delta, &options);
    assert_eq!(
        fields(&document),
        "raw: binary, t: {v: integer, StatusCode: {Code: integer}}, \
         u: {v: integer, StatusCode: {Code: integer?, Symbol: string?}?}, x: integer"
    );
}

#[test]
fn json_schemas_say_what_the_samples_say() {
    let samples =
        [r#"{"a": 1, "b": null, "c": [], "d": [{"e": 1}, {"e": 1.5}]}"#, r#"{"a": 2, "b": "x", "f": true}"#];
    let (document, warnings) = run(&samples, SchemaFormat::JsonSchema, &strict());
    assert_eq!(
        document,
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "name": "DefaultName",
            "description": "A representation of an object",
            "type": "object",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": ["string", "null"]},
                "c": {"type": ["array", "null"]},
                "d": {
                    "type": ["array", "null"],
                    "items": {"type": "object", "properties": {"e": {"type": "number"}}, "required": ["e"]},
                },
                "f": {"type": ["boolean", "null"]},
            },
            "required": ["a"],
        })
    );
    assert_eq!(warnings, [""; 0]);
    let (document, _) = run(&samples, SchemaFormat::JsonSchema, &GenerateOptions::default());
    assert_eq!(document.get("required"), None);
    let (document, warnings) = run(&["[1]"], SchemaFormat::JsonSchema, &GenerateOptions::default());
    assert_eq!(document["type"], "array");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn nothing_comes_of_nothing() {
    let options = GenerateOptions::default();
    assert_eq!(generate(&[], SchemaFormat::Delta, &options), Err(GenerateError::NoSample));
    assert_eq!(generate(&[Json::Null], SchemaFormat::Delta, &options), Err(GenerateError::Null));
    let two = [r#"{"a": 1}"#.parse().unwrap(), r#"{"a": 1}"#.parse().unwrap()];
    assert_eq!(generate(&two, SchemaFormat::Delta, &compat()), Err(GenerateError::OneSample));
}

#[test]
fn the_helpers_delta_types_come_with_all_their_consequences() {
    for (value, expected) in [
        ("null", "null?"),
        ("true", "boolean"),
        ("5", "integer"),
        ("5.0", "integer"),
        ("-2147483648", "integer"),
        ("2147483648", "long"),
        ("1e300", "long"),
        ("5.5", "double"),
        (r#""2026-01-02""#, "date"),
        (r#""2026-99-99""#, "date"),
        (r#""2026-01-02T03:04:05""#, "timestamp"),
        (r#""2026-01-02T03:04:05.6789Z""#, "timestamp"),
        (r#""2026-01-02T03:04:05+00:00""#, "string"),
        (r#""2026-01-02T03:04:05.Z""#, "string"),
        (r#""""#, "binary"),
        (r#""Good""#, "binary"),
        (r#""1234""#, "binary"),
        (r#""Bad""#, "string"),
        (r#""QQ==""#, "binary"),
        (r#""QR==""#, "string"),
        (r#""-12.50""#, "decimal 4 2"),
        (r#""12.""#, "string"),
        (r#""hello world""#, "string"),
        ("[]", "[string]"),
        ("[1, 2]", "[integer]"),
        ("[1, null]", "[string?]"),
        ("[null]", "[null?]"),
        ("[1, 2.5]", "[string]"),
        (r#"[{"a": 1}]"#, "[struct]"),
        (r#"[{"a": 1}, {"b": 2}]"#, "[struct]"),
        ("[[1]]", "[[integer]]"),
        ("[[1], [1]]", "[string]"),
        (r#"["1.5"]"#, "[decimal 2 1]"),
        (r#"["1.5", "2.5"]"#, "[string]"),
        (r#"{"b": {"c": 1}}"#, "{b: {c: integer}}"),
    ] {
        let (document, warnings) = run(&[&format!(r#"{{"a": {value}}}"#)], SchemaFormat::Delta, &compat());
        assert_eq!(fields(&document), format!("a: {expected}"), "{value}");
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn the_helpers_options_and_top_levels_are_its_own() {
    let nullable = GenerateOptions { all_nullable: true, ..compat() };
    let (document, _) = run(&[r#"{"a": {"b": [1]}}"#], SchemaFormat::Delta, &nullable);
    assert_eq!(fields(&document), "a: {b: [integer]?}?");

    let status = GenerateOptions { status_code: true, ..compat() };
    let sample = r#"{"t": {"v": 1, "StatusCode": {"Code": 0}}, "u": {}, "x": [{"y": 1}]}"#;
    let (document, _) = run(&[sample], SchemaFormat::Delta, &status);
    let added = "StatusCode: {Code: integer?, Symbol: string?}?";
    let expected =
        format!("t: {{v: integer, StatusCode: {{Code: integer, {added}}}}}, u: {{{added}}}, x: [struct]");
    assert_eq!(fields(&document), expected);

    for (sample, expected) in [("[1, true]", "0: integer, 1: boolean"), ("17", ""), ("{}", "")] {
        assert_eq!(fields(&run(&[sample], SchemaFormat::Delta, &compat()).0), expected, "{sample}");
    }
    assert_eq!(generate(&[Json::Null], SchemaFormat::Delta, &compat()), Err(GenerateError::Null));
}

#[test]
fn the_helpers_json_schemas_come_with_all_their_consequences() {
    for (sample, expected) in [
        (
            r#"{"a": 1, "b": null, "c": 5.0, "d": 5.5, "e": "x", "f": true}"#,
            json!({"type": "object", "required": ["a", "c", "d", "e", "f"], "properties": {
                "a": {"type": "integer"}, "b": {"type": "null"}, "c": {"type": "integer"}, "d": {"type": "number"},
                "e": {"type": "string"}, "f": {"type": "boolean"}}}),
        ),
        (r#"{"a": null}"#, json!({"type": "object", "properties": {"a": {"type": "null"}}})),
        ("[7]", json!({"type": "array", "items": {"type": "integer"}})),
        ("[7, 7]", json!({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "integer"}]}})),
        ("[]", json!({"type": "array", "items": {"anyOf": []}})),
        ("null", json!({"type": "null"})),
        (r#""x""#, json!({"type": "string"})),
    ] {
        let (mut document, _) = run(&[sample], SchemaFormat::JsonSchema, &compat());
        for (key, value) in [
            ("$schema", "http://json-schema.org/draft-07/schema#"),
            ("name", "DefaultName"),
            ("description", "A representation of an object"),
        ] {
            assert_eq!(document.as_object_mut().unwrap().remove(key).unwrap(), value);
        }
        assert_eq!(document, expected, "{sample}");
    }
    let nullable = GenerateOptions { all_nullable: true, ..compat() };
    let (document, _) = run(&[r#"{"a": {"b": 1}}"#], SchemaFormat::JsonSchema, &nullable);
    assert!(document.get("required").is_none() && document["properties"]["a"].get("required").is_none());
}

#[test]
fn of_a_repeated_key_the_last_value_counts_in_the_first_place() {
    let (document, _) = run(&[r#"{"a": 1, "b": 2, "a": true}"#], SchemaFormat::Delta, &strict());
    assert_eq!(fields(&document), "a: boolean, b: integer");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|n| Json::Number(n.into())),
        (-10..10i64).prop_map(|n| Json::Number(n.into())),
        any::<i32>().prop_map(|n| Json::Number(serde_json::Number::from_f64(f64::from(n) / 4.0).unwrap())),
        prop::sample::select(vec!["", "Good", "2026-01-02", "2026-01-02T03:04:05Z", "1.5", "x\n"])
            .prop_map(|text| Json::String(text.into())),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::vec(("[aA]b?|", inner), 0..4).prop_map(|members| {
                let members: indexmap::IndexMap<_, _> = members.into_iter().collect();
                Json::Object(members.into_iter().collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_generated_is_a_schema_the_registry_takes(
        samples in proptest::collection::vec(any_json(), 1..4),
        all_nullable in any::<bool>(),
        guess_binary in any::<bool>(),
        status_code in any::<bool>(),
    ) {
        let options = GenerateOptions { all_nullable, guess_binary, status_code, ..GenerateOptions::default() };
        let objects: Vec<_> = samples.iter().map(Json::to_object).collect();
        for format in [SchemaFormat::Delta, SchemaFormat::JsonSchema] {
            let generated = generate(&objects, format, &options).unwrap();
            prop_assert!(!generated.document.contains(r#""type": "null""#));
            prop_assert_eq!(parse(&generated.document).unwrap().format(), format);
            let _ = generate(&samples, format, &options);
            let _ = generate(&samples[..1], format, &GenerateOptions { compat: true, ..options.clone() });
        }
    }

    #[test]
    fn the_order_of_samples_changes_the_order_of_fields_at_most(
        samples in proptest::collection::vec(any_json(), 2..4),
    ) {
        let types = |samples: &[Json]| {
            let samples: Vec<_> = samples.iter().map(Json::to_object).collect();
            let generated = generate(&samples, SchemaFormat::JsonSchema, &strict()).unwrap();
            serde_json::from_str::<Value>(&generated.document).unwrap()["properties"].clone()
        };
        let sorted = |mut value: Value| {
            fn sort(value: &mut Value) {
                match value {
                    Value::Array(elements) => {
                        elements.sort_by_key(ToString::to_string);
                        elements.iter_mut().for_each(sort);
                    }
                    Value::Object(members) => members.values_mut().for_each(sort),
                    _ => {}
                }
            }
            sort(&mut value);
            value
        };
        let mut reversed = samples.clone();
        reversed.reverse();
        prop_assert_eq!(sorted(types(&samples)), sorted(types(&reversed)));
    }

    #[test]
    fn json_read_is_json_written(value in any_json()) {
        let read: Json = value.pretty().parse().unwrap();
        prop_assert_eq!(read, value);
    }
}
