//! Bicep tokens to a [`File`]. A statement that can't be read is complained about once, and reading goes on with the
//! next.

mod expressions;
mod types;

use std::rc::Rc;

use tidegate_core::{Diagnostic, FileId, Span};

use crate::ast::{Declaration, Expr, ExprKind, File, Lambda, Link, Name, What};
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
}
