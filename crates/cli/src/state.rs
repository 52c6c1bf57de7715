//! `tidegate state`: the state store of a running instance.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::api::{Api, path_segment};
use crate::args::{Form, Global, State, StateSetArgs};
use crate::out::{print, print_bytes, printable};

/// Bytes of a value: more than a state store takes.
const VALUE_BYTES_MAX: u64 = 512 << 20;

pub(crate) fn state(what: &State, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    match what {
        State::Get { key } => get(&api, key, global.output),
        State::Set(args) => set(&api, args, global.output),
        State::Del { key } => api.delete(&path(key), &[]).map(|_| ()),
        State::Watch { key, count } => watch(&api, key, *count, global.output),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn path(key: &str) -> String {
    format!("/api/v1/state/{}", path_segment(key))
}

fn get(api: &Api, key: &str, form: Form) -> anyhow::Result<()> {
    let value = api.get_bytes(&path(key), &[])?;
    match form {
        // byte for byte, so that a file may be made of it
        Form::Human => print_bytes(&value),
        Form::Json => {
            let entry = match std::str::from_utf8(&value) {
                Ok(text) => json!({ "key": key, "value": text }),
                Err(_) => json!({ "key": key, "valueBase64": STANDARD.encode(&value) }),
            };
            print(&format!("{entry}\n"))
        }
    }
}

fn set(api: &Api, args: &StateSetArgs, form: Form) -> anyhow::Result<()> {
    let StateSetArgs { key, value, expires } = args;
    let value = match value.strip_prefix('@') {
        Some(file) => File::open(file).and_then(read).with_context(|| format!("can't read {file}"))?,
        None if value == "-" => read(io::stdin().lock()).context("can't read standard input")?,
        None => value.clone().into_bytes(),
    };
    ensure!(value.len() as u64 <= VALUE_BYTES_MAX, "the value is larger than {VALUE_BYTES_MAX} bytes");
    // the API counts whole seconds, and zero would be no time at all
    let seconds = expires.map(|time| time.as_secs_f64().ceil().max(1.0).to_string());
    let query: Vec<_> = seconds.iter().map(|seconds| ("expiresSeconds", seconds.as_str())).collect();
    let answer = api.put(&path(key), &query, &value)?;
    match form {
        Form::Human => Ok(()),
        Form::Json => print(&format!("{answer}\n")),
    }
}

fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    from.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value)?;
    Ok(value)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    value: Option<String>,
    value_base64: Option<String>,
}

fn watch(api: &Api, key: &str, count: Option<u64>, form: Form) -> anyhow::Result<()> {
    let mut events = api.events(&path(key), &[("watch", "true")])?;
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let event =
            events.next().context("the connection broke")?.context("the instance closed the stream")?;
        if !matches!(event.name.as_str(), "" | "message") {
            continue;
        }
        left -= 1;
        let line = match form {
            Form::Json => event.data,
            Form::Human => {
                let change: Change =
                    serde_json::from_str(&event.data).context("what the instance sends is no value")?;
                match (change.value, change.value_base64) {
                    (Some(text), _) => printable(&text),
                    (None, Some(base64)) => format!("base64:{base64}"),
                    (None, None) => "(no value)".into(),
                }
            }
        };
        print(&format!("{line}\n"))?;
    }
    Ok(())
}
