//! Bicep text to tokens. Newlines are tokens, as they end statements, properties and items; comments and pragmas are
//! none.

use std::ops::Range;

use tidegate_core::{Diagnostic, FileId, Span};

use crate::codes;
use crate::problems::{error, span};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Name(String),
    Int(i64),
    /// A whole text; whether the file holds it byte for byte, and from where.
    Text(String, Option<u32>),
    /// The text before the first `${`, between two, and after the last.
    TextStart(String),
    TextMiddle(String),
    TextEnd(String),
    Sign(&'static str),
    Newline,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// Longest first, so that the first that fits is the one.
const SIGNS: [&str; 40] = [
    "...", "=>", "==", "=~", "!=", "!~", "<=", ">=", "&&", "||", "??", "::", ".?", "?.", "[?", "{", "}", "[",
    "]", "(", ")", ",", ":", ".", "=", "@", "?", "!", "<", ">", "+", "-", "*", "/", "%", "|", "^", "$", "#",
    ";",
];

pub(crate) struct Lexed {
    pub(crate) tokens: Vec<Token>,
    pub(crate) problems: Vec<Diagnostic>,
    pub(crate) comments: Vec<Range<usize>>,
}

pub(crate) fn lex(file: FileId, text: &str) -> Lexed {
    let mut lexer = Lexer {
        file,
        text,
        at: 0,
        tokens: Vec::new(),
        problems: Vec::new(),
        comments: Vec::new(),
        open: Vec::new(),
    };
    if text.starts_with('\u{feff}') {
        lexer.at = '\u{feff}'.len_utf8();
    }
    while lexer.at < text.len() {
        lexer.token();
    }
    lexer.push(Kind::End, text.len()..text.len());
    Lexed { tokens: lexer.tokens, problems: lexer.problems, comments: lexer.comments }
}

/// The quotes of a text: how it ends, and what opens an expression in it.
#[derive(Clone, Copy)]
struct Quotes {
    several_lines: bool,
    /// How many `$` stand before the `{`; none for a text of several lines without expressions.
    dollars: usize,
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    problems: Vec<Diagnostic>,
    comments: Vec<Range<usize>>,
    /// The texts around the place, each with how many braces are open in its expression.
    open: Vec<(Quotes, usize)>,
}

impl Lexer<'_> {
    fn push(&mut self, kind: Kind, range: Range<usize>) {
        self.tokens.push(Token { kind, span: span(self.file, range) });
    }

    fn complain(&mut self, range: Range<usize>, message: impl Into<String>) {
        self.problems.push(error(codes::BICEP_SYNTAX, span(self.file, range), message));
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn token(&mut self) {
        let start = self.at;
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\n' => {
                self.at += 1;
                self.push(Kind::Newline, start..self.at);
            }
            c if c.is_whitespace() => self.at += c.len_utf8(),
            '/' if rest.starts_with("//") => {
                self.at += rest.find('\n').unwrap_or(rest.len());
                self.comments.push(start..self.at);
            }
            '/' if rest.starts_with("/*") => match rest.find("*/") {
                Some(end) => {
                    self.at += end + 2;
                    self.comments.push(start..self.at);
                }
                None => {
                    self.complain(start..start + 2, "this comment has no end");
                    self.at = self.text.len();
                }
            },
            '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
            '\'' => self.quoted(start),
            '$' if rest.trim_start_matches('$').starts_with("'''") => {
                self.at += rest.len() - rest.trim_start_matches('$').len();
                self.quoted(start);
            }
            c if c.is_ascii_digit() => {
                let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                self.at += length;
                match rest[..length].parse() {
                    Ok(number) => self.push(Kind::Int(number), start..self.at),
                    Err(_) => {
                        self.complain(start..self.at, "this number is too large");
                        self.push(Kind::Int(0), start..self.at);
                    }
                }
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let length =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                self.at += length;
                self.push(Kind::Name(rest[..length].to_owned()), start..self.at);
            }
            '}' if self.open.last().is_some_and(|(_, braces)| *braces == 0) => {
                self.at += 1;
                if let Some((quotes, _)) = self.open.pop() {
                    self.text_from(start, quotes, false);
                }
            }
            _ => match SIGNS.iter().find(|s| rest.starts_with(**s)) {
                // `?.` of `a ?.5` can't be: there are no fractions
                Some(sign) => {
                    self.at += sign.len();
                    if let Some((_, braces)) = self.open.last_mut() {
                        match *sign {
                            "{" => *braces += 1,
                            "}" => *braces -= 1,
                            _ => {}
                        }
                    }
                    self.push(Kind::Sign(sign), start..self.at);
                }
                None => {
                    self.at += first.len_utf8();
                    let help = if first == '"' { "; texts stand in single quotes" } else { "" };
                    self.complain(start..self.at, format!("`{first}` means nothing here{help}"));
                }
            },
        }
    }

    /// A text whose quotes stand at the place; `start` is where its token starts.
    fn quoted(&mut self, start: usize) {
        let several_lines = self.rest().starts_with("'''");
        let dollars = if several_lines { self.at - start } else { 1 };
        self.at += if several_lines { 3 } else { 1 };
        if several_lines {
            // The line that the quotes open ends in no line of the text.
            let skipped =
                ["\r\n", "\n"].into_iter().find(|end| self.rest().starts_with(end)).map_or(0, str::len);
            self.at += skipped;
        }
        self.text_from(start, Quotes { several_lines, dollars }, true);
    }

    /// What comes until the text ends or an expression in it starts.
    fn text_from(&mut self, start: usize, quotes: Quotes, first: bool) {
        let from = self.at;
        let mut text = String::new();
        let mut exact = true;
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else {
                self.complain(start..from, "this text has no end");
                return self.push(Kind::Text(text, None), start..from);
            };
            if quotes.several_lines && rest.starts_with("'''") {
                // of more than three quotes, the last three are the end
                let run = rest.len() - rest.trim_start_matches('\'').len();
                text.push_str(&rest[..run - 3]);
                self.at += run;
                return self.end_text(text, exact.then_some(from), start, first);
            }
            if !quotes.several_lines && c == '\'' {
                self.at += 1;
                return self.end_text(text, exact.then_some(from), start, first);
            }
            if !quotes.several_lines && c == '\n' {
                self.complain(start..self.at, "this text has no end on its line");
                return self.end_text(text, None, start, first);
            }
            if quotes.dollars > 0 && c == '$' {
                let run = rest.len() - rest.trim_start_matches('$').len();
                if run >= quotes.dollars && rest[run..].starts_with('{') {
                    text.push_str(&rest[..run - quotes.dollars]);
                    self.at += run + 1;
                    let kind = if first { Kind::TextStart(text) } else { Kind::TextMiddle(text) };
                    self.push(kind, start..self.at);
                    self.open.push((quotes, 0));
                    return;
                }
                text.push_str(&rest[..run]);
                self.at += run;
                continue;
            }
            if !quotes.several_lines && c == '\\' {
                exact = false;
                self.escape(&mut text);
                continue;
            }
            text.push(c);
            self.at += c.len_utf8();
        }
    }

    fn end_text(&mut self, text: String, exact_from: Option<usize>, start: usize, first: bool) {
        let kind = if first {
            Kind::Text(text, exact_from.and_then(|at| u32::try_from(at).ok()))
        } else {
            Kind::TextEnd(text)
        };
        self.push(kind, start..self.at);
    }

    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        let rest = &self.text[start + 1..];
        let Some(c) = rest.chars().next() else {
            self.at += 1;
            return;
        };
        let plain = match c {
            '\\' | '\'' | '$' => Some(c),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            _ => None,
        };
        if let Some(c) = plain {
            text.push(c);
            self.at += 2;
            return;
        }
        let unicode = rest.strip_prefix("u{").and_then(|r| r.split_once('}')).map(|(digits, _)| digits);
        if let Some(digits) = unicode.filter(|d| d.len() <= 8 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
            self.at += digits.len() + 4;
            match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
                Some(c) => text.push(c),
                None => self.complain(start..self.at, "there is no such character"),
            }
            return;
        }
        self.at += 1 + c.len_utf8();
        if c == '\n' {
            self.at -= 1;
        }
        let message = "an escape is one of \\\\, \\', \\n, \\r, \\t, \\$ and \\u{...}";
        self.complain(start..self.at, message);
    }
}
