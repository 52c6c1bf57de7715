//! A schema document from sample payloads, as AIO's Schema Gen Helper makes one, without its traps: several samples
//! make one schema, arrays of objects keep their fields, nothing is taken for base64, no type is `null`, and columns
//! are nullable unless asked otherwise. [`GenerateOptions::compat`] has the helper's own output.

mod compat;
mod json;
mod shape;

use tidegate_model::schema::SchemaFormat;

pub use json::Json;
use json::object;
use shape::{Kind, Shape, merge};

/// How a schema is made.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// `name` of a JSON Schema.
    pub name: String,
    /// `description` of a JSON Schema.
    pub description: String,
    /// Whether values may be null everywhere, or only where a sample has null or nothing. Off by default in the helper,
    /// which is how batches get lost.
    pub all_nullable: bool,
    /// Whether texts that are valid base64 are binary. `"Good"` is valid base64.
    pub guess_binary: bool,
    /// Whether nested structs get a `StatusCode`, as OPC UA values have one; Delta only.
    pub status_code: bool,
    /// Whether to do all that as the helper does it. It takes one sample, and guesses always.
    pub compat: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            name: "DefaultName".into(),
            description: "A representation of an object".into(),
            all_nullable: true,
            guess_binary: false,
            status_code: false,
            compat: false,
        }
    }
}

/// A schema document, and what its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The document, indented by two blanks.
    pub document: String,
    /// Where the samples say too little or contradict each other; one sentence each.
    pub warnings: Vec<String>,
}

/// Why no schema can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// There is nothing to go by.
    #[error("there is no sample")]
    NoSample,
    /// The helper has one input.
    #[error(
        "the Schema Gen Helper takes one sample; without compatibility with it, several become one schema"
    )]
    OneSample,
    /// Nothing can be said of null.
    #[error("a sample is null")]
    Null,
}

/// Makes a schema that all samples fit.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(
    samples: &[Json],
    format: SchemaFormat,
    options: &GenerateOptions,
) -> Result<Generated, GenerateError> {
    let (first, rest) = samples.split_first().ok_or(GenerateError::NoSample)?;
    if samples.contains(&Json::Null) && (format == SchemaFormat::Delta || !options.compat) {
        return Err(GenerateError::Null);
    }
    if options.compat {
        if !rest.is_empty() {
            return Err(GenerateError::OneSample);
        }
        let document = match format {
            SchemaFormat::Delta => compat::delta(first, options),
            SchemaFormat::JsonSchema => compat::json_schema(first, options),
        };
        return Ok(Generated { document: document.pretty(), warnings: Vec::new() });
    }
    let mut writer = Writer { options, warnings: Vec::new() };
    let document = match format {
        SchemaFormat::Delta => writer.delta(samples),
        SchemaFormat::JsonSchema => writer.json_schema(samples),
    };
    Ok(Generated { document: document.pretty(), warnings: writer.warnings })
}

/// What stands at the top of a Delta document.
fn delta_document(fields: Vec<Json>) -> Json {
    object([("$schema", text("Delta/1.0")), ("type", text("object")), ("properties", delta_struct(fields))])
}

fn delta_struct(fields: Vec<Json>) -> Json {
    object([("type", text("struct")), ("fields", Json::Array(fields))])
}

fn delta_field(name: &str, data_type: Json, nullable: bool) -> Json {
    object([
        ("name", text(name)),
        ("type", data_type),
        ("nullable", Json::Bool(nullable)),
        ("metadata", object([])),
    ])
}

/// The field that OPC UA values have beside the value.
fn status_code_field() -> Json {
    let fields =
        vec![delta_field("Code", text("integer"), true), delta_field("Symbol", text("string"), true)];
    delta_field("StatusCode", delta_struct(fields), true)
}

/// What stands at the top of a JSON Schema, before what is known of the value.
fn json_schema_document(options: &GenerateOptions, rest: Vec<(String, Json)>) -> Json {
    let head = [
        ("$schema", text("http://json-schema.org/draft-07/schema#")),
        ("name", text(&options.name)),
        ("description", text(&options.description)),
    ];
    Json::Object(head.map(|(key, value)| (key.into(), value)).into_iter().chain(rest).collect())
}

fn text(text: &str) -> Json {
    Json::String(text.into())
}

/// Writes shapes, and notes where that is a guess.
struct Writer<'a> {
    options: &'a GenerateOptions,
    warnings: Vec<String>,
}

