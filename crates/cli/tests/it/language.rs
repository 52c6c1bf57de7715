//! `docs/language.md`: every example in it is run, and its list of functions is the parser's.

use std::path::Path;

use tidegate_expr::FUNCTIONS;

use crate::run_with_stdin;
use crate::transform::{flow, folder};

/// What the examples of the page are about, as far as it has been read.
#[derive(Default)]
struct Reader {
    transform: String,
    pass_when_true: bool,
    destination: String,
    /// State store keys and records.
    datasets: Vec<(String, String)>,
    /// The head of the table that is being read.
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    tried: usize,
}

#[test]
fn every_example_of_the_page_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/language.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut reader = Reader { destination: "out".into(), ..Reader::default() };
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            reader.block(info, &text.join("\n"));
        } else if line.starts_with('|') {
            reader.row(cells(line));
        } else {
            reader.table();
        }
    }
    reader.table();
    assert!(reader.tried > 100, "only {} examples were found", reader.tried);
}

/// The cells of a row, without backticks around them.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let cell = |cell: &str| cell.trim().replace('\u{0}', "|");
    let cells = line.trim_matches('|').split('|').map(cell);
    let bare = |cell: String| match cell.strip_prefix('`').and_then(|c| c.strip_suffix('`')) {
        Some(code) if !code.contains('`') => code.to_owned(),
        _ => cell,
    };
    cells.map(bare).collect()
}

impl Reader {
    fn block(&mut self, info: &str, text: &str) {
        match info.split_once(' ') {
            Some(("jsonl", key)) => self.datasets = vec![(key.into(), text.into())],
            _ => match text.strip_prefix("dataDestination: ") {
                Some(destination) => (self.destination, self.transform) = (destination.into(), String::new()),
                None => {
                    (self.destination, self.transform) = ("out".into(), text.into());
                    self.pass_when_true = info.ends_with("pass-when-true");
                }
            },
        }
        if !text.contains("datasets:") && !info.starts_with("jsonl") {
            self.datasets.clear();
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        if self.head.is_empty() {
            self.head = cells;
        } else if !cells.iter().all(|cell| cell.starts_with("---")) {
            self.rows.push(cells);
        }
    }

    /// Tries what a table says, now that it is complete.
    fn table(&mut self) {
        let (head, rows) = (std::mem::take(&mut self.head), std::mem::take(&mut self.rows));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        match head.as_slice() {
            ["In", "Out"] => self.check_messages("payload", &rows),
            ["Message in", "Message out"] => self.check_messages("message", &rows),
            ["Rule", "Said"] => rows.iter().for_each(|row| check_refused(&row[0], &row[1])),
            ["Formula", "With `$1`" | "With $1", "Gives"] => {
                rows.iter().for_each(|row| check_formula(&row[0], &row[1], &row[2]));
            }
            ["Function", ..] => check_functions(&rows),
            _ => return,
        }
        self.tried += rows.len();
    }

    /// The messages of the table, one after the other through one flow.
    fn check_messages(&self, format: &str, rows: &[Vec<String>]) {
        let dir = folder(&[("flow.yaml", &flow("example", "in", &self.transform, &self.destination))]);
        let path = dir.path().join("flow.yaml").display().to_string();
        let mut args = vec!["transform".to_owned(), path, "-v".into(), "--format".into(), format.into()];
        if self.pass_when_true {
            args.extend(["--filter-semantics".into(), "pass-when-true".into()]);
        }
        for (key, records) in &self.datasets {
            std::fs::write(dir.path().join(key), records).unwrap();
            args.extend(["--dataset".into(), format!("{key}={}", dir.path().join(key).display())]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let stdin: String = rows.iter().map(|row| format!("{}\n", row[0])).collect();
        let said = run_with_stdin(&args, &stdin);
        assert_eq!(said.code, Some(0), "{}\n{}", self.transform, said.stderr);
        let mut passed = said.stdout.lines();
        for (i, row) in rows.iter().enumerate() {
            let about = format!("line {}: ", i + 1);
            let told = said.stderr.lines().find_map(|line| line.strip_prefix(&about));
            let became = match told {
                Some(told) if told.starts_with("filtered") => "dropped",
                Some(told) if told.starts_with("error") => "error",
                _ => passed.next().unwrap_or("nothing"),
            };
            assert_eq!(became, row[1], "{} through\n{}\n{}", row[0], self.transform, said.stderr);
        }
    }
}

fn check_refused(rule: &str, expected: &str) {
    let resources = flow("example", "in", &format!("map: [{rule}]"), "out");
    let said = run_with_stdin(&["check", "-"], &resources);
    assert!(
        said.code == Some(1) && said.stdout.contains(expected),
        "{rule}: no {expected} in\n{}",
        said.stdout
    );
}

fn check_formula(formula: &str, value: &str, expected: &str) {
    let formula = serde_json::to_string(formula).unwrap();
    let rule = format!("map: [{{ inputs: [x], output: y, expression: {formula} }}]");
    let dir = folder(&[("flow.yaml", &flow("example", "in", &rule, "out"))]);
    let path = dir.path().join("flow.yaml").display().to_string();
    let said = run_with_stdin(&["transform", &path], &format!("{{\"x\":{value}}}\n"));
    assert_eq!(said.code, Some(0), "{rule}\n{}", said.stderr);
    let given = said.stdout.trim_end().strip_prefix("{\"y\":").and_then(|text| text.strip_suffix('}'));
    assert_eq!(given.unwrap_or("error"), expected, "{formula} with {value}: {}", said.stderr);
}

/// One row for each function, in the parser's order and words; the example of each gives what stands there.
fn check_functions(rows: &[Vec<String>]) {
    let expected: Vec<_> = FUNCTIONS.iter().map(|f| (f.usage(), f.summary.to_owned())).collect();
    let listed: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(listed, expected);
    for (function, row) in FUNCTIONS.iter().zip(rows) {
        if function.graphs_only() {
            assert_eq!(row[3], "graphs only", "{}", function.name);
        } else {
            assert!(row[2].contains(&format!("{}(", function.name)), "{} has no example", function.name);
            check_formula(&row[2], "null", &row[3]);
        }
    }
}
