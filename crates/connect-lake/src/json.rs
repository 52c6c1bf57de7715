//! JSON (RFC 8259) read piece by piece, without a tree. Strict: what this reader accepts, any reader does.

use std::borrow::Cow;

/// How deep what is passed over may nest.
const DEPTH_MAX: usize = 127;

/// Why bytes are not JSON: one sentence, lower case, and the byte it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson {
    pub(crate) message: &'static str,
    pub(crate) at: usize,
}

type Read<T> = Result<T, NotJson>;

/// A number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a str,
    /// Its value, if it is written without fraction and exponent and is an `i64`.
    pub(crate) whole: Option<i64>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Next {
    /// With an article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Next::Object => "an object",
            Next::Array => "an array",
            Next::String => "a text",
            Next::Number => "a number",
            Next::True | Next::False => "a boolean",
            Next::Null => "null",
        }
    }
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Read<Self> {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(_) => Err(NotJson { message: "not UTF-8", at: 0 }),
        }
    }

    fn fail<T>(&self, message: &'static str) -> Read<T> {
        Err(NotJson { message, at: self.at })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// What value comes next; nothing of it is read.
    #[inline]
    pub(crate) fn next(&mut self) -> Read<Next> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => Ok(Next::String),
            Some(b'-' | b'0'..=b'9') => Ok(Next::Number),
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(b't') => Ok(Next::True),
            Some(b'f') => Ok(Next::False),
            Some(b'n') => Ok(Next::Null),
            Some(_) => self.fail("not a value"),
            None => self.fail("the text ends where a value is expected"),
        }
    }

    /// Enters the object that comes next; whether it has a member.
    #[inline]
    pub(crate) fn enter_object(&mut self) -> bool {
        self.at += 1;
        self.skip_space();
        !self.take(b'}')
    }

    /// Enters the array that comes next; whether it has an item.
    #[inline]
    pub(crate) fn enter_array(&mut self) -> bool {
        self.at += 1;
        self.skip_space();
        !self.take(b']')
    }

    /// The name of a member; its value comes next.
    #[inline]
    pub(crate) fn name(&mut self) -> Read<Cow<'a, str>> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.fail("a member's name is missing");
        }
        let name = self.string()?;
        self.skip_space();
        if self.take(b':') { Ok(name) } else { self.fail("a `:` is missing") }
    }

    /// After a member's value: whether another member comes.
    #[inline]
    pub(crate) fn more_members(&mut self) -> Read<bool> {
        self.more(b'}', "a `,` or `}` is missing")
    }

    /// After an item: whether another one comes.
    #[inline]
    pub(crate) fn more_items(&mut self) -> Read<bool> {
        self.more(b']', "a `,` or `]` is missing")
    }

    #[inline]
    fn more(&mut self, end: u8, message: &'static str) -> Read<bool> {
        self.skip_space();
        if self.take(b',') {
            Ok(true)
        } else if self.take(end) {
            Ok(false)
        } else {
            self.fail(message)
        }
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.fail("text after the value") }
    }

    /// Reads `true`, `false` or `null`, of which the first letter has been seen.
    #[inline]
    pub(crate) fn word(&mut self, next: Next) -> Read<()> {
        let word: &[u8] = match next {
            Next::True => b"true",
            Next::False => b"false",
            _ => b"null",
        };
        if !self.text.as_bytes()[self.at..].starts_with(word) {
            return self.fail("not a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// The number that comes next.
    #[inline]
    pub(crate) fn number(&mut self) -> Read<Number<'a>> {
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.at;
        let mut whole = Some(0i64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // counted downwards, as there is one more number below zero
            whole = whole.and_then(|w| w.checked_mul(10)?.checked_sub(i64::from(digit - b'0')));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 {
            return self.fail("a digit is missing");
        }
        if digits > 1 && self.text.as_bytes()[first] == b'0' {
            self.at = first + 1;
            return self.fail("a number starts with 0");
        }
        if !negative {
            whole = whole.and_then(i64::checked_neg);
        }
        if self.take(b'.') {
            whole = None;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = None;
            self.at += 1;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Number { text: &self.text[start..self.at], whole })
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit is missing") } else { Ok(()) }
    }

    /// The text that comes next.
    #[inline]
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        match rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20) {
            Some(length) if rest[length] == b'"' => {
                self.at = start + length + 1;
                Ok(Cow::Borrowed(&self.text[start..start + length]))
            }
            Some(length) => {
                self.at = start + length;
                self.escaped(start)
            }
            None => self.fail("a string is not closed"),
        }
    }

    /// The rest of a text in which something else than plain characters was found.
    fn escaped(&mut self, mut start: usize) -> Read<Cow<'a, str>> {
        let mut owned = String::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    owned.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => {
                    owned.push_str(&self.text[start..self.at]);
                    owned.push(self.escape()?);
                    start = self.at;
                }
                Some(0..=0x1f) => return self.fail("a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.fail("a string is not closed"),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.fail("no such escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The rest of `\u....`, with its second half if it is a pair.
    fn unicode(&mut self) -> Read<char> {
        let code = match self.hex()? {
            high @ 0xd800..=0xdbff => {
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
        char::from_u32(code).map_or_else(|| self.fail("half of a surrogate pair"), Ok)
    }

    fn hex(&mut self) -> Read<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return self.fail("`\\u` takes four hexadecimal digits");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// Passes over the value that comes next.
    pub(crate) fn skip(&mut self) -> Read<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Read<()> {
        if depth > DEPTH_MAX {
            return self.fail("nested too deep");
        }
        match self.next()? {
            Next::String => self.string().map(drop),
            Next::Number => self.number().map(drop),
            Next::Object => {
                let mut more = self.enter_object();
                while more {
                    self.name()?;
                    self.skip_nested(depth + 1)?;
                    more = self.more_members()?;
                }
                Ok(())
            }
            Next::Array => {
                let mut more = self.enter_array();
                while more {
                    self.skip_nested(depth + 1)?;
                    more = self.more_items()?;
                }
                Ok(())
            }
            next => self.word(next),
        }
    }
}
