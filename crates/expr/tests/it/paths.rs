//! How paths, inputs and outputs are written.

use proptest::prelude::*;
use tidegate_expr::{
    Host, Literal, Metadata, Output, PATH_SEGMENTS_MAX, Path, Segment, parse_input, parse_output, parse_path,
};

/// The segments of a path, `*` for a wildcard.
fn segments(text: &str) -> Vec<String> {
    let path = parse_path(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let fields = path.fields().unwrap_or_else(|| panic!("{text} is metadata"));
    fields
        .segments()
        .iter()
        .map(|s| match s {
            Segment::Name(name) => name.clone(),
            Segment::Wildcard => "*".into(),
        })
        .collect()
}

fn metadata(text: &str) -> Metadata {
    match parse_path(text) {
        Ok(Path::Metadata(metadata)) => metadata,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_dot_separates_and_a_leading_quote_protects() {
    for (text, expected) in [
        ("a.b", &["a", "b"][..]),
        (r#"Payload."Tag.10".Value"#, &["Payload", "Tag.10", "Value"]),
        (r#""a"."b""#, &["a", "b"]),
        ("Person.Date of Birth", &["Person", "Date of Birth"]),
        (":Person:.:name:", &[":Person:", ":name:"]),
        ("100 celsius.hot", &["100 celsius", "hot"]),
        (r#"Payload.He said: "Hello", and waved"#, &["Payload", r#"He said: "Hello", and waved"#]),
        // P06: a quote that is not first is an ordinary character, and the dot behind it separates
        (r#"log.Op said: "Wait. Now go""#, &["log", r#"Op said: "Wait"#, r#" Now go""#]),
        ("tags[0]", &["tags[0]"]),
        (r#""".x"#, &["", "x"]),
        (r#"a."*""#, &["a", "*"]),
        ("$source.a", &["a"]),
        ("$source.$source", &["$source"]),
        (r#""$source".a"#, &["$source", "a"]),
        ("$sources.a", &["$sources", "a"]),
        (" a ", &[" a "]),
    ] {
        assert_eq!(segments(text), expected, "{text}");
    }
}

#[test]
fn prefixes_name_the_dataset_and_the_metadata() {
    let Ok(Path::Dataset { name, fields }) = parse_path("$context(assets.line7).cfg.*") else { panic!() };
    assert_eq!((name.as_str(), fields.wildcard()), ("assets.line7", Some(1)));
    assert!(matches!(parse_path("$context.id"), Ok(Path::Context(_))));
    assert_eq!(metadata("$metadata.topic"), Metadata::Topic);
    assert_eq!(metadata("$metadata.user_property.asset"), Metadata::UserProperty("asset".into()));
    assert_eq!(metadata("$metadata.user_properties.asset"), Metadata::UserProperty("asset".into()));
    assert_eq!(
        metadata(r#"$metadata.user_property."weird key""#),
        Metadata::UserProperty("weird key".into())
    );
    assert_eq!(metadata("$metadata.user_property.a.b"), Metadata::UserProperty("a.b".into()));
    assert_eq!(metadata(r#"$metadata.header."a..b""#), Metadata::Header("a..b".into()));
    assert_eq!(metadata("$metadata.system_property.content_type"), Metadata::ContentType);
}

#[test]
fn mistakes_in_paths_are_pointed_at() {
    for (text, marked) in [
        ("", ""),
        ("a..b", ".."),
        (".a", "."),
        ("a.", "."),
        (r#"a."b"#, r#""b"#),
        (r#"a."b"c.d"#, "c.d"),
        ("Sens*", "Sens*"),
        ("*.a.*", "*"),
        ("$source", "$source"),
        ("$context(a)", "$context(a)"),
        ("$context(a", "$context(a"),
        ("$context().a", "()"),
        ("$metadata.topics", "topics"),
        ("$metadata.topic.1", "topic.1"),
        ("$metadata.user_property", "user_property"),
        ("$metadata.user_property.*", "*"),
        ("$metadata.system_property.qos", "qos"),
    ] {
        let error = parse_path(text).expect_err(text);
        assert_eq!(&text[error.range.clone()], marked, "{text}: {error}");
    }
    let deep = vec!["a"; PATH_SEGMENTS_MAX + 1].join(".");
    assert!(parse_path(&deep).is_err());
    assert!(parse_path(&deep[2..]).is_ok());
}

#[test]
fn a_misspelt_prefix_is_a_field_and_a_warning() {
    let (input, warnings) = parse_input("$metdata.topic", Host::Dataflow).unwrap();
    assert!(matches!(input.path, Path::Source(_)));
    assert_eq!(warnings[0].help.as_deref(), Some("did you mean `$metadata`?"));
    let error = parse_path("$metadata.user_propery.x").unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean `$metadata.user_property`?"));
}

/// L03 among others.
#[test]
fn suffixes_are_read_from_the_right_end() {
    let input = |text: &str| {
        let (input, _) = parse_input(text, Host::Graph).unwrap_or_else(|e| panic!("{text}: {e}"));
        (input.path.to_string(), input.last, input.default)
    };
    for text in ["t ? $last", "t?$LAST", "t  ?   $last", "t ?$Last  "] {
        assert_eq!(input(text), ("t".into(), true, None), "{text}");
    }
    for (text, default) in [
        ("t ?? 0", Literal::Int(0)),
        ("t ?? -5", Literal::Int(-5)),
        ("t ?? -9223372036854775808", Literal::Int(i64::MIN)),
        ("t??98.6", Literal::Float(98.6)),
        ("t ?? -1.5e3", Literal::Float(-1500.0)),
        (r#"t ?? "unknown""#, Literal::String("unknown".into())),
        (r#"t ?? "is it? ?? \"no\"""#, Literal::String(r#"is it? ?? "no""#.into())),
        ("t ?? true", Literal::Bool(true)),
        ("t ?? null", Literal::Empty),
    ] {
        assert_eq!(input(text), ("t".into(), false, Some(default)), "{text}");
    }
    assert_eq!(input("t ? $last ?? 0"), ("t".into(), true, Some(Literal::Int(0))));
    assert_eq!(input("what?.now?"), (r#""what?"."now?""#.into(), false, None));
    assert_eq!(input(r#""t ? $last""#), (r#""t ? $last""#.into(), false, None));
    assert_eq!(input(r#""why?? now".x"#), (r#""why?? now".x"#.into(), false, None));
    assert_eq!(input("$metadata.topic ? $last"), ("$metadata.topic".into(), true, None));
}

/// A name in quotes may hold what looks like the beginning of a suffix, with what looks like its literal behind it; and
/// a space at its end, which belongs to no suffix.
#[test]
fn a_suffix_begins_outside_quotes() {
    for (text, names, printed) in [
        (r#"a??.$last""#, &["a??", r#"$last""#][..], r#""a??".$last""#),
        (r#""a??".x""#, &["a??", r#"x""#], r#""a??".x""#),
        (r#"$context(d ?? ").b""#, &[r#"b""#], r#"$context(d ?? ").b""#),
        (r#"@"a??".x""#, &["a??", r#"x""#], r#""a??".x""#),
        (r#""a " ? $last"#, &["a "], r#""a " ? $last"#),
        (r#""?" ?? 1.5"#, &["?"], r#""?" ?? 1.5"#),
        (r#""a??".b ?? ".c""#, &["a??", "b"], r#""a??".b ?? ".c""#),
    ] {
        let (input, _) = parse_input(text, Host::Graph).unwrap_or_else(|e| panic!("{text}: {e}"));
        let names: Vec<_> = names.iter().map(|name| Segment::Name((*name).into())).collect();
        assert_eq!(input.path.fields().expect("not metadata").segments(), names, "{text}");
        assert_eq!(input.to_string(), printed, "{text}");
        assert_eq!(parse_input(printed, Host::Graph).expect(printed).0, input);
    }
}

#[test]
fn a_suffix_gone_wrong_is_not_taken_for_a_name() {
    for (text, marked) in [
        ("t ?? zero", "?? zero"),
        ("t ?? 'x'", "?? 'x'"),
        ("t ??", "??"),
        ("t ?? 1e999", "?? 1e999"),
        ("t ? $lst", "? $lst"),
        ("t ?? 0 ? $last", "?? 0"),
        ("t ? $last ? $last", "? $last"),
        ("t ?? $last", "?? $last"),
        ("t ?? 1 ?? 2", "?? 1"),
    ] {
        let error = parse_input(text, Host::Graph).expect_err(text);
        assert_eq!(&text[error.range.clone()], marked, "{text}");
    }
    // L07: only graphs have defaults
    let error = parse_input("t ?? 0", Host::Dataflow).unwrap_err();
    assert_eq!(error.range, 1..6);
}

#[test]
fn outputs_are_fields_or_metadata_or_nothing() {
    let output = |text: &str| parse_output(text, Host::Graph).map(|(output, _)| output);
    assert_eq!(output(""), Ok(Output::Remove));
    assert!(matches!(output("a.*"), Ok(Output::Field(_))));
    assert_eq!(output("$metadata.topic"), Ok(Output::Metadata(Metadata::Topic)));
    assert_eq!(parse_output("$metadata.topic", Host::Dataflow).unwrap().1.len(), 1);
    for text in ["$source.a", "$context.a", "$context(x).a", "$metadata.system_property.content_type", "a..b"]
    {
        assert!(output(text).is_err(), "{text}");
    }
}

#[test]
fn the_portals_at_sign_is_dropped_with_a_warning() {
    let (input, warnings) = parse_input(r#"@"Tag 10".Value"#, Host::Dataflow).unwrap();
    assert_eq!((input.path.to_string().as_str(), warnings.len()), ("Tag 10.Value", 1));
    let (input, warnings) = parse_input("@timestamp", Host::Dataflow).unwrap();
    assert_eq!((input.path.to_string().as_str(), warnings.len()), ("@timestamp", 0));
}

/// Texts made of what matters to the parsers.
fn path_like() -> impl Strategy<Value = String> {
    const BITS: &[&str] = &[
        "a",
        "b c",
        ".",
        ".",
        "\"",
        "*",
        "$",
        "@",
        "?",
        "??",
        " ",
        "$source.",
        "$context.",
        "$context(d).",
        "$metadata.",
        "topic",
        "user_property.",
        "header.",
        "$last",
        "1.5",
        "null",
        "ü",
        "\\",
        "(",
        ")",
    ];
    prop::collection::vec(prop::sample::select(BITS), 0..12).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn a_printed_path_parses_to_itself(text in path_like()) {
        if let Ok(path) = parse_path(&text) {
            prop_assert_eq!(parse_path(&path.to_string()), Ok(path));
        }
    }

    #[test]
    fn a_printed_input_parses_to_itself(text in path_like()) {
        if let Ok((input, _)) = parse_input(&text, Host::Graph) {
            let again = parse_input(&input.to_string(), Host::Graph).map(|(input, _)| input);
            prop_assert_eq!(again, Ok(input));
        }
    }

    #[test]
    fn a_printed_output_parses_to_itself(text in path_like()) {
        if let Ok((output, _)) = parse_output(&text, Host::Graph) {
            let again = parse_output(&output.to_string(), Host::Graph).map(|(output, _)| output);
            prop_assert_eq!(again, Ok(output));
        }
    }

    #[test]
    fn ranges_fit_the_text(text in path_like()) {
        if let Err(error) = parse_input(&text, Host::Dataflow) {
            prop_assert!(text.get(error.range).is_some());
        }
        if let Err(error) = parse_output(&text, Host::Dataflow) {
            prop_assert!(text.get(error.range).is_some());
        }
    }
}
