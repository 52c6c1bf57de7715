//! How formulas are read, and what is said about those that can't be.

use proptest::prelude::*;
use tidegate_expr::{EXPRESSION_DEPTH_MAX, Env, Host, Program, Role, SyntaxError, Warning, compile};

fn env(role: Role) -> Env {
    Env { inputs: 2, host: Host::Graph, role }
}

fn map(text: &str) -> Result<(Program, Vec<Warning>), Vec<SyntaxError>> {
    compile(text, env(Role::Map))
}

/// The formula with all its parentheses.
fn grouped(text: &str) -> String {
    let (program, _) = map(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    program.to_string()
}

/// Each mistake as the text it points at and the help it gives.
fn mistakes(text: &str) -> Vec<(&str, String)> {
    let errors = map(text).expect_err(text);
    errors.into_iter().map(|e| (&text[e.range], e.help.unwrap_or(e.message))).collect()
}

#[test]
fn operators_bind_as_documented() {
    for (text, same_as) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("2 * 3 ^ 4", "2 * (3 ^ 4)"),
        ("2 ^ 3 ^ 4", "(2 ^ 3) ^ 4"),
        ("-2 ^ 2", "-(2 ^ 2)"),
        ("-$1 * 2", "(-$1) * 2"),
        ("2 ^ -1", "2 ^ (-1)"),
        ("5 - -3", "5 - (-3)"),
        ("--5", "-(-5)"),
        ("1 < 2 == true", "(1 < 2) == true"),
        ("1 == 2 && 3 == 3", "(1 == 2) && (3 == 3)"),
        ("true || false && false", "true || (false && false)"),
        ("!true && false", "(!true) && false"),
        ("10 / 4 * 2 % 3", "((10 / 4) * 2) % 3"),
        ("1<2", "1 < 2"),
        ("$1*9/5+32", "(($1 * 9) / 5) + 32"),
    ] {
        assert_eq!(map(text).unwrap().0, map(same_as).unwrap().0, "{text}");
    }
    assert_eq!(grouped("((1 + 2)) * (3 ^ (-(2)))"), "(1 + 2) * 3 ^ -2");
    assert_eq!(grouped("(-2) ^ 2 - (1 - (2 - 3))"), "(-2) ^ 2 - (1 - (2 - 3))");
    assert_eq!(grouped("if( $1==() ,1.50,\"a\\\"b\\\\\")"), "if($1 == (), 1.5, \"a\\\"b\\\\\")");
    assert_eq!(grouped("(1, (2, 3), 0x1F, 1e3, .5, 5., ())"), "(1, (2, 3), 31, 1000.0, 0.5, 5.0, ())");
    assert_eq!(grouped("9223372036854775808"), "9.223372036854776e18");
}

