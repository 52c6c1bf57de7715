//! What schemas and their versions are called. Names are parts of file names, so nothing else may become one.

use std::fmt;

use tidegate_model::names::{is_schema_name, is_schema_version};

/// The name of a schema: 3 to 64 of `[a-z0-9-]`, neither first nor last a dash (Azure Device Registry,
/// `schemaRegistries/schemas`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaName(Box<str>);

impl SchemaName {
    /// `None` if the text is no schema name.
    pub fn parse(text: &str) -> Option<Self> {
        is_schema_name(text).then(|| Self(text.into()))
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

/// The version of a schema: 1 to 10 digits. A name, not a number: `1` and `01` are two versions. Shorter ones come
/// first in the order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaVersion(Box<str>);

impl SchemaVersion {
    /// `None` if the text is no version.
    pub fn parse(text: &str) -> Option<Self> {
        is_schema_version(text).then(|| Self(text.into()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_what_the_registry_takes() {
        for name in ["abc", "press-row", "0a1", &"a".repeat(64)] {
            assert_eq!(SchemaName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "ab", "Abc", "a.c", "../x", "-ab", "ab-", "a/b", &"a".repeat(65)] {
            assert_eq!(SchemaName::parse(name), None, "{name}");
        }
        for version in ["", "1.0", "-1", "1/2", "12345678901", "١"] {
            assert_eq!(SchemaVersion::parse(version), None, "{version}");
        }
    }

    #[test]
    fn versions_are_ordered_as_people_count() {
        let sorted = ["0", "1", "2", "10", "011", "1234567890"].map(|v| SchemaVersion::parse(v).unwrap());
        assert!(sorted.is_sorted());
    }
}
