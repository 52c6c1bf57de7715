//! A formula's text cut into tokens. Mends what people are likely to write by mistake, so that one run finds all of
//! it; knows nothing of how tokens fit together.

use std::ops::Range;

use crate::ast::{BinaryOp, Literal};
use crate::complaint::{SyntaxError, Warning};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Literal(Literal),
    /// `$1` is 1; too large a number is `usize::MAX`.
    Input(usize),
    /// A function's name, perhaps with `::`, or a word that has no place in a formula.
    Name(&'a str),
    /// Unary minus is a `Subtract` until the parser knows better.
    Op(BinaryOp),
    Not,
    Open,
    Close,
    Comma,
}

#[derive(Debug, Default)]
pub(crate) struct Lexed<'a> {
    pub(crate) tokens: Vec<(Token<'a>, Range<usize>)>,
    pub(crate) errors: Vec<SyntaxError>,
    pub(crate) warnings: Vec<Warning>,
}

/// Operators, the longest first, and what is taken for one: the error and the operator that was meant.
const OPERATORS: [(&str, BinaryOp, Option<&str>); 21] = [
    ("===", BinaryOp::Equal, Some("equality is `==`")),
    ("!==", BinaryOp::NotEqual, Some("inequality is `!=`")),
    ("==", BinaryOp::Equal, None),
    ("!=", BinaryOp::NotEqual, None),
    ("<>", BinaryOp::NotEqual, Some("inequality is `!=`")),
    ("<=", BinaryOp::LessOrEqual, None),
    (">=", BinaryOp::GreaterOrEqual, None),
    ("=<", BinaryOp::LessOrEqual, Some("less or equal is `<=`")),
    ("=>", BinaryOp::GreaterOrEqual, Some("greater or equal is `>=`")),
    ("&&", BinaryOp::And, None),
    ("||", BinaryOp::Or, None),
    ("**", BinaryOp::Power, Some("a power is `$1 ^ 2`")),
    ("=", BinaryOp::Equal, Some("equality is `==`; a formula assigns nothing")),
    ("<", BinaryOp::Less, None),
    (">", BinaryOp::Greater, None),
    ("+", BinaryOp::Add, None),
    ("-", BinaryOp::Subtract, None),
    ("*", BinaryOp::Multiply, None),
    ("/", BinaryOp::Divide, None),
    ("%", BinaryOp::Remainder, None),
    ("^", BinaryOp::Power, None),
];

/// How many mistakes are worth reporting in one formula.
const ERRORS_MAX: usize = 20;

pub(crate) fn lex(text: &str) -> Lexed<'_> {
    let mut lexer = Lexer { text, at: 0, out: Lexed::default() };
    while lexer.out.errors.len() < ERRORS_MAX && lexer.step() {}
    lexer.out
}

