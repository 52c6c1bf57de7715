//! The programs, in both languages.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::Properties;
use tidegate_expr::{
    Dataset, DatasetRule, FilterRule, Host, MapRule, Message, Outcome, Rules, Semantics, Transform, Transformer,
};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, Program, TargetValue, TimeZone};
use vrl::value::{Secrets, Value};

use crate::messages::id;

pub const DEVICES: u64 = 100_000;

pub struct Pair {
    pub name: &'static str,
    pub ours: Transformer,
    /// With the ratio to VRL below which the run fails, and the one that is the goal.
    pub vrl: Option<(Vrl, f64, f64)>,
}

pub fn pairs() -> Vec<Pair> {
    let warm = filter("temperature.Value :: $1 <= 20");
    let copy = || map("* => *");
    let kept = map("temperature.Value => temperature.Value");
    let fahrenheit = map("temperature.Value :: cToF($1) => TemperatureF");
    vec![
        Pair {
            name: "P1 copy with changes",
            ours: ours(Rules {
                filters: vec![warm.clone()],
                maps: vec![copy(), kept, fahrenheit.clone(), map("deviceId => asset"), map("Tag 10 => ")],
                ..Rules::default()
            }),
            vrl: Some((
                Vrl::new(
                    r#"t = to_float!(.temperature.Value)
                    if t <= 20 { false } else {
                        .TemperatureF = t * 9 / 5 + 32
                        .asset = del(.deviceId)
                        del(."Tag 10")
                        true
                    }"#,
                    Output::Event,
                ),
                5.0,
                6.0,
            )),
        },
        Pair {
            name: "P2 projection",
            ours: ours(Rules {
                maps: vec![
                    map("deviceId => asset"),
                    map("temperature.SourceTimestamp => time"),
                    fahrenheit,
                    map("pressure.Value :: $1 * 0.0689476 => bar"),
                    map("humidity.Value => humidity"),
                    map("Tag 10.Value => tag"),
                ],
                ..Rules::default()
            }),
            vrl: Some((
                Vrl::new(
                    r#". = {
                        "asset": .deviceId,
                        "time": .temperature.SourceTimestamp,
                        "TemperatureF": to_float!(.temperature.Value) * 9 / 5 + 32,
                        "bar": to_float!(.pressure.Value) * 0.0689476,
                        "humidity": .humidity.Value,
                        "tag": ."Tag 10".Value,
                    }
                    true"#,
                    Output::Event,
                ),
                4.0,
                5.0,
            )),
        },
        Pair {
            name: "P3 filter only",
            ours: ours(Rules { filters: vec![warm], ..Rules::default() }),
            vrl: Some((Vrl::new("to_float!(.temperature.Value) > 20", Output::Input), 4.0, 4.5)),
        },
        Pair { name: "* => *", ours: ours(Rules { maps: vec![copy()], ..Rules::default() }), vrl: None },
        Pair {
            name: "enrichment",
            ours: {
                let asset = DatasetRule {
                    key: "assets as a".into(),
                    inputs: vec!["$source.deviceId".into(), "$context.id".into()],
                    expression: Some("$1 == $2".into()),
                };
                let mut ours = ours(Rules {
                    datasets: vec![asset],
                    maps: vec![copy(), map("$context(a).site => site"), map("$context(a).limit => limit")],
                    ..Rules::default()
                });
                ours.set_dataset("assets", &records());
                ours
            },
            vrl: None,
        },
        Pair {
            name: "P1 by the interpreter",
            ours: ours(Rules {
                filters: vec![filter("temperature.Value ? $last :: $1 <= 20")],
                maps: vec![
                    copy(),
                    map("temperature.Value => temperature.Value"),
                    map("temperature.Value :: cToF($1) => TemperatureF"),
                    map("deviceId => asset"),
                    map("Tag 10 => "),
                ],
                ..Rules::default()
            }),
            vrl: None,
        },
    ]
}

fn records() -> Dataset {
    let lines: Vec<String> = (0..DEVICES)
        .map(|n| format!("{{\"id\":\"{}\",\"site\":\"site {}\",\"line\":{},\"limit\":80}}", id(n), n % 50, n % 7))
        .collect();
    Dataset::parse(lines.join("\n").into()).0
}

fn filter(text: &str) -> FilterRule {
    let (inputs, expression) = text.split_once(" :: ").expect("a formula");
    FilterRule { inputs: vec![inputs.into()], expression: expression.into(), description: None }
}

fn map(text: &str) -> MapRule {
    let (rest, output) = text.split_once(" => ").expect("an output");
    let (input, expression) = match rest.split_once(" :: ") {
        Some((input, expression)) => (input, Some(expression.into())),
        None => (rest, None),
    };
    MapRule { inputs: vec![input.into()], output: output.into(), expression, description: None }
}

fn ours(rules: Rules) -> Transformer {
    let semantics = Semantics { host: Host::Graph, ..Semantics::default() };
    let (transform, _) = Transform::compile(rules, semantics).expect("the rules are correct");
    Transformer::new(Arc::new(transform))
}

/// The payload of the outgoing message, if it passes.
pub fn run_ours(transformer: &mut Transformer, payload: &Bytes, properties: &Properties) -> Option<Bytes> {
    match transformer.apply(Message { payload, topic: "plant/pumps", properties }) {
        Outcome::Pass(passed) => Some(passed.payload),
        Outcome::Filtered { .. } => None,
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

enum Output {
    /// The event as the program leaves it.
    Event,
    /// The bytes that came.
    Input,
}

/// VRL in its best form: text to [`Value`] by serde_json, the program, which says whether the message passes, and back
/// by serde_json.
pub struct Vrl {
    program: Program,
    state: RuntimeState,
    output: Output,
}

impl Vrl {
    fn new(source: &str, output: Output) -> Self {
        let compiled = vrl::compiler::compile(source, &vrl::stdlib::all()).expect("the program is correct");
        Self { program: compiled.program, state: RuntimeState::default(), output }
    }

    /// Appends the outgoing payload, if the message passes.
    pub fn run(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let text = std::str::from_utf8(payload).expect("the messages are UTF-8");
        let value = serde_json::from_str::<Value>(text).expect("the messages are JSON");
        let mut target = TargetValue { value, metadata: Value::Null, secrets: Secrets::default() };
        let timezone = TimeZone::default();
        let mut context = Context::new(&mut target, &mut self.state, &timezone);
        let passes = self.program.resolve(&mut context).expect("the program runs") == Value::Boolean(true);
        self.state.clear();
        if passes {
            match self.output {
                Output::Event => serde_json::to_writer(out, &target.value).expect("memory does not fail"),
                Output::Input => out.extend_from_slice(payload),
            }
        }
        passes
    }
}
