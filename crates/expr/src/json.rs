//! JSON as it came: numbers keep their text, objects their order. Reads nothing into the values.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;

/// How deep arrays and objects may nest.
pub const JSON_DEPTH_MAX: usize = 127;

/// A JSON value (RFC 8259).
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The text of a number; it may be beyond what any number type holds.
    Number(Cow<'a, str>),
    /// Text, its escapes resolved.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// The members of an object in the order of their first appearance. Of members of one name the last counts.
pub type Object<'a> = IndexMap<Cow<'a, str>, Json<'a>>;

/// Why bytes are not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte it is about.
    pub offset: usize,
    /// One sentence, lower case.
    pub message: &'static str,
}

/// Reads a JSON text.
///
/// # Errors
/// Whatever RFC 8259 does not allow, unpaired surrogates, and nesting beyond [`JSON_DEPTH_MAX`].
pub fn parse_json(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| JsonError { offset: e.valid_up_to(), message: "not UTF-8" })?;
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(value) } else { reader.fail("text after the value") }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, message: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.at, message })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') if depth == JSON_DEPTH_MAX => self.fail("nested too deep"),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.fail("not a value"),
            None => self.fail("the text ends where a value is expected"),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fail("not a value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return self.fail("a `,` or `]` is missing");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.at += 1;
        let mut members = Object::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fail("a member's name is missing");
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return self.fail("a `:` is missing");
            }
            self.skip_space();
            let value = self.value(depth)?;
            members.insert(name, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return self.fail("a `,` or `}` is missing");
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return self.fail("a digit is missing");
        }
        if self.take(b'.') && self.digits() == 0 {
            return self.fail("a digit is missing");
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return self.fail("a digit is missing");
            }
        }
        Ok(Json::Number(Cow::Borrowed(&self.text[start..self.at])))
    }

    fn digits(&mut self) -> usize {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let mut owned = String::new();
        let mut start = self.at;
        loop {
            let Some(byte) = self.peek() else { return self.fail("a string is not closed") };
            match byte {
                b'"' => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    owned.push_str(rest);
                    return Ok(Cow::Owned(owned));
                }
                b'\\' => {
                    owned.push_str(&self.text[start..self.at]);
                    owned.push(self.escape()?);
                    start = self.at;
                }
                0..=0x1f => return self.fail("a control character in a string"),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let Some(byte) = self.peek() else { return self.fail("a string is not closed") };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.fail("no such escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The rest of `\u....`, with its second half if it is a pair.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        let code = match high {
            0xd800..=0xdbff => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return self.fail("half of a surrogate pair");
                }
                match self.hex()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => return self.fail("half of a surrogate pair"),
                }
            }
            code => code,
        };
        // the low half alone is no character
        char::from_u32(code).map_or_else(|| self.fail("half of a surrogate pair"), Ok)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let Some(digits) = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit)) else {
            return self.fail("`\\u` takes four hexadecimal digits");
        };
        self.at += 4;
        Ok(digits.iter().fold(0, |code, d| code * 16 + char::from(*d).to_digit(16).unwrap_or(0)))
    }
}

/// Steps over an escape within a string of a JSON text; none if it is no escape.
pub(crate) fn skip_escape(text: &str, at: usize) -> Option<usize> {
    let mut reader = Reader { text, at };
    reader.escape().ok()?;
    Some(reader.at)
}

impl Json<'_> {
    /// The same value without a hold on the text it was read from.
    pub fn into_owned(self) -> Json<'static> {
        match self {
            Json::Null => Json::Null,
            Json::Bool(value) => Json::Bool(value),
            Json::Number(text) => Json::Number(text.into_owned().into()),
            Json::String(text) => Json::String(text.into_owned().into()),
            Json::Array(items) => Json::Array(items.into_iter().map(Json::into_owned).collect()),
            Json::Object(members) => Json::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.into_owned().into(), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// Writes the value without white space, each number as it was written.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Json::Number(text) => out.extend_from_slice(text.as_bytes()),
            Json::String(text) => write_string(text, out),
            Json::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(members) => write_object(members, out, |value, out| value.write(out)),
        }
    }
}

/// Writes an object of whatever the values are.
pub(crate) fn write_object<V>(
    members: &IndexMap<Cow<'_, str>, V>,
    out: &mut Vec<u8>,
    write_value: impl Fn(&V, &mut Vec<u8>),
) {
    out.push(b'{');
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Writes a JSON string, escaping what must be.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut start = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"\\u00",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[start..i]);
        out.extend_from_slice(escape);
        if escape.len() == 4 {
            out.extend([byte >> 4, byte & 15].map(|d| b"0123456789abcdef"[usize::from(d)]));
        }
        start = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}

/// The value as compact JSON.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.message, self.offset)
    }
}

impl std::error::Error for JsonError {}