/// The literal that the whole text is, if it is one: a number, `true`, `false` or a text in double quotes.
pub(crate) fn single_literal(text: &str) -> Option<Literal> {
    let mut lexer = Lexer { text, at: 0, out: Lexed::default() };
    lexer.step();
    let Lexed { mut tokens, errors, warnings } = lexer.out;
    match tokens.pop()? {
        (Token::Literal(literal), range) => {
            let whole = range == (0..text.len()) && errors.is_empty() && warnings.is_empty();
            whole.then_some(literal)
        }
        _ => None,
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Lexed<'a>,
}

impl<'a> Lexer<'a> {
    /// Reads one token, or passes over something; `false` at the end.
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return false };
        match first {
            c if c.is_whitespace() => self.at += c.len_utf8(),
            '(' => self.push(Token::Open, 1),
            ')' => self.push(Token::Close, 1),
            ',' => self.push(Token::Comma, 1),
            '"' | '\'' => self.string(first),
            '$' => self.input(),
            c if c.is_ascii_digit() || starts_fraction(rest) => self.number(),
            c if c.is_alphabetic() || c == '_' => self.name(),
            _ if rest.starts_with("//") || rest.starts_with("/*") => {
                let len =
                    if rest.starts_with("//") { rest.find('\n') } else { rest.find("*/").map(|i| i + 2) };
                self.error(
                    len.unwrap_or(rest.len()),
                    "a formula holds no comments",
                    "put it in the rule's `description`",
                );
            }
            _ => self.operator(first),
        }
        true
    }

    fn push(&mut self, token: Token<'a>, len: usize) {
        self.out.tokens.push((token, self.at..self.at + len));
        self.at += len;
    }

    fn error(&mut self, len: usize, message: impl Into<String>, help: impl Into<String>) {
        self.out.errors.push(SyntaxError::new(self.at..self.at + len, message).help(help));
        self.at += len;
    }

    fn operator(&mut self, first: char) {
        let rest = &self.text[self.at..];
        if let Some((symbol, op, mistake)) = OPERATORS.iter().find(|(symbol, ..)| rest.starts_with(symbol)) {
            if let Some(help) = mistake {
                let range = self.at..self.at + symbol.len();
                self.out.errors.push(SyntaxError::new(range, format!("no operator `{symbol}`")).help(*help));
            }
            return self.push(Token::Op(*op), symbol.len());
        }
        let (message, help) = match first {
            '!' => return self.push(Token::Not, 1),
            '&' | '|' => {
                let op = if first == '&' { BinaryOp::And } else { BinaryOp::Or };
                let error = SyntaxError::new(self.at..self.at + 1, format!("no operator `{first}`"));
                self.out.errors.push(error.help(format!("write `{}`", op.symbol())));
                return self.push(Token::Op(op), 1);
            }
            '@' => (
                "`@` is how the portal shows a field".into(),
                "list the field in `inputs` and write `$1` for the first",
            ),
            ';' => ("a formula is one expression".into(), "write one rule for each value"),
            '“' | '”' | '„' | '‘' | '’' => {
                ("a typographic quote".into(), "texts stand in straight double quotes: \"text\"")
            }
            '≤' | '≥' | '≠' | '×' | '÷' | '−' => {
                (format!("no operator `{first}`"), "write `<=`, `>=`, `!=`, `*`, `/` or `-`")
            }
            '{' | '[' => (format!("no `{first}` in a formula"), "a list is a tuple: `($1, $2)`"),
            '?' => (
                "no operator `?`".into(),
                "choose with `if(condition, a, b)`; `? $last` and `??` belong in `inputs`",
            ),
            _ => (
                format!("unexpected {first:?}"),
                "a formula has numbers, \"texts\", `$1`, operators and functions",
            ),
        };
        self.error(first.len_utf8(), message, help);
    }

    /// `$1`; all else that begins with `$` belongs in `inputs`.
    fn input(&mut self) {
        let rest = &self.text[self.at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        if digits > 0 && digits == word {
            return self.push(Token::Input(rest[..digits].parse().unwrap_or(usize::MAX)), digits + 1);
        }
        let word =
            if rest[word..].starts_with('(') { rest.find(')').map_or(rest.len(), |i| i + 1) } else { word };
        let written = &self.text[self.at..self.at + 1 + word];
        let message = format!("`{written}` does not stand in a formula");
        self.out.errors.push(
            SyntaxError::new(self.at..self.at + 1 + word, message)
                .help("list the path in `inputs`; in the formula its first entry is `$1`, the second `$2`"),
        );
        self.push(Token::Literal(Literal::Empty), 1 + word);
    }

    fn name(&mut self) {
        let rest = &self.text[self.at..];
        let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let mut len = word(rest);
        while let Some(after) = rest[len..].strip_prefix("::").filter(|after| word(after) > 0) {
            len += 2 + word(after);
        }
        let token = match &rest[..len] {
            "true" => Token::Literal(Literal::Bool(true)),
            "false" => Token::Literal(Literal::Bool(false)),
            name => Token::Name(name),
        };
        self.push(token, len);
    }

    fn number(&mut self) {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let mut len =
            bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_')).count();
        // the sign of an exponent is part of the number
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        if !hex && matches!(bytes[len - 1], b'e' | b'E') && matches!(bytes.get(len), Some(b'+' | b'-')) {
            len += 1 + bytes[len + 1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        }
        let word = &rest[..len];
        match parse_number(word) {
            Some(literal) => self.push(Token::Literal(literal), len),
            None => {
                let message = format!("`{word}` is not a number");
                let help = "numbers are written `42`, `3.14`, `1e3` or `0x2a`, and stay below 1.8e308";
                self.out.errors.push(SyntaxError::new(self.at..self.at + len, message).help(help));
                self.push(Token::Literal(Literal::Int(0)), len);
            }
        }
    }

    fn string(&mut self, quote: char) {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.text[start + 1..].char_indices().map(|(i, c)| (start + 1 + i, c));
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    if quote == '\'' {
                        self.out.warnings.push(
                            Warning::new(start..at + 1, "texts stand in double quotes")
                                .help(format!("write {}", Literal::String(value.clone()))),
                        );
                    }
                    return self.push(Token::Literal(Literal::String(value)), at + 1 - start);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\' | '\''))) => value.push(escaped),
                    Some((end, other)) => {
                        value.push(other);
                        self.out.errors.push(
                            SyntaxError::new(at..end + other.len_utf8(), format!("no escape `\\{other}`"))
                                .help(format!(
                                    "write `\\\\{other}` for a backslash; the escapes are `\\\"` and `\\\\`"
                                )),
                        );
                    }
                    None => {}
                },
                c => value.push(c),
            }
        }
        self.error(self.text.len() - start, "the text is not closed", format!("add the closing `{quote}`"));
    }
}

/// `.5` is a number.
fn starts_fraction(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()))
}

fn parse_number(word: &str) -> Option<Literal> {
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return hex
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| i64::from_str_radix(hex, 16).ok())
            .flatten()
            .map(Literal::Int);
    }
    if let Ok(int) = word.parse() {
        return Some(Literal::Int(int));
    }
    // also an integer that 64 bits can't hold
    word.parse().ok().filter(|f: &f64| f.is_finite()).map(Literal::Float)
}