impl Writer<'_> {
    fn shape(&mut self, samples: impl Iterator<Item = Json>) -> Shape {
        let mut known = Shape { kind: Kind::Nothing, null: false };
        for sample in samples {
            let shape = Shape::of(&sample, self.options.guess_binary, "", &mut self.warnings);
            known = merge(known, shape, "", &mut self.warnings);
        }
        known
    }

    fn delta(&mut self, samples: &[Json]) -> Json {
        let shape = self.shape(samples.iter().map(Json::to_object));
        let Kind::Struct(fields) = shape.kind else { unreachable!("only objects were merged") };
        if fields.is_empty() {
            self.warnings.push("there are no fields in any sample".into());
        }
        delta_document(self.delta_fields(&fields, ""))
    }

    fn delta_fields(&mut self, fields: &[(String, Shape)], path: &str) -> Vec<Json> {
        let mut names = std::collections::HashMap::new();
        let mut written = Vec::with_capacity(fields.len());
        for (name, shape) in fields {
            let path = shape::join(path, name);
            if let Some(other) = names.insert(name.to_lowercase(), name) {
                self.warnings.push(format!(
                    "`{path}` is left out: it differs from `{other}` only in case, which columns can't"
                ));
                continue;
            }
            let data_type = self.delta_type(shape, name, &path);
            written.push(delta_field(name, data_type, self.options.all_nullable || shape.null));
        }
        written
    }

    /// `name` is that of the field the value is in, or the array.
    fn delta_type(&mut self, shape: &Shape, name: &str, path: &str) -> Json {
        let simple = match &shape.kind {
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::Binary => "binary",
            Kind::Text | Kind::Mixed => "string",
            Kind::Decimal { integer, scale } => {
                return Json::String(format!("decimal({},{scale})", integer + scale));
            }
            Kind::Nothing => {
                self.warnings.push(format!("`{path}` has no value in any sample: taken for a string"));
                "string"
            }
            Kind::Struct(fields) if fields.is_empty() => {
                self.warnings.push(format!("`{path}` has no fields in any sample: taken for a string"));
                "string"
            }
            Kind::Struct(fields) => {
                let mut written = self.delta_fields(fields, path);
                let is_status_code = |name: &str| name.eq_ignore_ascii_case("StatusCode");
                let has_one = is_status_code(name) || fields.iter().any(|(name, _)| is_status_code(name));
                if self.options.status_code && !has_one {
                    written.push(status_code_field());
                }
                return delta_struct(written);
            }
            Kind::Array(element) => {
                let contains_null = self.options.all_nullable || element.null;
                return object([
                    ("type", text("array")),
                    ("elementType", self.delta_type(element, name, &format!("{path}[]"))),
                    ("containsNull", Json::Bool(contains_null)),
                ]);
            }
        };
        text(simple)
    }

    fn json_schema(&mut self, samples: &[Json]) -> Json {
        let shape = self.shape(samples.iter().cloned());
        if !matches!(shape.kind, Kind::Struct(_)) {
            self.warnings.push("the samples are no objects: the schema registry takes no such schema".into());
        }
        let value = self.json_value(&shape, "");
        json_schema_document(self.options, value)
    }

    /// What a JSON Schema says of a value.
    fn json_value(&mut self, shape: &Shape, path: &str) -> Vec<(String, Json)> {
        let mut said = Vec::new();
        let name = match &shape.kind {
            Kind::Boolean => "boolean",
            Kind::Integer | Kind::Long => "integer",
            Kind::Double => "number",
            Kind::Date | Kind::Timestamp | Kind::Binary | Kind::Text | Kind::Decimal { .. } => "string",
            Kind::Struct(fields) => {
                let written = fields
                    .iter()
                    .map(|(n, s)| (n.clone(), Json::Object(self.json_value(s, &shape::join(path, n)))));
                said.push(("properties".into(), Json::Object(written.collect())));
                let required: Vec<_> =
                    fields.iter().filter(|(_, s)| !s.null).map(|(name, _)| text(name)).collect();
                if !self.options.all_nullable && !required.is_empty() {
                    said.push(("required".into(), Json::Array(required)));
                }
                "object"
            }
            Kind::Array(element) => {
                if element.kind != Kind::Nothing {
                    said.push(("items".into(), Json::Object(self.json_value(element, &format!("{path}[]")))));
                }
                "array"
            }
            // nothing known, so nothing said
            Kind::Nothing | Kind::Mixed => return said,
        };
        let data_type = if shape.null { Json::Array(vec![text(name), text("null")]) } else { text(name) };
        said.insert(0, ("type".into(), data_type));
        said
    }
}

#[cfg(test)]
mod tests;
