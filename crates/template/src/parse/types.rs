//! Types, as parameters, properties and functions have them.

use super::{DEPTH_MAX, Parser, Read};
use crate::ast::{Decorated, Name, Type, TypeKind, TypeProperty};
use crate::lexer::Kind;

impl Parser {
    pub(super) fn param_type(&mut self) -> Read<Option<Type>> {
        if self.is_word("resource") && matches!(self.ahead(1), Kind::Text(..)) {
            self.advance();
            self.text()?;
            return Some(Some(Type { kind: TypeKind::Any }));
        }
        self.type_expr().map(Some)
    }

    pub(super) fn typed_params(&mut self) -> Read<Vec<(Name, Type)>> {
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

    pub(super) fn type_expr(&mut self) -> Read<Type> {
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
}
