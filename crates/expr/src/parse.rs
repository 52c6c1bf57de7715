//! Tokens put together: the grammar of formulas, in *concept-dataflow-graphs-expressions*' order of operators.

use std::ops::Range;

use crate::ast::{BinaryOp, Expr, ExprKind, Literal, Precedence, UnaryOp};
use crate::complaint::{SyntaxError, Warning};
use crate::functions::{Function, help_for_unknown};
use crate::lexer::{Token, lex};

/// How deep a formula may nest, parentheses and long sums alike: `1 + 2 + 3` is three deep.
pub const EXPRESSION_DEPTH_MAX: usize = 128;

/// How long a formula may be, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;

/// Reads a formula. All that is wrong with words and signs is found in one go, and the first mistake in how they fit
/// together.
pub(crate) fn parse_expression(text: &str) -> Result<(Expr, Vec<Warning>), Vec<SyntaxError>> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("a formula has at most {EXPRESSION_BYTES_MAX} bytes");
        return Err(vec![SyntaxError::new(0..text.len(), message)]);
    }
    let lexed = lex(text);
    let mut parser = Parser { text, tokens: &lexed.tokens, at: 0, nesting: 0, errors: lexed.errors };
    let root = parser.whole();
    let mut errors = parser.errors;
    errors.sort_by_key(|e| e.range.start);
    match root {
        Ok(root) if errors.is_empty() => Ok((root, lexed.warnings)),
        _ => Err(errors),
    }
}

/// The error is in the list already.
struct Stop;

type Parsed = Result<Deep, Stop>;

