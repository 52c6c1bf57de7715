//! `tidegate doctor`: what stands between this machine and its data flows.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tidegate_core::Severity;
use tidegate_server::doctor::{Condition, Examination, Finding, examine};

use crate::FOUND_WANTING;
use crate::args::{DoctorArgs, Form, Global, LoadArgs, LocalBroker};
use crate::load::{self, Loaded};
use crate::out::{colored, print, printable};

pub(crate) fn doctor(args: &DoctorArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let applied = global.data_dir.join("resources");
    let is_empty = |folder: &PathBuf| folder.read_dir().map_or(true, |mut entries| entries.next().is_none());
    let mut given: LoadArgs = args.load.clone();
    if given.paths.is_empty() && !is_empty(&applied) {
        given.paths.push(applied);
    }
    let (files, options) = load::given(&given, true)?;
    let Loaded { catalog, diagnostics, .. } = load::load_files(files, &options)?;
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let catalog = std::sync::Arc::new(catalog);
    let (local_broker, mut listen) = match &args.broker {
        LocalBroker::Remote { address, tls } => (Some((address.clone(), *tls)), vec![]),
        LocalBroker::Embedded if args.mqtt_listen.is_empty() => (None, vec![([127, 0, 0, 1], 1883).into()]),
        LocalBroker::Embedded => (None, args.mqtt_listen.clone()),
    };
    listen.push(args.http_listen);
    let what = Examination {
        data_dir: global.data_dir.clone(),
        listen,
        local_broker,
        secrets_dir: args.secrets_dir.clone(),
        volumes: args.volumes.iter().cloned().collect(),
    };
    let mut shown = Shown::new(args.form.unwrap_or(global.output), global);
    if !given.paths.is_empty() {
        let flows = catalog.plans().len();
        shown.tell(if errors == 0 {
            let message = format!("{} resources, {flows} data flows to run", catalog.resources().len());
            Finding { subject: "resources".into(), condition: Condition::Fine, message }
        } else {
            let message =
                format!("{errors} errors: `tidegate check --strict` with the same files says which");
            Finding { subject: "resources".into(), condition: Condition::Wrong, message }
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(examine(&what, &catalog, &mut |finding| shown.tell(finding)));
    // a client library that still waits for an answer must not hold up the exit
    runtime.shutdown_background();
    shown.end()
}

/// What was said so far.
struct Shown {
    form: Form,
    colored: bool,
    findings: Vec<Finding>,
    /// Why it can't be shown.
    error: Option<anyhow::Error>,
}

impl Shown {
    fn new(form: Form, global: &Global) -> Self {
        Self { form, colored: colored(global.color, &io::stdout()), findings: vec![], error: None }
    }

    /// A line for each finding, as it comes.
    fn tell(&mut self, finding: Finding) {
        if self.form == Form::Human {
            let (word, color) = match finding.condition {
                Condition::Fine => ("ok  ", 32),
                Condition::Doubtful => ("warn", 33),
                Condition::Wrong => ("FAIL", 31),
            };
            let word = if self.colored { format!("\u{1b}[{color}m{word}\u{1b}[0m") } else { word.to_owned() };
            let line = format!("{word}  {}: {}\n", printable(&finding.subject), printable(&finding.message));
            self.error = self.error.take().or(print(&line).err());
        }
        self.findings.push(finding);
    }

    fn count(&self, condition: Condition) -> usize {
        self.findings.iter().filter(|f| f.condition == condition).count()
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (failed, warnings) = (self.count(Condition::Wrong), self.count(Condition::Doubtful));
        print(&match self.form {
            Form::Human => match (failed, warnings) {
                (0, 0) => "all is well\n".to_owned(),
                (0, n) => format!("nothing failed, {n} to keep an eye on\n"),
                (n, _) => format!("{n} failed\n"),
            },
            Form::Json => {
                let checks = self.findings.iter().map(
                    |f| json!({ "subject": f.subject, "status": f.condition.as_str(), "message": f.message }),
                );
                let all = json!({ "healthy": failed == 0, "checks": checks.collect::<Vec<_>>() });
                format!("{all}\n")
            }
        })?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WANTING) })
    }
}
