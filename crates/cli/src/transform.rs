//! `tidegate transform`: the transformation of a data flow as a filter between two files.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_core::{Files, Record};
use tidegate_expr::Step;
use tidegate_model::schema::SchemaFormat;
use tidegate_server::message::{self, Message};
use tidegate_server::offline::{self, Offline, Verdict};

use crate::args::{Form, Global, LineFormat, SchemaFile, TransformArgs};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{ReaderGone, colored, print, printable, say};
use crate::{CAN_NOT, FOUND_WANTING};

/// The longest line: the longest MQTT packet, and JSON around it.
const LINE_BYTES_MAX: u64 = 512 << 20;

pub(crate) fn transform(args: &TransformArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let (mut files, options) = load::given(&args.load, false)?;
    for schema in &args.schema {
        add_schema(schema, &mut files).with_context(|| format!("can't read {}", schema.file.display()))?;
    }
    let Loaded { files, catalog, diagnostics } = load::load_files(files, &options)?;
    let report = Report::new(&files, catalog.resources().len(), &diagnostics);
    if report.has_errors() {
        match global.output {
            Form::Human => say(report.human(colored(global.color, &io::stderr())).trim_end()),
            Form::Json => print(&report.json())?,
        }
        return Ok(ExitCode::from(FOUND_WANTING));
    }
    let outline = match offline::choose(&catalog, None, args.flow.as_deref()) {
        Ok(outline) => outline,
        Err(why) => {
            say(&format!("error: {why}; `--flow NAME` says which"));
            return Ok(ExitCode::from(CAN_NOT));
        }
    };
    let mut flow = Offline::new(outline);
    set_datasets(&mut flow, args)?;
    if io::stdin().is_terminal() && !global.quiet {
        say("reading messages from standard input, one a line; Ctrl+D ends them");
    }
    let mut lines = Lines { flow, args, verbose: global.verbose > 0, tally: Tally::default() };
    lines.run(BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()))?;
    let Tally { read, passed, filtered, errors } = lines.tally;
    say(&format!("in={read} out={passed} filtered={filtered} errors={errors}"));
    Ok(if errors > 0 && args.fail_on_error { ExitCode::from(FOUND_WANTING) } else { ExitCode::SUCCESS })
}

/// Adds a resource that names the file, so that what is said of the document is said of that file.
fn add_schema(SchemaFile { name, version, file }: &SchemaFile, files: &mut Files) -> anyhow::Result<()> {
    let document: Value = serde_json::from_str(&load::open(file)?).unwrap_or_default();
    let delta = document["$schema"] == SchemaFormat::Delta.as_str();
    let format = if delta { SchemaFormat::Delta } else { SchemaFormat::JsonSchema };
    let resource = json!({
        "apiVersion": "tidegate.dev/v1",
        "kind": "Schema",
        "metadata": { "name": name },
        "spec": { "version": version, "format": format.as_str(), "contentFile": file },
    });
    files.add(format!("--schema {name}:{version}"), resource.to_string());
    Ok(())
}

fn set_datasets(flow: &mut Offline, args: &TransformArgs) -> anyhow::Result<()> {
    let mut missing = flow.dataset_keys();
    for (key, file) in &args.dataset {
        let known = flow.dataset_keys();
        ensure!(
            known.contains(key),
            "--dataset {key}: the data flow takes {}",
            if known.is_empty() { "no datasets".into() } else { known.join(", ") }
        );
        let dataset = load::open_dataset(file).with_context(|| format!("can't read {}", file.display()))?;
        flow.set_dataset(key, &dataset);
        missing.retain(|m| m != key);
    }
    for key in missing {
        say(&format!("dataset `{key}` has no records; `--dataset {key}=FILE` gives some"));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    read: u64,
    passed: u64,
    filtered: u64,
    errors: u64,
}

/// Messages on their way, line by line.
struct Lines<'a> {
    flow: Offline,
    args: &'a TransformArgs,
    verbose: bool,
    tally: Tally,
}

