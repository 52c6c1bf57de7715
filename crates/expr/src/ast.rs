//! The formula as a tree. Knows how a formula prints, not what it is worth.

use std::fmt;
use std::ops::Range;

use crate::functions::Function;

/// A part of a formula and where it stands. Two are equal if they are the same formula, wherever they stand.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    /// The bytes of the formula's text.
    pub(crate) range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    Literal(Literal),
    /// `$1` is 0.
    Input(usize),
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    /// Two elements or more.
    Tuple(Vec<Expr>),
}

/// A value that stands in a formula, or after `??`.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `()`, or `null` after `??`: missing.
    Empty,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// Any other number; finite.
    Float(f64),
    /// Text, without its quotes.
    String(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Negate,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// How tightly an operator binds; all of them group from the left (*concept-dataflow-graphs-expressions*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precedence {
    Or,
    And,
    Equality,
    Comparison,
    Sum,
    Product,
    Unary,
    Power,
    Atom,
}

impl BinaryOp {
    pub(crate) fn precedence(self) -> Precedence {
        match self {
            BinaryOp::Or => Precedence::Or,
            BinaryOp::And => Precedence::And,
            BinaryOp::Equal | BinaryOp::NotEqual => Precedence::Equality,
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                Precedence::Comparison
            }
            BinaryOp::Add | BinaryOp::Subtract => Precedence::Sum,
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => Precedence::Product,
            BinaryOp::Power => Precedence::Power,
        }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Or => "||",
            BinaryOp::And => "&&",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Remainder => "%",
            BinaryOp::Power => "^",
        }
    }
}

impl UnaryOp {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negate => "-",
            UnaryOp::Not => "!",
        }
    }
}

impl Expr {
    fn precedence(&self) -> Precedence {
        match &self.kind {
            ExprKind::Binary(op, ..) => op.precedence(),
            ExprKind::Unary(..) => Precedence::Unary,
            _ => Precedence::Atom,
        }
    }
}

impl Expr {
    /// The part that stands there.
    pub(crate) fn at(&self, range: &Range<usize>) -> Option<&Expr> {
        if self.range == *range {
            return Some(self);
        }
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Input(_) => None,
            ExprKind::Unary(_, operand) => operand.at(range),
            ExprKind::Binary(_, left, right) => left.at(range).or_else(|| right.at(range)),
            ExprKind::Call(_, parts) | ExprKind::Tuple(parts) => parts.iter().find_map(|part| part.at(range)),
        }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// A text that parses to an equal formula, with no more parentheses than it needs.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { expr: self, names: &[] }.fmt(f)
    }
}

/// A formula as text, its inputs called by their names as far as there are names.
pub(crate) struct Shown<'a> {
    pub(crate) expr: &'a Expr,
    pub(crate) names: &'a [String],
}

impl Shown<'_> {
    fn part(&self, expr: &Expr, at_least: Precedence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown { expr, names: self.names };
        if expr.precedence() < at_least { write!(f, "({shown})") } else { write!(f, "{shown}") }
    }

    fn list(&self, items: &[Expr], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, item) in items.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            self.part(item, Precedence::Or, f)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr.kind {
            ExprKind::Literal(literal) => literal.fmt(f),
            ExprKind::Input(index) => match self.names.get(*index) {
                Some(name) => f.write_str(name),
                None => write!(f, "${}", index + 1),
            },
            ExprKind::Unary(op, operand) => {
                f.write_str(op.symbol())?;
                self.part(operand, Precedence::Unary, f)
            }
            ExprKind::Binary(BinaryOp::Power, base, exponent) => {
                self.part(base, Precedence::Power, f)?;
                f.write_str(" ^ ")?;
                let one_minus = matches!(&exponent.kind, ExprKind::Unary(UnaryOp::Negate, operand)
                    if operand.precedence() == Precedence::Atom);
                self.part(exponent, if one_minus { Precedence::Unary } else { Precedence::Atom }, f)
            }
            ExprKind::Binary(op, left, right) => {
                self.part(left, op.precedence(), f)?;
                write!(f, " {} ", op.symbol())?;
                let group = right.precedence() == op.precedence();
                self.part(right, if group { Precedence::Atom } else { op.precedence() }, f)
            }
            ExprKind::Call(function, arguments) => {
                f.write_str(function.name())?;
                self.list(arguments, f)
            }
            ExprKind::Tuple(items) => self.list(items, f),
        }
    }
}

/// As it stands in a formula.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Empty => f.write_str("()"),
            Literal::Bool(value) => value.fmt(f),
            Literal::Int(value) => value.fmt(f),
            // always with a point or an exponent, so that it stays a float
            Literal::Float(value) => write!(f, "{value:?}"),
            Literal::String(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}