#[test]
fn what_other_languages_write_is_understood_and_mended() {
    for (text, expected) in [
        (r#"$1 == "a" or $1 == "b""#, &[("or", "write `||`")][..]),
        ("$1 > 1 AND not $2", &[("AND", "write `&&`"), ("not", "write `!`")]),
        ("$1 = 5", &[("=", "equality is `==`; a formula assigns nothing")]),
        (
            "$1 === 5 & $2 <> 3",
            &[("===", "equality is `==`"), ("&", "write `&&`"), ("<>", "inequality is `!=`")],
        ),
        ("$1 ** 2", &[("**", "a power is `$1 ^ 2`")]),
        ("abs($1)", &[("abs", "did you mean `math::abs`?")]),
        ("uppercase($1)", &[("uppercase", "did you mean `str::to_uppercase`?")]),
        ("ctof($1) + sqroot($2)", &[("ctof", "did you mean `cToF`?"), ("sqroot", "no function `sqroot`")]),
        ("mth::sqrt($1)", &[("mth::sqrt", "did you mean `math::sqrt`?")]),
        (
            "average($1)",
            &[("average", "aggregations work in the accumulate rules of a window transform only")],
        ),
        ("$1 == null", &[("null", "a missing value is `()`")]),
        (
            "temperature > 20",
            &[(
                "temperature",
                "a text stands in double quotes; a field is listed in `inputs`, and the first one is `$1`",
            )],
        ),
        (
            "$metadata.topic + $context(a).b + $1",
            &[
                (
                    "$metadata.topic",
                    "list the path in `inputs`; in the formula its first entry is `$1`, the second `$2`",
                ),
                (
                    "$context(a)",
                    "list the path in `inputs`; in the formula its first entry is `$1`, the second `$2`",
                ),
                (".b", "an operator is missing before this"),
            ][..2],
        ),
        (r#""\d+""#, &[(r"\d", r#"write `\\d` for a backslash; the escapes are `\"` and `\\`"#)]),
        ("1 // half", &[("// half", "put it in the rule's `description`")]),
        (
            "[$1]",
            &[
                ("[", "a list is a tuple: `($1, $2)`"),
                ("]", "a formula has numbers, \"texts\", `$1`, operators and functions"),
            ],
        ),
        ("$1 ≥ 2", &[("≥", "write `<=`, `>=`, `!=`, `*`, `/` or `-`")]),
    ] {
        let found = mistakes(text);
        let found: Vec<_> = found.iter().map(|(at, help)| (*at, help.as_str())).collect();
        assert_eq!(found[..expected.len()], *expected, "{text}");
    }
}

#[test]
fn the_first_mistake_in_the_grammar_is_pointed_at() {
    for (text, at, message) in [
        ("", "", "the formula is empty"),
        ("  ", "  ", "the formula is empty"),
        ("1 +", "", "the formula ends where a value is expected"),
        ("* 2", "*", "a value is missing before `*`"),
        ("1 2", "2", "an operator is missing before this"),
        ("(1", "(", "the `(` is not closed"),
        ("1)", ")", "a `)` without a `(`"),
        ("1, 2", ",", "a `,` outside parentheses"),
        ("min(1,)", ")", "a value is missing before `)`"),
        ("min(1 2)", "2", "an operator, a `,` or a `)` is missing before this"),
        ("\"abc", "\"abc", "the text is not closed"),
        ("1.2.3", "1.2.3", "`1.2.3` is not a number"),
        ("12abc", "12abc", "`12abc` is not a number"),
        ("1e999", "1e999", "`1e999` is not a number"),
        ("$0", "$0", "no `$0`"),
        ("2 ^ !true", "!", "`!` does not stand here"),
    ] {
        let errors = map(text).expect_err(text);
        assert_eq!((&text[errors[0].range.clone()], errors[0].message.as_str()), (at, message), "{text}");
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    }
}

#[test]
fn all_that_never_fits_is_found_at_once() {
    for (text, expected) in [
        ("$3", &[("$3", "`$3` is beyond the rule's inputs, `$1` to `$2`")][..]),
        (
            "$99999999999999999999",
            &[("$99999999999999999999", "`$18446744073709551615` is beyond the rule's inputs, `$1` to `$2`")],
        ),
        ("\"5\" - 1", &[("\"5\"", "`-` takes a number, and this is a text")]),
        (
            "-true * !1",
            &[
                ("true", "`-` takes a number, and this is a boolean"),
                ("1", "`!` takes a boolean, and this is an integer"),
            ],
        ),
        ("() + 1", &[("()", "`+` takes numbers or texts, and this is `()`")]),
        ("true < false", &[("true", "`<` takes two numbers or two texts, and this is a boolean")]),
        (
            "\"10\" < 9",
            &[("\"10\" < 9", "`<` compares two numbers or two texts, and these are a text and an integer")],
        ),
        ("1 && $1", &[("1", "`&&` takes a boolean, and this is an integer")]),
        ("cToF()", &[("cToF()", "`cToF` takes one argument, not 0")]),
        ("min()", &[("min()", "`min` takes at least 1 argument, not 0")]),
        ("str::substring($1)", &[("str::substring($1)", "`str::substring` takes 2 to 3 arguments, not 1")]),
        ("if(1, 2, 3)", &[("1", "`if` takes a boolean, and this is an integer")]),
        ("len(5)", &[("5", "`len` takes a text or a tuple, and this is an integer")]),
        ("min(\"a\", 1)", &[("\"a\"", "`min` takes a number, and this is a text")]),
        ("round_n($1, 16)", &[("16", "`round_n` rounds to 0 to 15 decimals")]),
        ("str::regex_matches($1, \"a(\")", &[("\"a(\"", "not a regular expression: unclosed group")]),
        (
            "cToF(\"25\") + len(true)",
            &[
                ("\"25\"", "`cToF` takes a number, and this is a text"),
                ("true", "`len` takes a text or a tuple, and this is a boolean"),
            ],
        ),
    ] {
        let errors = map(text).expect_err(text);
        let found: Vec<_> = errors.iter().map(|e| (&text[e.range.clone()], e.message.as_str())).collect();
        for each in expected {
            assert!(found.contains(each), "{text}: {found:?}");
        }
    }
}

#[test]
fn what_may_fit_is_left_to_the_message() {
    for text in [
        "$1 - $2",
        "if($1 == (), $1, $1 * $2)",
        "\"n=\" + 5",
        "5 + \"x\"",
        "$1 + true",
        "1 == 1.0",
        "max((1, 7))",
    ] {
        assert!(map(text).is_ok(), "{text}: {:?}", map(text));
    }
}

#[test]
fn filters_branches_and_datasets_are_true_or_false() {
    for role in [Role::Filter, Role::Branch, Role::DatasetMatch] {
        for good in ["$1 > $2", "$1", "if($2, $1, true)", "!$1"] {
            assert!(compile(good, env(role)).is_ok(), "{role:?} {good}");
        }
        for bad in ["$1 + 1", "5", "\"true\"", "()", "if($1, 1, 2)", "len($1)"] {
            assert!(compile(bad, env(role)).is_err(), "{role:?} {bad}");
        }
    }
}

#[test]
fn regular_expressions_are_for_graphs() {
    let dataflow = Env { host: Host::Dataflow, ..env(Role::Filter) };
    let errors = compile("str::regex_matches($1, \"a\")", dataflow).unwrap_err();
    assert_eq!(errors[0].message, "`str::regex_matches` exists in data flow graphs only");
}

#[test]
fn what_is_legal_and_may_surprise_is_a_warning() {
    let warnings = |text: &str| map(text).unwrap().1.into_iter().map(|w| w.message).collect::<Vec<_>>();
    assert_eq!(warnings("if($1 > $2, 'High', \"Low\")"), ["texts stand in double quotes"]);
    assert_eq!(warnings("$1 == $2 && \"1\" == 1"), ["a text and an integer are never equal"]);
    assert_eq!(warnings("$1"), ["`$2` is not used in the formula"]);
}

#[test]
fn depth_has_a_limit_that_is_an_error() {
    let sum = |terms: usize| vec!["1"; terms].join("+");
    assert!(map(&sum(EXPRESSION_DEPTH_MAX)).is_ok());
    assert!(map(&sum(EXPRESSION_DEPTH_MAX + 1)).is_err());
    let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(map(&deep(EXPRESSION_DEPTH_MAX - 1)).is_ok());
    for text in [deep(100_000), "-".repeat(50_000), "!(1||1&&1==1<1+1*".repeat(3_000), "min(".repeat(10_000)]
    {
        assert!(map(&text).is_err());
    }
}

/// A formula of any kind, types be damned.
pub(crate) fn formula() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|i| if i < 0 { format!("({i})") } else { i.to_string() }),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("({f:?})")),
        prop::sample::select(
            &["true", "false", "()", "$1", "$2", "\"a\"", "\"\\\"\\\\é\"", "0", "1.5", "0x10"][..]
        )
        .prop_map(String::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let op = prop::sample::select(
            &["+", "-", "*", "/", "%", "^", "<", "<=", ">", ">=", "==", "!=", "&&", "||"][..],
        );
        let function = prop::sample::select(tidegate_expr::FUNCTIONS);
        prop_oneof![
            3 => (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            1 => inner.clone().prop_map(|e| format!("-({e})")),
            1 => inner.clone().prop_map(|e| format!("!({e})")),
            2 => (function, prop::collection::vec(inner.clone(), 1..6)).prop_map(|(f, mut arguments)| {
                if f.parameters.last() != Some(&"...") {
                    arguments.truncate(f.parameters.len());
                    arguments.resize(f.parameters.len(), "$1".into());
                }
                format!("{}({})", f.name, arguments.join(", "))
            }),
            1 => prop::collection::vec(inner, 2..4).prop_map(|items| format!("({})", items.join(", "))),
        ]
    })
}

/// Texts made of what matters to the parser.
fn formula_like() -> impl Strategy<Value = String> {
    const BITS: &[&str] = &[
        "1",
        "2.5",
        "1e",
        "$1",
        "$2",
        "$",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "!",
        "<",
        ">",
        "=",
        "&&",
        "||",
        "&",
        "\"",
        "\\",
        "'",
        "a",
        "min",
        "if",
        "math::abs",
        "::",
        " ",
        "and",
        "true",
        ".",
        "0x",
        "é",
        "≤",
        "@",
        "//",
    ];
    prop::collection::vec(prop::sample::select(BITS), 0..20).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn a_printed_formula_compiles_to_itself(text in prop_oneof![formula(), formula_like()]) {
        if let Ok((program, _)) = map(&text) {
            let (again, _) = map(&program.to_string()).expect("what was printed");
            prop_assert_eq!(&again, &program);
            prop_assert_eq!(again.to_string(), program.to_string());
        }
    }

    #[test]
    fn ranges_fit_the_formula(text in formula_like()) {
        if let Err(errors) = map(&text) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(text.get(error.range).is_some());
            }
        }
    }
}
