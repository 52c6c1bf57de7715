//! What the tests share.

use std::path::PathBuf;

use expect_test::Expect;
use tidegate_core::{Diagnostic, Files, Parsed, Severity};
use tidegate_model::{Catalog, LoadOptions, load};

/// Loads texts, each with the name of its file.
pub(crate) fn loaded(texts: &[(&str, &str)], options: &LoadOptions) -> (Files, Parsed<Catalog>) {
    let mut files = Files::default();
    for (name, text) in texts {
        files.add(*name, *text);
    }
    let parsed = load(&files, options);
    (files, parsed)
}

/// The diagnostics as `severity code line:column message`, one a line, help and further places below.
pub(crate) fn report(files: &Files, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for d in diagnostics {
        let place = |n: usize| {
            d.labels.get(n).map_or("-".into(), |label| {
                let at = files.position(label.span.file, label.span.start);
                let file = if files.len() > 1 { &*files.get(label.span.file).unwrap().name } else { "" };
                format!("{file}{}{}:{}", if file.is_empty() { "" } else { ":" }, at.line, at.column)
            })
        };
        text += &format!("{} {} {} {}\n", d.severity, d.code, place(0), d.message);
        for n in 1..d.labels.len() {
            text += &format!("    at {}: {}\n", place(n), d.labels[n].text);
        }
        if let Some(help) = &d.help {
            text += &format!("    help: {help}\n");
        }
    }
    text
}

/// Loads one text, YAML unless it starts with a brace, and compares what is said of it.
pub(crate) fn check(text: &str, expected: Expect) {
    check_with(&LoadOptions::default(), text, expected);
}

/// The same with all references to be resolved.
pub(crate) fn check_strict(text: &str, expected: Expect) {
    check_with(&LoadOptions { strict: true, ..LoadOptions::default() }, text, expected);
}

pub(crate) fn check_with(options: &LoadOptions, text: &str, expected: Expect) {
    let name = if text.starts_with("{\"") || text.starts_with("{\n") {
        "press-clean.json"
    } else {
        "press-clean.yaml"
    };
    let (files, parsed) = loaded(&[(name, text)], options);
    expected.assert_eq(&report(&files, &parsed.diagnostics));
}

/// Loads texts one by one and compares what is said of each, below its title.
pub(crate) fn check_each<T: AsRef<str>>(texts: impl IntoIterator<Item = (T, String)>, expected: Expect) {
    let mut said = String::new();
    for (title, text) in texts {
        let (files, parsed) = loaded(&[("press-clean.yaml", &text)], &LoadOptions::default());
        said += &format!("{}\n{}", title.as_ref(), report(&files, &parsed.diagnostics));
    }
    expected.assert_eq(&said);
}

/// The worst that is said: `accept`, `accept-with-warning`, `reject`.
pub(crate) fn verdict(diagnostics: &[Diagnostic]) -> &'static str {
    match diagnostics.iter().map(|d| d.severity).min() {
        Some(Severity::Error) => "reject",
        Some(Severity::Warning) => "accept-with-warning",
        Some(Severity::Note) | None => "accept",
    }
}

/// A data flow from `source` to `destination`, with the lines of a transformation between them.
pub(crate) fn flow(
    source: &str,
    data_sources: &str,
    transform: &str,
    destination: &str,
    data_destination: &str,
) -> String {
    let transform = if transform.is_empty() {
        String::new()
    } else {
        let lines: String = transform.trim_matches('\n').lines().map(|l| format!("        {l}\n")).collect();
        format!("    - operationType: BuiltInTransformation\n      builtInTransformationSettings:\n{lines}")
    };
    format!(
        "apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: press-clean }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: {source}, dataSources: {data_sources} }}
{transform}    - operationType: Destination
      destinationSettings: {{ endpointRef: {destination}, dataDestination: {data_destination} }}
"
    )
}

/// An endpoint of that type with the lines of its settings block.
pub(crate) fn endpoint(name: &str, endpoint_type: &str, settings: &str) -> String {
    let block = format!("{}{}Settings", endpoint_type[..1].to_lowercase(), &endpoint_type[1..]);
    let lines: String = settings.trim_matches('\n').lines().map(|l| format!("    {l}\n")).collect();
    format!(
        "---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: {name} }}
spec:
  endpointType: {endpoint_type}
  {block}:
{lines}"
    )
}

/// The folder `name` of the material shared beside the repository, which not everybody has: `TIDEGATE_CORPUS` says where
/// its folder `corpus` is.
pub(crate) fn shared_folder(name: &str) -> Option<PathBuf> {
    let corpus = std::env::var_os("TIDEGATE_CORPUS").map(PathBuf::from);
    let corpus =
        corpus.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus").into());
    let folder = corpus.join("..").join(name);
    if !folder.is_dir() {
        println!("skipped: there is no folder {}", folder.display());
        return None;
    }
    Some(folder)
}
