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

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_some() { "/" } else { "" };
        write!(f, "aio-sr://{}{slash}{}:{}", self.namespace().unwrap_or(""), self.name, self.version)
    }
}

/// Whether the schema registry takes the name.
pub(crate) fn is_schema_name(text: &str) -> bool {
    is_name(text, 3..=64, b"-")
}

/// Whether the schema registry takes the version.
pub(crate) fn is_schema_version(text: &str) -> bool {
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
        let port: u16 = port.parse().ok().filter(|p| *p > 0)?;
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
