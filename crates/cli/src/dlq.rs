//! `tidegate dlq`: the messages that a running data flow could not process.

use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{Api, path_segment};
use crate::args::{DeadLetters, FlowArgs, Form, Global};
use crate::out::{print, say};
use crate::table::table;

/// As many letters as a flow can have.
const ALL: &str = "4294967295";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letters {
    dead_letters: Vec<Letter>,
    count: u64,
    bytes: u64,
    dropped: u64,
}

#[derive(Deserialize)]
struct Letter {
    id: String,
    at: String,
    reason: String,
    message: Option<Box<RawValue>>,
}

/// What a replay or a drop answers.
#[derive(Deserialize)]
struct Done {
    replayed: Option<u64>,
    dropped: Option<u64>,
}

pub(crate) fn dlq(what: &DeadLetters, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    let form = global.output;
    match what {
        DeadLetters::List { flow, limit } => list(&api, flow, *limit, form),
        DeadLetters::Show { flow, ids } => show(&api, flow, ids, form),
        DeadLetters::Replay { flow, ids } => {
            let body = if ids.is_empty() { json!({}) } else { json!({ "ids": ids }) };
            let answer = api.post(&format!("{}/replay", path(flow)), &query(flow), &body.to_string())?;
            done(&answer, form)
        }
        DeadLetters::Drop { flow, ids, .. } => {
            let mut query = query(flow);
            query.extend(ids.iter().map(|id| ("id", id.as_str())));
            done(&api.delete(&path(flow), &query)?, form)
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn path(flow: &FlowArgs) -> String {
    format!("/api/v1/dataflows/{}/dead-letters", path_segment(&flow.flow))
}

fn query(flow: &FlowArgs) -> Vec<(&str, &str)> {
    flow.namespace.iter().map(|namespace| ("namespace", namespace.as_str())).collect()
}

fn list(api: &Api, flow: &FlowArgs, limit: usize, form: Form) -> anyhow::Result<()> {
    let limit = limit.to_string();
    let mut query = query(flow);
    query.push(("limit", &limit));
    let answer = api.get_with(&path(flow), &query)?;
    if form == Form::Json {
        return print(&format!("{answer}\n"));
    }
    let Letters { dead_letters, count, bytes, dropped } = letters(&answer)?;
    let shown = dead_letters.len() as u64;
    let rows = dead_letters.into_iter().map(|l| [l.id, l.at, l.reason]).collect();
    print(&table(["ID", "SINCE", "REASON"], rows))?;
    let more = if count > shown { format!("; the oldest {shown} are shown") } else { String::new() };
    let lost = if dropped > 0 { format!("; {dropped} older ones fell out") } else { String::new() };
    say(&format!("{count} dead letters, {bytes} bytes{more}{lost}"));
    Ok(())
}

fn letters(answer: &str) -> anyhow::Result<Letters> {
    serde_json::from_str(answer).context("what answers is no list of dead letters")
}

/// One letter a line: as JSON whole, for people and `transform` its message only.
fn show(api: &Api, flow: &FlowArgs, ids: &[String], form: Form) -> anyhow::Result<()> {
    if ids.is_empty() {
        let mut query = query(flow);
        query.push(("limit", ALL));
        let answer = api.get_with(&path(flow), &query)?;
        if form == Form::Json {
            return print(&format!("{answer}\n"));
        }
        return letters(&answer)?.dead_letters.iter().try_for_each(print_message);
    }
    for id in ids {
        let answer = api.get_with(&format!("{}/{}", path(flow), path_segment(id)), &query(flow))?;
        match form {
            Form::Json => print(&format!("{answer}\n"))?,
            Form::Human => {
                let letter = serde_json::from_str(&answer).context("what answers is no dead letter")?;
                print_message(&letter)?;
            }
        }
    }
    Ok(())
}

fn print_message(letter: &Letter) -> anyhow::Result<()> {
    match &letter.message {
        Some(message) => print(&format!("{}\n", message.get())),
        None => {
            say(&format!("dead letter {} can't be read", letter.id));
            Ok(())
        }
    }
}

fn done(answer: &str, form: Form) -> anyhow::Result<()> {
    if form == Form::Json {
        return print(&format!("{answer}\n"));
    }
    let Done { replayed, dropped } =
        serde_json::from_str(answer).context("what answers is no list of dead letters")?;
    let (count, what) = replayed.map_or((dropped.unwrap_or(0), "dropped"), |count| (count, "replayed"));
    print(&format!("{count} {what}\n"))
}
