//! Formulas compared with evalexpr 11.3.1, which AIO's language resembles down to its error cases.
//!
//! Where the two differ on purpose (AIO's documentation says otherwise, or we chose), formulas of that kind are not
//! generated, or only one direction is checked:
//!
//! | here | evalexpr |
//! |---|---|
//! | `if`, `&&` and `\|\|` compute only what they need | computes all, and may fail where we don't |
//! | `1 == 1.0` is true | false |
//! | a text plus anything is a text | an error |
//! | `<` binds tighter than `==` | both alike |
//! | `min(5)` and `max((1, 7))` have values | errors |
//! | `len` and `str::substring` count characters | bytes |

use evalexpr::Value as Theirs;
use proptest::prelude::*;
use tidegate_expr::{Env, Host, Role, Value, compile};

/// A kind of formula, so that what is generated mostly has a value.
fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = (0..50i64).prop_map(|i| i.to_string());
    if depth == 0 {
        return prop_oneof![4 => leaf, 1 => Just(i64::MAX.to_string())].boxed();
    }
    let (a, b) = (int(depth - 1), int(depth - 1));
    let op = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
    prop_oneof![
        2 => leaf,
        6 => (a.clone(), op, b.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => a.clone().prop_map(|a| format!("-({a})")),
        1 => a.clone().prop_map(|a| format!("math::abs({a})")),
        1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("min({a}, {b})")),
        1 => text(depth - 1).prop_map(|t| format!("len({t})")),
        1 => (bool(depth - 1), a, b).prop_map(|(c, a, b)| format!("if({c}, {a}, {b})")),
    ]
    .boxed()
}

fn float(depth: u32) -> BoxedStrategy<String> {
    let leaf = (-1000..1000i32).prop_map(|i| format!("{:?}", f64::from(i) / 8.0));
    if depth == 0 {
        return leaf.boxed();
    }
    let number = prop_oneof![3 => float(depth - 1), 1 => int(depth - 1)];
    let op = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
    let function = prop::sample::select(
        &[
            "floor",
            "ceil",
            "round",
            "math::sqrt",
            "math::cbrt",
            "math::exp",
            "math::exp2",
            "math::ln",
            "math::log2",
            "math::log10",
            "math::sin",
            "math::cos",
            "math::tan",
            "math::asin",
            "math::acos",
            "math::atan",
        ][..],
    );
    let of_two = prop::sample::select(&["math::pow", "math::log", "math::atan2", "math::hypot"][..]);
    prop_oneof![
        1 => leaf,
        6 => (float(depth - 1), op, number.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        2 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("({a}) ^ ({b})")),
        1 => float(depth - 1).prop_map(|a| format!("-({a})")),
        2 => (function, number.clone()).prop_map(|(f, a)| format!("{f}({a})")),
        1 => (of_two, number.clone(), number).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
        1 => (float(depth - 1), float(0)).prop_map(|(a, b)| format!("max({a}, {b})")),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = "[ -~&&[^\"\\\\]]{0,6}".prop_map(|t| format!("\"{t}\""));
    if depth == 0 {
        return leaf.boxed();
    }
    let a = text(depth - 1);
    prop_oneof![
        2 => leaf,
        2 => (a.clone(), a.clone()).prop_map(|(a, b)| format!("({a}) + ({b})")),
        1 => a.clone().prop_map(|a| format!("str::to_lowercase({a})")),
        1 => a.clone().prop_map(|a| format!("str::to_uppercase({a})")),
        1 => a.clone().prop_map(|a| format!("str::trim({a})")),
        1 => (a.clone(), 0..4usize, 0..6usize).prop_map(|(a, i, j)| format!("str::substring({a}, {i}, {j})")),
        1 => (a.clone(), 0..4usize).prop_map(|(a, i)| format!("str::substring({a}, {i})")),
        1 => (a, "[a-z.]{1,3}").prop_map(|(a, p)| format!("str::regex_replace({a}, \"{p}\", \"<$0>\")")),
        1 => int(depth - 1).prop_map(|a| format!("str::from({a})")),
        1 => float(depth - 1).prop_map(|a| format!("str::from({a})")),
        1 => prop_oneof![int(depth - 1), bool(depth - 1)].prop_map(|a| format!("typeof({a})")),
    ]
    .boxed()
}

fn bool(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(&["true", "false"][..]).prop_map(String::from);
    if depth == 0 {
        return leaf.boxed();
    }
    let order = prop::sample::select(&["<", "<=", ">", ">="][..]);
    let equality = prop::sample::select(&["==", "!="][..]);
    let logic = prop::sample::select(&["&&", "||"][..]);
    let number = prop_oneof![float(depth - 1), int(depth - 1)];
    prop_oneof![
        1 => leaf,
        2 => (number.clone(), order.clone(), number).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => (text(depth - 1), order, text(depth - 1)).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => (int(depth - 1), equality.clone(), int(depth - 1)).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => (text(depth - 1), equality, text(depth - 1)).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        3 => (bool(depth - 1), logic, bool(depth - 1)).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => bool(depth - 1).prop_map(|a| format!("!({a})")),
        1 => (int(depth - 1), int(depth - 1), int(depth - 1)).prop_map(|(a, b, c)| format!("contains(({a}, {b}), {c})")),
        1 => (text(depth - 1), "[a-z.]{1,3}").prop_map(|(a, p)| format!("str::regex_matches({a}, \"{p}\")")),
    ]
    .boxed()
}

fn same(ours: &Value<'_>, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Int(a), Theirs::Int(b)) => a == b,
        (Value::Float(a), Theirs::Float(b)) => a == b || a.is_nan() && b.is_nan(),
        (Value::String(a), Theirs::String(b)) => a == b,
        (Value::Bool(a), Theirs::Boolean(b)) => a == b,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_evalexpr_has_a_value_for_has_the_same_here(
        formula in prop_oneof![int(4), float(4), text(4), bool(4)]
    ) {
        let env = Env { inputs: 0, host: Host::Graph, role: Role::Map };
        let (program, _) = compile(&formula, env).expect("generated to be correct");
        let ours = program.eval(&[]);
        // as generated, with all parentheses, and as printed, with none but those that precedence asks for
        for text in [formula.clone(), program.to_string()] {
            // it overflows in `math::abs` of the smallest integer
            let theirs = std::panic::catch_unwind(|| evalexpr::eval(&text));
            match theirs.unwrap_or_else(|_| Err(evalexpr::EvalexprError::CustomMessage("panicked".into()))) {
                Ok(theirs) => {
                    let same = ours.as_ref().is_ok_and(|ours| same(ours, &theirs));
                    prop_assert!(same, "{}: {:?} here, {:?} there", text, ours, theirs);
                }
                Err(error) => {
                    let lazy = ["if(", "&&", "||"].iter().any(|lazy| text.contains(lazy));
                    prop_assert!(ours.is_err() || lazy, "{}: {:?} here, {} there", text, ours, error);
                }
            }
        }
    }
}
