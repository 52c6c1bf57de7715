//! `tidegate get`, `describe`, `apply`, `delete` and `diff`: the resources of a running instance.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_model::LoadOptions;

use crate::api::{Api, path_segment};
use crate::args::{
    ApplyArgs, DeleteArgs, DescribeArgs, DiffArgs, DryRun, FileArgs, Form, GetArgs, GetForm, Global,
    LoadArgs, Subject, Target,
};
use crate::load::Loaded;
use crate::out::{print, printable, say};
use crate::table::table;
use crate::{FOUND_WANTING, load};

/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Listing {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    kind: String,
    namespace: String,
    name: String,
    resource_version: String,
    file: String,
    text: Option<String>,
    manifest: Option<Box<RawValue>>,
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    provisioning_state: String,
    health_state: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: String,
    reason_code: Option<String>,
    message: String,
    last_transition_time: String,
    last_update_time: String,
}

impl Item {
    fn health(&self) -> &str {
        self.status.health_state.as_ref().map_or("-", |health| &health.status)
    }

    /// `status` as AIO's resources have it (dataflows, section 13), as JSON.
    fn status_json(&self) -> Value {
        let mut status = json!({ "provisioningState": self.status.provisioning_state });
        if let Some(health) = &self.status.health_state {
            status["healthState"] = json!({
                "status": health.status,
                "reasonCode": health.reason_code,
                "message": health.message,
                "lastTransitionTime": health.last_transition_time,
                "lastUpdateTime": health.last_update_time,
            });
        }
        status
    }

    /// The manifest with the version and the status of the resource, as JSON. Numbers stay as they were written.
    fn json(&self) -> anyhow::Result<String> {
        let mut fields: BTreeMap<String, Box<RawValue>> = match &self.manifest {
            Some(manifest) => serde_json::from_str(manifest.get()).context("a manifest is no object")?,
            None => {
                let head = json!({ "kind": self.kind, "metadata": { "name": self.name, "namespace": self.namespace } });
                serde_json::from_str(&head.to_string())?
            }
        };
        let raw = |value: &Value| RawValue::from_string(value.to_string());
        if let Some(metadata) = fields.get("metadata") {
            let mut metadata: BTreeMap<String, Box<RawValue>> = serde_json::from_str(metadata.get())?;
            metadata.insert("resourceVersion".into(), raw(&json!(self.resource_version))?);
            fields.insert("metadata".into(), serde_json::value::to_raw_value(&metadata)?);
        }
        fields.insert("status".into(), raw(&self.status_json())?);
        Ok(serde_json::to_string(&fields)?)
    }

    /// The manifest as it was written, comments included, with the status below.
    fn yaml(&self) -> anyhow::Result<String> {
        let is_block = |text: &&String| {
            !text.trim_start().starts_with('{') && !text.lines().any(|line| line.starts_with("status:"))
        };
        let Some(text) = self.text.as_ref().filter(is_block) else {
            // JSON is YAML
            return Ok(format!("{}\n", self.json()?));
        };
        let mut yaml = format!("{}\nstatus:\n", text.trim_end());
        let _ = writeln!(yaml, "  provisioningState: {}", self.status.provisioning_state);
        if let Some(health) = &self.status.health_state {
            let _ = writeln!(yaml, "  healthState:\n    status: {}", health.status);
            if let Some(reason) = &health.reason_code {
                let _ = writeln!(yaml, "    reasonCode: {reason}");
            }
            // a string of JSON is one of YAML
            let _ = writeln!(yaml, "    message: {}", json!(health.message));
            let _ = writeln!(yaml, "    lastTransitionTime: \"{}\"", health.last_transition_time);
            let _ = writeln!(yaml, "    lastUpdateTime: \"{}\"", health.last_update_time);
        }
        Ok(yaml)
    }
}

