//! Values that some template meant to fill in and didn't.

use std::ops::Range;

use tidegate_core::{Diagnostic, Span};

use crate::codes;
use crate::problems::error;

/// The first template marker in a text: `{{ }}`, `${VAR}`, `<PLACEHOLDER>`, `{PLACEHOLDER}`, or a whole ARM expression
/// in brackets. The product's own `${inputTopic}` and `${outputTopic}` are none.
pub(crate) fn placeholder(text: &str) -> Option<Range<usize>> {
    if text.starts_with('[') && text.ends_with(")]") {
        return Some(0..text.len());
    }
    let word = |s: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"_- .".contains(&b);
        s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && s.bytes().all(inner)
            && !s.ends_with(' ')
    };
    let shouted = |s: &str| s.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let own = |s: &str| s.starts_with("inputTopic") || s.starts_with("outputTopic");
    let first = |open: &str, close: &str, is_one: &dyn Fn(&str) -> bool| {
        text.match_indices(open).find_map(|(start, _)| {
            let inner = start + open.len();
            let end = inner + text[inner..].find(close)?;
            is_one(&text[inner..end]).then_some(start..end + close.len())
        })
    };
    first("{{", "}}", &|_| true)
        .or_else(|| first("${", "}", &|s| word(s) && !own(s)))
        .or_else(|| first("<", ">", &word))
        .or_else(|| first("{", "}", &|s| word(s) && shouted(s)))
}

/// The complaint about a placeholder where only a real value can be.
pub(crate) fn unfilled(written: &str, at: Span) -> Diagnostic {
    let verb =
        if placeholder(written).is_none_or(|range| range == (0..written.len())) { "is" } else { "holds" };
    error(codes::PLACEHOLDER, at, format!("`{written}` {verb} a placeholder that nobody filled in"))
        .help("put the real value here, or render the template first")
}
