//! What is known of messages because they passed the filters: a filter's inputs are there, and are what its formula
//! can be computed from.

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::check::types_of_part;
use crate::functions::Function;
use crate::shape::{Field, Kinds, Missing, Shape};
use crate::transform::{Root, Transform};
use crate::types::Types;

impl Transform {
    /// Those messages of a shape that the filters can let pass. All filters are computed for them: none is without
    /// a say in it.
    pub(crate) fn passing(&self, input: &Shape) -> Shape {
        let mut passing = input.clone();
        for filter in &self.filters {
            // a graph skips filters whose dataset has no record
            if filter.inputs.iter().any(|source| matches!(source.root, Root::Matched(_))) {
                continue;
            }
            let mut needed = vec![Types::ANY.without(Types::EMPTY); filter.inputs.len()];
            need(&filter.program.root, Types::BOOL, &mut needed);
            for (source, types) in filter.inputs.iter().zip(needed) {
                if let (Root::Message, false, Some(fields)) =
                    (source.root, source.has_stand_in(), source.path.fields())
                {
                    let path: Vec<&str> = fields.names(&[]).collect();
                    passing.narrow(&path, types);
                }
            }
        }
        passing
    }
}

/// Notes what inputs must be if the expression is to have a value of these types. What may not be computed tells
/// nothing.
fn need(expr: &Expr, types: Types, needed: &mut Vec<Types>) {
    match &expr.kind {
        ExprKind::Literal(_) => {}
        ExprKind::Input(index) => {
            if let Some(needed) = needed.get_mut(*index) {
                *needed = needed.and(types);
            }
        }
        ExprKind::Unary(UnaryOp::Not, operand) => need(operand, Types::BOOL, needed),
        ExprKind::Unary(UnaryOp::Negate, operand) => need(operand, Types::NUMBER, needed),
        ExprKind::Binary(op, left, right) => {
            let both = match op {
                BinaryOp::And | BinaryOp::Or => return need(left, Types::BOOL, needed),
                BinaryOp::Equal | BinaryOp::NotEqual => Types::ANY,
                BinaryOp::Add => Types::ANY,
                BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                    comparable(types_of_part(left, &[])).and(comparable(types_of_part(right, &[])))
                }
                _ => Types::NUMBER,
            };
            need(left, both, needed);
            need(right, both, needed);
        }
        ExprKind::Call(Function::If, arguments) => {
            if let Some(condition) = arguments.first() {
                need(condition, Types::BOOL, needed);
            }
        }
        ExprKind::Call(function, arguments) => {
            let spread = matches!(function, Function::Min | Function::Max) && arguments.len() == 1;
            let accepts = function.signature().accepts;
            for (i, argument) in arguments.iter().enumerate() {
                let accepted =
                    if spread { Types::NUMBER_OR_TUPLE } else { accepts[i.min(accepts.len() - 1)] };
                need(argument, accepted, needed);
            }
        }
        ExprKind::Tuple(items) => items.iter().for_each(|item| need(item, Types::ANY, needed)),
    }
}

/// What can be compared with a value of these types.
fn comparable(types: Types) -> Types {
    let of = |kind: Types| if types.may_be(kind) { kind } else { Types::NONE };
    of(Types::NUMBER).or(of(Types::STRING))
}

impl Shape {
    /// Leaves out what doesn't have a value of these types at that path. What nothing is known of stays unknown.
    fn narrow(&mut self, path: &[&str], types: Types) {
        let Shape::Known(kinds) = self else { return };
        let Some((name, below)) = path.split_first() else {
            kinds.scalars = kinds.scalars.and(types);
            if !types.may_be(Types::TUPLE) {
                kinds.items = None;
            }
            // a formula may get an object without a look at it, but only where any value would do
            if types != Types::ANY.without(Types::EMPTY) {
                kinds.members = None;
            }
            return;
        };
        let mut field = Field { shape: kinds.member(name).0.clone(), missing: Missing::Never };
        field.shape.narrow(below, types);
        let mut members = std::mem::take(&mut kinds.members).unwrap_or_default();
        members.fields.insert((*name).to_owned(), field);
        *self = Shape::Known(Kinds { members: Some(members), ..Kinds::default() });
    }
}
