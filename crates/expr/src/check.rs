//! What can be known to be wrong with a formula before there is a message: how functions are called, which inputs
//! there are, and kinds of value that never fit.

use std::ops::Range;

use regex::Regex;

use crate::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};
use crate::complaint::{SyntaxError, Warning};
use crate::functions::Function;
use crate::input::Host;
use crate::parse::parse_expression;
use crate::program::Program;
use crate::types::Types;

/// What a formula is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The value of a map rule's output.
    Map,
    /// Whether a filter rule is true of a message.
    Filter,
    /// Which way a message goes in a data flow graph.
    Branch,
    /// Whether a dataset's record belongs to a message.
    DatasetMatch,
}

/// Where a formula stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// How many inputs its rule has: `$1` to `$inputs`.
    pub inputs: usize,
    /// Which functions there are.
    pub host: Host,
    /// What its value must be.
    pub role: Role,
}

/// Reads and checks a formula.
///
/// # Errors
/// What can't be read, or could not be computed for any message: all of it, in the order of the text.
pub fn compile(text: &str, env: Env) -> Result<(Program, Vec<Warning>), Vec<SyntaxError>> {
    let (root, mut warnings) = parse_expression(text)?;
    let mut check = Check {
        env,
        inputs: &[],
        errors: Vec::new(),
        warnings: Vec::new(),
        used: vec![false; env.inputs],
        patterns: Vec::new(),
    };
    let types = check.types(&root);
    if env.role != Role::Map && !types.may_be(Types::BOOL) {
        let whose = match env.role {
            Role::Filter => "a filter's formula",
            Role::Branch => "a branch's formula",
            Role::DatasetMatch | Role::Map => "a dataset's formula",
        };
        let message = format!("{whose} is true or false, and this is {types}");
        check
            .errors
            .push(SyntaxError::new(root.range.clone(), message).help("compare it, such as `$1 > 20`"));
    }
    if let Some(unused) = check.used.iter().position(|used| !used) {
        let message = format!("`${}` is not used in the formula", unused + 1);
        check.warnings.push(Warning::new(0..text.len(), message).help("remove the input"));
    }
    warnings.append(&mut check.warnings);
    if check.errors.is_empty() {
        Ok((Program::new(text, root, env.inputs, check.patterns), warnings))
    } else {
        check.errors.sort_by_key(|e| e.range.start);
        Err(check.errors)
    }
}

/// What a formula can be worth when its inputs can be these.
pub(crate) fn types_of(program: &Program, inputs: &[Types]) -> Types {
    types_of_part(&program.root, inputs)
}

/// The same of a part of a formula.
pub(crate) fn types_of_part(expr: &Expr, inputs: &[Types]) -> Types {
    // what it complains about was complained about, or has no value
    let env = Env { inputs: inputs.len(), host: Host::Graph, role: Role::Map };
    let (errors, warnings, patterns) = Default::default();
    Check { env, inputs, errors, warnings, used: vec![false; inputs.len()], patterns }.types(expr)
}

struct Check<'a> {
    env: Env,
    /// What the inputs can be, as far as it is known.
    inputs: &'a [Types],
    errors: Vec<SyntaxError>,
    warnings: Vec<Warning>,
    used: Vec<bool>,
    patterns: Vec<(String, Regex)>,
}

