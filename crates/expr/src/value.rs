//! What formulas compute with, and how it comes from and goes to JSON.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::io::Write;

use crate::ast::Literal;
use crate::json::{Json, parse_json, write_string};

/// A value in a formula (*concept-dataflow-graphs-expressions*, types).
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Missing, or null: `()`.
    Empty,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    String(Cow<'a, str>),
    /// A list.
    Tuple(Vec<Value<'a>>),
}

/// What stands behind `$1`, not yet read: a formula may not ask for it.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// The path finds nothing.
    Missing,
    /// A value of the message, or of a dataset's record.
    Json(&'a Json<'a>),
    /// Such a value as the JSON text it is written in, without white space around.
    Raw(&'a str),
    /// A topic or a property.
    Text(&'a str),
    /// The default of an input.
    Default(&'a Literal),
    /// What a function over a window gives, or why it gives nothing.
    Computed(&'a Result<Value<'a>, &'static str>),
}

impl<'a> Operand<'a> {
    /// Reads it as a value a formula can have.
    ///
    /// # Errors
    /// A sentence for what no formula can have: objects, arrays that hold arrays or objects, numbers beyond the range
    /// of 64-bit floats, and text that is not JSON.
    pub fn value(self) -> Result<Value<'a>, &'static str> {
        match self {
            Operand::Missing => Ok(Value::Empty),
            Operand::Json(json) => Value::read(json),
            Operand::Raw(text) => Value::read_text(text),
            Operand::Text(text) => Ok(Value::String(Cow::Borrowed(text))),
            Operand::Default(literal) => Ok(literal.value()),
            Operand::Computed(value) => value.clone(),
        }
    }

    /// Not there, or null.
    pub(crate) fn is_missing(self) -> bool {
        matches!(self, Operand::Missing | Operand::Json(Json::Null) | Operand::Raw("null"))
    }
}

impl Literal {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Literal::Empty => Value::Empty,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Int(value) => Value::Int(*value),
            Literal::Float(value) => Value::Float(*value),
            Literal::String(text) => Value::String(Cow::Borrowed(text)),
        }
    }
}

const TOO_LARGE: &str = "the number is beyond the range of 64-bit floats";

impl<'a> Value<'a> {
    fn read(json: &'a Json<'a>) -> Result<Self, &'static str> {
        match json {
            Json::Array(items) => items
                .iter()
                .map(|item| match item {
                    Json::Array(_) | Json::Object(_) => {
                        Err("an array that holds arrays or objects can only be copied, to a field")
                    }
                    item => Self::read(item),
                })
                .collect::<Result<_, _>>()
                .map(Value::Tuple),
            Json::Null => Ok(Value::Empty),
            Json::Bool(value) => Ok(Value::Bool(*value)),
            Json::Number(text) => Self::number(text).ok_or(TOO_LARGE),
            Json::String(text) => Ok(Value::String(Cow::Borrowed(text))),
            Json::Object(_) => Err("an object can only be copied, to a field"),
        }
    }

    fn read_text(text: &'a str) -> Result<Self, &'static str> {
        match text.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Value::String(Cow::Borrowed(&text[1..text.len() - 1])))
            }
            [b'-' | b'0'..=b'9', ..] => Self::number(text).ok_or(TOO_LARGE),
            _ => Value::read(&parse_json(text.as_bytes()).map_err(|_| "not JSON")?).map(Value::into_owned),
        }
    }

    /// An integer if it is written as one and fits, else the nearest float; none if that is infinite.
    pub(crate) fn number(text: &str) -> Option<Self> {
        if let Some(value) = plain_number(text.as_bytes()) {
            return Some(value);
        }
        if let Ok(int) = text.parse() {
            return Some(Value::Int(int));
        }
        text.parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
    }

    /// The name of its kind, as `typeof` gives it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Empty => "empty",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Tuple(_) => "tuple",
        }
    }

    /// What `==` says: numbers are equal if they are the same number, values of other different kinds never are.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Empty, Value::Empty) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Tuple(a), Value::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two numbers; none if one of them is no number, or NaN.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Float(b)) => compare_mixed(*a, *b),
            (Value::Float(a), Value::Int(b)) => compare_mixed(*b, *a).map(Ordering::reverse),
            _ => None,
        }
    }

    /// A number as a float, the nearest one if it is an integer.
    pub(crate) fn to_float(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the language's rule: the nearest float")]
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Writes the value as JSON. Floats are written with a point or an exponent, `()` is `null`.
    ///
    /// # Errors
    /// [`NotFinite`], with part of it written.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), NotFinite> {
        match self {
            Value::Empty => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Int(value) => write!(out, "{value}").expect("writing to memory"),
            Value::Float(value) if !value.is_finite() => return Err(NotFinite),
            Value::Float(value) => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(*value).as_bytes())
            }
            Value::String(text) => write_string(text, out),
            Value::Tuple(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write_json(out)?;
                }
                out.push(b']');
            }
        }
        Ok(())
    }

    /// As the value of a topic or a property; none for `()`, which removes it.
    pub(crate) fn to_text(&self) -> Option<String> {
        (*self != Value::Empty).then(|| self.to_string())
    }

    /// Whether it has a form in JSON.
    pub(crate) fn check_finite(&self) -> Result<(), NotFinite> {
        match self {
            Value::Float(value) if !value.is_finite() => Err(NotFinite),
            Value::Tuple(items) => items.iter().try_for_each(Value::check_finite),
            _ => Ok(()),
        }
    }

    /// The same value without a hold on the message.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Empty => Value::Empty,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Float(value) => Value::Float(value),
            Value::String(text) => Value::String(text.into_owned().into()),
            Value::Tuple(items) => Value::Tuple(items.into_iter().map(Value::into_owned).collect()),
        }
    }
}

