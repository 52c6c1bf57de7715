//! `tidegate tap`: the messages of a running flow as they pass.

use std::process::ExitCode;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Api, path_segment};
use crate::args::{Form, Global, TapArgs};
use crate::out::{print, printable, say};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    stage: String,
    topic: String,
    payload: Option<Box<RawValue>>,
    payload_base64: Option<String>,
}

#[derive(Deserialize)]
struct Lagged {
    skipped: u64,
}

pub(crate) fn tap(args: &TapArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let stage = args.stage.and_then(|s| s.to_possible_value());
    let mut query = Vec::new();
    query.extend(stage.as_ref().map(|s| ("stage", s.get_name())));
    query.extend(args.namespace.as_deref().map(|n| ("namespace", n)));
    let path = format!("/api/v1/dataflows/{}/tap", path_segment(&args.flow));
    let mut events = Api::new(global)?.events(&path, &query)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event =
            events.next().context("the connection broke")?.context("the instance closed the stream")?;
        match event.name.as_str() {
            "" | "message" => {
                left -= 1;
                match global.output {
                    Form::Json => print(&format!("{}\n", event.data))?,
                    Form::Human => print(&line(&event.data, stage.is_none())?)?,
                }
            }
            "lagged" => {
                let lagged: Lagged = serde_json::from_str(&event.data).context("`lagged` without a count")?;
                say(&format!(
                    "{} messages went by unseen: they came faster than they could be shown",
                    lagged.skipped
                ));
            }
            // from a newer instance
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `[topic] payload`, the form that `tidegate transform` reads; which stage it was seen at stands before it if several
/// are watched.
fn line(data: &str, with_stage: bool) -> anyhow::Result<String> {
    let message: Message = serde_json::from_str(data).context("what the instance sends is no message")?;
    let payload = match (&message.payload, &message.payload_base64) {
        (Some(json), _) => printable(json.get()),
        (None, Some(base64)) => match STANDARD.decode(base64).ok().and_then(|b| String::from_utf8(b).ok()) {
            Some(text) => printable(&text),
            None => format!("base64:{base64}"),
        },
        (None, None) => String::new(),
    };
    let stage = if with_stage { format!("{:<12}", printable(&message.stage)) } else { String::new() };
    Ok(format!("{stage}[{}] {payload}\n", printable(&message.topic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_transform_reads() {
        for (data, with_stage, expected) in [
            (r#"{"stage":"source","topic":"a/b","payload":{"x": 1.0}}"#, false, "[a/b] {\"x\": 1.0}\n"),
            (
                r#"{"stage":"source","topic":"a","payload":12345678901234567890123}"#,
                true,
                "source      [a] 12345678901234567890123\n",
            ),
            (
                r#"{"stage":"destination","topic":"a","payloadBase64":"MjEgwrBDGw=="}"#,
                true,
                "destination [a] 21 °C\\u{1b}\n",
            ),
            (r#"{"stage":"source","topic":"a","payloadBase64":"/w=="}"#, false, "[a] base64:/w==\n"),
        ] {
            assert_eq!(line(data, with_stage).unwrap(), expected);
        }
    }
}
