//! What becomes of JSON values in columns (*concept-dataflow-conversions*).

use tidegate_expr::Json;

use crate::schema::DeltaType;

/// What is wrong with a value in a column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It doesn't convert: what it is, such as "an object".
    Impossible(String),
    /// It becomes another: a clause, such as "21.5 loses its fraction".
    Lossy(String),
}

/// What is wrong with the value in a column of that type; null is another's business, and so is what the
/// documentation is silent on.
pub(crate) fn trouble(value: &Json<'_>, to: &DeltaType) -> Option<Trouble> {
    use DeltaType as To;
    let impossible = |what: &str| Some(Trouble::Impossible(what.into()));
    match (value, to) {
        (Json::Null, _) | (_, To::Map { .. } | To::Struct(_)) => None,
        (Json::Array(items), To::Array { element, .. }) => {
            items.iter().find_map(|item| match (item, &**element) {
                (Json::Object(_), To::Struct(_)) => None,
                (_, To::Struct(_)) => impossible("an array of what are no objects"),
                (item, element) => trouble(item, element),
            })
        }
        (_, To::Array { .. }) => impossible("a value that is no array"),
        (Json::Array(_), To::Binary) => None,
        (Json::Array(_), _) => impossible("an array"),
        (Json::Object(_), _) => impossible("an object"),
        (_, To::String) | (Json::String(_), To::Binary) => None,
        (Json::Bool(_), To::Boolean) => None,
        (_, To::Boolean) => impossible("a value that is no boolean"),
        (_, To::Binary) => impossible("a value that is no text"),
        (Json::String(text), To::Date | To::Timestamp | To::TimestampNtz) => {
            if is_date(text) {
                None
            } else {
                impossible("text that is no date")
            }
        }
        (_, To::Date | To::Timestamp | To::TimestampNtz) => impossible("a value that is no date"),
        (Json::Bool(_), _) => None,
        (Json::Number(text), _) => changed(text, to),
        (Json::String(text), _) if text.parse::<f64>().is_ok() => changed(text, to),
        (Json::String(_), _) => impossible("text that is no number"),
    }
}

/// What a whole-number column makes of a number.
fn changed(text: &str, to: &DeltaType) -> Option<Trouble> {
    let bits = match to {
        DeltaType::Long => 64,
        DeltaType::Integer => 32,
        DeltaType::Short => 16,
        DeltaType::Byte => 8,
        _ => return None,
    };
    let number: f64 = text.parse().ok()?;
    let beyond = match text.parse::<i128>() {
        Ok(whole) => whole >> (bits - 1) != 0 && whole >> (bits - 1) != -1,
        Err(_) => number.abs() >= 2_f64.powi(bits - 1),
    };
    if beyond {
        return Some(Trouble::Lossy(format!("{text} is beyond its range and wraps")));
    }
    let fraction = text.parse::<i128>().is_err() && number.fract() != 0.0;
    fraction.then(|| Trouble::Lossy(format!("{text} loses its fraction")))
}

/// Whether it starts as ISO 8601 dates do.
fn is_date(text: &str) -> bool {
    let mut bytes = text.bytes();
    b"dddd-dd-dd".iter().all(|wanted| match (wanted, bytes.next()) {
        (b'd', Some(byte)) => byte.is_ascii_digit(),
        (wanted, byte) => byte == Some(*wanted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_convert_as_documented() {
        let array = |element| DeltaType::Array { element: Box::new(element), contains_null: true };
        let impossible = |what: &str| Some(Trouble::Impossible(what.into()));
        let lossy = |what: &str| Some(Trouble::Lossy(what.into()));
        let cases = [
            ("null", DeltaType::Integer, None),
            ("7", DeltaType::Byte, None),
            ("-128", DeltaType::Byte, None),
            ("128", DeltaType::Byte, lossy("128 is beyond its range and wraps")),
            ("-40000", DeltaType::Short, lossy("-40000 is beyond its range and wraps")),
            ("5000000000", DeltaType::Integer, lossy("5000000000 is beyond its range and wraps")),
            ("5000000000", DeltaType::Long, None),
            ("1e30", DeltaType::Long, lossy("1e30 is beyond its range and wraps")),
            ("21.5", DeltaType::Integer, lossy("21.5 loses its fraction")),
            ("21.0", DeltaType::Integer, None),
            ("21.5", DeltaType::Double, None),
            ("\"12\"", DeltaType::Integer, None),
            ("\"1.5\"", DeltaType::Integer, lossy("1.5 loses its fraction")),
            ("\"on\"", DeltaType::Double, impossible("text that is no number")),
            ("\"on\"", DeltaType::Decimal { precision: 5, scale: 2 }, impossible("text that is no number")),
            ("true", DeltaType::Integer, None),
            ("true", DeltaType::String, None),
            ("7", DeltaType::String, None),
            ("7", DeltaType::Boolean, impossible("a value that is no boolean")),
            ("\"2026-03-01T06:00:00Z\"", DeltaType::Timestamp, None),
            ("\"soon\"", DeltaType::Timestamp, impossible("text that is no date")),
            ("7", DeltaType::Date, impossible("a value that is no date")),
            ("7", DeltaType::Binary, impossible("a value that is no text")),
            ("{}", DeltaType::String, impossible("an object")),
            ("[1]", DeltaType::String, impossible("an array")),
            ("[1, 2.5]", array(DeltaType::Integer), lossy("2.5 loses its fraction")),
            ("[{}]", array(DeltaType::Struct(vec![])), None),
            ("[1]", array(DeltaType::Struct(vec![])), impossible("an array of what are no objects")),
            ("1", array(DeltaType::Integer), impossible("a value that is no array")),
        ];
        for (value, to, expected) in cases {
            let json = tidegate_expr::parse_json(value.as_bytes()).unwrap();
            assert_eq!(trouble(&json, &to), expected, "{value} to {to:?}");
        }
    }
}