fn items(
    api: &Api,
    target: &Target,
    name: Option<&str>,
    namespace: Option<&str>,
) -> anyhow::Result<Vec<Item>> {
    let subject = target.subject;
    let name = match (&target.name, name) {
        (Some(first), Some(_)) => anyhow::bail!("one name is enough: KIND/{first}, or KIND and a name"),
        (named, name) => named.as_deref().or(name),
    };
    let mut query = Vec::new();
    if let Subject::Kind(kind) = subject {
        query.push(("kind", kind.as_str()));
    }
    query.extend(name.map(|name| ("name", name)));
    query.extend(namespace.map(|namespace| ("namespace", namespace)));
    let text = api.get_with("/api/v1/resources", &query)?;
    let listing: Listing = serde_json::from_str(&text).context("the answer is no list of resources")?;
    match (name, subject) {
        (Some(name), Subject::Kind(kind)) if listing.items.is_empty() => {
            anyhow::bail!("{} \"{name}\" not found", kind.as_str().to_lowercase())
        }
        _ => Ok(listing.items),
    }
}

pub(crate) fn get(args: &GetArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    let form = args.form.or((global.output == Form::Json).then_some(GetForm::Json));
    let is_one = args.name.is_some() || args.target.name.is_some();
    // what was printed of each; then, as kubectl does, only what has changed is
    let mut shown: Option<BTreeMap<_, _>> = None;
    let mut has_head = false;
    loop {
        let items = items(&api, &args.target, args.name.as_deref(), args.namespace.as_deref())?;
        let id = |i: &Item| (i.kind.clone(), i.namespace.clone(), i.name.clone());
        // that a health was looked at again is no change
        let seen = |i: &Item| {
            (i.resource_version.clone(), i.status.provisioning_state.clone(), i.health().to_owned())
        };
        let now: BTreeMap<_, _> = items.iter().map(|i| (id(i), seen(i))).collect();
        let before = shown.take();
        let is_news = |i: &&Item| before.as_ref().is_none_or(|b| b.get(&id(i)) != now.get(&id(i)));
        let news = items.iter().filter(is_news);
        let text = match form {
            Some(GetForm::Json) => {
                let news: Vec<String> = news.map(Item::json).collect::<Result<_, _>>()?;
                if before.is_none() && !(is_one && news.len() == 1) {
                    format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}\n", news.join(","))
                } else {
                    news.iter().map(|one| format!("{one}\n")).collect()
                }
            }
            Some(GetForm::Yaml) => {
                let news: Vec<String> = news.map(Item::yaml).collect::<Result<_, _>>()?;
                let is_more = before.is_some() && !news.is_empty();
                format!("{}{}", if is_more { "---\n" } else { "" }, news.join("---\n"))
            }
            Some(GetForm::Name) => news.map(|i| format!("{}/{}\n", i.kind.to_lowercase(), i.name)).collect(),
            _ => {
                let table = if form == Some(GetForm::Wide) { wide(&items) } else { narrow(&items) };
                let mut lines = table.split_inclusive('\n');
                let head = lines.next().filter(|_| !has_head && !items.is_empty());
                has_head |= head.is_some();
                let rows = items.iter().zip(lines).filter(|(item, _)| is_news(item)).map(|(_, row)| row);
                head.into_iter().chain(rows).collect()
            }
        };
        if before.is_none() && items.is_empty() && !matches!(form, Some(GetForm::Json)) {
            say("no resources found");
        }
        print(&text)?;
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        shown = Some(now);
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn narrow(items: &[Item]) -> String {
    let row = |i: &Item| {
        [i.kind.clone(), i.name.clone(), i.status.provisioning_state.clone(), i.health().to_owned()]
    };
    table(["KIND", "NAME", "PROVISIONING", "HEALTH"], items.iter().map(row).collect())
}

fn wide(items: &[Item]) -> String {
    let row = |i: &Item| {
        let health = i.status.health_state.as_ref();
        let message = health.map_or(String::new(), |h| match &h.reason_code {
            Some(reason) => format!("{reason}: {}", h.message),
            None => h.message.clone(),
        });
        [
            i.kind.clone(),
            i.namespace.clone(),
            i.name.clone(),
            i.status.provisioning_state.clone(),
            i.health().to_owned(),
            i.resource_version.clone(),
            message,
        ]
    };
    let head = ["KIND", "NAMESPACE", "NAME", "PROVISIONING", "HEALTH", "VERSION", "MESSAGE"];
    table(head, items.iter().map(row).collect())
}

pub(crate) fn describe(args: &DescribeArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    let items = items(&api, &args.target, args.name.as_deref(), args.namespace.as_deref())?;
    let flows: Value = serde_json::from_str(&api.get("/api/v1/dataflows")?)?;
    let mut text = String::new();
    for item in &items {
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:16}{}", printable(value));
        };
        line("Kind:", &item.kind);
        line("Name:", &item.name);
        line("Namespace:", &item.namespace);
        line("Version:", &item.resource_version);
        line("Written in:", &item.file);
        line("Provisioning:", &item.status.provisioning_state);
        if let Some(health) = &item.status.health_state {
            let reason = health.reason_code.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
            line("Health:", &format!("{}{reason} since {}", health.status, health.last_transition_time));
            line("Message:", &health.message);
        }
        let flow = flows["dataflows"].as_array().into_iter().flatten().find(|flow| {
            item.kind == "Dataflow" && flow["name"] == *item.name && flow["namespace"] == *item.namespace
        });
        if let Some(messages) = flow.and_then(|flow| flow["messages"].as_object()) {
            text.push_str("Messages:\n");
            for (column, count) in messages {
                let _ = writeln!(text, "  {column:18}{count}");
            }
        }
        if let Some(manifest) = &item.text {
            text.push_str("Manifest:\n");
            for line in manifest.trim_end().lines() {
                let _ = writeln!(text, "  {}", printable(line));
            }
        }
        text.push('\n');
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    results: Vec<Done>,
    report: Report,
    /// Why nothing was done.
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Deserialize)]
struct Done {
    kind: String,
    namespace: String,
    name: String,
    action: String,
    /// What it is to be, where the answer says so.
    text: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    diagnostics: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    severity: String,
    code: String,
    message: String,
    help: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

/// Has the instance do something with resources; says what is wrong with them. `None` if it was not done.
fn change(
    global: &Global,
    path: &str,
    query: &[(&str, &str)],
    body: &Value,
) -> anyhow::Result<Option<(Vec<Done>, String)>> {
    let judged = Api::new(global)?.judge(path, query, &body.to_string())?;
    let (text, done) = match judged {
        Ok(text) => (text, true),
        Err(text) => (text, false),
    };
    let outcome: Outcome = serde_json::from_str(&text).context("the answer is no outcome of a change")?;
    if global.output == Form::Json && !done {
        print(&format!("{text}\n"))?;
    }
    for said in outcome.report.diagnostics.iter().filter(|said| said.severity != "note") {
        let at = match (&said.file, said.line, said.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}: "),
            _ => String::new(),
        };
        say(&printable(&format!("{at}{}[{}]: {}", said.severity, said.code, said.message)));
        if let Some(help) = &said.help {
            say(&printable(&format!("  help: {help}")));
        }
    }
    if let Some(refusal) = outcome.error {
        say(&printable(&format!("error: {}", refusal.message)));
    }
    Ok(done.then_some((outcome.results, text)))
}