/// An expression and how deep it nests.
struct Deep {
    expr: Expr,
    depth: usize,
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [(Token<'a>, Range<usize>)],
    at: usize,
    nesting: usize,
    errors: Vec<SyntaxError>,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Result<Expr, Stop> {
        if self.tokens.is_empty() {
            if self.errors.is_empty() {
                self.errors.push(SyntaxError::new(0..self.text.len(), "the formula is empty"));
            }
            return Err(Stop);
        }
        let root = self.binary(Precedence::Or)?;
        match self.tokens.get(self.at) {
            None => Ok(root.expr),
            Some((Token::Close, range)) => self.stop(range.clone(), "a `)` without a `(`", None),
            Some((Token::Comma, range)) => {
                self.stop(range.clone(), "a `,` outside parentheses", Some("a list is a tuple: `($1, $2)`"))
            }
            Some((_, range)) => self.stop(range.clone(), "an operator is missing before this", None),
        }
    }

    fn stop<T>(&mut self, range: Range<usize>, message: &str, help: Option<&str>) -> Result<T, Stop> {
        // what the lexer passed over right here is reason enough
        if !self.errors.iter().any(|e| e.range.end <= range.start && self.blank(e.range.end..range.start)) {
            self.errors.push(SyntaxError { range, message: message.into(), help: help.map(Into::into) });
        }
        Err(Stop)
    }

    fn blank(&self, range: Range<usize>) -> bool {
        self.text[range].trim().is_empty()
    }

    fn deep(&mut self, kind: ExprKind, range: Range<usize>, below: usize) -> Parsed {
        let depth = below + 1;
        if depth > EXPRESSION_DEPTH_MAX {
            let help = "compute parts of it in rules of their own";
            return self.stop(
                range,
                &format!("the formula nests more than {EXPRESSION_DEPTH_MAX} deep"),
                Some(help),
            );
        }
        Ok(Deep { expr: Expr { kind, range }, depth })
    }

    /// `a op b op c` of operators that bind at least as tightly as `loosest`.
    fn binary(&mut self, loosest: Precedence) -> Parsed {
        let mut left = self.unary()?;
        while let Some(op) = self.operator() {
            if op.precedence() < loosest {
                break;
            }
            self.at += 1;
            let right = self.binary(tighter(op.precedence()))?;
            let range = left.expr.range.start..right.expr.range.end;
            let below = left.depth.max(right.depth);
            left = self.deep(ExprKind::Binary(op, left.expr.into(), right.expr.into()), range, below)?;
        }
        Ok(left)
    }

    /// The operator that stands next. A word that other languages have for one is an error, and read as what it means.
    fn operator(&mut self) -> Option<BinaryOp> {
        let (token, range) = self.tokens.get(self.at)?;
        let Token::Name(word) = token else {
            return if let Token::Op(op) = token { Some(*op) } else { None };
        };
        let op = match word.to_ascii_lowercase().as_str() {
            "and" => BinaryOp::And,
            "or" => BinaryOp::Or,
            "mod" => BinaryOp::Remainder,
            "div" => BinaryOp::Divide,
            "eq" | "is" => BinaryOp::Equal,
            "ne" => BinaryOp::NotEqual,
            "lt" => BinaryOp::Less,
            "le" => BinaryOp::LessOrEqual,
            "gt" => BinaryOp::Greater,
            "ge" => BinaryOp::GreaterOrEqual,
            _ => return None,
        };
        let error = SyntaxError::new(range.clone(), format!("no operator `{word}`"));
        if !self.errors.iter().any(|e| e.range == *range) {
            self.errors.push(error.help(format!("write `{}`", op.symbol())));
        }
        Some(op)
    }

    fn unary(&mut self) -> Parsed {
        let Some((token, range)) = self.tokens.get(self.at) else { return self.atom() };
        let op = match token {
            Token::Op(BinaryOp::Subtract) => UnaryOp::Negate,
            Token::Not => UnaryOp::Not,
            Token::Name(word) if word.eq_ignore_ascii_case("not") => {
                let error = SyntaxError::new(range.clone(), format!("no operator `{word}`"));
                self.errors.push(error.help("write `!`"));
                UnaryOp::Not
            }
            _ => {
                let mut base = self.atom()?;
                while self.operator() == Some(BinaryOp::Power) {
                    self.at += 1;
                    let exponent = self.exponent()?;
                    let span = base.expr.range.start..exponent.expr.range.end;
                    let below = base.depth.max(exponent.depth);
                    let kind = ExprKind::Binary(BinaryOp::Power, base.expr.into(), exponent.expr.into());
                    base = self.deep(kind, span, below)?;
                }
                return Ok(base);
            }
        };
        self.at += 1;
        let operand = self.nested(range.clone(), Self::unary)?;
        let span = range.start..operand.expr.range.end;
        self.deep(ExprKind::Unary(op, operand.expr.into()), span, operand.depth)
    }

    /// What follows `^`: an atom, perhaps with one minus.
    fn exponent(&mut self) -> Parsed {
        match self.tokens.get(self.at) {
            Some((Token::Op(BinaryOp::Subtract), range)) => {
                self.at += 1;
                let operand = self.atom()?;
                let span = range.start..operand.expr.range.end;
                self.deep(ExprKind::Unary(UnaryOp::Negate, operand.expr.into()), span, operand.depth)
            }
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Parsed {
        let end = self.text.trim_end().len();
        let Some((token, range)) = self.tokens.get(self.at) else {
            return self.stop(end..end, "the formula ends where a value is expected", None);
        };
        let range = range.clone();
        self.at += 1;
        match token {
            Token::Literal(literal) => self.deep(ExprKind::Literal(literal.clone()), range, 0),
            Token::Input(0) => {
                self.errors.push(SyntaxError::new(range.clone(), "no `$0`").help("the first input is `$1`"));
                self.deep(ExprKind::Input(0), range, 0)
            }
            Token::Input(number) => self.deep(ExprKind::Input(number - 1), range, 0),
            Token::Open => {
                let (mut items, end, below) = self.list(range.start)?;
                match items.len() {
                    0 => self.deep(ExprKind::Literal(Literal::Empty), range.start..end, 0),
                    1 => {
                        let expr = items.remove(0);
                        // the parentheses belong to it, so that a caret line covers them
                        Ok(Deep { expr: Expr { range: range.start..end, ..expr }, depth: below })
                    }
                    _ => self.deep(ExprKind::Tuple(items), range.start..end, below),
                }
            }
            Token::Name(name) => self.named(name, range),
            Token::Op(op) => self.stop(range, &format!("a value is missing before `{}`", op.symbol()), None),
            Token::Not => self.stop(range, "`!` does not stand here", Some("put `!...` in parentheses")),
            Token::Close => self.stop(range, "a value is missing before `)`", None),
            Token::Comma => self.stop(range, "a value is missing before `,`", None),
        }
    }

    fn named(&mut self, name: &str, range: Range<usize>) -> Parsed {
        let called = matches!(self.tokens.get(self.at), Some((Token::Open, _)));
        let function = Function::named(name);
        if !called {
            let error = SyntaxError::new(range.clone(), format!("`{name}` has no meaning here"));
            self.errors.push(error.help(match function {
                Some(function) => format!("call it: `{}`", function.signature().usage()),
                None if name == "null" => "a missing value is `()`".into(),
                None => "a text stands in double quotes; a field is listed in `inputs`, and the first one is `$1`".into(),
            }));
            return self.deep(ExprKind::Literal(Literal::Empty), range, 0);
        }
        let open = self.tokens[self.at].1.start;
        self.at += 1;
        if function.is_none() {
            let mut error = SyntaxError::new(range.clone(), format!("no function `{name}`"));
            error.help = help_for_unknown(name);
            self.errors.push(error);
        }
        let (arguments, end, below) = self.list(open)?;
        let kind = match function {
            Some(function) => ExprKind::Call(function, arguments),
            None => ExprKind::Literal(Literal::Empty),
        };
        self.deep(kind, range.start..end, below)
    }

    /// The rest of `(a, b, ...)`: the items, where it ends and how deep it nests.
    fn list(&mut self, open: usize) -> Result<(Vec<Expr>, usize, usize), Stop> {
        let mut items = Vec::new();
        let mut depth = 0;
        if let Some((Token::Close, range)) = self.tokens.get(self.at) {
            self.at += 1;
            return Ok((items, range.end, depth));
        }
        loop {
            let item = self.nested(open..open + 1, |parser| parser.binary(Precedence::Or))?;
            depth = depth.max(item.depth);
            items.push(item.expr);
            let Some((token, range)) = self.tokens.get(self.at) else {
                return self.stop(open..open + 1, "the `(` is not closed", None);
            };
            self.at += 1;
            match token {
                Token::Close => return Ok((items, range.end, depth)),
                Token::Comma => {}
                _ => {
                    return self.stop(
                        range.clone(),
                        "an operator, a `,` or a `)` is missing before this",
                        None,
                    );
                }
            }
        }
    }

    /// Goes one level down, unless that is too deep.
    fn nested(&mut self, range: Range<usize>, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            return self.stop(
                range,
                &format!("the formula nests more than {EXPRESSION_DEPTH_MAX} deep"),
                None,
            );
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }
}

/// The next step after `precedence`: operators group from the left, so the right side takes only tighter ones.
fn tighter(precedence: Precedence) -> Precedence {
    match precedence {
        Precedence::Or => Precedence::And,
        Precedence::And => Precedence::Equality,
        Precedence::Equality => Precedence::Comparison,
        Precedence::Comparison => Precedence::Sum,
        Precedence::Sum => Precedence::Product,
        _ => Precedence::Unary,
    }
}
