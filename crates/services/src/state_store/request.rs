//! What clients ask for (AIO: State store protocol, "Request format"): a payload and two user properties to a typed
//! [`Request`], or to the error the client is told.

use std::time::Duration;

use bytes::Bytes;

use super::hlc::{Hlc, MalformedHlc};
use super::resp3;

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is to be done.
    pub(crate) command: Command,
    /// `__ts`: when the client sent it, by its clock.
    pub(crate) timestamp: Option<Hlc>,
    /// `__ft`: the version of the lock that the client holds.
    pub(crate) fencing_token: Option<Hlc>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Get {
        key: Bytes,
    },
    Set {
        key: Bytes,
        value: Bytes,
        condition: Condition,
        expires_in: Option<Duration>,
    },
    /// Deletes the key.
    Del {
        key: Bytes,
    },
    /// Deletes the key if it has that value.
    VDel {
        key: Bytes,
        value: Bytes,
    },
    /// Asks for notifications about the key, or for no more of them.
    KeyNotify {
        key: Bytes,
        stop: bool,
    },
    /// Asks for the keys that match a glob, after `token`, where the page before ended.
    Scan {
        pattern: Bytes,
        token: Option<Bytes>,
    },
}

/// When a SET takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    Unconditional,
    /// NX: only if the key does not exist.
    OnlyIfDoesNotExist,
    /// NEX: only if the key does not exist or has the value already.
    OnlyIfEqualOrDoesNotExist,
}

/// Why a request is refused. The texts are the protocol's: clients compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum RequestError {
    #[error(
        "the request timestamp is too far in the future; ensure that the client and broker system clocks are synchronized"
    )]
    TimestampTooFarAhead,
    #[error("a fencing token is required for this request")]
    FencingTokenRequired,
    #[error(
        "the request fencing token timestamp is too far in the future; ensure that the client and broker system clocks are synchronized"
    )]
    FencingTokenTooFarAhead,
    #[error("the request fencing token is a lower version than the fencing token protecting the resource")]
    FencingTokenLower,
    #[error("the quota has been exceeded")]
    QuotaExceeded,
    #[error("syntax error")]
    Syntax,
    #[error("unknown command")]
    UnknownCommand,
    #[error("wrong number of arguments")]
    WrongNumberOfArguments,
    #[error("missing timestamp")]
    MissingTimestamp,
    #[error("malformed timestamp")]
    MalformedTimestamp,
    #[error("the key length is zero")]
    EmptyKey,
}

impl From<MalformedHlc> for RequestError {
    fn from(_: MalformedHlc) -> Self {
        Self::MalformedTimestamp
    }
}

impl From<resp3::Malformed> for RequestError {
    fn from(_: resp3::Malformed) -> Self {
        Self::Syntax
    }
}

impl Request {
    /// Reads a payload and the values of `__ts` and `__ft`.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn parse(
        payload: &Bytes,
        timestamp: Option<&str>,
        fencing_token: Option<&str>,
    ) -> Result<Self, RequestError> {
        let command = Command::parse(&resp3::parse_strings(payload)?)?;
        let request = Self {
            command,
            timestamp: timestamp.map(str::parse).transpose()?,
            fencing_token: fencing_token.map(str::parse).transpose()?,
        };
        let is_set = matches!(request.command, Command::Set { .. });
        if is_set && request.timestamp.is_none() { Err(RequestError::MissingTimestamp) } else { Ok(request) }
    }
}

