//! `tidegate explain`: the page of a diagnostic code, or the list of all codes.

use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use tidegate_model::codes::{self, Explanation};

use crate::args::{ExplainArgs, Form, Global};
use crate::out::print;

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    title: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

pub(crate) fn explain(args: &ExplainArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let text = match (&args.code, global.output) {
        (Some(code), form) => {
            let Explanation { code, title, page } = codes::explain(code.trim())
                .with_context(|| format!("there is no code {code}; `tidegate explain` lists them all"))?;
            match form {
                Form::Human => format!("{}\n", page.trim_end()),
                Form::Json => json(&Entry { code: code.0, title, page: Some(page) }),
            }
        }
        (None, Form::Human) => codes::ALL.iter().map(|e| format!("{}  {}\n", e.code, e.title)).collect(),
        (None, Form::Json) => {
            let entry = |e: &Explanation| Entry { code: e.code.0, title: e.title, page: None };
            json(&codes::ALL.iter().map(entry).collect::<Vec<_>>())
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("all keys are strings");
    text.push('\n');
    text
}
