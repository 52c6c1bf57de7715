//! Whatever the bytes, loading says something and never panics, and every place is inside its file.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tidegate_core::Files;
use tidegate_model::{LoadOptions, load, missing_files};

use crate::data;
use crate::support::shared_folder;

/// Loads a text under every name that chooses a reader.
fn load_any(text: &str) {
    for name in ["flow.yaml", "flow.json", "main.bicep", "main.bicepparam", "<stdin>", "schemas/press/1.json"]
    {
        let mut files = Files::default();
        files.add(name, text);
        let options = LoadOptions::default();
        missing_files(&files, &options);
        let parsed = load(&files, &options);
        for label in parsed.diagnostics.iter().flat_map(|d| &d.labels) {
            let file = files.get(label.span.file).expect("the file is one of those loaded");
            let range = label.span.start as usize..label.span.end as usize;
            assert!(file.text.get(range).is_some(), "{:?} of {text:?}: {:?}", label.span, parsed.diagnostics);
        }
        assert!(parsed.value.plans().len() <= parsed.value.dataflows().len());
    }
}

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

/// Breaks a text somewhere: bytes cut out, doubled, changed, or replaced by what readers find special.
fn mutate(text: &mut Vec<u8>, others: &[String], random: &mut Random) {
    const SPECIAL: [&str; 30] = [
        "\n",
        "  ",
        "\t",
        "- ",
        ": ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "*",
        "&a ",
        "*a",
        "<<: ",
        "|\n",
        ">\n",
        "---\n",
        "!x ",
        "\0",
        "\u{feff}",
        "ü",
        "\r\n",
        "null",
        "99999999999999999999",
        "${",
        "$1",
        "? ",
    ];
    let from = random.below(text.len() + 1);
    let to = (from + random.below(12)).min(text.len());
    let new: Vec<u8> = match random.below(6) {
        0 => vec![],
        1 => text[from..to].repeat(2),
        2 => vec![u8::try_from(random.below(256)).unwrap()],
        3 => {
            let other = others[random.below(others.len())].as_bytes();
            let start = random.below(other.len());
            other[start..(start + random.below(40)).min(other.len())].to_vec()
        }
        _ => SPECIAL[random.below(SPECIAL.len())].as_bytes().to_vec(),
    };
    text.splice(from..to, new);
}

#[test]
fn broken_manifests_never_panic() {
    let mut seeds: Vec<String> =
        ["accept", "warn", "reject"].iter().flat_map(|f| data::files(f)).map(|(_, text)| text).collect();
    for sub in ["k8s", "arm", "schemas"] {
        let folder = shared_folder("corpus").map(|f| f.join(sub));
        let entries = folder.iter().flat_map(|f| std::fs::read_dir(f).unwrap().flatten());
        seeds.extend(entries.map(|e| std::fs::read_to_string(e.path()).unwrap()));
    }
    seeds.sort();
    let seconds: u64 = std::env::var("TIDEGATE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x7469_6465_6761_7465);
    let mut rounds = 0;
    while rounds < 3_000 || Instant::now() < until {
        let mut text = seeds[random.below(seeds.len())].clone().into_bytes();
        text.truncate(4_000);
        for _ in 0..=random.below(8) {
            mutate(&mut text, &seeds, &mut random);
        }
        load_any(&String::from_utf8_lossy(&text));
        rounds += 1;
    }
    println!("{rounds} rounds");
}

#[test]
fn manifests_cut_off_anywhere_never_panic() {
    for (_, text) in data::files("accept").into_iter().chain(data::files("reject")) {
        for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
            load_any(&text[..end]);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_load(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_any(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_loads(text in "[-\\[\\]{}:,#&*!|>'\"%@` \n\t\\\\a-z0-9ü]{0,120}") {
        load_any(&text);
    }

    #[test]
    fn any_text_is_a_value(value in any::<String>(), field in 0usize..4) {
        let escaped: String = value.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
        let mut values = ["a".to_owned(), "default".to_owned(), "b".to_owned(), "a".to_owned()];
        values[field] = format!("\"{escaped}\"");
        let [source, endpoint, destination, input] = values;
        let transform = format!("map: [{{inputs: [{input}], output: {input}, expression: {input}}}]");
        load_any(&crate::support::flow(&endpoint, &format!("[{source}]"), &transform, "default", &destination));
    }
}