impl Command {
    /// Reads the strings of a request. The documentation has commands in both cases; both are taken.
    fn parse(strings: &[Bytes]) -> Result<Self, RequestError> {
        let (name, arguments) = strings.split_first().ok_or(RequestError::Syntax)?;
        let bytes = Bytes::clone;
        Ok(match (name.to_ascii_uppercase().as_slice(), arguments) {
            (b"GET", [key]) => Self::Get { key: bytes(key) },
            (b"SET", [key, value, options @ ..]) => Self::parse_set(key, value, options)?,
            (b"DEL", [key]) => Self::Del { key: bytes(key) },
            (b"VDEL", [key, value]) => Self::VDel { key: bytes(key), value: bytes(value) },
            (b"KEYNOTIFY", [key]) => Self::KeyNotify { key: bytes(key), stop: false },
            (b"KEYNOTIFY", [key, stop]) if stop.eq_ignore_ascii_case(b"STOP") => {
                Self::KeyNotify { key: bytes(key), stop: true }
            }
            (b"KEYNOTIFY", [_, _]) => return Err(RequestError::Syntax),
            (b"SCAN", [pattern]) => Self::Scan { pattern: bytes(pattern), token: None },
            (b"SCAN", [pattern, token]) => Self::Scan { pattern: bytes(pattern), token: Some(bytes(token)) },
            (b"GET" | b"SET" | b"DEL" | b"VDEL" | b"KEYNOTIFY" | b"SCAN", _) => {
                return Err(RequestError::WrongNumberOfArguments);
            }
            _ => return Err(RequestError::UnknownCommand),
        })
    }

    /// The key it is about, or the pattern of keys.
    pub(crate) fn key(&self) -> &Bytes {
        let (Self::Get { key }
        | Self::Set { key, .. }
        | Self::Del { key }
        | Self::VDel { key, .. }
        | Self::KeyNotify { key, .. }
        | Self::Scan { pattern: key, .. }) = self;
        key
    }

    fn parse_set(key: &Bytes, value: &Bytes, mut options: &[Bytes]) -> Result<Self, RequestError> {
        let (mut condition, mut expires_in) = (None, None);
        while let [option, rest @ ..] = options {
            options = rest;
            match option.to_ascii_uppercase().as_slice() {
                b"NX" if condition.is_none() => condition = Some(Condition::OnlyIfDoesNotExist),
                b"NEX" if condition.is_none() => condition = Some(Condition::OnlyIfEqualOrDoesNotExist),
                b"PX" if expires_in.is_none() => {
                    let (millis, rest) = options.split_first().ok_or(RequestError::Syntax)?;
                    options = rest;
                    expires_in = Some(parse_millis(millis).ok_or(RequestError::Syntax)?);
                }
                _ => return Err(RequestError::Syntax),
            }
        }
        let condition = condition.unwrap_or_default();
        Ok(Self::Set { key: key.clone(), value: value.clone(), condition, expires_in })
    }
}

