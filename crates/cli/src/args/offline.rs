//! Arguments of the commands that try things out without an instance.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FilterSemantics, LoadArgs};

#[derive(Args, Debug)]
pub(crate) struct TransformArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// The data flow, if there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// What a line is, on standard input and output
    #[arg(long, value_name = "FORM", default_value = "payload")]
    pub(crate) format: LineFormat,
    /// Records to enrich messages with: a state store key, and a file of JSON Lines; may be given several times
    #[arg(long, value_name = "KEY=FILE", value_parser = parse_dataset)]
    pub(crate) dataset: Vec<(String, PathBuf)>,
    /// A schema that resources refer to; may be given several times
    #[arg(long, value_name = "NAME:VERSION=FILE", value_parser = parse_schema)]
    pub(crate) schema: Vec<SchemaFile>,
    /// Say of each message what happened to it and by which rule, on standard error
    #[arg(long)]
    pub(crate) explain: bool,
    /// Exit with 1 if a message can't be processed
    #[arg(long)]
    pub(crate) fail_on_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineFormat {
    /// A payload; before it, perhaps, `[topic] `, as `tidegate tap` prints it
    Payload,
    /// A JSON object with topic, payload, user properties and so on
    Message,
}

/// A schema and the file its document is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaFile {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Test files, and folders to search for files that end in .test.yaml
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Write what comes out into the test files as what is expected
    #[arg(long)]
    pub(crate) update: bool,
    /// What a filter expression that is true does to the message
    #[arg(long, value_name = "POLARITY", default_value = "drop-when-true")]
    pub(crate) filter_semantics: FilterSemantics,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// JSON payloads; `-` for standard input. Each line of a file that ends in .jsonl is one
    #[arg(value_name = "SAMPLE", required = true)]
    pub(crate) samples: Vec<PathBuf>,
    /// Which kind of schema
    #[arg(long, value_name = "FORMAT", default_value = "delta")]
    pub(crate) format: GenerateFormat,
    /// Which values may be null [default: all, with --compat observed]
    #[arg(long, value_name = "WHICH")]
    pub(crate) nullable: Option<Nullable>,
    /// Take texts that are valid base64 for binary
    #[arg(long)]
    pub(crate) guess_binary: bool,
    /// Give nested structs a StatusCode, as values of OPC UA have one
    #[arg(long)]
    pub(crate) status_code: bool,
    /// `name` of a JSON Schema
    #[arg(long, value_name = "TEXT", default_value = "DefaultName")]
    pub(crate) title: String,
    /// `description` of a JSON Schema
    #[arg(long, value_name = "TEXT", default_value = "A representation of an object")]
    pub(crate) description: String,
    /// Write exactly what AIO's Schema Gen Helper writes, of one sample
    #[arg(long)]
    pub(crate) compat: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenerateFormat {
    /// Delta/1.0, for storage
    Delta,
    /// JsonSchema/draft-07
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Nullable {
    /// All of them
    All,
    /// Those that are null or missing in a sample
    Observed,
}

fn parse_dataset(text: &str) -> Result<(String, PathBuf), &'static str> {
    parse_file_of(text).ok_or("write KEY=FILE, such as assets.line7=assets.jsonl")
}

pub(super) fn parse_sample(text: &str) -> Result<(String, PathBuf), &'static str> {
    parse_file_of(text).ok_or("write FLOW=FILE, such as press-clean=messages.jsonl")
}

fn parse_file_of(text: &str) -> Option<(String, PathBuf)> {
    let (of, file) = text.split_once('=').filter(|(of, file)| !of.is_empty() && !file.is_empty())?;
    Some((of.into(), file.into()))
}

fn parse_schema(text: &str) -> Result<SchemaFile, &'static str> {
    let parsed = text.split_once('=').and_then(|(reference, file)| {
        let (name, version) = reference.split_once(':')?;
        let whole = !name.is_empty() && !version.is_empty() && !file.is_empty();
        whole.then(|| SchemaFile { name: name.into(), version: version.into(), file: file.into() })
    });
    parsed.ok_or("write NAME:VERSION=FILE, such as press-row:1=row.json")
}
