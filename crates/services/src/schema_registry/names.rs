//! What schemas are called, and how they are referred to. Pure.

use std::fmt;

/// The name of a schema: 3 to 64 of `[a-z0-9-]`, neither first nor last a dash (Azure Device Registry,
/// `schemaRegistries/schemas`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaName(Box<str>);

impl SchemaName {
    /// `None` if the text is no schema name.
    pub fn parse(text: &str) -> Option<Self> {
        ((3..=64).contains(&text.len()) && is_name(text)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().all(|b| allowed(b) || b == b'-')
        && text.bytes().next().is_some_and(allowed)
        && text.bytes().last().is_some_and(allowed)
}

/// The version of a schema: 1 to 10 digits. A name, not a number: `1` and `01` are two versions. Shorter ones come
/// first in the order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaVersion(Box<str>);

impl SchemaVersion {
    /// `None` if the text is no version.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        ok.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SchemaVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for SchemaVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `aio-sr://<namespace>/<name>:<version>`, or without the namespace: the instance's own registry (AIO: Understand
/// message schemas).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaRef {
    /// The namespace of the registry.
    pub namespace: Option<String>,
    /// The schema's name.
    pub name: SchemaName,
    /// The schema's version.
    pub version: SchemaVersion,
}

impl SchemaRef {
    /// `None` if the text is no reference.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("aio-sr://")?;
        let (namespace, rest) = match rest.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, rest),
        };
        if namespace.is_some_and(|ns| !(2..=32).contains(&ns.len()) || !is_name(ns)) {
            return None;
        }
        let (name, version) = rest.split_once(':')?;
        Some(Self {
            namespace: namespace.map(str::to_owned),
            name: SchemaName::parse(name)?,
            version: SchemaVersion::parse(version)?,
        })
    }
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aio-sr://")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}:{}", self.name, self.version)
    }
}

/// What a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `Delta/1.0`: the columns of a table.
    Delta,
    /// `JsonSchema/draft-07`.
    JsonSchema,
}

impl Format {
    /// As in the resource's `format`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delta, Self::JsonSchema].into_iter().find(|format| format.as_str() == text)
    }

    /// As in the resource's `format`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "Delta/1.0",
            Self::JsonSchema => "JsonSchema/draft-07",
        }
    }

    /// The format that a document's `$schema` names.
    pub fn of_document(schema: &str) -> Option<Self> {
        match schema {
            "Delta/1.0" => Some(Self::Delta),
            "http://json-schema.org/draft-07/schema#"
            | "http://json-schema.org/draft-07/schema"
            | "https://json-schema.org/draft-07/schema#"
            | "https://json-schema.org/draft-07/schema" => Some(Self::JsonSchema),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_read_with_and_without_namespace() {
        for text in [
            "aio-sr://contoso/delta-schema:1",
            "aio-sr://press-row:1",
            "aio-sr://a1/abc:0123456789",
            "aio-sr://abc:0",
        ] {
            assert_eq!(SchemaRef::parse(text).unwrap().to_string(), text);
        }
        let long = format!("aio-sr://{}/{}:1234567890", "n".repeat(32), "a".repeat(64));
        assert!(SchemaRef::parse(&long).is_some());
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "press-row:1",
            "aio-sr://",
            "aio-sr://press-row",
            "aio-sr://press-row:",
            "aio-sr://press-row:1.0.0",
            "aio-sr://press-row:12345678901",
            "aio-sr://press-row:1 ",
            "aio-sr:///press-row:1",
            "aio-sr://n/press-row:1",
            "aio-sr://a/b/press-row:1",
            "aio-sr://Press:1",
            "aio-sr://ab:1",
            "aio-sr://-ab:1",
            "aio-sr://ab-:1",
            "AIO-SR://press-row:1",
        ] {
            assert_eq!(SchemaRef::parse(text), None, "{text:?}");
        }
        for namespace in ["n".repeat(33), "-n".into(), "n-".into(), "N1".into()] {
            assert_eq!(SchemaRef::parse(&format!("aio-sr://{namespace}/abc:1")), None, "{namespace:?}");
        }
        assert_eq!(SchemaRef::parse(&format!("aio-sr://{}:1", "a".repeat(65))), None);
    }

    #[test]
    fn versions_are_ordered_as_people_count() {
        let sorted = ["0", "1", "2", "10", "011"].map(|v| SchemaVersion::parse(v).unwrap());
        assert!(sorted.is_sorted());
    }

    proptest! {
        #[test]
        fn every_reference_read_is_written_back(
            text in "aio-sr://([a-z0-9-]{1,34}/)?[a-z0-9-]{1,66}:[0-9]{0,12}|\\PC{0,40}"
        ) {
            if let Some(reference) = SchemaRef::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
