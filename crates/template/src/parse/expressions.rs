//! Expressions: what has a value.

use std::rc::Rc;

use tidegate_core::Span;

use super::{DEPTH_MAX, HEIGHT_MAX, Parser, Read};
use crate::ast::{Expr, ExprKind, For, Item, Lambda, Name, Operator, Part, Property};
use crate::codes;
use crate::lexer::Kind;
use crate::problems::error;

impl Parser {
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH_MAX {
            let at = self.span();
            return self.too_deep(at);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Chains such as `a.b.c` and `a + b + c` grow without nesting in the text.
    fn not_too_high(&mut self, expr: &Expr) -> Read<()> {
        if expr.height > HEIGHT_MAX { self.too_deep(expr.span) } else { Some(()) }
    }

    pub(super) fn too_deep<T>(&mut self, at: Span) -> Read<T> {
        let message = format!("this nests more than {DEPTH_MAX} levels deep");
        self.problems.push(error(codes::TOO_MUCH, at, message));
        None
    }

    pub(super) fn expr(&mut self) -> Read<Expr> {
        self.deeper(Self::ternary)
    }

    fn ternary(&mut self) -> Read<Expr> {
        if let Some(lambda) = self.lambda() {
            return lambda;
        }
        let condition = self.binary(0)?;
        let skip = self.newlines_ahead();
        if !matches!(self.ahead(skip), Kind::Sign("?")) {
            return Some(condition);
        }
        self.newlines();
        self.advance();
        self.newlines();
        let yes = self.expr()?;
        self.newlines();
        self.want(":")?;
        self.newlines();
        let no = self.expr()?;
        let span = condition.span.to(no.span);
        Some(Expr::new(ExprKind::Ternary(condition.into(), yes.into(), no.into()), span))
    }

    /// `None` if there is no lambda at this place.
    fn lambda(&mut self) -> Option<Read<Expr>> {
        let start = self.span();
        let params = match self.kind() {
            Kind::Name(name) if matches!(self.ahead(1), Kind::Sign("=>")) => {
                let name = Name { text: name.as_str().into(), span: start };
                self.advance();
                vec![name]
            }
            Kind::Sign("(") => {
                let mut n = 1;
                let mut params = Vec::new();
                while !matches!(self.ahead(n), Kind::Sign(")")) {
                    match self.ahead(n) {
                        Kind::Name(name) => {
                            params.push(Name {
                                text: name.as_str().into(),
                                span: self.tokens[self.at + n].span,
                            });
                        }
                        Kind::Newline | Kind::Sign(",") => {}
                        _ => return None,
                    }
                    n += 1;
                }
                if !matches!(self.ahead(n + 1), Kind::Sign("=>")) {
                    return None;
                }
                self.at += n + 1;
                params
            }
            _ => return None,
        };
        self.advance();
        self.newlines();
        Some(self.expr().map(|body| {
            let span = start.to(body.span);
            Expr::new(ExprKind::Lambda(Rc::new(Lambda { params, body })), span)
        }))
    }

    fn binary(&mut self, power: u8) -> Read<Expr> {
        let mut left = self.unary()?;
        loop {
            let skip = self.newlines_ahead();
            let Kind::Sign(sign) = self.ahead(skip) else { return Some(left) };
            let (operator, binds) = match *sign {
                "??" => (Operator::Coalesce, 1),
                "||" => (Operator::Or, 2),
                "&&" => (Operator::And, 3),
                "==" => (Operator::Equal, 4),
                "!=" => (Operator::NotEqual, 4),
                "=~" => (Operator::Like, 4),
                "!~" => (Operator::NotLike, 4),
                "<" => (Operator::Less, 5),
                "<=" => (Operator::LessOrEqual, 5),
                ">" => (Operator::Greater, 5),
                ">=" => (Operator::GreaterOrEqual, 5),
                "+" => (Operator::Add, 6),
                // at the start of a line it belongs to the next item
                "-" if skip == 0 => (Operator::Subtract, 6),
                "*" => (Operator::Multiply, 7),
                "/" => (Operator::Divide, 7),
                "%" => (Operator::Modulo, 7),
                _ => return Some(left),
            };
            if binds <= power {
                return Some(left);
            }
            self.newlines();
            self.advance();
            self.newlines();
            let right = self.deeper(|parser| parser.binary(binds))?;
            let span = left.span.to(right.span);
            left = Expr::new(ExprKind::Binary(operator, left.into(), right.into()), span);
            self.not_too_high(&left)?;
        }
    }

    pub(super) fn unary(&mut self) -> Read<Expr> {
        let start = self.span();
        let make = match self.kind() {
            Kind::Sign("!") => ExprKind::Not,
            Kind::Sign("-") => ExprKind::Negative,
            Kind::Sign("+") => {
                self.advance();
                return self.deeper(Self::unary);
            }
            _ => return self.postfix(),
        };
        self.advance();
        let inner = self.deeper(Self::unary)?;
        let span = start.to(inner.span);
        Some(Expr::new(make(inner.into()), span))
    }

    fn postfix(&mut self) -> Read<Expr> {
        let start = self.span();
        let mut of = self.primary()?;
        // What follows a safe access is skipped with it.
        let mut after_safe = false;
        loop {
            let mut skip = self.newlines_ahead();
            if !matches!(self.ahead(skip), Kind::Sign("." | ".?" | "::")) {
                skip = 0;
            }
            let Kind::Sign(sign) = *self.ahead(skip) else { return Some(of) };
            if !matches!(sign, "." | ".?" | "?." | "::" | "[" | "[?" | "!") {
                return Some(of);
            }
            if sign == "!" && matches!(self.ahead(1), Kind::Sign("=")) {
                return Some(of);
            }
            self.at += skip;
            self.advance();
            let base = Box::new(of);
            let kind = match sign {
                "!" => {
                    after_safe = false;
                    ExprKind::NonNull(base)
                }
                "::" => ExprKind::Nested { base, name: self.name("the name of a resource")? },
                "[" | "[?" => {
                    after_safe |= sign == "[?";
                    self.newlines();
                    let from_end = self.eat("^");
                    let index = Box::new(self.expr()?);
                    self.newlines();
                    self.want("]")?;
                    ExprKind::Index { base, index, safe: after_safe, from_end }
                }
                _ => {
                    after_safe |= sign != ".";
                    let name = self.name("the name of a property")?;
                    if self.is("(") {
                        let args = self.args()?;
                        ExprKind::Method { base, name, args }
                    } else {
                        ExprKind::Member { base, name, safe: after_safe }
                    }
                }
            };
            of = Expr::new(kind, start.to(self.last_span()));
            self.not_too_high(&of)?;
        }
    }

    fn args(&mut self) -> Read<Vec<Expr>> {
        let mut args = Vec::new();
        self.want("(")?;
        self.newlines();
        while !self.eat(")") {
            args.push(self.expr()?);
            self.newlines();
            if !self.is(")") {
                self.want(",")?;
                self.newlines();
            }
        }
        Some(args)
    }

    pub(super) fn primary(&mut self) -> Read<Expr> {
        let start = self.span();
        let kind = match self.kind().clone() {
            Kind::Int(number) => {
                self.advance();
                ExprKind::Int(number)
            }
            Kind::Text(text, exact) => {
                self.advance();
                ExprKind::Text(text.into(), exact)
            }
            Kind::TextStart(text) => return self.interpolated(text),
            Kind::Name(name) => {
                if name == "if" && matches!(self.ahead(1), Kind::Sign("(")) {
                    return self.fail(start, "a condition with `if` stands before a resource, a module or in a loop; elsewhere write `condition ? a : b`");
                }
                self.advance();
                match name.as_str() {
                    "null" => ExprKind::Null,
                    "true" => ExprKind::Bool(true),
                    "false" => ExprKind::Bool(false),
                    _ if self.is("(") => {
                        let name = Name { text: name.as_str().into(), span: start };
                        ExprKind::Call { name, args: self.args()? }
                    }
                    _ => ExprKind::Name(name.as_str().into()),
                }
            }
            Kind::Sign("(") => {
                self.advance();
                self.newlines();
                let inner = self.expr()?;
                self.newlines();
                self.want(")")?;
                return Some(inner);
            }
            Kind::Sign("[" | "[?") => return self.array(),
            Kind::Sign("{") => return self.object(),
            _ => return self.expected("a value"),
        };
        Some(Expr::new(kind, start.to(self.last_span())))
    }

    fn interpolated(&mut self, first: String) -> Read<Expr> {
        let start = self.span();
        self.advance();
        let mut parts = vec![Part::Text(first)];
        loop {
            self.newlines();
            parts.push(Part::Expr(self.expr()?));
            self.newlines();
            let (text, ends) = match self.kind() {
                Kind::TextMiddle(text) => (text.clone(), false),
                Kind::TextEnd(text) => (text.clone(), true),
                _ => return self.expected("`}`"),
            };
            parts.push(Part::Text(text));
            self.advance();
            if ends {
                let span = start.to(self.last_span());
                return Some(Expr::new(ExprKind::Interpolated(parts), span));
            }
        }
    }

    fn array(&mut self) -> Read<Expr> {
        let start = self.span();
        self.advance();
        self.newlines();
        if self.is_word("for") && matches!(self.ahead(1), Kind::Name(_) | Kind::Sign("(")) {
            let body = self.for_loop()?;
            self.newlines();
            self.want("]")?;
            let span = start.to(self.last_span());
            return Some(Expr::new(ExprKind::For(body.into()), span));
        }
        let mut items = Vec::new();
        self.separators();
        while !self.eat("]") {
            let spread = self.eat("...");
            items.push(Item { spread, value: self.expr()? });
            if !matches!(self.kind(), Kind::Newline | Kind::Sign("," | "]")) {
                return self.expected("`,`, `]` or the end of the line");
            }
            self.separators();
        }
        Some(Expr::new(ExprKind::Array(items), start.to(self.last_span())))
    }

    fn for_loop(&mut self) -> Read<For> {
        self.advance();
        let (item, index) = if self.eat("(") {
            let item = self.name("a name for the item")?;
            self.want(",")?;
            let index = self.name("a name for the index")?;
            self.want(")")?;
            (item, Some(index))
        } else {
            (self.name("a name for the item")?, None)
        };
        if !self.is_word("in") {
            return self.expected("`in`");
        }
        self.advance();
        let over = self.expr()?;
        self.newlines();
        self.want(":")?;
        let body = self.body()?;
        Some(For { item, index, over, body })
    }

    fn object(&mut self) -> Read<Expr> {
        let start = self.span();
        self.advance();
        let mut properties: Vec<Property> = Vec::new();
        self.separators();
        while !self.eat("}") {
            let nested = self.is("@") || self.is_word("resource") && matches!(self.ahead(1), Kind::Name(_));
            if nested {
                let decorators = self.decorators()?;
                let from = self.span();
                if self.within.is_none() || !self.is_word("resource") {
                    return self.expected("a property");
                }
                self.advance();
                self.resource(decorators, from)?;
            } else if self.eat("...") {
                properties.push(Property::Spread(self.expr()?));
            } else {
                let key = match self.kind() {
                    Kind::Name(name) => {
                        let key = ExprKind::Text(name.as_str().into(), Some(self.span().start));
                        let span = self.span();
                        self.advance();
                        Expr::new(key, span)
                    }
                    Kind::Text(..) | Kind::TextStart(_) => self.primary()?,
                    _ => return self.expected("a property"),
                };
                if !self.is(":") {
                    return self.expected("`:`");
                }
                self.advance();
                self.newlines();
                let value = self.expr()?;
                self.once(&properties, &key);
                properties.push(Property::Entry { key, value });
            }
            if !matches!(self.kind(), Kind::Newline | Kind::Sign("," | "}")) {
                return self.expected("`,`, `}` or the end of the line");
            }
            self.separators();
        }
        Some(Expr::new(ExprKind::Object(properties), start.to(self.last_span())))
    }

    fn once(&mut self, before: &[Property], key: &Expr) {
        let ExprKind::Text(name, _) = &key.kind else { return };
        let first = before.iter().find_map(|p| match p {
            Property::Entry { key, .. } => {
                matches!(&key.kind, ExprKind::Text(other, _) if other == name).then_some(key.span)
            }
            Property::Spread(_) => None,
        });
        if let Some(first) = first {
            let message = format!("`{name}` stands twice in this object");
            self.problems.push(error(codes::DUPLICATE_KEY, key.span, message).label(first, "first here"));
        }
    }
}
