//! What the store answers, and how that is written (AIO: State store protocol, "Response format" and "Notifications").

use bytes::{BufMut, Bytes, BytesMut};

use super::hlc::Hlc;
use super::request::RequestError;
use super::resp3::{put_array, put_string};

/// What became of a request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// SET took place; KEYNOTIFY too.
    Ok,
    /// The value of a key, if there is one.
    Value(Option<Bytes>),
    /// How many keys were deleted or observations stopped; -1 when a condition was not met.
    Count(i8),
    /// A page of keys, and what to ask for to get the next one.
    Keys {
        /// In their order.
        keys: Vec<Bytes>,
        /// None on the last page.
        token: Option<Bytes>,
    },
}

/// A condition was not met.
pub(crate) const NOT_APPLIED: Reply = Reply::Count(-1);

/// The payload of a response.
pub(crate) fn encode(reply: &Result<Reply, RequestError>) -> Bytes {
    let mut out = BytesMut::new();
    match reply {
        Ok(Reply::Ok) => return Bytes::from_static(b"+OK\r\n"),
        Ok(Reply::Value(None)) => return Bytes::from_static(b"$-1\r\n"),
        Ok(Reply::Value(Some(value))) => put_string(&mut out, value),
        Ok(Reply::Count(count)) => out.put_slice(format!(":{count}\r\n").as_bytes()),
        Ok(Reply::Keys { keys, token }) => {
            put_array(&mut out, 1 + usize::from(token.is_some()));
            put_array(&mut out, keys.len());
            keys.iter().chain(token).for_each(|string| put_string(&mut out, string));
        }
        Err(error) => out.put_slice(format!("-ERR {error}\r\n").as_bytes()),
    }
    out.freeze()
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which key.
    pub(crate) key: Bytes,
    /// Its value now; none if it was deleted, or expired.
    pub(crate) value: Option<Bytes>,
    /// The version this made.
    pub(crate) version: Hlc,
}

impl Change {
    /// The payload of a notification. The documentation has `DEL`; the SDKs read `DELETE`.
    pub(crate) fn encode(&self) -> Bytes {
        let Some(value) = &self.value else {
            return Bytes::from_static(b"*2\r\n$6\r\nNOTIFY\r\n$6\r\nDELETE\r\n");
        };
        let mut out = BytesMut::new();
        put_array(&mut out, 4);
        for string in [b"NOTIFY".as_slice(), b"SET", b"VALUE", value] {
            put_string(&mut out, string);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written_as_the_sdks_read_them() {
        let keys = |keys: &[&'static str], token: Option<&'static str>| {
            Ok(Reply::Keys {
                keys: keys.iter().map(|k| Bytes::from(*k)).collect(),
                token: token.map(Bytes::from),
            })
        };
        for (reply, payload) in [
            (Ok(Reply::Ok), "+OK\r\n"),
            (Ok(Reply::Value(Some("abc".into()))), "$3\r\nabc\r\n"),
            (Ok(Reply::Value(Some("".into()))), "$0\r\n\r\n"),
            (Ok(Reply::Value(None)), "$-1\r\n"),
            (Ok(Reply::Count(1)), ":1\r\n"),
            (Ok(Reply::Count(0)), ":0\r\n"),
            (Ok(NOT_APPLIED), ":-1\r\n"),
            (keys(&["a", "bc"], None), "*1\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n"),
            (keys(&[], Some("t")), "*2\r\n*0\r\n$1\r\nt\r\n"),
            (Err(RequestError::Syntax), "-ERR syntax error\r\n"),
        ] {
            assert_eq!(encode(&reply), payload, "{reply:?}");
        }
    }

    #[test]
    fn notifications_are_written_as_the_sdks_read_them() {
        let mut change =
            Change { key: "k".into(), value: Some("abc".into()), version: "1:0:s".parse().unwrap() };
        assert_eq!(change.encode(), "*4\r\n$6\r\nNOTIFY\r\n$3\r\nSET\r\n$5\r\nVALUE\r\n$3\r\nabc\r\n");
        change.value = None;
        assert_eq!(change.encode(), "*2\r\n$6\r\nNOTIFY\r\n$6\r\nDELETE\r\n");
    }
}
