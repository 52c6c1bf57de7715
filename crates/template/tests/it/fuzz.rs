//! Texts that are nearly Bicep, and texts that are far from it.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::driver::{evaluate, evaluate_arm};

const SEEDS: [&str; 4] = [
    include_str!("../../../../examples/bicep/main.bicep"),
    include_str!("../../../../examples/bicep/plant-endpoint.bicep"),
    include_str!("seed.bicep"),
    "using 'main.bicep'\nextends 'base.bicepparam'\nvar a = 1\nparam b = a + 1\nparam c = [for i in range(0, 3): '${i}']\n",
];

const SPECIAL: [&str; 40] = [
    "\n",
    "'",
    "'''",
    "${",
    "$$'''",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "...",
    "?",
    ".?",
    "[?",
    "::",
    "!",
    "??",
    "=>",
    "@",
    "for x in range(0, 9): ",
    "if (true) ",
    "resource a 'b@c' = {",
    "module m 'm.bicep' = {",
    "range(0, 1000000000)",
    "param p p = p\n",
    "var a = a\n",
    "type t = t\n",
    "func f(x int) int => f(x)\n",
    "null",
    "-9223372036854775808",
    "ü",
    "\\u{110000}",
    "\\",
    "#",
    "/*",
    "//",
    "reduce([1], [], (a, b) => [a])",
    "\r\n",
    ",",
];

/// xorshift64*: enough to choose what to break.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % n.max(1)
    }
}

fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(text.len() + 1);
    let to = (from + random.below(20)).min(text.len());
    let new: Vec<u8> = match random.below(5) {
        0 => vec![],
        1 => text[from..to].repeat(2),
        2 => {
            let other = SEEDS[random.below(SEEDS.len())].as_bytes();
            let start = random.below(other.len());
            other[start..(start + random.below(60)).min(other.len())].to_vec()
        }
        _ => SPECIAL[random.below(SPECIAL.len())].as_bytes().to_vec(),
    };
    text.splice(from..to, new);
}

#[test]
fn broken_templates_never_panic() {
    let seconds: u64 = std::env::var("TIDEGATE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x7469_6465_6761_7465);
    let mut rounds = 0;
    while rounds < 3_000 || Instant::now() < until {
        let mut text = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(8) {
            mutate(&mut text, &mut random);
        }
        evaluate(&String::from_utf8_lossy(&text));
        rounds += 1;
    }
}

#[test]
fn templates_cut_off_anywhere_never_panic() {
    for seed in SEEDS {
        for end in (0..seed.len()).step_by(3).filter(|end| seed.is_char_boundary(*end)) {
            evaluate(&seed[..end]);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_evaluated(text in any::<String>()) {
        evaluate(&text);
        evaluate_arm(&text);
    }

    #[test]
    fn any_tokens_are_evaluated(text in "(param |var |resource |output |[a-c]|[0-9]|[-+*/%!?:=<>&|.,@'{}()\\[\\]$\\\\\n ]){0,60}") {
        evaluate(&text);
    }

    #[test]
    fn any_expression_is_evaluated(
        text in "(concat|format|parameters|variables|range|if|lambda|map|copyIndex|split|'n'|'v'|'[a-z{}0-9:]*'|[(),.0-9\\[\\] -]){0,40}"
    ) {
        evaluate_arm(&format!("[{text}]"));
        evaluate_arm(&text);
    }
}
