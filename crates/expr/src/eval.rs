//! What formulas are worth: operators and functions over values (*concept-dataflow-graphs-expressions*,
//! *concept-dataflow-conversions*). No I/O, no state; numbers are computed without allocating.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use regex::Regex;

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::functions::Function;
use crate::program::Program;
use crate::value::{Operand, Value};

/// Why a formula has no value for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError {
    /// The bytes of the formula that failed.
    pub range: Range<usize>,
    /// One sentence, lower case, without a full stop.
    pub message: Cow<'static, str>,
}

/// How long a text may grow in a formula, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

type Evaluated<'a> = Result<Value<'a>, EvalError>;

impl Program {
    /// Computes the formula. `inputs` are `$1`, `$2` and so on; one that is not given is missing.
    ///
    /// # Errors
    /// [`EvalError`] for the first part that could not be computed. What is not needed is not computed: the branch of
    /// `if` not taken, the right side of `&&` and `||`.
    pub fn eval<'a>(&'a self, inputs: &[Operand<'a>]) -> Result<Value<'a>, EvalError> {
        self.eval_with(&inputs)
    }

    pub(crate) fn eval_with<'a>(&'a self, inputs: &dyn Inputs<'a>) -> Result<Value<'a>, EvalError> {
        Evaluation { program: self, inputs }.eval(&self.root)
    }
}

/// Where `$1`, `$2` and so on come from, when they are asked for.
pub(crate) trait Inputs<'a> {
    /// `$1` is 0.
    fn operand(&self, index: usize) -> Operand<'a>;
}

impl<'a> Inputs<'a> for &[Operand<'a>] {
    fn operand(&self, index: usize) -> Operand<'a> {
        self.get(index).copied().unwrap_or(Operand::Missing)
    }
}

struct Evaluation<'a, 'i> {
    program: &'a Program,
    inputs: &'i dyn Inputs<'a>,
}