const DRY_RUN: (&str, &str) = ("dryRun", "true");
const ROLLBACK: (&str, &str) = ("rollback", "true");

/// The files of a call as an instance takes them: manifests as they were written, and whatever else they come to as
/// manifests. `None` after saying what is wrong with them.
fn apply_body(given: &FileArgs, global: &Global) -> anyhow::Result<Option<Value>> {
    let (files, options) = load::given(&LoadArgs::of_files(given), false)?;
    let plain = tidegate_model::plain_files(&files, &options);
    let texts = files.iter().filter(|(id, _)| plain.contains(id));
    let mut bodies: Vec<Value> =
        texts.map(|(_, file)| json!({ "name": file.name, "text": &*file.text })).collect();
    if plain.len() < files.len() {
        let Loaded { files, catalog, diagnostics } = load::load_files(files, &options)?;
        let report = crate::diagnostics::Report::new(&files, catalog.resources().len(), &diagnostics);
        if report.has_errors() {
            say(report.human(crate::out::colored(global.color, &std::io::stderr())).trim_end());
            say("error: the resources have errors; nothing was changed");
            return Ok(None);
        }
        let written = tidegate_forms::write_without(&files, &options, tidegate_forms::Form::Yaml, &plain);
        for lost in &written.lost {
            say(&printable(&format!("error: {}: {}", lost.resource, lost.message)));
        }
        if !written.lost.is_empty() {
            say("error: nothing was changed");
            return Ok(None);
        }
        let name = files.iter().find(|(id, _)| !plain.contains(id)).map_or("", |(_, f)| f.name.as_str());
        let rewritten = written.files.iter().filter(|(_, text)| !text.is_empty());
        bodies.extend(rewritten.map(|(_, text)| json!({ "name": format!("{name} as YAML"), "text": text })));
    }
    Ok(Some(json!({ "files": bodies })))
}

