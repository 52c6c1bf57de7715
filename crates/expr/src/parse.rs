//! Tokens put together: the grammar of formulas, in *concept-dataflow-graphs-expressions*' order of operators.

use std::ops::Range;

use crate::ast::{BinaryOp, Expr, ExprKind, Literal, Precedence, UnaryOp};
use crate::complaint::{SyntaxError, Warning};
use crate::functions::{Function, help_for_unknown};
use crate::lexer::{Token, lex};
use crate::window::{Call, Over, WindowFunction};

/// How deep a formula may nest, parentheses and long sums alike: `1 + 2 + 3` is three deep.
pub const EXPRESSION_DEPTH_MAX: usize = 128;

/// How long a formula may be, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;

/// Reads a formula. All that is wrong with words and signs is found in one go, and the first mistake in how they fit
/// together.
pub(crate) fn parse_expression(text: &str) -> Result<(Expr, Vec<Warning>), Vec<SyntaxError>> {
    parse(text, None).map(|(root, _, warnings)| (root, warnings))
}

/// The same with functions over a window. What a call of one gives is an input of the formula, behind the rule's own:
/// with two inputs, the first call is `$3`.
pub(crate) fn parse_window_expression(
    text: &str,
    inputs: usize,
    over: Over,
) -> Result<(Expr, Vec<Call>, Vec<Warning>), Vec<SyntaxError>> {
    parse(text, Some(OfWindow { over, inputs }))
}

fn parse(text: &str, window: Option<OfWindow>) -> Result<(Expr, Vec<Call>, Vec<Warning>), Vec<SyntaxError>> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("a formula has at most {EXPRESSION_BYTES_MAX} bytes");
        return Err(vec![SyntaxError::new(0..text.len(), message)]);
    }
    let lexed = lex(text);
    let (tokens, errors) = (&lexed.tokens, lexed.errors);
    let mut parser = Parser { text, tokens, at: 0, nesting: 0, errors, window, calls: Vec::new() };
    let root = parser.whole();
    let Parser { mut errors, calls, .. } = parser;
    errors.sort_by_key(|e| e.range.start);
    match root {
        Ok(root) if errors.is_empty() => Ok((root, calls, lexed.warnings)),
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
    /// If there are functions over a window.
    window: Option<OfWindow>,
    calls: Vec<Call>,
}

#[derive(Clone, Copy)]
struct OfWindow {
    over: Over,
    /// How many inputs the rule has.
    inputs: usize,
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
            Token::Input(number) => {
                if let Some(window) = self.window
                    && *number > window.inputs
                {
                    self.errors.push(no_such_input(number - 1, window.inputs, range.clone()));
                }
                self.deep(ExprKind::Input(number - 1), range, 0)
            }
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
        let of_window = self.window.and_then(|window| window.over.function(name));
        if function.is_none() && of_window.is_none() {
            let mut error = SyntaxError::new(range.clone(), format!("no function `{name}`"));
            error.help = help_for_unknown(name);
            self.errors.push(error);
        }
        let (arguments, end, below) = self.list(open)?;
        if let (Some(of_window), Some(window)) = (of_window, self.window) {
            let input = match arguments.as_slice() {
                [Expr { kind: ExprKind::Input(input), .. }] if *input < window.inputs => Some(*input),
                _ => None,
            };
            let of_messages = of_window == WindowFunction::RunningCount && arguments.is_empty();
            if input.is_some() || of_messages {
                let number = window.inputs + self.number(Call { function: of_window, input });
                return self.deep(ExprKind::Input(number), range.start..end, 0);
            }
            let complained = self.errors.iter().any(|e| e.range.start >= open);
            if function.is_none() && !complained {
                let message = format!("`{name}` takes one of the rule's inputs and nothing else");
                let help = format!("compute with what it gives, such as `{name}($1) + {name}($2)`");
                self.errors.push(SyntaxError::new(range.start..end, message).help(help));
            }
        }
        let kind = match function {
            Some(function) => ExprKind::Call(function, arguments),
            None => ExprKind::Literal(Literal::Empty),
        };
        self.deep(kind, range.start..end, below)
    }

    /// Which of the calls of functions over the window it is; equal ones are one.
    fn number(&mut self, call: Call) -> usize {
        self.calls.iter().position(|other| *other == call).unwrap_or_else(|| {
            self.calls.push(call);
            self.calls.len() - 1
        })
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

/// What to say of `$n` where the rule has fewer inputs; `$1` is 0.
pub(crate) fn no_such_input(index: usize, inputs: usize, range: Range<usize>) -> SyntaxError {
    let number = index.saturating_add(1);
    let message = match inputs {
        0 => format!("`${number}` stands for an input, and the rule has none"),
        1 => format!("`${number}` is beyond the rule's only input, `$1`"),
        n => format!("`${number}` is beyond the rule's inputs, `$1` to `${n}`"),
    };
    SyntaxError::new(range, message).help("add a path to the rule's `inputs`")
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