impl<'a> Evaluation<'a, '_> {
    fn eval(&self, expr: &'a Expr) -> Evaluated<'a> {
        match &expr.kind {
            ExprKind::Literal(literal) => Ok(literal.value()),
            ExprKind::Input(index) => {
                self.inputs.operand(*index).value().map_err(|message| fail(expr, message))
            }
            ExprKind::Unary(UnaryOp::Not, operand) => Ok(Value::Bool(!self.bool(operand, "`!`")?)),
            ExprKind::Unary(UnaryOp::Negate, operand) => match self.eval(operand)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(|| fail(expr, OVERFLOW)),
                Value::Float(value) => Ok(Value::Float(-value)),
                other => Err(not_a("`-`", "a number", operand, &other)),
            },
            ExprKind::Binary(op, left, right) => self.binary(expr, *op, left, right),
            ExprKind::Call(function, arguments) => self.call(expr, *function, arguments),
            ExprKind::Tuple(items) => {
                items.iter().map(|item| self.eval(item)).collect::<Result<_, _>>().map(Value::Tuple)
            }
        }
    }

    fn binary(&self, expr: &'a Expr, op: BinaryOp, left: &'a Expr, right: &'a Expr) -> Evaluated<'a> {
        match op {
            BinaryOp::And => Ok(Value::Bool(self.bool(left, "`&&`")? && self.bool(right, "`&&`")?)),
            BinaryOp::Or => Ok(Value::Bool(self.bool(left, "`||`")? || self.bool(right, "`||`")?)),
            BinaryOp::Equal => Ok(Value::Bool(self.eval(left)?.equals(&self.eval(right)?))),
            BinaryOp::NotEqual => Ok(Value::Bool(!self.eval(left)?.equals(&self.eval(right)?))),
            BinaryOp::Less => self.compare(expr, left, right, Ordering::is_lt),
            BinaryOp::LessOrEqual => self.compare(expr, left, right, Ordering::is_le),
            BinaryOp::Greater => self.compare(expr, left, right, Ordering::is_gt),
            BinaryOp::GreaterOrEqual => self.compare(expr, left, right, Ordering::is_ge),
            BinaryOp::Power => Ok(Value::Float(self.float(left, "`^`")?.powf(self.float(right, "`^`")?))),
            BinaryOp::Add => match (self.eval(left)?, self.eval(right)?) {
                (l @ Value::String(_), r) | (l, r @ Value::String(_)) => {
                    written(expr, format_args!("{l}{r}"))
                }
                (l, r) => {
                    arithmetic(expr, [left, right], [&l, &r], "numbers or texts", i64::checked_add, |a, b| {
                        a + b
                    })
                }
            },
            BinaryOp::Subtract => self.arithmetic(expr, left, right, i64::checked_sub, |a, b| a - b),
            BinaryOp::Multiply => self.arithmetic(expr, left, right, i64::checked_mul, |a, b| a * b),
            BinaryOp::Divide => self.arithmetic(expr, left, right, i64::checked_div, |a, b| a / b),
            BinaryOp::Remainder => self.arithmetic(expr, left, right, i64::checked_rem, |a, b| a % b),
        }
    }

    fn arithmetic(
        &self,
        expr: &Expr,
        left: &'a Expr,
        right: &'a Expr,
        int: fn(i64, i64) -> Option<i64>,
        float: fn(f64, f64) -> f64,
    ) -> Evaluated<'a> {
        let (l, r) = (self.eval(left)?, self.eval(right)?);
        arithmetic(expr, [left, right], [&l, &r], "a number", int, float)
    }

    fn compare(
        &self,
        expr: &Expr,
        left: &'a Expr,
        right: &'a Expr,
        holds: fn(Ordering) -> bool,
    ) -> Evaluated<'a> {
        let (l, r) = (self.eval(left)?, self.eval(right)?);
        let ordering = match (&l, &r) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => l.compare(&r),
            _ => {
                let message =
                    format!("two numbers or two texts can be compared, not {} and {}", a(&l), a(&r));
                return Err(fail(expr, message));
            }
        };
        // NaN is neither less nor greater
        Ok(Value::Bool(ordering.is_some_and(holds)))
    }

    fn call(&self, expr: &'a Expr, function: Function, arguments: &'a [Expr]) -> Evaluated<'a> {
        let who = function.name();
        let float = |i: usize| self.float(&arguments[i], who);
        let text = |i: usize| self.text(&arguments[i], who);
        let of_one = |f: fn(f64) -> f64| float(0).map(|v| Value::Float(f(v)));
        let of_two = |f: fn(f64, f64) -> f64| Ok(Value::Float(f(float(0)?, float(1)?)));
        match function {
            Function::CToF => of_one(|v| v * 9.0 / 5.0 + 32.0),
            Function::FToC => of_one(|v| (v - 32.0) * 5.0 / 9.0),
            Function::PsiToBar => of_one(|v| v * 0.068_947_6),
            Function::BarToPsi => of_one(|v| v / 0.068_947_6),
            Function::InToCm => of_one(|v| v * 2.54),
            Function::CmToIn => of_one(|v| v / 2.54),
            Function::FtToM => of_one(|v| v * 0.3048),
            Function::MToFt => of_one(|v| v / 0.3048),
            Function::LbToKg => of_one(|v| v * 0.453_592),
            Function::KgToLb => of_one(|v| v / 0.453_592),
            Function::GalToL => of_one(|v| v * 3.785_41),
            Function::LToGal => of_one(|v| v / 3.785_41),
            Function::Scale => {
                let (value, source, destination) =
                    (float(0)?, (float(1)?, float(2)?), (float(3)?, float(4)?));
                if source.0 == source.1 {
                    return Err(fail(expr, "the range to scale from is empty"));
                }
                let share = (destination.1 - destination.0) / (source.1 - source.0);
                Ok(Value::Float(destination.0 + (value - source.0) * share))
            }
            Function::RoundN => round_n(float(0)?, float(1)?)
                .map(Value::Float)
                .ok_or_else(|| fail(&arguments[1], "`round_n` rounds to 0 to 15 decimals")),
            Function::Floor => of_one(f64::floor),
            Function::Round => of_one(f64::round),
            Function::Ceil => of_one(f64::ceil),
            Function::Abs => match self.eval(&arguments[0])? {
                Value::Int(value) => value.checked_abs().map(Value::Int).ok_or_else(|| fail(expr, OVERFLOW)),
                Value::Float(value) => Ok(Value::Float(value.abs())),
                other => Err(not_a(who, "a number", &arguments[0], &other)),
            },
            Function::Sqrt => of_one(f64::sqrt),
            Function::Cbrt => of_one(f64::cbrt),
            Function::Ln => of_one(f64::ln),
            Function::Log2 => of_one(f64::log2),
            Function::Log10 => of_one(f64::log10),
            Function::Log => of_two(f64::log),
            Function::Exp => of_one(f64::exp),
            Function::Exp2 => of_one(f64::exp2),
            Function::Pow => of_two(f64::powf),
            Function::Cos => of_one(f64::cos),
            Function::Sin => of_one(f64::sin),
            Function::Tan => of_one(f64::tan),
            Function::Acos => of_one(f64::acos),
            Function::Asin => of_one(f64::asin),
            Function::Atan => of_one(f64::atan),
            Function::Atan2 => of_two(f64::atan2),
            Function::Hypot => of_two(f64::hypot),
            Function::Len => match self.eval(&arguments[0])? {
                Value::String(text) => Ok(count(text.chars().count())),
                Value::Tuple(items) => Ok(count(items.len())),
                other => Err(not_a(who, "a text or a tuple", &arguments[0], &other)),
            },
            Function::ToLowercase => Ok(Value::String(text(0)?.to_lowercase().into())),
            Function::ToUppercase => Ok(Value::String(text(0)?.to_uppercase().into())),
            Function::Trim => Ok(Value::String(slice(text(0)?, |text| text.trim()))),
            Function::From => match self.eval(&arguments[0])? {
                Value::String(text) => Ok(Value::String(text)),
                other => written(expr, format_args!("{other}")),
            },
            Function::Substring => self.substring(expr, arguments),
            Function::RegexMatches => {
                let (text, pattern) = (text(0)?, text(1)?);
                self.with_regex(&arguments[1], &pattern, |regex| Ok(Value::Bool(regex.is_match(&text))))
            }
            Function::RegexReplace => {
                let (text, pattern, replacement) = (text(0)?, text(1)?, text(2)?);
                self.with_regex(&arguments[1], &pattern, |regex| {
                    let replaced =
                        replace_all(regex, &text, &replacement).ok_or_else(|| fail(expr, TOO_LONG))?;
                    Ok(Value::String(replaced.into()))
                })
            }
            Function::If => match self.bool(&arguments[0], who)? {
                true => self.eval(&arguments[1]),
                false => self.eval(&arguments[2]),
            },
            Function::Min => self.extreme(expr, who, arguments, Ordering::is_lt),
            Function::Max => self.extreme(expr, who, arguments, Ordering::is_gt),
            Function::Contains => {
                let (items, value) = (self.tuple(&arguments[0], who)?, self.eval(&arguments[1])?);
                Ok(Value::Bool(items.iter().any(|item| item.equals(&value))))
            }
            Function::ContainsAny => {
                let (items, values) = (self.tuple(&arguments[0], who)?, self.tuple(&arguments[1], who)?);
                Ok(Value::Bool(items.iter().any(|item| values.iter().any(|value| item.equals(value)))))
            }
            Function::Typeof => Ok(Value::String(self.eval(&arguments[0])?.kind().into())),
        }
    }

    /// The smallest or largest of the numbers, in its own type; the first one of equals. NaN gives way to any number.
    fn extreme(
        &self,
        expr: &Expr,
        who: &'static str,
        arguments: &'a [Expr],
        better: fn(Ordering) -> bool,
    ) -> Evaluated<'a> {
        let mut best: Option<Value<'a>> = None;
        let mut take = |value: Value<'a>, from: &Expr| {
            if !matches!(value, Value::Int(_) | Value::Float(_)) {
                return Err(not_a(who, "a number", from, &value));
            }
            let is_nan = |value: &Value<'_>| matches!(value, Value::Float(f) if f.is_nan());
            let replaces =
                best.as_ref().is_none_or(|best| is_nan(best) || value.compare(best).is_some_and(better));
            if replaces {
                best = Some(value);
            }
            Ok(())
        };
        for argument in arguments {
            match self.eval(argument)? {
                Value::Tuple(items) if arguments.len() == 1 => {
                    items.into_iter().try_for_each(|item| take(item, argument))?;
                }
                value => take(value, argument)?,
            }
        }
        best.ok_or_else(|| fail(expr, "an empty tuple has neither a smallest nor a largest element"))
    }

    /// By characters; `end` is exclusive, and the end of the text if not given.
    fn substring(&self, expr: &Expr, arguments: &'a [Expr]) -> Evaluated<'a> {
        let who = Function::Substring.name();
        let index = |i: usize| match self.eval(&arguments[i])? {
            Value::Int(index) => usize::try_from(index).map_err(|_| fail(&arguments[i], OUT_OF_RANGE)),
            other => Err(not_a(who, "an integer", &arguments[i], &other)),
        };
        let text = self.text(&arguments[0], who)?;
        let start = index(1)?;
        let end = if arguments.len() > 2 { Some(index(2)?) } else { None };
        let byte = |index: usize| text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(index);
        let from = byte(start);
        let to = end.map_or(Some(text.len()), byte);
        match (from, to) {
            (Some(from), Some(to)) if from <= to => Ok(Value::String(slice(text, |text| &text[from..to]))),
            _ => Err(fail(expr, OUT_OF_RANGE)),
        }
    }

    fn with_regex(
        &self,
        argument: &Expr,
        pattern: &str,
        then: impl FnOnce(&Regex) -> Evaluated<'a>,
    ) -> Evaluated<'a> {
        match self.program.pattern(pattern) {
            Some(known) => then(known),
            None => match Regex::new(pattern) {
                Ok(regex) => then(&regex),
                Err(_) => Err(fail(argument, "not a regular expression")),
            },
        }
    }

    fn bool(&self, operand: &'a Expr, who: &'static str) -> Result<bool, EvalError> {
        match self.eval(operand)? {
            Value::Bool(value) => Ok(value),
            other => Err(not_a(who, "a boolean", operand, &other)),
        }
    }

    fn float(&self, operand: &'a Expr, who: &'static str) -> Result<f64, EvalError> {
        let value = self.eval(operand)?;
        value.to_float().ok_or_else(|| not_a(who, "a number", operand, &value))
    }

    fn text(&self, operand: &'a Expr, who: &'static str) -> Result<Cow<'a, str>, EvalError> {
        match self.eval(operand)? {
            Value::String(text) => Ok(text),
            other => Err(not_a(who, "a text", operand, &other)),
        }
    }

    fn tuple(&self, operand: &'a Expr, who: &'static str) -> Result<Vec<Value<'a>>, EvalError> {
        match self.eval(operand)? {
            Value::Tuple(items) => Ok(items),
            other => Err(not_a(who, "a tuple", operand, &other)),
        }
    }
}

