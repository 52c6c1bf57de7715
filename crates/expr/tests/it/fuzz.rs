//! Mutated texts against the parsers and the evaluator. The seed is fixed, so that a failure comes again; the number
//! of rounds is too, unless TIDEGATE_FUZZ_SECONDS asks for more.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_core::Properties;
use tidegate_expr::{
    FilterRule, Host, MapRule, Message, Outcome, Rules, Semantics, Transform, Transformer, parse_json,
};

use crate::driver;

const ROUNDS: usize = 5_000;

const PATHS: &[&str] = &[
    "*",
    "a.b.c",
    "a.*.b",
    r#"Payload."Tag.10".Value"#,
    r#"log.Op said: "Wait. Now go""#,
    "$source.a",
    "$context(d).x",
    "$metadata.user_property.asset",
    "t ? $last",
    "t ?? 0",
    r#"t ? $last ?? "x""#,
    "",
];
const FORMULAS: &[&str] = &[
    "$1 * 9/5 + 32",
    "if($1 == (), $2, $1 ^ -2)",
    r#"str::substring($1, 1, 3) + "é" + str::from($2)"#,
    "min($1) > max($2, 1.5) && !($1 == $2)",
    "round_n($1, 2) % 0x1F",
    r#"contains(($1, "a\"b\\", ()), $2)"#,
    r#"str::regex_replace($1, "([a-z]+)", "<$1>")"#,
    "scale($1, 0, 4095, 0, 100)",
    "-(-$1) - --$2",
    "len($1) <= 1e3",
];
const WINDOWS: &[&str] = &[
    "average($1) + max($2)",
    "if(count($1) > 0, cToF(min($1)), sum($2))",
    r#"str::from(first($1)) + str::from(last($2))"#,
    "running_sum($1) + $1 > 100",
    "changed($1) || running_count() >= 2 && prev($2) != first($2)",
    "running_min($1) < running_avg($1) || running_max($2) == running_count($2)",
];
const MESSAGES: &[&str] = &[
    r#"{"a":{"b":{"c":1.50}},"t":"x","Payload":{"Tag.10":{"Value":[1,2]}}}"#,
    r#"{"a":[{"b":null}],"t":-9223372036854775808,"a":{"b":2}}"#,
    r#"{"\u0061":{"b":"\ud83d\ude00"},"t":1e400,"":{}}"#,
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }

    /// One of the texts with characters removed, repeated, swapped in, or spliced from another.
    fn mutated(&mut self, texts: &[&str]) -> String {
        const TOKENS: &str = "\"\\.*$?@()[]{},:;=<>!&|+-/%^ \n019eE_~é😀\u{0}";
        let tokens: Vec<char> = TOKENS.chars().collect();
        let mut text: Vec<char> = self.pick(texts).chars().collect();
        for _ in 0..self.below(5) {
            let at = self.below(text.len() + 1);
            match self.below(5) {
                0 if at < text.len() => drop(text.remove(at)),
                1 => text.insert(at, tokens[self.below(tokens.len())]),
                2 if at < text.len() => text[at] = tokens[self.below(tokens.len())],
                3 => {
                    let other: Vec<char> = self.pick(texts).chars().collect();
                    let from = self.below(other.len() + 1);
                    text.splice(at.., other[from..].iter().copied());
                }
                _ => {
                    let part: Vec<char> = text[at..].iter().take(self.below(8)).copied().collect();
                    let times = self.below(40);
                    let repeated = part.iter().copied().cycle().take(part.len() * times);
                    text.splice(at..at, repeated.collect::<Vec<_>>());
                }
            }
        }
        text.into_iter().collect()
    }
}

#[test]
fn mutated_texts_end_in_a_value_or_an_error() {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let until = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let mut random = Random(7);
    let mut rounds = 0;
    while until.map_or(rounds < ROUNDS, |until| Instant::now() < until) {
        rounds += 1;
        driver::path(&random.mutated(PATHS));
        driver::formula(&random.mutated(FORMULAS), random.pick(MESSAGES));
        driver::window(&random.mutated(WINDOWS), random.pick(MESSAGES).as_bytes());
        let output = random.pick(&["*", "o.*", "o", "", "a.b"]);
        driver::message(&random.mutated(PATHS), output, random.mutated(MESSAGES).as_bytes());
        messages(&mut random);
    }
}

fn messages(random: &mut Random) {
    let map = MapRule {
        inputs: vec![random.mutated(PATHS), random.pick(PATHS).into()],
        output: random.pick(&["*", "o.*", "o", "", "a.b"]).into(),
        expression: Some(random.pick(FORMULAS).into()).filter(|_| random.below(2) == 0),
        description: None,
    };
    let filter = FilterRule {
        inputs: vec!["t".into(), "a".into()],
        expression: random.mutated(FORMULAS),
        description: None,
    };
    let copy = MapRule { inputs: vec!["*".into()], output: "*".into(), ..MapRule::default() };
    for rules in [
        Rules { maps: vec![copy, map], ..Rules::default() },
        Rules { filters: vec![filter], ..Rules::default() },
    ] {
        let Ok((transform, _)) =
            Transform::compile(rules, Semantics { host: Host::Graph, ..Semantics::default() })
        else {
            continue;
        };
        let mut transformer = Transformer::new(transform.into());
        for _ in 0..3 {
            let payload = Bytes::from(random.mutated(MESSAGES));
            let message = Message { payload: &payload, topic: "t", properties: &Properties::default() };
            if let Outcome::Pass(passed) = transformer.apply(message) {
                assert!(parse_json(&passed.payload).is_ok(), "{payload:?}");
            }
        }
    }
}
