//! `Secret` and `ConfigMap`. No complaint says a value.

use std::collections::BTreeMap;

use base64::Engine as _;
use tidegate_core::{Secret, Span};

use crate::codes;
use crate::field::{Read, object, wrong_type};
use crate::node::{Node, Value};
use crate::placeholder::placeholder;
use crate::problems::{Problems, error, warning};
use crate::value::Texts;

object! {
    /// A `Secret`.
    pub(crate) struct SecretFields {
        /// Values in base64.
        data "data": optional Encoded;
        /// Values as they are; they win over those in `data`.
        string_data "stringData": optional Plain;
        ignored "apiVersion", "kind", "metadata", "type", "immutable";
    }
}

object! {
    /// A `ConfigMap`.
    pub(crate) struct ConfigMapFields {
        /// Values as they are.
        data "data": optional Texts;
        /// Values in base64.
        binary_data "binaryData": optional Encoded;
        ignored "apiVersion", "kind", "metadata", "immutable";
    }
}

/// Values in base64.
#[derive(Clone, Debug)]
pub(crate) struct Encoded(Vec<(String, Secret)>);

/// Values as they are.
#[derive(Clone, Debug)]
pub(crate) struct Plain(Vec<(String, Secret)>);

impl Read for Encoded {
    fn wants() -> String {
        "an object whose values are base64".into()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        values(node, at, &Self::wants(), problems, |text| {
            let compact: String = text.split_whitespace().collect();
            base64::engine::general_purpose::STANDARD.decode(compact).ok()
        })
        .map(Self)
    }
}

impl Read for Plain {
    fn wants() -> String {
        "an object whose values are text".into()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        values(node, at, &Self::wants(), problems, |text| Some(text.as_bytes().to_vec())).map(Self)
    }
}

fn values(
    node: &Node,
    at: Span,
    wants: &str,
    problems: &mut Problems,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Option<Vec<(String, Secret)>> {
    let Value::Map(entries) = &node.value else {
        wrong_type(node, wants, problems);
        return None;
    };
    let mut values = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|e| e.value.value != Value::Null) {
        let key = &entry.key;
        let Some(text) = entry.value.as_text() else {
            let message = format!("the value of `{key}` is {}, expected text", entry.value.kind());
            problems.push(error(codes::WRONG_TYPE, at, message).help("put it in quotes"));
            return None;
        };
        let Some(bytes) = decode(text.as_str()) else {
            let problem = error(codes::BAD_BASE64, at, format!("the value of `{key}` is not base64"));
            problems.push(problem.help("put plain values into `stringData`"));
            return None;
        };
        if placeholder(text.as_str()).is_some() {
            let message = format!("the value of `{key}` looks like a placeholder that nobody filled in");
            problems.push(warning(codes::PLACEHOLDER, at, message));
        }
        values.push((key.clone(), Secret::new(bytes)));
    }
    Some(values)
}

/// The values of a Secret by their keys.
pub(crate) fn secret(fields: SecretFields) -> BTreeMap<String, Secret> {
    let encoded = fields.data.map_or(vec![], |d| d.0);
    let plain = fields.string_data.map_or(vec![], |d| d.0);
    encoded.into_iter().chain(plain).collect()
}

/// The values of a ConfigMap by their keys.
pub(crate) fn config_map(fields: ConfigMapFields) -> BTreeMap<String, Vec<u8>> {
    let encoded =
        fields.binary_data.map_or(vec![], |d| d.0).into_iter().map(|(k, v)| (k, v.expose().clone()));
    let plain =
        fields.data.map_or(vec![], |d| d.0).into_iter().map(|(k, v)| (k, v.as_str().as_bytes().to_vec()));
    encoded.chain(plain).collect()
}
