//! Bicep files and ARM templates: the cases shared beside the repository, and our own.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tidegate_core::{Diagnostic, Files, Severity};
use tidegate_model::{LoadOptions, Manifest, load, manifests, missing_files};

use crate::support::{report, shared_folder};

/// Adds the files that files name, as whoever loads does.
fn complete(files: &mut Files) {
    loop {
        let before = files.len();
        for name in missing_files(files, &LoadOptions::default()) {
            if let Ok(text) = fs::read_to_string(&name) {
                files.add(name, text);
            }
        }
        if files.len() == before {
            return;
        }
    }
}

/// A resource as the cases write it.
fn shown(manifest: &Manifest) -> Value {
    let mut spec: Value = serde_json::from_str(&manifest.spec.to_json()).unwrap();
    let mut shown = json!({"kind": manifest.kind.as_str(), "name": manifest.name.as_str()});
    if let Some(profile) = &manifest.profile {
        shown["profileRef"] = json!(profile);
    }
    shown["spec"] = spec.take();
    shown
}

fn sorted(mut resources: Vec<Value>) -> Vec<Value> {
    resources.sort_by_key(|r| (r["kind"].to_string(), r["name"].to_string()));
    resources
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).collect()
}

fn judge(folder: &Path, entry: &str) -> Result<(), String> {
    let mut files = Files::default();
    let path = folder.join(entry);
    files.add(path.to_str().unwrap(), fs::read_to_string(&path).unwrap());
    complete(&mut files);
    let options = LoadOptions::default();
    let parsed = load(&files, &options);
    let errors = errors(&parsed.diagnostics);
    if let Ok(expected) = fs::read_to_string(folder.join("expected-error.txt")) {
        let mut expected: Vec<(String, String)> = expected
            .lines()
            .filter(|l| !l.trim().is_empty())
            .map(|line| {
                let name = line.split('`').nth(1).unwrap_or("").to_owned();
                (line.split(": ").next().unwrap().to_owned(), name)
            })
            .collect();
        for error in &errors {
            let span = error.span().ok_or("an error without a place")?;
            let file = Path::new(&files.get(span.file).unwrap().name).file_name().unwrap().to_str().unwrap();
            let place = format!("{file}:{}", files.position(span.file, span.start).line);
            let found =
                expected.iter().position(|(at, name)| *at == place && error.message.contains(name.as_str()));
            match found {
                Some(found) => drop(expected.remove(found)),
                None => return Err(report(&files, &parsed.diagnostics)),
            }
        }
        return if expected.is_empty() { Ok(()) } else { Err(format!("not said: {expected:?}")) };
    }
    if !errors.is_empty() {
        return Err(report(&files, &parsed.diagnostics));
    }
    let expected: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    let found = manifests(&files, &options).value.iter().map(shown).collect();
    let (found, expected) = (sorted(found), sorted(expected));
    if found == expected {
        return Ok(());
    }
    let text = |v: &Vec<Value>| serde_json::to_string_pretty(v).unwrap();
    Err(format!("found {}\nexpected {}", text(&found), text(&expected)))
}

#[test]
fn shared_templates_come_to_what_they_say() {
    let mut failures = String::new();
    for (kind, entries) in
        [("bicep", ["main.bicepparam", "main.bicep"].as_slice()), ("arm-templates", &["main.json"])]
    {
        let Some(folder) = shared_folder("corpus").map(|f| f.join(kind)) else { return };
        for case in fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
            let entry = entries.iter().find(|e| case.join(e).is_file()).unwrap();
            if let Err(said) = judge(&case, entry) {
                failures += &format!("{}: {said}\n", case.display());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
