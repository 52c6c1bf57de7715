//! Forward over a JSON text without reading values. Accepts what [`crate::parse_json`] accepts, and nothing else.
//!
//! Where strings end is told for 64 bytes at a time, so that no time goes into what is in them: a bit for each byte
//! that may end a string, in [`Scan::stops`].

use crate::json::{JSON_DEPTH_MAX, skip_escape};

/// A place in a JSON text. What is not JSON ends in `None`.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// The quotes, backslashes and control characters of the bytes before `looked_at` that were not yet come to.
    stops: u64,
    looked_at: usize,
}

/// A member's name.
#[derive(Clone, Copy)]
pub(super) struct Name {
    /// Behind the quote.
    pub(super) start: usize,
    /// In bytes of the text.
    pub(super) len: usize,
    pub(super) escaped: bool,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, stops: 0, looked_at: 0 }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the length of the text was checked")]
    pub(super) fn place(&self) -> u32 {
        self.at as u32
    }

    /// The next byte; zero, which begins nothing, at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Goes over that byte, if it comes next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte;
        self.at += usize::from(there);
        there
    }

    #[inline]
    pub(super) fn space(&mut self) {
        if self.peek() <= b' ' {
            self.at = self.behind_space();
        }
    }

    #[cold]
    fn behind_space(&self) -> usize {
        let space =
            self.bytes[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at + space.count()
    }

    /// A value, with all that is in it, within `depth` arrays and objects.
    pub(super) fn value(&mut self, depth: usize) -> Option<()> {
        // one that can be kept in registers
        let mut scan = *self;
        scan.value_here(depth)?;
        *self = scan;
        Some(())
    }

    #[inline]
    fn value_here(&mut self, depth: usize) -> Option<()> {
        // the arrays and objects around, a bit each, and 1 for objects: they are no more than 127
        let mut objects = 0u128;
        let mut open = 0;
        loop {
            match self.peek() {
                b'"' => drop(self.string()?),
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' | b'[' if depth + open == JSON_DEPTH_MAX => return None,
                b'{' => {
                    self.at += 1;
                    self.space();
                    if !self.take(b'}') {
                        (objects, open) = (objects << 1 | 1, open + 1);
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.space();
                    if !self.take(b']') {
                        (objects, open) = (objects << 1, open + 1);
                        continue;
                    }
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return None,
            }
            // behind a value
            loop {
                if open == 0 {
                    return Some(());
                }
                self.space();
                let in_object = objects & 1 == 1;
                if self.take(b',') {
                    self.space();
                    if in_object {
                        self.name()?;
                    }
                    break;
                }
                if !self.take(if in_object { b'}' } else { b']' }) {
                    return None;
                }
                (objects, open) = (objects >> 1, open - 1);
            }
        }
    }

    /// A member's name, and what is between it and the value.
    #[inline]
    pub(super) fn name(&mut self) -> Option<Name> {
        if self.peek() != b'"' {
            return None;
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let len = self.at - 1 - start;
        self.space();
        if !self.take(b':') {
            return None;
        }
        self.space();
        Some(Name { start, len, escaped })
    }

    /// A string; gives whether there are escapes in it.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        // its opening quote; before it there may be line ends between values
        while self.stop()? != self.at {}
        let end = self.stop()?;
        if self.byte(end) == b'"' {
            self.at = end + 1;
            return Some(false);
        }
        self.escapes(end)
    }

    /// The rest of a string that has an escape there, or a control character.
    #[cold]
    fn escapes(&mut self, mut stop: usize) -> Option<bool> {
        loop {
            match self.byte(stop) {
                b'"' => {
                    self.at = stop + 1;
                    return Some(true);
                }
                b'\\' => {
                    let behind = skip_escape(self.text, stop)?;
                    while stop < behind {
                        stop = self.stop()?;
                    }
                }
                _ => return None,
            }
        }
    }

    /// The next quote, backslash or control character.
    #[inline]
    fn stop(&mut self) -> Option<usize> {
        while self.stops == 0 {
            self.stops = self.look(self.looked_at)?;
            self.looked_at += 64;
        }
        let stop = self.looked_at - 64 + self.stops.trailing_zeros() as usize;
        self.stops &= self.stops - 1;
        Some(stop)
    }

    fn look(&self, from: usize) -> Option<u64> {
        let rest = self.bytes.get(from..)?;
        if let Some(block) = rest.first_chunk() {
            return Some(stops_of(block));
        }
        let mut block = [b' '; 64];
        block[..rest.len()].copy_from_slice(rest);
        (!rest.is_empty()).then(|| stops_of(&block))
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        let there = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        there.then_some(())
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        let start = self.at + usize::from(self.peek() == b'-');
        let short = self.bytes.get(start..).and_then(<[u8]>::first_chunk).and_then(decimal_len);
        self.at = match short {
            Some(len) => start + len,
            None => self.behind_number(start)?,
        };
        Some(())
    }

    /// Any number, without its sign.
    #[cold]
    fn behind_number(&self, start: usize) -> Option<usize> {
        let behind_digits = |start: usize| {
            let digits = self.bytes.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (digits > 0).then_some(start + digits)
        };
        let mut at = if self.byte(start) == b'0' { start + 1 } else { behind_digits(start)? };
        if self.byte(at) == b'.' {
            at = behind_digits(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(at + 1), b'+' | b'-'));
            at = behind_digits(at + 1 + sign)?;
        }
        Some(at)
    }
}

/// A bit for each byte that is a quote, a backslash or a control character.
#[inline(never)]
fn stops_of(block: &[u8; 64]) -> u64 {
    // a loop that is turned into vector instructions
    let stops = block.map(|byte| u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20));
    let mut bits = 0;
    for (i, eight) in stops.as_chunks().0.iter().enumerate() {
        // gathers the lowest bit of each byte in the highest byte
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= gathered << (8 * i);
    }
    bits
}

/// The length of the number these bytes begin with, if it ends among them, and has no exponent.
#[inline]
fn decimal_len(bytes: &[u8; 16]) -> Option<usize> {
    const EACH: u128 = u128::MAX / 0xff;
    // of digits 0 to 9 are left; adding sets the highest bit of what is more
    let values = u128::from_le_bytes(*bytes) ^ (EACH * b'0' as u128);
    let others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
    // it may carry into bytes behind the second byte that is no digit, but not before it
    let first = others.trailing_zeros() as usize / 8;
    let second = (others & others.wrapping_sub(1)).trailing_zeros() as usize / 8;
    let at = |place: usize| bytes[place % 16];
    let fraction = at(first) == b'.';
    let len = if fraction { second } else { first };
    let wrong = first == 0
        || fraction && second == first + 1
        || bytes[0] == b'0' && first > 1
        || len >= 16
        || at(len) | 0x20 == b'e';
    (!wrong).then_some(len)
}