const OVERFLOW: &str = "the result does not fit a 64-bit integer";
const TOO_LONG: &str = "the text grows longer than 64 MiB";
const OUT_OF_RANGE: &str = "outside the text";

fn fail(expr: &Expr, message: impl Into<Cow<'static, str>>) -> EvalError {
    EvalError { range: expr.range.clone(), message: message.into() }
}

fn not_a(who: &str, wanted: &str, operand: &Expr, got: &Value<'_>) -> EvalError {
    let who = who.trim_matches('`');
    fail(operand, format!("`{who}` takes {wanted}, and this is {}", a(got)))
}

/// The kind of a value, with an article.
fn a(value: &Value<'_>) -> &'static str {
    match value {
        Value::Empty => "missing",
        Value::Bool(_) => "a boolean",
        Value::Int(_) => "an integer",
        Value::Float(_) => "a float",
        Value::String(_) => "a text",
        Value::Tuple(_) => "a tuple",
    }
}

/// Two integers stay integers; an integer beside a float becomes one.
fn arithmetic<'a>(
    expr: &Expr,
    operands: [&Expr; 2],
    values: [&Value<'_>; 2],
    wanted: &str,
    int: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Evaluated<'a> {
    if let [Value::Int(l), Value::Int(r)] = values {
        return int(*l, *r).map(Value::Int).ok_or_else(|| {
            let ExprKind::Binary(op, ..) = &expr.kind else { return fail(expr, OVERFLOW) };
            let divides = matches!(op, BinaryOp::Divide | BinaryOp::Remainder);
            fail(expr, if divides && *r == 0 { "division by zero" } else { OVERFLOW })
        });
    }
    let [l, r] = values.map(Value::to_float);
    if let (Some(l), Some(r)) = (l, r) {
        return Ok(Value::Float(float(l, r)));
    }
    let who = if let ExprKind::Binary(op, ..) = &expr.kind { op.symbol() } else { "" };
    let wrong = usize::from(l.is_some());
    Err(not_a(who, wanted, operands[wrong], values[wrong]))
}

fn count(n: usize) -> Value<'static> {
    Value::Int(i64::try_from(n).expect("nothing in memory has more than i64::MAX parts"))
}

