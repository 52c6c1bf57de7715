//! Arguments of the commands that speak to an instance about its state store, schemas and dead letters.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::offline::GenerateArgs;
use super::parse_time;

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Print the value of a key
    Get {
        /// The key
        key: String,
    },
    /// Set the value of a key
    Set(StateSetArgs),
    /// Delete a key
    Del {
        /// The key
        key: String,
    },
    /// Print the value of a key, and each value it is set to from now on
    Watch {
        /// The key
        key: String,
        /// Stop after that many values
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct StateSetArgs {
    /// The key
    pub(crate) key: String,
    /// The value; `@FILE` is what a file holds, `-` what standard input does
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Delete the key after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) expires: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Make a schema that sample payloads fit; needs no instance
    Generate(GenerateArgs),
    /// List the schemas of an instance
    List,
    /// Print a schema
    Show {
        /// NAME:VERSION, or as resources write it: aio-sr://NAMESPACE/NAME:VERSION
        #[arg(value_parser = parse_reference)]
        schema: SchemaId,
    },
    /// Add a schema; a version that is there already never changes
    Add {
        /// NAME:VERSION
        #[arg(value_parser = parse_reference)]
        schema: SchemaId,
        /// The document; `-` for standard input
        file: PathBuf,
    },
}

/// A version of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaId {
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List the dead letters of a data flow, oldest first
    List {
        #[command(flatten)]
        flow: FlowArgs,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Print their messages, one a line, as `tidegate transform --format message` reads them
    Show {
        #[command(flatten)]
        flow: FlowArgs,
        /// Which; all without one
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Send them through the data flow once more
    Replay {
        #[command(flatten)]
        flow: FlowArgs,
        /// Which; all without one
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Drop them for good
    Drop {
        #[command(flatten)]
        flow: FlowArgs,
        /// Which
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct FlowArgs {
    /// The data flow's name
    pub(crate) flow: String,
    /// The namespace, if the name is in several
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

fn parse_reference(text: &str) -> Result<SchemaId, &'static str> {
    let path = text.strip_prefix("aio-sr://").unwrap_or(text);
    let path = path.rsplit_once('/').map_or(path, |(_, name_and_version)| name_and_version);
    match path.split_once(':') {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => {
            Ok(SchemaId { name: name.into(), version: version.into() })
        }
        _ => Err("write NAME:VERSION, such as press-row:1"),
    }
}
