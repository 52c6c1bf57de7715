//! The expressions that ARM templates hold in brackets, as the same [`Expr`] that Bicep has.
//! <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions>

use std::ops::Range;
use std::rc::Rc;

use tidegate_core::{Diagnostic, Span};

use crate::ast::{Expr, ExprKind, Lambda, Name};
use crate::codes;
use crate::parse::{DEPTH_MAX, HEIGHT_MAX};
use crate::problems::error;

/// Whether a text of a template is an expression.
pub(crate) fn is_expression(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']') && !text.starts_with("[[")
}

/// Reads a text that [`is_expression`]; `place` says where bytes of it stand.
pub(crate) fn parse(text: &str, place: &dyn Fn(Range<usize>) -> Span) -> Result<Expr, Diagnostic> {
    let mut parser = Parser { text, at: 1, place, depth: 0 };
    let expr = parser.expr()?;
    parser.blank();
    if parser.at == text.len() - 1 {
        return Ok(expr);
    }
    Err(parser.expected("the end of the expression"))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    place: &'a dyn Fn(Range<usize>) -> Span,
    depth: usize,
}

type Read<T> = Result<T, Diagnostic>;

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..self.text.len() - 1).unwrap_or("")
    }

    fn span(&self, from: usize) -> Span {
        (self.place)(from..self.at)
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, sign: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn expected(&self, what: &str) -> Diagnostic {
        let (found, length) = match self.rest().chars().next() {
            Some(c) => (format!("`{c}`"), c.len_utf8()),
            None => ("its end".into(), 1),
        };
        let at = (self.place)(self.at..(self.at + length).min(self.text.len()));
        error(codes::EXPRESSION_SYNTAX, at, format!("expected {what}, found {found}"))
    }

    fn want(&mut self, sign: char) -> Read<()> {
        if self.eat(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn name(&mut self, what: &str) -> Read<Name> {
        self.blank();
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.expected(what));
        }
        let text: Rc<str> = rest[..length].into();
        let from = self.at;
        self.at += length;
        Ok(Name { text, span: self.span(from) })
    }

    fn expr(&mut self) -> Read<Expr> {
        self.blank();
        if self.depth >= DEPTH_MAX {
            let message = format!("this nests more than {DEPTH_MAX} levels deep");
            return Err(error(codes::TOO_MUCH, self.expected("").labels[0].span, message));
        }
        self.depth += 1;
        let from = self.at;
        let mut of = self.primary()?;
        loop {
            let kind = if self.eat('.') {
                ExprKind::Member { base: of.into(), name: self.name("the name of a property")?, safe: false }
            } else if self.eat('[') {
                let index = self.expr()?.into();
                self.want(']')?;
                ExprKind::Index { base: of.into(), index, safe: false, from_end: false }
            } else {
                break;
            };
            of = Expr::new(kind, self.span(from));
            if of.height > HEIGHT_MAX {
                return Err(error(
                    codes::TOO_MUCH,
                    of.span,
                    format!("this has more than {HEIGHT_MAX} levels"),
                ));
            }
        }
        self.depth -= 1;
        Ok(of)
    }

    fn primary(&mut self) -> Read<Expr> {
        let from = self.at;
        let rest = self.rest();
        match rest.chars().next() {
            Some('\'') => self.text_literal(from),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' => {
                let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| n + 1);
                let number = rest[..digits].parse();
                self.at += digits;
                match number {
                    Ok(number) => Ok(Expr::new(ExprKind::Int(number), self.span(from))),
                    Err(_) => Err(error(
                        codes::EXPRESSION_SYNTAX,
                        self.span(from),
                        "this is no whole number that fits",
                    )),
                }
            }
            _ => self.call(from),
        }
    }

    fn text_literal(&mut self, from: usize) -> Read<Expr> {
        self.at += 1;
        let mut made = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find('\'') else {
                self.at = self.text.len() - 1;
                return Err(error(codes::EXPRESSION_SYNTAX, self.span(from), "this text has no end"));
            };
            let doubled = rest[end + 1..].starts_with('\'');
            made.push_str(&rest[..end]);
            self.at += end + 1;
            if !doubled {
                break;
            }
            made.push('\'');
            self.at += 1;
        }
        // Exact if nothing in it was doubled, and the place of its bytes is known.
        let inner = (self.place)(from + 1..self.at - 1);
        let exact = (inner.end - inner.start) as usize == made.len() && self.at - from == made.len() + 2;
        Ok(Expr::new(ExprKind::Text(made.into(), exact.then_some(inner.start)), self.span(from)))
    }

    fn call(&mut self, from: usize) -> Read<Expr> {
        let name = self.name("a value")?;
        if self.eat('.') {
            // a function of the template: `namespace.name()`
            let base = Expr::new(ExprKind::Name(name.text), name.span);
            let name = self.name("the name of a function")?;
            let args = self.args()?;
            let kind = ExprKind::Method { base: base.into(), name, args };
            return Ok(Expr::new(kind, self.span(from)));
        }
        let mut args = self.args()?;
        let span = self.span(from);
        let literal = |arg: Option<&Expr>| match arg.map(|a| (&a.kind, a.span)) {
            Some((ExprKind::Text(text, _), span)) => Some(Name { text: text.clone(), span }),
            _ => None,
        };
        let kind = if name.text.eq_ignore_ascii_case("lambda") {
            let Some(body) = args.pop() else { return Err(self.expected("the body of the lambda")) };
            let params = args.iter().map(|a| literal(Some(a))).collect::<Option<Vec<_>>>();
            let Some(params) = params else {
                return Err(error(codes::EXPRESSION_SYNTAX, span, "the variables of a lambda are texts"));
            };
            ExprKind::Lambda(Rc::new(Lambda { params, body }))
        } else if name.text.eq_ignore_ascii_case("lambdaVariables") {
            match literal(args.first()) {
                Some(name) => ExprKind::Name(name.text),
                None => return Err(error(codes::EXPRESSION_SYNTAX, span, "`lambdaVariables` takes a text")),
            }
        } else {
            ExprKind::Call { name, args }
        };
        Ok(Expr::new(kind, span))
    }

    fn args(&mut self) -> Read<Vec<Expr>> {
        self.want('(')?;
        let mut args = Vec::new();
        if self.eat(')') {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.eat(')') {
                return Ok(args);
            }
            if !self.eat(',') {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }
}
