//! The patterns of SCAN, over bytes: `*` any bytes, `?` one, `[a-z]` one of a class, `[!a-z]` one outside it
//! (AIO: the Rust SDK's tests of `list_keys`).

/// A pattern, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    /// What every match starts with.
    prefix: Vec<u8>,
    rest: Vec<Token>,
}

#[derive(Clone, Debug)]
enum Token {
    Any,
    One { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::One { negated, ranges } => {
                ranges.iter().any(|(a, z)| (*a..=*z).contains(&byte)) != *negated
            }
        }
    }
}

impl Glob {
    /// `None` if a class is not closed.
    pub(crate) fn parse(pattern: &[u8]) -> Option<Self> {
        let literal = pattern.iter().take_while(|b| !b"*?[".contains(b)).count();
        let (prefix, mut pattern) = pattern.split_at(literal);
        let mut rest = Vec::new();
        while let Some((byte, after)) = pattern.split_first() {
            let (token, after) = match byte {
                b'*' => (Token::Any, after),
                b'?' => (Token::One { negated: false, ranges: vec![(0, u8::MAX)] }, after),
                b'[' => parse_class(after)?,
                byte => (Token::One { negated: false, ranges: vec![(*byte, *byte)] }, after),
            };
            rest.push(token);
            pattern = after;
        }
        Some(Self { prefix: prefix.into(), rest })
    }

    /// What every match starts with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let Some(text) = text.strip_prefix(self.prefix.as_slice()) else { return false };
        let (mut at, mut token) = (0, 0);
        // the latest `*`, and where what it takes ends at present
        let mut star = None;
        while at < text.len() {
            match self.rest.get(token) {
                Some(Token::Any) => {
                    star = Some((token, at));
                    token += 1;
                }
                Some(one) if one.takes(text[at]) => {
                    at += 1;
                    token += 1;
                }
                _ => {
                    let Some((any, end)) = &mut star else { return false };
                    *end += 1;
                    (token, at) = (*any + 1, *end);
                }
            }
        }
        self.rest[token..].iter().all(|token| matches!(token, Token::Any))
    }
}

/// The class after its bracket. A `]` or `-` that comes first is one of the class; so is a `^`.
fn parse_class(pattern: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, body) = match pattern.split_first()? {
        (b'!', rest) => (true, rest),
        _ => (false, pattern),
    };
    let close = 1 + body.get(1..)?.iter().position(|b| *b == b']')?;
    let (mut class, rest) = (&body[..close], &body[close + 1..]);
    let mut ranges = Vec::new();
    loop {
        class = match class {
            [a, b'-', z, rest @ ..] => {
                ranges.push((*a, *z));
                rest
            }
            [a, rest @ ..] => {
                ranges.push((*a, *a));
                rest
            }
            [] => return Some((Token::One { negated, ranges }, rest)),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_aio_matches_them() {
        let keys = ["pa", "pb", "pc", "p1", "p2", "pab", "pabc", "p.x", "p*lit"];
        for (pattern, matching) in [
            ("p*", &keys[..]),
            ("*", &keys),
            ("p?", &["pa", "pb", "pc", "p1", "p2"]),
            ("p??", &["pab", "p.x"]),
            ("p[ab]", &["pa", "pb"]),
            ("p[0-9]", &["p1", "p2"]),
            ("p[!0-9]", &["pa", "pb", "pc"]),
            ("p[^0-9]", &["p1", "p2"]),
            ("p*c", &["pc", "pabc"]),
            ("p[*]lit", &["p*lit"]),
            ("pa", &["pa"]),
            ("*b*", &["pb", "pab", "pabc"]),
            ("p[]x-]", &[]),
            ("nomatch*", &[]),
        ] {
            let glob = Glob::parse(pattern.as_bytes()).unwrap();
            let found: Vec<_> = keys.into_iter().filter(|k| glob.matches(k.as_bytes())).collect();
            assert_eq!(found, matching, "{pattern}");
        }
        for unclosed in ["p[", "p[a", "p[]", "p[!]", "p[!"] {
            assert!(Glob::parse(unclosed.as_bytes()).is_none(), "{unclosed}");
        }
        assert!(Glob::parse(b"[]-]").unwrap().matches(b"]") && Glob::parse(b"[]-]").unwrap().matches(b"-"));
    }

    /// The definition, without any cleverness.
    fn matches(tokens: &[Token], text: &[u8]) -> bool {
        match (tokens, text) {
            ([], text) => text.is_empty(),
            ([Token::Any, rest @ ..], text) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
            ([one, rest @ ..], [byte, text @ ..]) => one.takes(*byte) && matches(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[ab*?]{0,8}|[ab\\[\\]!*-]{0,8}", text in "[ab]{0,10}") {
            if let Some(glob) = Glob::parse(pattern.as_bytes()) {
                let expected = text
                    .as_bytes()
                    .strip_prefix(glob.prefix())
                    .is_some_and(|text| matches(&glob.rest, text));
                prop_assert_eq!(glob.matches(text.as_bytes()), expected);
            }
        }
    }
}
