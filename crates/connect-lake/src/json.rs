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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a str,
    /// Its value, if it is written without fraction and exponent and is an `i64`.
    pub(crate) whole: Option<i64>,
    /// The nearest `f64`, if it was found on the way: most are that short.
    pub(crate) real: Option<f64>,
}

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// So many decimal digits fit into a `u64`, whichever they are.
const DIGITS_MAX: usize = 19;

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

    /// Passes over a member's name if it comes next, written just like `name`: quoted, and with its colon.
    #[inline]
    pub(crate) fn take_name(&mut self, name: &[u8]) -> bool {
        self.skip_space();
        let there = self.text.as_bytes()[self.at..].starts_with(name);
        if there {
            self.at += name.len();
        }
        there
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
        // of all digits, as long as they fit
        let mut units = 0u64;
        let mut digits = self.digits(&mut units)?;
        if digits > 1 && self.text.as_bytes()[first] == b'0' {
            self.at = first + 1;
            return self.fail("a number starts with 0");
        }
        let (mut whole, mut exact) = (true, true);
        let mut places = 0;
        if self.take(b'.') {
            whole = false;
            places = self.digits(&mut units)?;
            digits += places;
        }
        if let Some(b'e' | b'E') = self.peek() {
            (whole, exact) = (false, false);
            self.at += 1;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits(&mut 0)?;
        }
        let fits = digits <= DIGITS_MAX;
        let whole = match negative {
            _ if !(whole && fits) => None,
            true => 0i64.checked_sub_unsigned(units),
            false => i64::try_from(units).ok(),
        };
        // one division of two numbers that an f64 holds exactly is rounded once, as it should be
        let real = match POWERS.get(places) {
            Some(power) if exact && fits && units <= 1 << f64::MANTISSA_DIGITS => {
                let size = units as f64 / power;
                Some(if negative { -size } else { size })
            }
            _ => None,
        };
        Ok(Number { text: &self.text[start..self.at], whole, real })
    }

    /// Reads digits, at least one, on to the end of `units`; how many there are.
    #[inline]
    fn digits(&mut self, units: &mut u64) -> Read<usize> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *units = units.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == start { self.fail("a digit is missing") } else { Ok(self.at - start) }
    }

    /// The text that comes next.
    #[inline]
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        match plain_length(rest) {
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

/// Where the first byte of a text is that is no plain character of it: a quote, a backslash or a control character.
#[inline]
fn plain_length(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // sets the top bit of bytes below a limit; above the first such byte it may err
        let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & TOPS;
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = is(b'"') | is(b'\\') | below(word, b' ');
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < b' ');
    at.map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Reader::new(text.as_bytes()).unwrap().number().unwrap()
    }

    #[test]
    fn numbers_at_the_limits() {
        for value in [0, 7, i64::MAX, i64::MIN, i64::MIN + 1, -1, 10i64.pow(18)] {
            assert_eq!(number(&value.to_string()).whole, Some(value));
        }
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e3", "1.0"] {
            assert_eq!(number(text).whole, None, "{text}");
        }
        assert!(number("-0").real.unwrap().is_sign_negative());
        assert_eq!(number("0.000000000000000001").real, Some(1e-18));
        for text in ["12345678901234567890", "0.00000000000000000001", "1e3", "9007199254740993"] {
            assert_eq!(number(text).real, None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_what_they_are_elsewhere(text in r"-?(0|[1-9][0-9]{0,21})(\.[0-9]{1,21})?([eE][+-]?[0-9]{1,3})?") {
            let number = number(&text);
            prop_assert_eq!(number.text, &text);
            prop_assert_eq!(number.whole, text.parse::<i64>().ok());
            if let Some(real) = number.real {
                prop_assert_eq!(real.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn the_first_byte_that_is_not_plain_is_found(bytes in prop::collection::vec(prop_oneof![0x1eu8..0x24, 0x5bu8..0x5e, any::<u8>()], 0..40)) {
            let expected = bytes.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
            prop_assert_eq!(plain_length(&bytes), expected);
        }
    }
}