impl Lines<'_> {
    fn run(&mut self, mut from: BufReader<impl Read>, mut to: impl Write) -> anyhow::Result<()> {
        let mut line = Vec::new();
        for number in 1u64.. {
            // whoever waits for an answer before the next question gets it
            if !from.buffer().contains(&b'\n') {
                written(to.flush())?;
            }
            line.clear();
            let length = (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if length.context("can't read standard input")? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if text.len() == line.len() && line.len() as u64 == LINE_BYTES_MAX {
                bail!("line {number} is longer than {LINE_BYTES_MAX} bytes");
            }
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            if let Some(mut out) = self.line(number, text) {
                out.push(b'\n');
                written(to.write_all(&out))?;
            }
            if self.tells() {
                // what is told of a message stands beside what came out
                written(to.flush())?;
            }
        }
        written(to.flush())
    }

    /// What a line comes to, if anything.
    fn line(&mut self, number: u64, text: &[u8]) -> Option<Vec<u8>> {
        self.tally.read += 1;
        let record = match self.args.format {
            LineFormat::Payload => Ok(payload(text)),
            LineFormat::Message => std::str::from_utf8(text)
                .map_err(|e| e.to_string())
                .and_then(|text| message::parse(text, Instant::now()))
                .map_err(|why| format!("this is no message: {why}")),
        };
        let (verdict, steps) = match record {
            Err(why) => (Verdict::Failed(why), vec![]),
            Ok(record) if self.args.explain => self.flow.explain(record),
            Ok(record) => (self.flow.transform(record), vec![]),
        };
        let sent = match (verdict, self.args.format) {
            (Verdict::Passed(record), LineFormat::Message) => {
                self.flow.send(&record).map_or_else(Verdict::Failed, Verdict::Passed)
            }
            (verdict, _) => verdict,
        };
        self.tell(number, &sent, &steps);
        match sent {
            Verdict::Passed(record) => {
                self.tally.passed += 1;
                Some(match self.args.format {
                    LineFormat::Payload => record.payload.to_vec(),
                    LineFormat::Message => {
                        serde_json::to_vec(&Message::of(&record)).expect("a message has text keys only")
                    }
                })
            }
            Verdict::Filtered { .. } => {
                self.tally.filtered += 1;
                None
            }
            Verdict::Failed(_) => {
                self.tally.errors += 1;
                None
            }
        }
    }

    /// Whether anything is said of single messages.
    fn tells(&self) -> bool {
        self.args.explain || self.verbose
    }

    fn tell(&self, number: u64, verdict: &Verdict, steps: &[Step]) {
        let told = match verdict {
            Verdict::Passed(_) if !self.args.explain => return,
            _ if !self.tells() => return,
            Verdict::Passed(record) => match self.args.format {
                LineFormat::Payload => "passed".into(),
                LineFormat::Message => format!("passed to {}", record.topic),
            },
            Verdict::Filtered { rule, words } => format!("filtered by rule {rule}, which {words}"),
            Verdict::Failed(why) => format!("error: {why}"),
        };
        let mut text = format!("line {number}: {}", printable(&told));
        for step in steps {
            text.push_str("\n  ");
            text.push_str(&printable(&step.to_string()));
        }
        say(&text);
    }
}

/// A payload, or `[topic] payload`. A JSON array is a payload.
fn payload(line: &[u8]) -> Record {
    let logged = || {
        let rest = line.strip_prefix(b"[")?;
        let end = memchr::memmem::find(rest, b"] ")?;
        if serde_json::from_slice::<&RawValue>(line).is_ok() {
            return None;
        }
        let topic = std::str::from_utf8(&rest[..end]).ok()?;
        Some((topic, &rest[end + 2..]))
    };
    let (topic, payload) = logged().unwrap_or(("", line));
    Record::new(topic, payload.to_vec(), Instant::now())
}

fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => result.context("can't write to standard output"),
    }
}