impl Check<'_> {
    /// What the expression can be, having complained about what is wrong in it.
    fn types(&mut self, expr: &Expr) -> Types {
        match &expr.kind {
            ExprKind::Literal(literal) => match literal {
                Literal::Empty => Types::EMPTY,
                Literal::Bool(_) => Types::BOOL,
                Literal::Int(_) => Types::INT,
                Literal::Float(_) => Types::FLOAT,
                Literal::String(_) => Types::STRING,
            },
            ExprKind::Input(index) => {
                match self.used.get_mut(*index) {
                    Some(used) => *used = true,
                    None => self.no_such_input(*index, expr.range.clone()),
                }
                self.inputs.get(*index).copied().unwrap_or(Types::ANY)
            }
            ExprKind::Unary(UnaryOp::Not, operand) => self.expect(operand, Types::BOOL, "`!`"),
            ExprKind::Unary(UnaryOp::Negate, operand) => self.expect(operand, Types::NUMBER, "`-`"),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Call(function, arguments) => self.call(*function, arguments, expr.range.clone()),
            ExprKind::Tuple(items) => {
                for item in items {
                    self.types(item);
                }
                Types::TUPLE
            }
        }
    }

    fn no_such_input(&mut self, index: usize, range: Range<usize>) {
        let message = match self.env.inputs {
            0 => format!("`${}` stands for an input, and the rule has none", index.saturating_add(1)),
            1 => format!("`${}` is beyond the rule's only input, `$1`", index.saturating_add(1)),
            n => format!("`${}` is beyond the rule's inputs, `$1` to `${n}`", index.saturating_add(1)),
        };
        self.errors.push(SyntaxError::new(range, message).help("add a path to the rule's `inputs`"));
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Types {
        let who = format!("`{}`", op.symbol());
        match op {
            BinaryOp::Or | BinaryOp::And => {
                self.expect(left, Types::BOOL, &who);
                self.expect(right, Types::BOOL, &who);
                Types::BOOL
            }
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let (l, r) = (self.types(left), self.types(right));
                let comparable = |t: Types| if t.may_be(Types::NUMBER) { t.or(Types::NUMBER) } else { t };
                if !comparable(l).may_be(comparable(r)) {
                    let always = if op == BinaryOp::Equal { "never" } else { "always" };
                    let relation = if op == BinaryOp::Equal { "equal" } else { "different" };
                    self.warnings.push(Warning::new(
                        left.range.start..right.range.end,
                        format!("{l} and {r} are {always} {relation}"),
                    ));
                }
                Types::BOOL
            }
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                let (l, r) = (self.types(left), self.types(right));
                let comparable = Types::NUMBER.or(Types::STRING);
                let both = |t: Types| l.may_be(t) && r.may_be(t);
                if !l.may_be(comparable) {
                    self.mismatch(left, l, &who, "two numbers or two texts");
                } else if !r.may_be(comparable) {
                    self.mismatch(right, r, &who, "two numbers or two texts");
                } else if !both(Types::NUMBER) && !both(Types::STRING) {
                    let message =
                        format!("{who} compares two numbers or two texts, and these are {l} and {r}");
                    self.errors.push(SyntaxError::new(left.range.start..right.range.end, message));
                }
                Types::BOOL
            }
            BinaryOp::Add => {
                let (l, r) = (self.types(left), self.types(right));
                if l.may_be(Types::STRING) || r.may_be(Types::STRING) {
                    return arithmetic(l, r).or(Types::STRING);
                }
                for (operand, types) in [(left, l), (right, r)] {
                    if !types.may_be(Types::NUMBER) {
                        self.mismatch(operand, types, &who, "numbers or texts");
                    }
                }
                arithmetic(l, r)
            }
            BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => {
                let (l, r) =
                    (self.expect(left, Types::NUMBER, &who), self.expect(right, Types::NUMBER, &who));
                arithmetic(l, r)
            }
            BinaryOp::Power => {
                self.expect(left, Types::NUMBER, &who);
                self.expect(right, Types::NUMBER, &who);
                Types::FLOAT
            }
        }
    }

    fn call(&mut self, function: Function, arguments: &[Expr], range: Range<usize>) -> Types {
        let signature = function.signature();
        if signature.graphs_only() && self.env.host == Host::Dataflow {
            let message = format!("`{}` exists in data flow graphs only", signature.name);
            self.errors.push(SyntaxError::new(range.clone(), message));
        }
        if !signature.arity.contains(&arguments.len()) {
            let takes = match (*signature.arity.start(), *signature.arity.end()) {
                (1, 1) => "one argument".into(),
                (n, usize::MAX) => format!("at least {n} argument"),
                (n, m) if n == m => format!("{n} arguments"),
                (n, m) => format!("{n} to {m} arguments"),
            };
            let message = format!("`{}` takes {takes}, not {}", signature.name, arguments.len());
            self.errors
                .push(SyntaxError::new(range.clone(), message).help(format!("`{}`", signature.usage())));
        }
        // one tuple stands for many numbers
        let spread = matches!(function, Function::Min | Function::Max) && arguments.len() == 1;
        let mut given = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.iter().enumerate() {
            let wanted = if spread {
                Types::NUMBER_OR_TUPLE
            } else {
                signature.accepts[i.min(signature.accepts.len() - 1)]
            };
            given.push(self.expect(argument, wanted, &format!("`{}`", signature.name)));
        }
        match (function, given.as_slice()) {
            (Function::If, [_, a, b]) => a.or(*b),
            (Function::Abs, [value]) => *value,
            (Function::RoundN, [_, _]) => {
                if let ExprKind::Literal(Literal::Int(n)) = arguments[1].kind
                    && !(0..=15).contains(&n)
                {
                    let message = "`round_n` rounds to 0 to 15 decimals";
                    self.errors.push(SyntaxError::new(arguments[1].range.clone(), message));
                }
                Types::FLOAT
            }
            (Function::RegexMatches | Function::RegexReplace, [_, _, ..]) => {
                self.pattern(&arguments[1]);
                signature.gives
            }
            _ => signature.gives,
        }
    }

    fn pattern(&mut self, argument: &Expr) {
        let ExprKind::Literal(Literal::String(pattern)) = &argument.kind else { return };
        match Regex::new(pattern) {
            Ok(regex) => self.patterns.push((pattern.clone(), regex)),
            Err(error) => {
                // the last line of the crate's report is the reason; the others draw carets
                let report = error.to_string();
                let reason =
                    report.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.errors.push(
                    SyntaxError::new(argument.range.clone(), format!("not a regular expression: {reason}"))
                        .help("the syntax is that of the Rust crate `regex`, without look-around and back references"),
                );
            }
        }
    }

    /// What the operand can be, if it can be what is wanted; else complains, once, and goes on as if it could.
    fn expect(&mut self, operand: &Expr, wanted: Types, who: &str) -> Types {
        let types = self.types(operand);
        if types.may_be(wanted) {
            return types.and(wanted);
        }
        self.mismatch(operand, types, who, &wanted.to_string());
        wanted
    }

    fn mismatch(&mut self, operand: &Expr, types: Types, who: &str, wanted: &str) {
        let message = format!("{who} takes {wanted}, and this is {types}");
        let mut error = SyntaxError::new(operand.range.clone(), message);
        if types == Types::STRING && wanted == "a number" {
            error.help =
                Some("a text never becomes a number; leave the quotes out if a number is meant".into());
        }
        self.errors.push(error);
    }
}

/// What a sum, difference, product or quotient of the two can be.
fn arithmetic(left: Types, right: Types) -> Types {
    let either = left.and(Types::NUMBER).or(right.and(Types::NUMBER));
    if left.may_be(Types::INT) && right.may_be(Types::INT) { either } else { either.and(Types::FLOAT) }
}
