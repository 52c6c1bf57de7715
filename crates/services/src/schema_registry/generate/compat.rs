//! What the Schema Gen Helper makes of one payload, traps included: for people who compare.

use super::json::{Json, object};
use super::shape::{after_timestamp, decimal_digits, is_base64, is_date};
use super::{
    GenerateOptions, delta_document, delta_field, delta_struct, json_schema_document, status_code_field, text,
};

/// A Delta document.
pub(super) fn delta(sample: &Json, options: &GenerateOptions) -> Json {
    let Json::Object(members) = sample.to_object() else { unreachable!("it was made an object") };
    delta_document(delta_fields(&members, options))
}

fn delta_fields(members: &[(String, Json)], options: &GenerateOptions) -> Vec<Json> {
    let field = |(name, value): &(String, Json)| {
        let data_type = match value {
            Json::Object(members) => {
                let mut fields = delta_fields(members, options);
                if options.status_code && members.iter().all(|(name, _)| name != "StatusCode") {
                    fields.push(status_code_field());
                }
                delta_struct(fields)
            }
            value => delta_type(value),
        };
        delta_field(name, data_type, options.all_nullable || *value == Json::Null)
    };
    members.iter().map(field).collect()
}

/// The type of a value as the helper compares types: objects are all the same, arrays and decimals never are.
fn delta_type(value: &Json) -> Json {
    let name = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Object(_) => "struct",
        Json::Array(elements) => {
            let types: Vec<_> = elements.iter().map(delta_type).collect();
            let element = match types.as_slice() {
                [] => text("string"),
                [one] => one.clone(),
                [first @ Json::String(_), rest @ ..] if rest.iter().all(|other| other == first) => {
                    first.clone()
                }
                _ => text("string"),
            };
            return object([
                ("type", text("array")),
                ("elementType", element),
                ("containsNull", Json::Bool(elements.contains(&Json::Null))),
            ]);
        }
        Json::Number(number) => match number.as_f64().filter(|n| n.fract() == 0.0) {
            Some(whole) if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) => "integer",
            Some(_) => "long",
            None => "double",
        },
        Json::String(value) if is_date(value) => "date",
        Json::String(value) if matches!(after_timestamp(value), Some("" | "Z")) => "timestamp",
        Json::String(value) if is_base64(value) => "binary",
        Json::String(value) => match decimal_digits(value) {
            Some((integer, scale)) => {
                return object([
                    ("type", text("decimal")),
                    ("precision", Json::Number((integer + scale).into())),
                    ("scale", Json::Number(scale.into())),
                ]);
            }
            None => "string",
        },
    };
    text(name)
}

/// A JSON Schema.
pub(super) fn json_schema(sample: &Json, options: &GenerateOptions) -> Json {
    json_schema_document(options, json_value(sample, options))
}

fn json_value(value: &Json, options: &GenerateOptions) -> Vec<(String, Json)> {
    let mut said = Vec::new();
    let name = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::String(_) => "string",
        Json::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => "integer",
        Json::Number(_) => "number",
        Json::Object(members) => {
            let properties =
                members.iter().map(|(name, v)| (name.clone(), Json::Object(json_value(v, options))));
            said.push(("properties".into(), Json::Object(properties.collect())));
            let required: Vec<_> =
                members.iter().filter(|(_, v)| *v != Json::Null).map(|(n, _)| text(n)).collect();
            if !options.all_nullable && !required.is_empty() {
                said.push(("required".into(), Json::Array(required)));
            }
            "object"
        }
        Json::Array(elements) => {
            let items = match elements.as_slice() {
                [one] => Json::Object(json_value(one, options)),
                several => {
                    let several = several.iter().map(|e| Json::Object(json_value(e, options))).collect();
                    object([("anyOf", Json::Array(several))])
                }
            };
            said.push(("items".into(), items));
            "array"
        }
    };
    said.insert(0, ("type".into(), text(name)));
    said
}
