//! What Bicep text says. ARM expressions become the same [`Expr`], so that both are evaluated once.

use std::rc::Rc;

use tidegate_core::Span;

/// Something with a value.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
    /// How many levels it has, which bounds what recurs over it.
    pub(crate) height: u16,
}

impl Expr {
    pub(crate) fn new(kind: ExprKind, span: Span) -> Self {
        let mut height = 0;
        kind.each(&mut |child| height = height.max(child.height));
        Self { kind, span, height: height.saturating_add(1) }
    }
}

impl ExprKind {
    /// Hands over the parts that are expressions themselves.
    pub(crate) fn each<'a>(&'a self, take: &mut dyn FnMut(&'a Expr)) {
        match self {
            ExprKind::Null
            | ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Text(..)
            | ExprKind::Name(_)
            | ExprKind::Wrong => {}
            ExprKind::Interpolated(parts) => {
                for part in parts {
                    if let Part::Expr(expr) = part {
                        take(expr);
                    }
                }
            }
            ExprKind::Array(items) => items.iter().for_each(|item| take(&item.value)),
            ExprKind::Object(properties) => {
                for property in properties {
                    match property {
                        Property::Entry { key, value } => {
                            take(key);
                            take(value);
                        }
                        Property::Spread(value) => take(value),
                    }
                }
            }
            ExprKind::Member { base, .. } | ExprKind::Nested { base, .. } => take(base),
            ExprKind::Index { base, index, .. } => {
                take(base);
                take(index);
            }
            ExprKind::Call { args, .. } => args.iter().for_each(take),
            ExprKind::Method { base, args, .. } => {
                take(base);
                args.iter().for_each(take);
            }
            ExprKind::Not(inner) | ExprKind::Negative(inner) | ExprKind::NonNull(inner) => take(inner),
            ExprKind::Binary(_, left, right) | ExprKind::If(left, right) => {
                take(left);
                take(right);
            }
            ExprKind::Ternary(condition, yes, no) => {
                take(condition);
                take(yes);
                take(no);
            }
            ExprKind::Lambda(lambda) => take(&lambda.body),
            ExprKind::For(for_loop) => {
                take(&for_loop.over);
                take(&for_loop.body);
            }
        }
    }
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Null,
    Bool(bool),
    Int(i64),
    /// A text, and where it starts if the file holds it byte for byte.
    Text(Rc<str>, Option<u32>),
    Interpolated(Vec<Part>),
    Array(Vec<Item>),
    Object(Vec<Property>),
    Name(Rc<str>),
    Member {
        base: Box<Expr>,
        name: Name,
        safe: bool,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
        safe: bool,
        from_end: bool,
    },
    /// `parent::child`.
    Nested {
        base: Box<Expr>,
        name: Name,
    },
    Call {
        name: Name,
        args: Vec<Expr>,
    },
    /// `namespace.function()` or `resource.listKeys()`.
    Method {
        base: Box<Expr>,
        name: Name,
        args: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    NonNull(Box<Expr>),
    Lambda(Rc<Lambda>),
    For(Box<For>),
    /// `if (condition) body`, which only resources and modules have.
    If(Box<Expr>, Box<Expr>),
    /// What could not be read, and was complained about.
    Wrong,
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Expr(Expr),
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) spread: bool,
    pub(crate) value: Expr,
}

#[derive(Debug)]
pub(crate) enum Property {
    Entry { key: Expr, value: Expr },
    Spread(Expr),
}

#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: Rc<str>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Lambda {
    pub(crate) params: Vec<Name>,
    pub(crate) body: Expr,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) item: Name,
    pub(crate) index: Option<Name>,
    pub(crate) over: Expr,
    pub(crate) body: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Coalesce,
    Or,
    And,
    Equal,
    NotEqual,
    Like,
    NotLike,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operator::Coalesce => "??",
            Operator::Or => "||",
            Operator::And => "&&",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Like => "=~",
            Operator::NotLike => "!~",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
        }
    }
}

/// A type as written.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) kind: TypeKind,
}

#[derive(Debug)]
pub(crate) enum TypeKind {
    /// `string`, `types.machine`, `machine.name`: names with dots between them.
    Named(Vec<Name>),
    Literal(Expr),
    Array(Box<Type>),
    Tuple(Vec<Decorated<Type>>),
    Object(Vec<TypeProperty>),
    Union(Vec<Type>),
    Nullable(Box<Type>),
    /// What is looked into by `[*]` and the like, or depends on an Azure resource: any value will do.
    Any,
}

#[derive(Debug)]
pub(crate) struct TypeProperty {
    /// `None` for `*`.
    pub(crate) name: Option<Rc<str>>,
    pub(crate) value: Decorated<Type>,
}

#[derive(Debug)]
pub(crate) struct Decorated<T> {
    pub(crate) decorators: Vec<Expr>,
    pub(crate) value: T,
}

/// A statement with a name.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Name,
    pub(crate) decorators: Vec<Expr>,
    pub(crate) what: What,
    /// The resource whose body it stands in, by its place among the declarations.
    pub(crate) within: Option<usize>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum What {
    Param {
        of: Option<Type>,
        default: Option<Expr>,
    },
    Var(Expr),
    Type(Type),
    Function {
        params: Vec<(Name, Type)>,
        returns: Option<Type>,
        body: Rc<Lambda>,
    },
    Resource {
        of: Expr,
        existing: bool,
        body: Expr,
    },
    Module {
        path: Expr,
        body: Expr,
    },
    Output {
        value: Expr,
    },
    /// `import { a as b } from`: the name in the other file.
    Imported {
        from: usize,
        name: Name,
    },
    /// `import * as x from`.
    Namespace {
        from: usize,
    },
    /// `extension x`: a name that stands for things that are not evaluated.
    Extension,
    /// Of a parameter file.
    Given(Expr),
}

/// A file that another names.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) path: Option<Rc<str>>,
    pub(crate) span: Span,
}

/// One Bicep file.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) declarations: Vec<Rc<Declaration>>,
    /// Of `import`.
    pub(crate) imports: Vec<Link>,
    pub(crate) using: Option<Link>,
    pub(crate) extends: Option<Link>,
    /// Expressions whose names must resolve though nobody needs their values: `metadata`, `assert`.
    pub(crate) loose: Vec<Expr>,
}

impl What {
    /// Hands over the literal paths of other files in it.
    pub(crate) fn paths(&self, take: &mut dyn FnMut(&str)) {
        let mut search = Vec::new();
        match self {
            What::Param { default, .. } => search.extend(default),
            What::Var(value) | What::Given(value) | What::Output { value } => search.push(value),
            What::Function { body, .. } => search.push(&body.body),
            What::Resource { body, .. } => search.push(body),
            What::Module { path, body } => {
                if let ExprKind::Text(path, _) = &path.kind {
                    take(path);
                }
                search.push(body);
            }
            What::Type(_) | What::Imported { .. } | What::Namespace { .. } | What::Extension => {}
        }
        while let Some(expr) = search.pop() {
            if let ExprKind::Call { name, args } | ExprKind::Method { name, args, .. } = &expr.kind
                && name.text.starts_with("load")
                && let Some(ExprKind::Text(path, _)) = args.first().map(|a| &a.kind)
            {
                take(path);
            }
            expr.kind.each(&mut |part| search.push(part));
        }
    }
}