/// Prints what was done to each resource.
fn report(changed: Option<(Vec<Done>, String)>, global: &Global, dry_run: bool) -> anyhow::Result<ExitCode> {
    let Some((results, text)) = changed else {
        return Ok(ExitCode::from(FOUND_WANTING));
    };
    if global.output == Form::Json {
        print(&format!("{text}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dry = if dry_run { " (server dry run)" } else { "" };
    let lines = results
        .iter()
        .map(|done| format!("{}/{} {}{dry}\n", done.kind.to_lowercase(), done.name, done.action));
    print(&lines.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn apply(args: &ApplyArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let dry_run = args.dry_run == DryRun::Server;
    let mut query = vec![];
    query.extend(dry_run.then_some(DRY_RUN));
    query.extend(args.rollback.then_some(ROLLBACK));
    let changed = match apply_body(&args.files, global)? {
        Some(body) => change(global, "/api/v1/apply", &query, &body)?,
        None => None,
    };
    report(changed, global, dry_run)
}

pub(crate) fn delete(args: &DeleteArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let dry_run = args.dry_run == DryRun::Server;
    let resources: Vec<Value> = match args.subject {
        Some(Subject::Kind(kind)) => args
            .names
            .iter()
            .map(|name| json!({ "kind": kind.as_str(), "namespace": args.namespace, "name": name }))
            .collect(),
        Some(Subject::All) => anyhow::bail!("delete what? Name a kind and its resources"),
        None => {
            let files = load::read(&args.paths)?;
            let catalog = tidegate_model::load(&files, &LoadOptions::default()).value;
            catalog
                .resources()
                .iter()
                .map(|r| json!({ "kind": r.kind.as_str(), "namespace": r.namespace, "name": r.name }))
                .collect()
        }
    };
    let body = json!({ "resources": resources });
    let query: &[_] = if dry_run { &[DRY_RUN] } else { &[] };
    report(change(global, "/api/v1/delete", query, &body)?, global, dry_run)
}

pub(crate) fn diff(args: &DiffArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let changed = match apply_body(&args.files, global)? {
        Some(body) => change(global, "/api/v1/apply", &[DRY_RUN], &body)?,
        None => None,
    };
    let Some((results, _)) = changed else {
        return Ok(ExitCode::from(crate::CAN_NOT));
    };
    let api = Api::new(global)?;
    let mut text = String::new();
    for done in results.iter().filter(|done| done.action != "unchanged") {
        let path = [&done.kind, &done.namespace, &done.name].map(|part| path_segment(part)).join("/");
        let before = match done.action.as_str() {
            "created" => String::new(),
            _ => {
                let item: Item = serde_json::from_str(&api.get(&format!("/api/v1/resources/{path}"))?)?;
                item.text.unwrap_or_default()
            }
        };
        let _ = writeln!(text, "{}/{} {}", done.kind.to_lowercase(), printable(&done.name), done.action);
        if done.kind != "Secret" {
            text.push_str(&lines_that_differ(&before, done.text.as_deref().unwrap_or_default()));
        }
    }
    let differs = !text.is_empty();
    print(&text)?;
    Ok(if differs { ExitCode::from(FOUND_WANTING) } else { ExitCode::SUCCESS })
}

/// Every line, those that are gone with `-`, the new ones with `+`: by the longest common subsequence, as manifests are
/// short.
fn lines_that_differ(before: &str, after: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) =
        (before.trim_end().lines().collect(), after.trim_end().lines().collect());
    let mut common = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = match a[i] == b[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let mut text = String::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (sign, line) = if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
            (' ', a[i - 1])
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            i += 1;
            ('-', a[i - 1])
        } else {
            j += 1;
            ('+', b[j - 1])
        };
        let _ = writeln!(text, "{sign} {}", printable(line));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_that_came_and_went() {
        assert_eq!(lines_that_differ("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d\n");
        assert_eq!(lines_that_differ("", "a\n"), "+ a\n");
    }
}
