//! Identifiers that are checked once, when they are made.

use std::fmt;
use std::ops::RangeInclusive;

/// Whether the text is of small letters, digits and the bytes `inner`, which are neither first nor last.
fn is_name(text: &str, lengths: RangeInclusive<usize>, inner: &[u8]) -> bool {
    let outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    lengths.contains(&text.len())
        && text.bytes().all(|b| outer(b) || inner.contains(&b))
        && text.bytes().next().is_some_and(outer)
        && text.bytes().last().is_some_and(outer)
}

/// The name of a resource: 3 to 63 of `[a-z0-9-]`, neither first nor last a dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(String);

impl ResourceName {
    /// The name of the endpoint and the profile that exist without being written.
    pub fn default_name() -> Self {
        Self("default".into())
    }

    /// `None` if the text is no resource name.
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text, 3..=63, b"-").then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a Kubernetes object such as a Secret: 1 to 253 of `[a-z0-9.-]`, first and last a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// `None` if no Kubernetes object can have this name.
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text, 1..=253, b"-.").then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A reference to a schema: `aio-sr://<namespace>/<name>:<version>`, or without the namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaRef {
    namespace: Option<String>,
    name: String,
    version: String,
}

impl SchemaRef {
    /// `None` if the text is no such reference.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("aio-sr://")?;
        let (namespace, rest) = match rest.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, rest),
        };
        let (name, version) = rest.split_once(':')?;
        let ok = namespace.is_none_or(|n| is_name(n, 2..=32, b"-"))
            && is_schema_name(name)
            && is_schema_version(version);
        ok.then(|| Self { namespace: namespace.map(Into::into), name: name.into(), version: version.into() })
    }

    /// The namespace of the registry, if one is named.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The schema's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version: 1 to 10 digits.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Whether a message's `dataschema` contradicts the schema that its source is said to have ("Understand message schemas":
/// conflicting schemas). Both are read as references, and a namespace counts where both name one; what is no reference is
/// compared as text.
pub fn schemas_conflict(message: &str, source: &str) -> bool {
    let (Some(a), Some(b)) = (SchemaRef::parse(message), SchemaRef::parse(source)) else {
        return message != source;
    };
    let namespaces = a.namespace().zip(b.namespace());
    (a.name(), a.version()) != (b.name(), b.version()) || namespaces.is_some_and(|(a, b)| a != b)
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_some() { "/" } else { "" };
        write!(f, "aio-sr://{}{slash}{}:{}", self.namespace().unwrap_or(""), self.name, self.version)
    }
}

/// Whether the schema registry takes the name.
pub fn is_schema_name(text: &str) -> bool {
    is_name(text, 3..=64, b"-")
}

/// Whether the schema registry takes the version.
pub fn is_schema_version(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// `host:port`; the host of an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// `None` unless the text is a host, a colon and a port from 1 to 65535.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|p| *p > 0 && !port.starts_with('+'))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let ok = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            }
        };
        ok.then(|| Self { host: bare.unwrap_or(host).into(), port })
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names() {
        let long = "x".repeat(63);
        for good in ["abc", "a-1", "0ab", "my-instance", &long] {
            assert_eq!(ResourceName::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "ab", "-ab", "ab-", "a_b", "A-b", "a.b", "aäb", &format!("{long}x")] {
            assert_eq!(ResourceName::parse(bad), None, "{bad}");
        }
        assert_eq!(ResourceName::parse("default"), Some(ResourceName::default_name()));
    }

    #[test]
    fn object_names() {
        for good in ["a", "ca.crt", "hq-client.v2"] {
            assert_eq!(ObjectName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".a", "a.", "A", "a/b", "<PVC-NAME>"] {
            assert_eq!(ObjectName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_namespace_that_only_one_names_is_no_conflict() {
        for (message, source, conflict) in [
            ("aio-sr://plant/press:1", "aio-sr://plant/press:1", false),
            ("aio-sr://press:1", "aio-sr://plant/press:1", false),
            ("aio-sr://plant/press:2", "aio-sr://plant/press:1", true),
            ("aio-sr://other/press:1", "aio-sr://plant/press:1", true),
            ("aio-sr://plant/oven:1", "aio-sr://press:1", true),
            ("https://example.com/press", "aio-sr://plant/press:1", true),
            ("https://example.com/press", "https://example.com/press", false),
        ] {
            assert_eq!(schemas_conflict(message, source), conflict, "{message} {source}");
        }
    }

    #[test]
    fn schema_references() {
        let parts = |text: &str| {
            let parsed = SchemaRef::parse(text)?;
            assert_eq!(parsed.to_string(), text);
            Some((
                parsed.namespace().map(str::to_owned),
                parsed.name().to_owned(),
                parsed.version().to_owned(),
            ))
        };
        let of = |ns: Option<&str>, name: &str, version: &str| {
            Some((ns.map(str::to_owned), name.into(), version.into()))
        };
        assert_eq!(parts("aio-sr://plant/press-row:1"), of(Some("plant"), "press-row", "1"));
        assert_eq!(parts("aio-sr://press-row:0123456789"), of(None, "press-row", "0123456789"));
        for bad in [
            "press-row:1",
            "aio-sr://press-row",
            "aio-sr://press-row:",
            "aio-sr://press-row:1.0.0",
            "aio-sr://press-row:12345678901",
            "aio-sr://Plant/press-row:1",
            "aio-sr://a/b/c:1",
            "aio-sr:///press-row:1",
            "sr://plant/press-row:1",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        for (text, host, port) in [
            ("mqtt.example:8883", "mqtt.example", 8883),
            ("10.1.1.4:18883", "10.1.1.4", 18883),
            ("[::1]:1", "::1", 1),
            ("aio_broker:65535", "aio_broker", 65535),
        ] {
            let parsed = HostPort::parse(text).unwrap();
            assert_eq!((parsed.host(), parsed.port(), parsed.to_string().as_str()), (host, port, text));
        }
        for bad in [
            "",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "a b:1",
            "::1:1",
            "[::1]",
            "[x]:1",
            "a/b:1",
            "mqtt://a:1",
        ] {
            assert_eq!(HostPort::parse(bad), None, "{bad}");
        }
    }
}
