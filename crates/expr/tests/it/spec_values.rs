//! Formulas and their values: arithmetic, comparison, logic, functions.

use tidegate_expr::{Env, Host, Operand, Role, Value, compile, parse_json};

/// The value of a formula as its kind and its text, or `error`, also if it is found before there is a message.
/// `inputs` are JSON; an empty one is missing.
fn value(formula: &str, inputs: &[&str]) -> String {
    let inputs: Vec<_> =
        inputs.iter().map(|text| (!text.is_empty()).then(|| parse_json(text.as_bytes()).unwrap())).collect();
    let operands: Vec<_> =
        inputs.iter().map(|json| json.as_ref().map_or(Operand::Missing, Operand::Json)).collect();
    let env = Env { inputs: inputs.len(), host: Host::Graph, role: Role::Map };
    let Ok((program, _)) = compile(formula, env) else { return "error".into() };
    match program.eval(&operands) {
        Ok(Value::String(text)) => text.into_owned(),
        Ok(Value::Float(float)) => format!("{float:?}"),
        Ok(value) => value.to_string(),
        Err(_) => "error".into(),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str, &[&str], &str)]) {
    for (case, formula, inputs, expected) in cases {
        let found = value(formula, inputs);
        let close = match (found.parse::<f64>(), expected.parse::<f64>()) {
            // an integer is not a float, but a float may be off by a little
            (Ok(a), Ok(b)) if a.is_finite() && found.contains('.') == expected.contains('.') => {
                (a - b).abs() < 1e-9
            }
            _ => found == *expected,
        };
        assert!(close, "{case} {formula} of {inputs:?}: {found}, not {expected}");
    }
}

#[test]
fn a_arithmetic() {
    check(&[
        ("A01", "$1 * 2 ^ 3", &["2"], "16.0"),
        ("A02", "($1 * 2) ^ 3", &["2"], "64.0"),
        ("A03", "-$1 * 2", &["4"], "-8"),
        ("A04*", "-2 ^ 2", &[], "-4.0"),
        ("A05", "2 + 3 * 4", &[], "14"),
        ("A05", "(2 + 3) * 4", &[], "20"),
        ("A05", "20 - 5 - 3", &[], "12"),
        ("A06", "7 / 2", &[], "3"),
        ("A06", "7 / 2.0", &[], "3.5"),
        ("A06", "7.0 / 2", &[], "3.5"),
        ("A07*", "-7 / 2", &[], "-3"),
        ("A07*", "-7 % 3", &[], "-1"),
        ("A07*", "7.5 % 2", &[], "1.5"),
        ("A08", "17 % 5", &[], "2"),
        ("A08", "10 / 4 * 2", &[], "4"),
        ("A08", "10.0 / 4 * 2", &[], "5.0"),
        ("A09", "$1 * 9/5 + 32", &["7"], "44"),
        ("A09", "$1 * 9/5 + 32", &["21.5"], "70.7"),
        ("A10*", "1 / 0", &[], "error"),
        ("A10*", "5 % 0", &[], "error"),
        ("A10*", "9223372036854775807 + 1", &[], "error"),
        ("A10*", "-$1", &["-9223372036854775808"], "error"),
        ("A10*", "$1 / -1", &["-9223372036854775808"], "error"),
        ("A11*", "1.0 / 0", &[], "inf"),
        ("A21*", "2 ^ 3 ^ 2", &[], "64.0"),
        ("A21*", "2 ^ -1", &[], "0.5"),
        ("A21*", "5 - -3", &[], "8"),
    ]);
}

#[test]
fn a11_infinities_have_no_form_in_json() {
    use crate::support::check_maps;
    check_maps("A11*", &["[] :: 1.0 / 0 => x"], &[("{}", "failed")]);
    check_maps("F08*", &["[] :: math::sqrt(-1) => x"], &[("{}", "failed")]);
    check_maps("in a list", &["[] :: (1, 0.0 / 0) => x"], &[("{}", "failed")]);
}

