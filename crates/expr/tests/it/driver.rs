//! What holds for any text, for the bounded tests here and the coverage-guided targets in `fuzz/`.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::Properties;
use tidegate_expr::{
    AccumulateRule, Boundary, Env, Host, MapRule, Message, Operand, Outcome, Role, Rules, Semantics,
    Transform, Transformer, TriggerRule, Window, WindowRules, Windower, compile, parse_input, parse_json,
    parse_output, parse_path,
};

/// A path that is read is printed as a text that is read as the same; a mistake has a place.
pub(crate) fn path(text: &str) {
    match parse_path(text) {
        Ok(path) => assert_eq!(parse_path(&path.to_string()), Ok(path), "{text}"),
        Err(error) => assert!(text.get(error.range).is_some(), "{text}"),
    }
    match parse_input(text, Host::Graph) {
        Ok((input, _)) => {
            let (again, _) = parse_input(&input.to_string(), Host::Graph).expect("what was printed");
            assert_eq!(again, input, "{text}");
        }
        Err(error) => assert!(text.get(error.range).is_some(), "{text}"),
    }
    let _ = parse_output(text, Host::Dataflow);
}

/// A formula that is read is printed as a text that compiles to the same, and has a value or an error.
pub(crate) fn formula(text: &str, message: &str) {
    let env = Env { inputs: 2, host: Host::Graph, role: Role::Map };
    match compile(text, env) {
        Ok((program, _)) => {
            let (again, _) = compile(&program.to_string(), env).expect("what was printed");
            assert_eq!(again, program, "{text}");
            if let Ok(json) = parse_json(message.as_bytes()) {
                let _ = program.eval(&[Operand::Json(&json), Operand::Text(message)]);
            }
            let _ = program.eval(&[Operand::Text(message), Operand::Missing]);
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "{text}");
            assert!(errors.iter().all(|e| text.get(e.range.clone()).is_some()), "{text}");
        }
    }
}

/// A formula over a window that is read has a value or an error, as an accumulate rule and as a trigger.
pub(crate) fn window(text: &str, message: &[u8]) {
    let inputs = || vec!["a".into(), "t".into()];
    let trigger = TriggerRule { inputs: inputs(), trigger: text.into(), boundary: Boundary::Next };
    let accumulate = AccumulateRule {
        inputs: inputs(),
        output: "o".into(),
        expression: text.into(),
        ..AccumulateRule::default()
    };
    for rules in [
        WindowRules { triggers: vec![trigger], ..WindowRules::default() },
        WindowRules { accumulate: vec![accumulate], ..WindowRules::default() },
    ] {
        match Window::compile(rules) {
            Ok((window, _)) => {
                let mut windower = Windower::new(window.into());
                let payload = Bytes::copy_from_slice(message);
                for _ in 0..3 {
                    let properties = Properties::default();
                    let _ =
                        windower.push(Message { payload: &payload, topic: "a/b", properties: &properties });
                }
                if let Some(Ok(payload)) = windower.close() {
                    assert!(parse_json(&payload).is_ok(), "{text}: {payload:?}");
                }
            }
            Err(findings) => {
                assert!(findings.iter().all(|f| text.get(f.error.range.clone()).is_some()), "{text}");
            }
        }
    }
}

/// `input => output` beside a rule that copies all: what comes out is JSON, and the same with and without the steps
/// being told, which takes the plain interpreter.
pub(crate) fn message(input: &str, output: &str, payload: &[u8]) {
    let rule = |input: &str, output: &str| MapRule {
        inputs: vec![input.into()],
        output: output.into(),
        ..MapRule::default()
    };
    for maps in [vec![rule("*", "*"), rule(input, output)], vec![rule(input, output)]] {
        let rules = Rules { maps, ..Rules::default() };
        let Ok((transform, _)) = Transform::compile(rules, Semantics::default()) else { continue };
        let transform = Arc::new(transform);
        let payload = Bytes::copy_from_slice(payload);
        let properties = Properties::default();
        let message = Message { payload: &payload, topic: "a/b", properties: &properties };
        let fast = Transformer::new(Arc::clone(&transform)).apply(message);
        let (plain, _) = Transformer::new(transform).explain(message);
        match (&fast, &plain) {
            (Outcome::Pass(fast), Outcome::Pass(plain)) => {
                let read = |payload: &Bytes| parse_json(payload).expect("JSON comes out").into_owned();
                assert_eq!(read(&fast.payload), read(&plain.payload), "{input} => {output}: {payload:?}");
            }
            _ => assert_eq!(fast, plain, "{input} => {output}: {payload:?}"),
        }
    }
}
