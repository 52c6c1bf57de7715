//! Bicep tokens to a [`File`]. A statement that can't be read is complained about once, and reading goes on with the
//! next.

use std::rc::Rc;

use tidegate_core::{Diagnostic, FileId, Span};

use crate::ast::{
    Declaration, Decorated, Expr, ExprKind, File, For, Item, Lambda, Link, Name, Operator, Part, Property,
    Type, TypeKind, TypeProperty, What,
};
use crate::codes;
use crate::lexer::{Kind, Lexed, Token, lex};
use crate::problems::{closest, error};

/// How deep expressions may nest.
pub(crate) const DEPTH_MAX: usize = 100;

/// How many levels an expression may have.
pub(crate) const HEIGHT_MAX: u16 = 200;

const STATEMENTS: [&str; 15] = [
    "targetScope",
    "metadata",
    "param",
    "var",
    "type",
    "func",
    "resource",
    "module",
    "output",
    "import",
    "extension",
    "provider",
    "assert",
    "using",
    "extends",
];

/// Reads a file. The second is what is wrong with it.
pub(crate) fn parse(id: FileId, text: &str) -> (File, Vec<Diagnostic>) {
    let Lexed { tokens, problems, .. } = lex(id, text);
    let mut parser = Parser { tokens, at: 0, problems, file: File::default(), depth: 0, within: None };
    parser.statements();
    (parser.file, parser.problems)
}

/// What could not be read was complained about.
type Read<T> = Option<T>;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    problems: Vec<Diagnostic>,
    file: File,
    depth: usize,
    within: Option<usize>,
}

impl Parser {
    fn kind(&self) -> &Kind {
        self.ahead(0)
    }

    /// The token after `n` others; the last is the end of the file.
    fn ahead(&self, n: usize) -> &Kind {
        self.tokens.get(self.at + n).map_or(&Kind::End, |t| &t.kind)
    }

    fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].span
    }

    /// Of the token before this one.
    fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.kind(), Kind::Sign(s) if *s == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Name(name) if name == word)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.advance();
        }
        found
    }

    fn newlines(&mut self) {
        while *self.kind() == Kind::Newline {
            self.advance();
        }
    }

    /// How many newlines come before the next token.
    fn newlines_ahead(&self) -> usize {
        (0..).take_while(|n| *self.ahead(*n) == Kind::Newline).count()
    }

    fn expected<T>(&mut self, what: &str) -> Read<T> {
        let found = match self.kind() {
            Kind::Name(name) => format!("`{name}`"),
            Kind::Int(number) => format!("`{number}`"),
            Kind::Text(..) | Kind::TextStart(_) => "text".into(),
            Kind::TextMiddle(_) | Kind::TextEnd(_) => "the rest of a text".into(),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::Newline => "the end of the line".into(),
            Kind::End => "the end of the file".into(),
        };
        let mut at = self.span();
        if matches!(self.kind(), Kind::Newline | Kind::End) {
            // Nobody wants a caret under nothing.
            let before = self.last_span();
            at = Span { start: before.end.saturating_sub(1).max(before.start), ..before };
            // which may be inside a character
            if before.end.saturating_sub(before.start) > 1 {
                at = before;
            }
        }
        self.fail(at, format!("expected {what}, found {found}"))
    }

    fn fail<T>(&mut self, at: Span, message: impl Into<String>) -> Read<T> {
        self.problems.push(error(codes::BICEP_SYNTAX, at, message));
        None
    }

    fn want(&mut self, sign: &str) -> Read<()> {
        if self.eat(sign) { Some(()) } else { self.expected(&format!("`{sign}`")) }
    }

    fn name(&mut self, what: &str) -> Read<Name> {
        let Kind::Name(name) = self.kind() else { return self.expected(what) };
        let name = Name { text: name.as_str().into(), span: self.span() };
        self.advance();
        Some(name)
    }

    // Statements

    fn statements(&mut self) {
        loop {
            while matches!(self.kind(), Kind::Newline) {
                self.advance();
            }
            if *self.kind() == Kind::End {
                return;
            }
            let before = self.at;
            let read = self.statement();
            self.within = None;
            self.depth = 0;
            let read = read.and_then(|()| match self.kind() {
                Kind::Newline | Kind::End => Some(()),
                _ => self.expected("the end of the line"),
            });
            if read.is_none() {
                if self.at == before {
                    self.advance();
                }
                self.recover();
            }
        }
    }

    /// Goes on to the next line that looks like the start of a statement.
    fn recover(&mut self) {
        while *self.kind() != Kind::End {
            let line_starts = *self.kind() == Kind::Newline;
            self.advance();
            let starts = match self.kind() {
                Kind::Name(word) => {
                    STATEMENTS.contains(&word.as_str())
                        && matches!(
                            self.ahead(1),
                            Kind::Name(_) | Kind::Sign("=" | "{" | "*") | Kind::Text(..)
                        )
                }
                _ => false,
            };
            if line_starts && starts {
                return;
            }
        }
    }

    fn statement(&mut self) -> Read<()> {
        let decorators = self.decorators()?;
        let start = self.span();
        let Kind::Name(word) = self.kind() else { return self.expected("a statement") };
        let word = word.clone();
        if !STATEMENTS.contains(&word.as_str()) {
            let help = closest(&word, STATEMENTS).map(|meant| format!("did you mean `{meant}`?"));
            let problem = error(codes::BICEP_SYNTAX, start, format!("`{word}` starts no statement"));
            self.problems.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
            return None;
        }
        self.advance();
        match word.as_str() {
            "targetScope" => {
                self.want("=")?;
                let value = self.expr()?;
                self.file.loose.push(value);
            }
            "metadata" => {
                self.name("a name")?;
                self.want("=")?;
                let value = self.expr()?;
                self.file.loose.push(value);
            }
            "assert" => {
                self.name("a name")?;
                self.want("=")?;
                let value = self.expr()?;
                self.file.loose.push(value);
            }
            "param" => {
                let name = self.name("the name of the parameter")?;
                if self.is("=") && self.file.using.is_some() {
                    self.advance();
                    let value = self.expr()?;
                    return self.declare(name, decorators, What::Given(value), start);
                }
                let of = if self.is("=") { None } else { self.param_type()? };
                let default = if self.eat("=") { Some(self.expr()?) } else { None };
                if of.is_none() && default.is_none() {
                    return self.expected("the type of the parameter");
                }
                return self.declare(name, decorators, What::Param { of, default }, start);
            }
            "var" => {
                let name = self.name("the name of the variable")?;
                if !self.is("=") {
                    self.type_expr()?;
                }
                self.want("=")?;
                let value = self.expr()?;
                return self.declare(name, decorators, What::Var(value), start);
            }
            "type" => {
                let name = self.name("the name of the type")?;
                self.want("=")?;
                let of = self.type_expr()?;
                return self.declare(name, decorators, What::Type(of), start);
            }
            "func" => {
                let name = self.name("the name of the function")?;
                let params = self.typed_params()?;
                let returns = if self.is("=>") { None } else { Some(self.type_expr()?) };
                self.want("=>")?;
                self.newlines();
                let body = self.expr()?;
                let names = params.iter().map(|(name, _)| name.clone()).collect();
                let body = Rc::new(Lambda { params: names, body });
                return self.declare(name, decorators, What::Function { params, returns, body }, start);
            }
            "resource" => return self.resource(decorators, start).map(drop),
            "module" => {
                let name = self.name("the name of the module")?;
                let path = self.text()?;
                self.want("=")?;
                let body = self.body()?;
                return self.declare(name, decorators, What::Module { path, body }, start);
            }
            "output" => {
                let name = self.name("the name of the output")?;
                if !self.is("=") {
                    self.param_type()?;
                }
                self.want("=")?;
                let value = self.expr()?;
                return self.declare(name, decorators, What::Output { value }, start);
            }
            "import" => return self.import(decorators, start),
            "extension" | "provider" => {
                let mut name = None;
                while !matches!(self.kind(), Kind::Newline | Kind::End) {
                    if self.is("{") {
                        let config = self.expr()?;
                        self.file.loose.push(config);
                        continue;
                    }
                    let is_name = self.is_word("as") || name.is_none();
                    if self.is_word("as") {
                        self.advance();
                    }
                    if let (Kind::Name(word), true) = (self.kind(), is_name) {
                        name = Some(Name { text: word.as_str().into(), span: self.span() });
                    }
                    self.advance();
                }
                if let Some(name) = name {
                    return self.declare(name, decorators, What::Extension, start);
                }
            }
            "using" => {
                let link = if self.is_word("none") {
                    let link = Link { path: None, span: self.span() };
                    self.advance();
                    link
                } else {
                    self.link()?
                };
                self.file.using = Some(link);
            }
            _ => self.file.extends = Some(self.link()?),
        }
        Some(())
    }

    fn decorators(&mut self) -> Read<Vec<Expr>> {
        let mut decorators = Vec::new();
        while self.eat("@") {
            decorators.push(self.unary()?);
            self.newlines();
        }
        Some(decorators)
    }

    fn declare(&mut self, name: Name, decorators: Vec<Expr>, what: What, start: Span) -> Read<()> {
        let span = start.to(self.last_span());
        let declaration = Declaration { name, decorators, what, within: self.within, span };
        self.file.declarations.push(Rc::new(declaration));
        Some(())
    }

    /// A resource at the top or in the body of another. Its children are declared before it, so its own place is kept
    /// for it by a declaration that is replaced.
    fn resource(&mut self, decorators: Vec<Expr>, start: Span) -> Read<usize> {
        let name = self.name("the name of the resource")?;
        let of = self.text()?;
        let existing = self.is_word("existing");
        if existing {
            self.advance();
        }
        self.want("=")?;
        let place = self.file.declarations.len();
        let outer = self.within;
        let wrong = Expr::new(ExprKind::Wrong, start);
        self.declare(name.clone(), vec![], What::Var(wrong), start)?;
        self.within = Some(place);
        let body = self.body();
        self.within = outer;
        let body = body.unwrap_or_else(|| {
            // what is in it stays known by name
            Expr::new(ExprKind::Wrong, start)
        });
        let whole = !matches!(body.kind, ExprKind::Wrong);
        let span = start.to(self.last_span());
        let what = What::Resource { of, existing, body };
        self.file.declarations[place] = Rc::new(Declaration { name, decorators, what, within: outer, span });
        whole.then_some(place)
    }

    fn import(&mut self, decorators: Vec<Expr>, start: Span) -> Read<()> {
        let from = self.file.imports.len();
        let mut names = Vec::new();
        if let Kind::Text(..) = self.kind() {
            // an extension, as it was written once
            self.text()?;
            while !matches!(self.kind(), Kind::Newline | Kind::End) {
                self.advance();
            }
            return Some(());
        }
        if self.eat("*") {
            if !self.is_word("as") {
                return self.expected("`as`");
            }
            self.advance();
            names.push((self.name("a name")?, None));
        } else {
            self.want("{")?;
            self.separators();
            while !self.eat("}") {
                let name = self.imported_name()?;
                let alias = if self.is_word("as") {
                    self.advance();
                    self.name("a name")?
                } else {
                    name.clone()
                };
                names.push((alias, Some(name)));
                self.separators();
            }
        }
        if !self.is_word("from") {
            return self.expected("`from`");
        }
        self.advance();
        let link = self.link()?;
        self.file.imports.push(link);
        let _ = decorators;
        for (alias, name) in names {
            let what = match name {
                Some(name) => What::Imported { from, name },
                None => What::Namespace { from },
            };
            self.declare(alias, vec![], what, start)?;
        }
        Some(())
    }

    fn imported_name(&mut self) -> Read<Name> {
        if let Kind::Text(text, _) = self.kind() {
            let name = Name { text: text.as_str().into(), span: self.span() };
            self.advance();
            return Some(name);
        }
        self.name("a name")
    }

    fn separators(&mut self) {
        while *self.kind() == Kind::Newline || self.is(",") {
            self.advance();
        }
    }

    fn link(&mut self) -> Read<Link> {
        let text = self.text()?;
        match text.kind {
            ExprKind::Text(path, _) => Some(Link { path: Some(path), span: text.span }),
            _ => self.fail(text.span, "a path must not hold expressions"),
        }
    }

    /// A text, perhaps with expressions in it.
    fn text(&mut self) -> Read<Expr> {
        match self.kind() {
            Kind::Text(..) | Kind::TextStart(_) => self.primary(),
            _ => self.expected("text in single quotes"),
        }
    }

    /// The body of a resource or module: an object, behind a condition or in a loop.
    fn body(&mut self) -> Read<Expr> {
        self.newlines();
        if self.is_word("if") { self.conditional() } else { self.expr() }
    }

    fn conditional(&mut self) -> Read<Expr> {
        let start = self.span();
        self.advance();
        self.want("(")?;
        self.newlines();
        let condition = self.expr()?;
        self.newlines();
        self.want(")")?;
        self.newlines();
        let body = self.expr()?;
        let span = start.to(body.span);
        Some(Expr::new(ExprKind::If(condition.into(), body.into()), span))
    }

    // Types

    fn param_type(&mut self) -> Read<Option<Type>> {
        if self.is_word("resource") && matches!(self.ahead(1), Kind::Text(..)) {
            self.advance();
            self.text()?;
            return Some(Some(Type { kind: TypeKind::Any }));
        }
        self.type_expr().map(Some)
    }

    fn typed_params(&mut self) -> Read<Vec<(Name, Type)>> {
        let mut params = Vec::new();
        self.want("(")?;
        self.separators();
        while !self.eat(")") {
            let name = self.name("the name of a parameter")?;
            params.push((name, self.type_expr()?));
            self.separators();
        }
        Some(params)
    }

    fn type_expr(&mut self) -> Read<Type> {
        self.deeper(Self::type_union)
    }

    fn type_union(&mut self) -> Read<Type> {
        // the first of several lines may have its own
        if matches!(self.ahead(self.newlines_ahead()), Kind::Sign("|")) {
            self.newlines();
            self.advance();
            self.newlines();
        }
        let mut members = vec![self.type_postfix()?];
        loop {
            let skip = self.newlines_ahead();
            if !matches!(self.ahead(skip), Kind::Sign("|")) {
                break;
            }
            self.newlines();
            self.advance();
            self.newlines();
            members.push(self.type_postfix()?);
        }
        if members.len() == 1 {
            return members.pop();
        }
        Some(Type { kind: TypeKind::Union(members) })
    }

    fn type_postfix(&mut self) -> Read<Type> {
        let start = self.span();
        let mut of = self.type_primary()?;
        let mut layers = 0;
        loop {
            let kind = if self.is("[") && matches!(self.ahead(1), Kind::Sign("]")) {
                self.advance();
                self.advance();
                TypeKind::Array(of.into())
            } else if self.is("[") {
                while !self.eat("]") {
                    if matches!(self.kind(), Kind::Newline | Kind::End) {
                        return self.expected("`]`");
                    }
                    self.advance();
                }
                TypeKind::Any
            } else if self.eat("?") {
                TypeKind::Nullable(of.into())
            } else if self.eat("!") {
                TypeKind::Any
            } else {
                return Some(of);
            };
            layers += 1;
            if layers > DEPTH_MAX {
                return self.too_deep(start);
            }
            of = Type { kind };
        }
    }

    fn type_primary(&mut self) -> Read<Type> {
        let kind = match self.kind().clone() {
            Kind::Name(word) if ["true", "false", "null"].contains(&word.as_str()) => {
                TypeKind::Literal(self.primary()?)
            }
            Kind::Name(_) => {
                let mut names = vec![self.name("a type")?];
                while self.is(".") {
                    self.advance();
                    if self.eat("*") {
                        return Some(Type { kind: TypeKind::Any });
                    }
                    names.push(self.name("a name")?);
                }
                if self.eat("<") {
                    while !self.eat(">") {
                        if matches!(self.kind(), Kind::Newline | Kind::End) {
                            return self.expected("`>`");
                        }
                        self.advance();
                    }
                    TypeKind::Any
                } else {
                    TypeKind::Named(names)
                }
            }
            Kind::Text(..) | Kind::Int(_) | Kind::Sign("-") => TypeKind::Literal(self.unary()?),
            Kind::TextStart(_) => {
                self.primary()?;
                TypeKind::Any
            }
            Kind::Sign("(") => {
                self.advance();
                self.newlines();
                let inner = self.type_expr()?;
                self.newlines();
                self.want(")")?;
                return Some(inner);
            }
            Kind::Sign("[") => {
                self.advance();
                let mut items = Vec::new();
                self.separators();
                while !self.eat("]") {
                    let decorators = self.decorators()?;
                    items.push(Decorated { decorators, value: self.type_expr()? });
                    self.separators();
                }
                TypeKind::Tuple(items)
            }
            Kind::Sign("{") => {
                self.advance();
                let mut properties = Vec::new();
                self.separators();
                while !self.eat("}") {
                    let decorators = self.decorators()?;
                    let name = if self.eat("*") {
                        None
                    } else if let Kind::Text(text, _) = self.kind() {
                        let name = text.as_str().into();
                        self.advance();
                        Some(name)
                    } else {
                        Some(self.name("a property")?.text)
                    };
                    self.want(":")?;
                    self.newlines();
                    let value = Decorated { decorators, value: self.type_expr()? };
                    properties.push(TypeProperty { name, value });
                    self.separators();
                }
                TypeKind::Object(properties)
            }
            _ => return self.expected("a type"),
        };
        Some(Type { kind })
    }

    // Expressions

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
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

    fn too_deep<T>(&mut self, at: Span) -> Read<T> {
        let message = format!("this nests more than {DEPTH_MAX} levels deep");
        self.problems.push(error(codes::TOO_MUCH, at, message));
        None
    }

    fn expr(&mut self) -> Read<Expr> {
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

    fn unary(&mut self) -> Read<Expr> {
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

    fn primary(&mut self) -> Read<Expr> {
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
