//! Every case of the project's digest of AIO's documentation, of the language and of the state store, is tested somewhere.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The letter of each section's cases, and how many it has.
const CASES: [(&str, usize); 10] = [
    ("P", 14), // paths and copies
    ("W", 21), // wildcards and precedence
    ("A", 21), // arithmetic, comparison, logic
    ("F", 20), // functions
    ("L", 11), // missing values, `? $last`, `??`
    ("M", 10), // metadata
    ("B", 8),  // filter and branch
    ("E", 12), // enrichment
    ("G", 5),  // window
    ("S", 26), // state store
];

#[test]
fn every_documented_case_is_tested() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut words = HashSet::new();
    for tests in ["expr/tests/it", "model/src/topic.rs", "services/tests/it", "services/src"] {
        read(&crates.join(tests), &mut words);
    }
    let cases = CASES.iter().flat_map(|(letter, n)| (1..=*n).map(move |i| format!("{letter}{i:02}")));
    let untested: Vec<_> = cases.filter(|case| !words.contains(case)).collect();
    assert_eq!(untested, [""; 0]);
}

/// The words of the files, in upper case; `_` separates them.
fn read(path: &Path, words: &mut HashSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), words);
        }
    } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with(file!()) {
        let text = fs::read_to_string(path).unwrap().to_uppercase();
        words.extend(text.split(|c: char| !c.is_alphanumeric()).map(String::from));
    }
}
