//! What a schema document must look like (AIO: Understand message schemas, "Schema formats"). Pure.

use serde_json::{Map, Value};

use super::delta::DeltaSchema;
use super::names::Format;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if .path.is_empty() { String::new() } else { format!("`{}`: ", .path) })]
pub struct ContentError {
    /// Such as `properties.fields[2].type`; empty for the document as a whole.
    pub path: String,
    /// What is wrong there, as a sentence without a full stop.
    pub message: String,
}

impl ContentError {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// A document that is what it says it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A [`Format::Delta`] document.
    Delta(DeltaSchema),
    /// A [`Format::JsonSchema`] document: the whole of it.
    JsonSchema(Map<String, Value>),
}

impl Document {
    /// Reads a document of either format.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(content: &str) -> Result<Self, ContentError> {
        let document = serde_json::from_str(content)
            .map_err(|e| ContentError::new("", format!("the schema is not JSON: {e}")))?;
        let Value::Object(mut document) = document else {
            return Err(ContentError::new("", "the schema is not a JSON object"));
        };
        let format = match document.get("$schema") {
            None => return Err(ContentError::new("", "`$schema` is missing")),
            Some(Value::String(text)) => Format::of_document(text),
            Some(_) => None,
        };
        let Some(format) = format else {
            let expected = "is neither \"Delta/1.0\" nor \"http://json-schema.org/draft-07/schema#\"";
            return Err(ContentError::new("$schema", expected));
        };
        match document.get("type").and_then(Value::as_str) {
            // an old table of the documentation has it with a capital
            Some(text) if text.eq_ignore_ascii_case("object") => {}
            _ => return Err(ContentError::new("type", "is not \"object\"")),
        }
        let Some(properties @ Value::Object(_)) = document.get_mut("properties") else {
            return Err(ContentError::new("properties", "is not an object"));
        };
        match format {
            Format::Delta => DeltaSchema::parse(properties, "properties").map(Self::Delta),
            Format::JsonSchema => Ok(Self::JsonSchema(document)),
        }
    }

    /// What the document is written in.
    pub fn format(&self) -> Format {
        match self {
            Self::Delta(_) => Format::Delta,
            Self::JsonSchema(_) => Format::JsonSchema,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON_SCHEMA: &str = r#"{"$schema": "http://json-schema.org/draft-07/schema#", "name": "foobarbaz",
        "description": "A representation of an asset", "type": "object", "required": ["AssetId"],
        "properties": {"AssetId": {"type": "string"}}}"#;
    const DELTA: &str = r#"{"$schema": "Delta/1.0", "type": "object", "properties": {"type": "struct",
        "fields": [{"name": "AssetId", "type": "string", "nullable": false, "metadata": {}}]}}"#;

    #[test]
    fn the_samples_of_the_documentation_are_read() {
        assert_eq!(Document::parse(JSON_SCHEMA).unwrap().format(), Format::JsonSchema);
        assert_eq!(Document::parse(DELTA).unwrap().format(), Format::Delta);
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for (content, message) in [
            ("", "the schema is not JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "the schema is not a JSON object"),
            ("{}", "`$schema` is missing"),
            (
                r#"{"$schema": 1}"#,
                "`$schema`: is neither \"Delta/1.0\" nor \"http://json-schema.org/draft-07/schema#\"",
            ),
            (
                r#"{"$schema": "http://json-schema.org/draft-04/schema#"}"#,
                "`$schema`: is neither \"Delta/1.0\" nor \"http://json-schema.org/draft-07/schema#\"",
            ),
            (r#"{"$schema": "Delta/1.0"}"#, "`type`: is not \"object\""),
            (r#"{"$schema": "Delta/1.0", "type": "array"}"#, "`type`: is not \"object\""),
            (r#"{"$schema": "Delta/1.0", "type": "object"}"#, "`properties`: is not an object"),
            (
                r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": []}"#,
                "`properties`: is not an object",
            ),
            (
                r#"{"$schema": "Delta/1.0", "type": "Object", "properties": {"a": {"type": "string"}}}"#,
                "`properties.type`: is not \"struct\"",
            ),
        ] {
            assert_eq!(Document::parse(content).unwrap_err().to_string(), message, "{content}");
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(at in 0..DELTA.len(), text in "\\PC{0,4}", len in 0..20usize) {
            let end = (at + len).min(DELTA.len());
            let _ = Document::parse(&format!("{}{text}{}", &DELTA[..at], &DELTA[end..]));
        }
    }
}
