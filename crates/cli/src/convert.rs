//! `tidegate convert`: resources in another form.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tidegate_core::{Diagnostic, Severity};
use tidegate_forms::{Form, Remark, Written};

use crate::FOUND_WANTING;
use crate::args::{ConvertArgs, Global, LoadArgs, ToForm};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{colored, print, printable, say};

pub(crate) fn convert(args: &ConvertArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let mut paths = args.load.paths.clone();
    paths.extend(args.more_paths.iter().cloned());
    let given = LoadArgs { paths, ..args.load.clone() };
    let (files, options) = load::given(&given, false)?;
    let Loaded { files, catalog, diagnostics } = load::load_files(files, &options)?;
    let errors: Vec<Diagnostic> = diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
    if !errors.is_empty() {
        let report = Report::new(&files, catalog.resources().len(), &errors);
        say(report.human(colored(global.color, &io::stderr())).trim_end());
        return Ok(ExitCode::from(FOUND_WANTING));
    }
    let form = match args.to {
        ToForm::Yaml => Form::Yaml,
        ToForm::Bicep => Form::Bicep,
        ToForm::Arm => Form::Arm,
        ToForm::Cli => Form::Cli,
    };
    let Written { files, lost, notes } = tidegate_forms::write(&files, &options, form);
    let severity = if args.partial { "warning" } else { "error" };
    lost.iter().for_each(|remark| tell(severity, remark));
    if !lost.is_empty() && !args.partial {
        say("nothing was written; with --partial all else is");
        return Ok(ExitCode::from(FOUND_WANTING));
    }
    notes.iter().for_each(|remark| tell("note", remark));
    match &args.out_dir {
        Some(folder) => {
            for (name, text) in &files {
                save(&folder.join(name), text)?;
            }
        }
        None => {
            ensure!(files.len() < 2, "these are {} files: say with --out-dir where they go", files.len());
            files.iter().try_for_each(|(_, text)| print(text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(severity: &str, remark: &Remark) {
    let of = if remark.resource.is_empty() { String::new() } else { format!("{}: ", remark.resource) };
    say(&printable(&format!("{severity}: {of}{}", remark.message)));
}

/// Writes a file that is not there yet: what somebody wrote is not written over.
fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let name = path.display();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let file = fs::File::create_new(path).with_context(|| format!("can't write {name}"))?;
    io::Write::write_all(&mut &file, text.as_bytes()).with_context(|| format!("can't write {name}"))?;
    say(&format!("wrote {name}"));
    Ok(())
}
