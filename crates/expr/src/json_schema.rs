//! Shapes from JSON Schemas (draft-07, as source schemas of data flows are). A schema with a keyword that isn't known
//! here allows unknown values: better to know nothing than to know it wrong.

use crate::json::{Json, Object};
use crate::shape::{Field, Kinds, Members, Missing, Shape};
use crate::types::Types;

/// Keywords that allow and forbid nothing.
const NOTES: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "name",
    "description",
    "default",
    "examples",
    "readOnly",
    "writeOnly",
    "definitions",
    "contentMediaType",
    "contentEncoding",
];

/// Keywords that leave some numbers or texts out, and not which is easily told.
const LIMITS: [&str; 4] = ["multipleOf", "minLength", "maxLength", "pattern"];

impl Shape {
    /// What a JSON Schema allows.
    pub fn of_json_schema(schema: &Json<'_>) -> Self {
        match schema {
            Json::Object(keywords) => of_keywords(keywords).unwrap_or(Shape::Unknown),
            _ => Shape::Unknown,
        }
    }
}

/// None if there is more to it than is known here.
fn of_keywords(keywords: &Object<'_>) -> Option<Shape> {
    if let Some(values) = only_values(keywords) {
        return values;
    }
    let mut kinds = Kinds::default();
    let (mut object, mut array) = (false, false);
    let types = match keywords.get("type")? {
        Json::Array(types) => types.iter().collect(),
        one => vec![one],
    };
    for name in types {
        let Json::String(name) = name else { return None };
        let scalar = match &**name {
            "null" => Types::EMPTY,
            "boolean" => Types::BOOL,
            "integer" => Types::INT,
            "number" => Types::NUMBER,
            "string" => Types::STRING,
            _ => {
                object |= name.eq_ignore_ascii_case("object");
                array |= name == "array";
                if !object && !array {
                    return None;
                }
                Types::NONE
            }
        };
        kinds.scalars = kinds.scalars.or(scalar);
    }
    let mut limits = Limits::default();
    for (keyword, value) in keywords {
        match (&**keyword, value) {
            (note, _) if note == "type" || NOTES.contains(&note) => {}
            (limit, _) if LIMITS.contains(&limit) => limits.opaque = true,
            ("format", Json::String(format)) => limits.format = Some(format.to_string()),
            ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", Json::Number(bound)) => {
                limits.bounds.push((keyword.to_string(), bound.to_string()));
            }
            ("properties" | "required" | "additionalProperties" | "items", _) => {}
            _ => return None,
        }
    }
    kinds.certain = limits.allowed(kinds.scalars);
    if array {
        let items = keywords.get("items").map_or(Shape::Unknown, Shape::of_json_schema);
        kinds.items = Some(Box::new(items));
    }
    if object {
        kinds.members = Some(members(keywords)?);
    }
    Some(Shape::Known(kinds))
}

/// `const` and `enum`; the inner none is for values that more is said about.
fn only_values(keywords: &Object<'_>) -> Option<Option<Shape>> {
    let values = match (keywords.get("enum"), keywords.get("const")) {
        (Some(Json::Array(values)), None) => values.iter().collect(),
        (None, Some(value)) => vec![value],
        (None, None) => return None,
        _ => return Some(None),
    };
    let known = |keyword: &str| ["enum", "const", "type"].contains(&keyword) || NOTES.contains(&keyword);
    let scalar = |value: &&Json<'_>| !matches!(value, Json::Object(_) | Json::Array(_));
    if !keywords.keys().all(|k| known(k)) || !values.iter().all(scalar) {
        return Some(None);
    }
    Some(Shape::of_samples(values))
}

fn members(keywords: &Object<'_>) -> Option<Members> {
    let open = match keywords.get("additionalProperties") {
        None | Some(Json::Bool(true)) => true,
        Some(Json::Bool(false)) => false,
        // a schema of the others: what they are, and whether they are, is left unknown
        Some(_) => true,
    };
    let mut members = Members { open, ..Members::default() };
    if let Some(properties) = keywords.get("properties") {
        let Json::Object(properties) = properties else { return None };
        for (name, schema) in properties {
            let field = Field { shape: Shape::of_json_schema(schema), missing: Missing::Possible };
            members.fields.insert(name.to_string(), field);
        }
    }
    if let Some(required) = keywords.get("required") {
        let Json::Array(required) = required else { return None };
        for name in required {
            let Json::String(name) = name else { return None };
            let undeclared = || Field { shape: Shape::Unknown, missing: Missing::Never };
            members.fields.entry(name.to_string()).or_insert_with(undeclared).missing = Missing::Never;
        }
    }
    Some(members)
}

/// What is said of numbers and texts beside their type.
#[derive(Default)]
struct Limits {
    bounds: Vec<(String, String)>,
    format: Option<String>,
    opaque: bool,
}

impl Limits {
    /// Scalars that are certain to be allowed; none if all are.
    fn allowed(&self, scalars: Types) -> Option<Vec<Json<'static>>> {
        if !self.opaque && self.bounds.is_empty() && self.format.is_none() {
            return None;
        }
        let mut allowed = Vec::new();
        if scalars.may_be(Types::EMPTY) {
            allowed.push(Json::Null);
        }
        if scalars.may_be(Types::BOOL) {
            allowed.extend([true, false].map(Json::Bool));
        }
        if self.opaque {
            return Some(allowed);
        }
        if scalars.may_be(Types::STRING) {
            let text = match self.format.as_deref() {
                None => Some("text"),
                Some("date-time") => Some("2026-03-01T06:00:00Z"),
                Some("date") => Some("2026-03-01"),
                Some("time") => Some("06:00:00Z"),
                Some("uuid") => Some("6f9619ff-8b86-4011-b42d-00cf4fc964ff"),
                Some(_) => None,
            };
            allowed.extend(text.map(|text| Json::String(text.into())));
        }
        let tried =
            ["7", "21.5", "-7"].into_iter().chain(self.bounds.iter().map(|(_, bound)| bound.as_str()));
        for text in tried {
            let whole = text.parse::<i64>().is_ok();
            let is_one = scalars.may_be(if whole { Types::INT } else { Types::FLOAT });
            if is_one && text.parse().is_ok_and(|number| self.bounds.iter().all(|b| within(number, b))) {
                allowed.push(Json::Number(text.to_owned().into()));
            }
        }
        Some(allowed)
    }
}

fn within(number: f64, (keyword, bound): &(String, String)) -> bool {
    let Ok(bound) = bound.parse::<f64>() else { return false };
    match keyword.as_str() {
        "minimum" => number >= bound,
        "maximum" => number <= bound,
        "exclusiveMinimum" => number > bound,
        _ => number < bound,
    }
}