/// Halves away from zero; none for anything but 0 to 15 decimals.
fn round_n(value: f64, decimals: f64) -> Option<f64> {
    if !(0.0..=15.0).contains(&decimals) || decimals.fract() != 0.0 {
        return None;
    }
    let factor = 10f64.powf(decimals);
    let scaled = value * factor;
    // a float this large has no decimals to round
    Some(if scaled.abs() < 9e15 { scaled.round() / factor } else { value })
}

/// A part of a text, borrowed from where the text is borrowed from.
fn slice<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

/// Values as a text, as long as it isn't too long.
fn written<'a>(expr: &Expr, values: fmt::Arguments<'_>) -> Evaluated<'a> {
    struct Limited(String);
    impl fmt::Write for Limited {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if self.0.len() + text.len() > TEXT_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push_str(text);
            Ok(())
        }
    }
    let mut text = Limited(String::new());
    match fmt::write(&mut text, values) {
        Ok(()) => Ok(Value::String(text.0.into())),
        Err(fmt::Error) => Err(fail(expr, TOO_LONG)),
    }
}

/// Every match replaced; none if the result is longer than [`TEXT_BYTES_MAX`].
fn replace_all(regex: &Regex, text: &str, replacement: &str) -> Option<String> {
    let groups = replacement.matches('$').count();
    let mut out = String::new();
    let mut copied = 0;
    for captures in regex.captures_iter(text) {
        let found = captures.get(0)?;
        out.push_str(&text[copied..found.start()]);
        copied = found.end();
        let grows_by_at_most = replacement.len().saturating_add(groups.saturating_mul(found.len()));
        if out.len().saturating_add(grows_by_at_most) > TEXT_BYTES_MAX {
            return None;
        }
        captures.expand(replacement, &mut out);
    }
    out.push_str(&text[copied..]);
    (out.len() <= TEXT_BYTES_MAX).then_some(out)
}
