//! What can be known to be wrong with a formula before there is a message: how functions are called, which inputs
//! there are, and kinds of value that never fit.

use std::ops::Range;

use regex::Regex;

use crate::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};
use crate::complaint::{SyntaxError, Warning};
use crate::functions::Function;
use crate::input::Host;
use crate::parse::{no_such_input, parse_expression, parse_window_expression};
use crate::program::Program;
use crate::types::Types;
use crate::window::{Call, Over};

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
    let (root, warnings) = parse_expression(text)?;
    let gives = match env.role {
        Role::Map => Gives::Value,
        Role::Filter => Gives::Condition("a filter's formula"),
        Role::Branch => Gives::Condition("a branch's formula"),
        Role::DatasetMatch => Gives::Condition("a dataset's formula"),
    };
    let check = Check::new(env.host, gives, env.inputs, &[]);
    check.program(text, root, warnings)
}

/// Reads and checks a formula of a window. What its functions over the window give are inputs of the program, behind
/// the rule's own.
pub(crate) fn compile_window(
    text: &str,
    inputs: usize,
    over: Over,
) -> Result<(Program, Vec<Call>, Vec<Warning>), Vec<SyntaxError>> {
    let (root, calls, warnings) = parse_window_expression(text, inputs, over)?;
    let gives = match over {
        Over::Window => Gives::Aggregate,
        Over::MessagesSoFar => Gives::Condition("a trigger's formula"),
    };
    if gives == Gives::Aggregate && calls.is_empty() {
        let message = "an accumulate rule's formula computes with functions over the window";
        return Err(vec![SyntaxError::new(0..text.len(), message).help("call one, such as `average($1)`")]);
    }
    let own = std::iter::repeat_n(Types::ANY, inputs);
    let types: Vec<_> = own.chain(calls.iter().map(|call| call.function.gives())).collect();
    let mut check = Check::new(Host::Graph, gives, inputs, &types);
    for input in calls.iter().filter_map(|call| call.input) {
        check.used[input] = true;
    }
    check.program(text, root, warnings).map(|(program, warnings)| (program, calls, warnings))
}

/// What a formula is to give.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Value,
    /// True or false; whose formula it is.
    Condition(&'static str),
    /// A value, of nothing but what functions over the window give.
    Aggregate,
}

/// What a formula can be worth when its inputs can be these.
pub(crate) fn types_of(program: &Program, inputs: &[Types]) -> Types {
    types_of_part(&program.root, inputs)
}

/// The same of a part of a formula.
pub(crate) fn types_of_part(expr: &Expr, inputs: &[Types]) -> Types {
    // what it complains about was complained about, or has no value
    Check::new(Host::Graph, Gives::Value, inputs.len(), inputs).types(expr)
}

struct Check<'a> {
    host: Host,
    gives: Gives,
    /// What the inputs can be, as far as it is known.
    inputs: &'a [Types],
    errors: Vec<SyntaxError>,
    warnings: Vec<Warning>,
    /// By input of the rule.
    used: Vec<bool>,
    patterns: Vec<(String, Regex)>,
}

impl<'a> Check<'a> {
    /// Of a rule with `own` inputs; `inputs` may be known for fewer, and for more that are not the rule's.
    fn new(host: Host, gives: Gives, own: usize, inputs: &'a [Types]) -> Self {
        let (errors, warnings, patterns) = Default::default();
        Self { host, gives, inputs, errors, warnings, used: vec![false; own], patterns }
    }

    fn program(
        mut self,
        text: &str,
        root: Expr,
        mut warnings: Vec<Warning>,
    ) -> Result<(Program, Vec<Warning>), Vec<SyntaxError>> {
        let types = self.types(&root);
        if let Gives::Condition(whose) = self.gives
            && !types.may_be(Types::BOOL)
        {
            let message = format!("{whose} is true or false, and this is {types}");
            self.errors
                .push(SyntaxError::new(root.range.clone(), message).help("compare it, such as `$1 > 20`"));
        }
        if let Some(unused) = self.used.iter().position(|used| !used) {
            let message = format!("`${}` is not used in the formula", unused + 1);
            self.warnings.push(Warning::new(0..text.len(), message).help("remove the input"));
        }
        warnings.append(&mut self.warnings);
        if self.errors.is_empty() {
            let inputs = self.used.len().max(self.inputs.len());
            Ok((Program::new(text, root, inputs, self.patterns), warnings))
        } else {
            self.errors.sort_by_key(|e| e.range.start);
            Err(self.errors)
        }
    }

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
                    Some(_) if self.gives == Gives::Aggregate => {
                        let message = format!("`${}` has many values in a window", index + 1);
                        self.errors.push(SyntaxError::new(expr.range.clone(), message).help(format!(
                            "make one of them, such as `average(${0})` or `last(${0})`",
                            index + 1
                        )));
                    }
                    Some(used) => *used = true,
                    None if *index < self.inputs.len() => {}
                    None => self.errors.push(no_such_input(*index, self.used.len(), expr.range.clone())),
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
        if signature.graphs_only() && self.host == Host::Dataflow {
            let message = format!("`{}` exists in data flow graphs only", signature.name);
            self.errors.push(SyntaxError::new(range.clone(), message));
        }
        if signature.graphs_only() && self.gives == Gives::Aggregate {
            let message = format!("`{}` does not exist in accumulate rules", signature.name);
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