/// A number of at most 15 digits and without an exponent, as most are. So many digits are exact in a float, as are the
/// powers of ten, and so their quotient is the float next to the number.
fn plain_number(text: &[u8]) -> Option<Value<'static>> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, unsigned) = match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        _ => (false, text),
    };
    if unsigned.len() > 15 || !unsigned.first()?.is_ascii_digit() {
        return None;
    }
    let mut digits = 0i64;
    let mut decimals = None;
    for (i, byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = digits * 10 + i64::from(byte - b'0'),
            b'.' if decimals.is_none() => decimals = Some(unsigned.len() - 1 - i),
            _ => return None,
        }
    }
    Some(match decimals {
        None => Value::Int(if negative { -digits } else { digits }),
        Some(decimals) => {
            #[expect(clippy::cast_precision_loss, reason = "it has no more than 15 digits")]
            let value = digits as f64 / POWERS[decimals];
            Value::Float(if negative { -value } else { value })
        }
    })
}

/// An infinity, or NaN: it has no form in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// Exact, where turning the integer into a float could round it to another number.
fn compare_mixed(int: i64, float: f64) -> Option<Ordering> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= TWO_TO_63 {
        return Some(Ordering::Less);
    }
    if float < -TWO_TO_63 {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range, and the fraction is compared next")]
    let whole = float.trunc() as i64;
    Some(int.cmp(&whole).then(0.0.partial_cmp(&float.fract())?))
}

/// What `str::from` gives, and what `+` appends to a text.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Empty => f.write_str("()"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::String(text) => f.write_str(text),
            Value::Tuple(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn floats_are_read_back_as_they_were_and_as_floats(bits in any::<u64>(), short in -1e6..1e6, places in 0..7usize) {
            for value in [f64::from_bits(bits), short, format!("{short:.places$}").parse().expect("a number")] {
                let mut out = Vec::new();
                if Value::Float(value).write_json(&mut out).is_ok() {
                    let text = String::from_utf8(out).expect("text");
                    prop_assert!(parse_json(text.as_bytes()).is_ok());
                    prop_assert!(matches!(Value::number(&text), Some(Value::Float(read)) if read.to_bits() == value.to_bits()));
                    prop_assert!(text.len() <= 24);
                } else {
                    prop_assert!(!value.is_finite());
                }
            }
        }

        #[test]
        fn plain_numbers_are_those_that_rust_reads(text in "-?[0-9]{1,9}(\\.[0-9]{0,8})?|-?[0-9.]{0,17}") {
            let expected = match (text.parse(), text.parse()) {
                (Ok(int), _) => Some(Value::Int(int)),
                (_, Ok(float)) => Some(Value::Float(float)),
                _ => None,
            };
            if let Some(value) = plain_number(text.as_bytes()) {
                prop_assert_eq!(format!("{:?}", Some(value)), format!("{expected:?}"));
            } else {
                prop_assert!(text.len() > 15 || expected.is_none() || text.starts_with('.') || text.starts_with("-."));
            }
        }
    }
}
