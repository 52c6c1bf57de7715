//! Forward over a JSON text without reading values. Accepts what [`crate::parse_json`] accepts, and nothing else.
//!
//! Made to be fast, in three ways. Where strings end is told for 64 bytes at a time, so that no time goes into what is
//! in them: [`Scan::stops`]. Compact text is foreseen: two bytes are compared at once, such as the `":` behind a name,
//! and white space takes the long way. And a [`Scan`] stays in registers: what is inlined changes it in place, what is
//! not gets a copy and gives it back.

use crate::json::{JSON_DEPTH_MAX, skip_escape};

/// A place in a JSON text. What is not JSON ends in `None`.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t> {
    text: &'t str,
    /// With 32 bits, so that a sum can't overflow a `usize`: that saves a branch wherever the text is looked into.
    at: u32,
    /// A bit for each quote, backslash and control character in the last block of 64 bytes that was looked at.
    stops: u64,
    /// Where that block ends.
    looked_at: u32,
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
        Self { text, at: 0, stops: 0, looked_at: 0 }
    }

    pub(super) fn is_done(self) -> bool {
        self.at as usize == self.text.len()
    }

    pub(super) fn place(self) -> u32 {
        self.at
    }

    #[inline(always)]
    pub(super) fn peek(self) -> Option<u8> {
        self.text.as_bytes().get(self.at as usize).copied()
    }

    #[inline(always)]
    fn bytes<const N: usize>(self, at: u32) -> Option<&'t [u8; N]> {
        let at = at as usize;
        self.text.as_bytes().get(at..at + N)?.try_into().ok()
    }

    #[inline(always)]
    pub(super) fn space(&mut self) {
        if self.peek() <= Some(b' ') {
            *self = self.behind_space();
        }
    }

    #[cold]
    fn behind_space(mut self) -> Self {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self
    }

    /// Into an object, up to the quote of its first member's name; false if it has none, and ends.
    #[inline(always)]
    pub(super) fn first_member(&mut self) -> Option<bool> {
        self.at += 1;
        if self.peek()? == b'"' {
            return Some(true);
        }
        let there;
        (*self, there) = self.spaced_member(false)?;
        Some(there)
    }

    /// From behind a member's value up to the quote of the next one's name; false if the object ends.
    #[inline(always)]
    pub(super) fn next_member(&mut self) -> Option<bool> {
        if self.bytes(self.at) == Some(b",\"") {
            self.at += 1;
            return Some(true);
        }
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(false);
        }
        let there;
        (*self, there) = self.spaced_member(true)?;
        Some(there)
    }

    #[cold]
    fn spaced_member(self, comma: bool) -> Option<(Self, bool)> {
        let mut scan = self.behind_space();
        let end = scan.peek()? == b'}';
        if end || comma {
            if !end && scan.peek()? != b',' {
                return None;
            }
            scan.at += 1;
        }
        if !end {
            scan = scan.behind_space();
            if scan.peek()? != b'"' {
                return None;
            }
        }
        Some((scan, !end))
    }

    /// From the quote of a member's name up to its value.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Option<Name> {
        let start = self.at + 1;
        let end = self.stop(start)?;
        if self.bytes(end) == Some(b"\":") {
            self.at = end + 2;
            return Some(Name { start: start as usize, len: (end - start) as usize, escaped: false });
        }
        let name;
        (*self, name) = self.odd_name(end)?;
        Some(name)
    }

    #[cold]
    fn odd_name(self, stop: u32) -> Option<(Self, Name)> {
        let (scan, escaped) = self.behind_odd_string(stop)?;
        let start = self.at + 1;
        let name = Name { start: start as usize, len: (scan.at - 1 - start) as usize, escaped };
        let mut scan = scan.behind_space();
        if scan.peek()? != b':' {
            return None;
        }
        scan.at += 1;
        Some((scan.behind_space(), name))
    }

    /// From a value, or white space before it, to behind the value, with all that is in it. It lies within `depth`
    /// arrays and objects.
    #[inline(always)]
    pub(super) fn value(&mut self, depth: usize) -> Option<()> {
        // the arrays and objects around, a bit each, and 1 for objects; 64 are enough for what is to be fast
        let mut objects = 0u64;
        let mut open = 0;
        let open_max = (JSON_DEPTH_MAX - depth).min(64);
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'0'..=b'9' => self.number()?,
                b'-' => {
                    self.at += 1;
                    self.number()?;
                }
                b'{' | b'[' if open == open_max => return None,
                b'{' => {
                    if self.first_member()? {
                        (objects, open) = (objects << 1 | 1, open + 1);
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.space();
                    if self.peek()? != b']' {
                        (objects, open) = (objects << 1, open + 1);
                        continue;
                    }
                    self.at += 1;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => {
                    let behind = self.behind_space();
                    if behind.at == self.at {
                        return None;
                    }
                    *self = behind;
                    continue;
                }
            }
            // behind a value
            loop {
                if open == 0 {
                    return Some(());
                }
                let another = if objects & 1 == 1 { self.next_member()? } else { self.next_item()? };
                if another {
                    break;
                }
                (objects, open) = (objects >> 1, open - 1);
            }
            if objects & 1 == 1 {
                self.name()?;
            }
        }
    }

    /// From behind an array's item over the comma; false if the array ends.
    #[inline(always)]
    fn next_item(&mut self) -> Option<bool> {
        self.space();
        let another = match self.peek()? {
            b',' => true,
            b']' => false,
            _ => return None,
        };
        self.at += 1;
        Some(another)
    }

    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        let end = self.stop(self.at + 1)?;
        if self.bytes(end) == Some(b"\"") {
            self.at = end + 1;
        } else {
            *self = self.behind_odd_string(end)?.0;
        }
        Some(())
    }

    /// The next quote, backslash or control character from there on, which is no earlier place than before.
    #[inline(always)]
    fn stop(&mut self, mut from: u32) -> Option<u32> {
        loop {
            if from < self.looked_at {
                let ahead = self.stops >> (from % 64);
                if ahead != 0 {
                    return Some(from + ahead.trailing_zeros());
                }
                from = self.looked_at;
            }
            let block = from - from % 64;
            self.stops = stops_from(self.text.as_bytes(), block as usize)?;
            self.looked_at = block + 64;
        }
    }

    /// Goes on behind a string; gives whether there are escapes in it.
    #[cold]
    fn behind_odd_string(mut self, mut stop: u32) -> Option<(Self, bool)> {
        let mut escaped = false;
        loop {
            match self.text.as_bytes().get(stop as usize)? {
                b'"' => {
                    self.at = stop + 1;
                    return Some((self, escaped));
                }
                b'\\' => {
                    escaped = true;
                    let behind = skip_escape(self.text, stop as usize)?;
                    stop = self.stop(u32::try_from(behind).ok()?)?;
                }
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> Option<()> {
        let there = self.bytes(self.at)? == word;
        self.at += N as u32;
        there.then_some(())
    }

    /// A number without its sign.
    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        self.at += match self.bytes(self.at).and_then(short_number_len) {
            Some(len) => len,
            None => number_len(self.text.as_bytes().get(self.at as usize..)?)?,
        };
        Some(())
    }
}

const EACH: u64 = u64::MAX / 0xff;
/// The top bit of each byte.
const TOP: u64 = EACH * 0x80;

/// The length of the number these bytes begin with, if it ends among them and has no exponent.
#[inline(always)]
fn short_number_len(bytes: &[u8; 8]) -> Option<u32> {
    let text = u64::from_le_bytes(*bytes);
    // the top bit of each byte says whether it is less than `.`, or more than `9`; carries go to bytes behind such ones
    let less_than = |byte: u8| !((text | TOP) - EACH * u64::from(byte));
    let others = (less_than(b'.') | text.wrapping_add(EACH * 0x46) | text) & TOP;
    let len = others.trailing_zeros() / 8;
    // from here on nothing has to be waited for: all of it is one branch, which is foreseen
    let points = less_than(b'0') & TOP & (others.wrapping_sub(1) & !others);
    let is_slash = points >> 7 & text != 0;
    let two_points = points & points.wrapping_sub(1) != 0;
    let at_the_edge = points & (0x80 | others >> 8) != 0;
    let leading_zero = (bytes[0] == b'0') & ((points | others) & 0x8000 == 0);
    let exponent = bytes[len as usize % 8] | 0x20 == b'e';
    let odd = (len == 0) | (len == 8) | is_slash | two_points | at_the_edge | leading_zero | exponent;
    (!odd).then_some(len)
}

/// The length of the number these bytes begin with, whatever it is like.
#[inline(never)]
fn number_len(bytes: &[u8]) -> Option<u32> {
    let mut end = if bytes.first()? == &b'0' { 1 } else { behind_digits(bytes, 0)? };
    if let Some(b'.') = bytes.get(end) {
        end = behind_digits(bytes, end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = behind_digits(bytes, end + 1 + sign)?;
    }
    u32::try_from(end).ok()
}

/// Over the digits from there on, one at least.
fn behind_digits(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while let Some(eight) = bytes.get(end..)?.first_chunk() {
        // of digits 0 to 9 are left, and adding sets the top bit of what is more
        let values = u64::from_le_bytes(*eight) ^ (EACH * u64::from(b'0'));
        let others = (values.wrapping_add(EACH * 0x76) | values) & TOP;
        end += others.trailing_zeros() as usize / 8;
        if others != 0 {
            return (end > start).then_some(end);
        }
    }
    end += bytes[end..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (end > start).then_some(end)
}

fn stops_from(bytes: &[u8], start: usize) -> Option<u64> {
    let rest = bytes.get(start..)?;
    if let Some(block) = rest.first_chunk() {
        return Some(stops_of(block));
    }
    let mut block = [b' '; 64];
    block[..rest.len()].copy_from_slice(rest);
    (!rest.is_empty()).then(|| stops_of(&block))
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