/// Milliseconds from 1 up, in digits.
fn parse_millis(text: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn payload(strings: &[&str]) -> Bytes {
        let mut out = BytesMut::new();
        resp3::put_array(&mut out, strings.len());
        strings.iter().for_each(|s| resp3::put_string(&mut out, s.as_bytes()));
        out.freeze()
    }

    fn parse(strings: &[&str]) -> Result<Command, RequestError> {
        Request::parse(&payload(strings), Some("1:0:c"), None).map(|r| r.command)
    }

    #[test]
    fn commands_are_read() {
        let (key, value) = (Bytes::from("k"), Bytes::from("v"));
        let set = |condition, expires_in: Option<u64>| Command::Set {
            key: key.clone(),
            value: value.clone(),
            condition,
            expires_in: expires_in.map(Duration::from_millis),
        };
        use Condition::*;
        for (strings, command) in [
            (&["GET", "k"][..], Command::Get { key: key.clone() }),
            (&["get", "k"], Command::Get { key: key.clone() }),
            (&["DEL", "k"], Command::Del { key: key.clone() }),
            (&["VDEL", "k", "v"], Command::VDel { key: key.clone(), value: value.clone() }),
            (&["KEYNOTIFY", "k"], Command::KeyNotify { key: key.clone(), stop: false }),
            (&["KEYNOTIFY", "k", "STOP"], Command::KeyNotify { key: key.clone(), stop: true }),
            (&["SCAN", "k*"], Command::Scan { pattern: "k*".into(), token: None }),
            (&["SCAN", "k*", "k"], Command::Scan { pattern: "k*".into(), token: Some("k".into()) }),
            (&["SET", "k", "v"], set(Unconditional, None)),
            (&["SET", "k", "v", "NX"], set(OnlyIfDoesNotExist, None)),
            (&["SET", "k", "v", "NEX"], set(OnlyIfEqualOrDoesNotExist, None)),
            (&["SET", "k", "v", "PX", "5000"], set(Unconditional, Some(5000))),
            (&["SET", "k", "v", "NEX", "PX", "1"], set(OnlyIfEqualOrDoesNotExist, Some(1))),
            (&["SET", "k", "v", "PX", "1", "NEX"], set(OnlyIfEqualOrDoesNotExist, Some(1))),
            (&["set", "k", "v", "px", "1", "nx"], set(OnlyIfDoesNotExist, Some(1))),
        ] {
            assert_eq!(parse(strings), Ok(command), "{strings:?}");
        }
    }

    #[test]
    fn wrong_requests_get_the_error_of_the_protocol() {
        for (strings, text) in [
            (&["FOO"][..], "unknown command"),
            (&["FOO", ""], "unknown command"),
            (&[], "syntax error"),
            (&["GET"], "wrong number of arguments"),
            (&["GET", "k", "k"], "wrong number of arguments"),
            (&["SET", "k"], "wrong number of arguments"),
            (&["DEL"], "wrong number of arguments"),
            (&["DEL", "k", "v"], "wrong number of arguments"),
            (&["VDEL", "k"], "wrong number of arguments"),
            (&["KEYNOTIFY", "k", "STOP", "x"], "wrong number of arguments"),
            (&["KEYNOTIFY", "k", "GO"], "syntax error"),
            (&["SCAN"], "wrong number of arguments"),
            (&["SET", "k", "v", "XX"], "syntax error"),
            (&["SET", "k", "v", "NX", "NEX"], "syntax error"),
            (&["SET", "k", "v", "NEX", "NEX"], "syntax error"),
            (&["SET", "k", "v", "NEX", "v"], "syntax error"),
            (&["SET", "k", "v", "PX"], "syntax error"),
            (&["SET", "k", "v", "PX", "0"], "syntax error"),
            (&["SET", "k", "v", "PX", "+1"], "syntax error"),
            (&["SET", "k", "v", "PX", "1.5"], "syntax error"),
            (&["SET", "k", "v", "PX", "99999999999999999999"], "syntax error"),
            (&["SET", "k", "v", "PX", "1", "PX", "1"], "syntax error"),
        ] {
            assert_eq!(parse(strings).unwrap_err().to_string(), text, "{strings:?}");
        }
        let parse =
            |strings: &[&str], ts, ft| Request::parse(&payload(strings), ts, ft).unwrap_err().to_string();
        assert_eq!(parse(&["SET", "k", "v"], None, None), "missing timestamp");
        assert_eq!(parse(&["SET", "k", "v"], Some("abc"), None), "malformed timestamp");
        assert_eq!(parse(&["GET", "k"], Some("abc"), None), "malformed timestamp");
        assert_eq!(parse(&["DEL", "k"], None, Some("abc")), "malformed timestamp");
    }

    proptest! {
        #[test]
        fn no_strings_panic(
            strings in proptest::collection::vec(
                prop_oneof![
                    prop::sample::select(vec!["SET", "GET", "NX", "NEX", "PX", "KEYNOTIFY", "STOP", "1", ""])
                        .prop_map(str::to_owned),
                    "\\PC{0,5}",
                ],
                0..8,
            ),
            ts in proptest::option::of("\\PC{0,12}"),
        ) {
            let strings: Vec<_> = strings.iter().map(String::as_str).collect();
            let _ = Request::parse(&payload(&strings), ts.as_deref(), None);
        }
    }
}