#[test]
fn a_texts() {
    check(&[
        ("A12", r#"$1 + ", " + $2"#, &[r#""Tech""#, r#""Hall 3""#], "Tech, Hall 3"),
        ("A13", r#""n=" + 5"#, &[], "n=5"),
        ("A13", r#"5 + "x""#, &[], "5x"),
        ("A13", r#""f=" + 2.0 + true + () + (1, 2)"#, &[], "f=2true()(1, 2)"),
    ]);
}

#[test]
fn a_comparison_and_logic() {
    check(&[
        ("A14", "3 < 3.5", &[], "true"),
        ("A14", r#""abc" < "abd""#, &[], "true"),
        ("A14", "2 >= 2", &[], "true"),
        ("A14", "3 != 4", &[], "true"),
        ("A15*", "1 == 1.0", &[], "true"),
        ("A15*", r#""1" == 1"#, &[], "false"),
        ("A15*", r#""a" == "A""#, &[], "false"),
        ("A15*", "(1, 2) == (1.0, 2)", &[], "true"),
        ("exact", "9007199254740993 == 9007199254740992.0", &[], "false"),
        ("exact", "9007199254740993 > 9007199254740992.0", &[], "true"),
        ("A16", "() == ()", &[], "true"),
        ("A16", "$1 == ()", &["null"], "true"),
        ("A16*", "1 == ()", &[], "false"),
        ("A16*", "() + 1", &[], "error"),
        ("A16*", "$1 + 1", &[""], "error"),
        ("A17*", r#""10" < 9"#, &[], "error"),
        ("A17*", "$1 < 9", &[r#""10""#], "error"),
        ("A17*", "!1", &[], "error"),
        ("A17*", "1 && true", &[], "error"),
        ("A17*", "true < false", &[], "error"),
        ("A18", "true || false && false", &[], "true"),
        ("A18", "!(1 > 2) && 3 > 2", &[], "true"),
        ("A19", r#"$1 == "a" or $1 == "b""#, &[r#""a""#], "error"),
        ("A20", "$1 > 100 && $2 > 200", &["150", "250"], "true"),
        ("A20", "$1 > 100 && $2 > 200", &["150", "50"], "false"),
        ("short*", "$1 > 1 || 1 / 0 == 1", &["2"], "true"),
        ("short*", "$1 > 2 && 1 / 0 == 1", &["2"], "false"),
        ("short*", "true && $1", &["2"], "error"),
    ]);
}

#[test]
fn f_conversion_and_rounding() {
    check(&[
        ("F01", "cToF(25)", &[], "77.0"),
        ("F01", "cToF(21.5)", &[], "70.7"),
        ("F01", "fToC(212)", &[], "100.0"),
        ("F01", "fToC(98.6)", &[], "37.0"),
        ("F01", "typeof(cToF(25))", &[], "float"),
        ("F02", "psiToBar(100)", &[], "6.89476"),
        ("F02", "barToPsi(1)", &[], "14.50376807894691"),
        ("F02", "inToCm(10)", &[], "25.4"),
        ("F02", "cmToIn(25.4)", &[], "10.0"),
        ("F02", "ftToM(10)", &[], "3.048"),
        ("F02", "mToFt(3.048)", &[], "10.0"),
        ("F03", "lbToKg(5)", &[], "2.26796"),
        ("F03", "kgToLb(0.453592)", &[], "1.0"),
        ("F03", "galToL(2)", &[], "7.57082"),
        ("F03", "lToGal(3.78541)", &[], "1.0"),
        ("F04", "scale(2048, 0, 4095, 0, 100)", &[], "50.01221001221001"),
        ("F04", "scale(12, 4, 20, 0, 100)", &[], "50.0"),
        ("F04", "scale(5, 0, 10, 100, 0)", &[], "50.0"),
        ("F04*", "scale(20, 0, 10, 0, 100)", &[], "200.0"),
        ("F04*", "scale(5, 1, 1, 0, 100)", &[], "error"),
        ("F05", "round_n(3.14159, 2)", &[], "3.14"),
        ("F05*", "round_n(2.5, 0)", &[], "3.0"),
        ("F05*", "round_n(-2.5, 0)", &[], "-3.0"),
        ("F05", "round_n(1.5, 16)", &[], "error"),
        ("F05", "round_n(1.5, $1)", &["-1"], "error"),
        ("F05*", "round_n(1e300, 15)", &[], "1e300"),
        ("F06", "floor(2.9)", &[], "2.0"),
        ("F06", "ceil(2.1)", &[], "3.0"),
        ("F06", "round(2.5)", &[], "3.0"),
        ("F06", "round(-2.5)", &[], "-3.0"),
        ("F06", "floor(-2.1)", &[], "-3.0"),
    ]);
}

#[test]
fn f_mathematics() {
    check(&[
        ("F07", "math::abs(-5)", &[], "5"),
        ("F07", "math::sqrt(16)", &[], "4.0"),
        ("F07", "math::cbrt(27)", &[], "3.0"),
        ("F07", "math::pow(2, 10)", &[], "1024.0"),
        ("F07", "math::log(8, 2)", &[], "3.0"),
        ("F07", "math::log10(1000)", &[], "3.0"),
        ("F07", "math::hypot(3, 4)", &[], "5.0"),
        ("F07", "math::atan2(1.0, 1.0)", &[], "0.7853981633974483"),
        ("F08", "math::sqrt(-1)", &[], "NaN"),
        ("F08", "abs(-5)", &[], "error"),
        ("F08*", "math::abs($1)", &["-9223372036854775808"], "error"),
        ("NaN*", "math::sqrt(-1) == math::sqrt(-1)", &[], "false"),
        ("NaN*", "math::sqrt(-1) < 1 || math::sqrt(-1) >= 1", &[], "false"),
    ]);
}

#[test]
fn f_texts() {
    check(&[
        ("F09", r#"len("valve")"#, &[], "5"),
        ("F09", "len((1, 2, 3))", &[], "3"),
        ("F09", r#"len("é")"#, &[], "1"),
        ("F10", r#"str::to_uppercase("ab1")"#, &[], "AB1"),
        ("F10", r#"str::to_lowercase("AB")"#, &[], "ab"),
        ("F10", r#"str::trim("  a b ")"#, &[], "a b"),
        ("F11", r#"str::substring("hello", 1, 3)"#, &[], "el"),
        ("F11", r#"str::substring("hëllo", 1)"#, &[], "ëllo"),
        ("F11", r#"str::substring("hello", 5, 5)"#, &[], ""),
        ("F11*", r#"str::substring("hello", 1, 99)"#, &[], "error"),
        ("F11*", r#"str::substring("hello", 3, 2)"#, &[], "error"),
        ("F11*", r#"str::substring("hello", $1)"#, &["-1"], "error"),
        ("F11*", r#"str::substring("hello", $1)"#, &["1.5"], "error"),
        ("F12*", "str::from(7)", &[], "7"),
        ("F12*", "str::from(1.5)", &[], "1.5"),
        ("F12*", "str::from(1.0)", &[], "1"),
        ("F12*", "str::from(true)", &[], "true"),
        ("F12*", "str::from((1, 2))", &[], "(1, 2)"),
        ("F12*", "str::from(())", &[], "()"),
        ("F12*", r#""T " + str::from($1)"#, &["21.5"], "T 21.5"),
        ("F13", r#"str::regex_matches("abc123", "[0-9]+")"#, &[], "true"),
        ("F13", r#"str::regex_matches("abc123", "^[0-9]+")"#, &[], "false"),
        ("F13", r##"str::regex_replace("a1b22", "[0-9]+", "#")"##, &[], "a#b#"),
        ("F13*", r#"str::regex_replace("2024-06", "([0-9]+)-([0-9]+)", "$2/$1")"#, &[], "06/2024"),
        ("F13*", r#"str::regex_replace("ab", "", "-")"#, &[], "-a-b-"),
        ("F13*", r#"str::regex_matches("a", $1)"#, &[r#""[a-c]""#], "true"),
        ("F13*", r#"str::regex_matches("a", $1)"#, &[r#""[a""#], "error"),
    ]);
}

#[test]
fn f_choices_and_lists() {
    check(&[
        ("F14", r#"if($1 > 100, "high", "normal")"#, &["101"], "high"),
        ("F14", r#"if($1 > 100, "high", "normal")"#, &["100"], "normal"),
        ("F14*", "if(1, 2, 3)", &[], "error"),
        ("F15", "if($2 == (), $1, $1 * $2)", &["5", ""], "5"),
        ("F15", "if($2 == (), $1, $1 * $2)", &["5", "3"], "15"),
        ("F16", "min(2, 3, 1)", &[], "1"),
        ("F16", "max(3.5, 2)", &[], "3.5"),
        ("F16", "min(2, 1.5)", &[], "1.5"),
        ("F16", "min($1)", &["[4.5,2.25,9]"], "2.25"),
        ("F16", "max((1, 7, 3))", &[], "7"),
        ("F16", "max(5)", &[], "5"),
        ("F16*", "min($1)", &["[]"], "error"),
        ("F16*", "min($1)", &[r#"[1,"a"]"#], "error"),
        ("F17", "contains((1, 2, 3), 2)", &[], "true"),
        ("F17", r#"contains($1, "b")"#, &[r#"["a","b"]"#], "true"),
        ("F17", r#"contains($1, "b")"#, &[r#""abc""#], "error"),
        ("F17", "contains_any((1, 2), (2, 9))", &[], "true"),
        ("F17", "contains_any((1, 2), (8, 9))", &[], "false"),
        ("F18", "typeof(1)", &[], "int"),
        ("F18", "typeof(1.0)", &[], "float"),
        ("F18", r#"typeof("s")"#, &[], "string"),
        ("F18", "typeof(true)", &[], "boolean"),
        ("F18", "typeof((1,2))", &[], "tuple"),
        ("F18", "typeof(())", &[], "empty"),
        ("F18", "typeof($1)", &["null"], "empty"),
        ("F18", "typeof($1)", &[""], "empty"),
        ("F19", r#"min("a", 1)"#, &[], "error"),
        ("F19*", r#"cToF("25")"#, &[], "error"),
        ("F19*", "cToF($1)", &[r#""25""#], "error"),
        ("F20", "$1 + 1", &[r#"{"a":1}"#], "error"),
        ("F20", "typeof($1)", &[r#"{"a":1}"#], "error"),
        ("F20", "len($1)", &[r#"[1,[2]]"#], "error"),
    ]);
}

#[test]
fn json_numbers_as_formulas_see_them() {
    check(&[
        ("fits", "typeof($1)", &["9223372036854775807"], "int"),
        ("fits not", "typeof($1)", &["9223372036854775808"], "float"),
        ("exponent", "typeof($1)", &["1e3"], "float"),
        ("fraction", "typeof($1)", &["1.0"], "float"),
        ("rounded correctly", "$1", &["113.30600000000001"], "113.30600000000001"),
        ("too large", "$1", &["1e400"], "error"),
        ("tiny", "$1", &["1e-400"], "0.0"),
    ]);
}

#[test]
fn a_text_can_not_grow_without_end() {
    let big = format!("\"{}\"", "a".repeat(1 << 20));
    // a million matches, each replaced by a million characters
    assert_eq!(value(r#"str::regex_replace($1, "a", $1)"#, &[&big]), "error");
    assert_eq!(
        value(r#"str::regex_replace($1, "a+", $2)"#, &[&big, &format!("\"{}\"", "$0".repeat(1 << 10))]),
        "error"
    );
    let doubled = vec!["$1"; 100].join(" + ");
    assert_eq!(value(&doubled, &[&big]), "error");
}
