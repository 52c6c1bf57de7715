//! Real manifests of other people, each with the verdict that is expected of it. They stand beside the repository, not
//! in it; without them the cases in `tests/data` have the same shapes.

use std::collections::BTreeMap;
use std::fs;

use tidegate_model::LoadOptions;

use crate::support::{endpoint, loaded, report, shared_folder, verdict};

/// Where the index is not followed, and why. The second is whether all references must resolve.
const EXCEPTIONS: [(&str, bool, &str, &str); 2] = [
    (
        "k8s/iot-operations-sdks--yamls_transform.v2.yaml",
        false,
        "reject",
        "`$context(factory)` names no dataset of this flow, which rule 26 rejects; the file's next revision mends it",
    ),
    (
        "k8s/edge-extensions-aio-da--deploy_dataflow_graph.yaml",
        true,
        "accept",
        "a DataflowGraph is known by name only, so nobody looks at its references; a note says that it isn't run",
    ),
];

struct Case<'a> {
    file: &'a str,
    expected: &'a str,
    also: Vec<&'a str>,
    strict: &'a str,
}

fn cases(index: &str) -> Vec<Case<'_>> {
    index
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|columns| columns[0].starts_with("k8s/") || columns[0].starts_with("arm/"))
        .map(|columns| Case {
            file: columns[0],
            expected: columns[1],
            also: columns[2].split('|').map(first_word).collect(),
            strict: columns[3],
        })
        .collect()
}

/// `reject` of `reject(bad-name) if ...`.
fn first_word(text: &str) -> &str {
    text.trim().split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or("")
}

/// A file that is to be accepted has no errors; with what warnings is its own business.
fn matches(verdict: &str, expected: &str) -> bool {
    verdict == expected || expected == "accept" && verdict != "reject"
}

#[test]
fn verdicts_on_real_manifests() {
    let Some(folder) = shared_folder("corpus") else { return };
    let index = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let mut failures = String::new();
    let mut unused: Vec<_> = EXCEPTIONS.iter().map(|e| (e.0, e.1)).collect();
    for case in cases(&index) {
        let text = fs::read_to_string(folder.join(case.file)).unwrap();
        for strict in [false, true] {
            let expected = if strict { first_word(case.strict) } else { case.expected };
            // Some strict verdicts are of several files together: those are in the next test.
            if strict && (case.strict.contains("loaded") || !["accept", "reject"].contains(&expected)) {
                continue;
            }
            let (files, parsed) =
                loaded(&[(case.file, &text)], &LoadOptions { strict, ..LoadOptions::default() });
            let verdict = verdict(&parsed.diagnostics);
            let exception = EXCEPTIONS.iter().find(|e| (e.0, e.1) == (case.file, strict));
            unused.retain(|e| *e != (case.file, strict));
            let expected = exception.map_or(expected, |e| e.2);
            let also = !strict && exception.is_none() && case.also.iter().any(|also| matches(verdict, also));
            if !matches(verdict, expected) && !also {
                failures += &format!(
                    "{} (strict: {strict}): {verdict}, expected {expected}\n{}\n",
                    case.file,
                    report(&files, &parsed.diagnostics)
                );
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(unused.is_empty(), "no case for the exceptions {unused:?}");
}

#[test]
fn real_flows_with_the_endpoints_they_name() {
    let Some(folder) = shared_folder("corpus") else { return };
    let read = |name: &str| fs::read_to_string(folder.join("k8s").join(name)).unwrap();
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    let fabric = read("explore-iot-operations--quickstart_README_ADVANCED_L435.yaml")
        .replace("<namespace>", "contoso");
    let quickstart = [
        ("flow.yaml", read("explore-iot-operations--quickstart_README_ADVANCED_L394.yaml")),
        ("endpoint.yaml", fabric),
    ];
    let grid = endpoint(
        "acsa-endpoint",
        "Mqtt",
        "host: contoso.westeurope-1.ts.eventgrid.azure.net:8883\nretain: Never\nauthentication: {method: SystemAssignedManagedIdentity}",
    );
    let both_ways = [
        ("from.yaml", read("rendered-edge-ai--mqtt_cloud_event_grid_to_mqtt_df.yaml")),
        ("to.yaml", read("rendered-edge-ai--mqtt_cloud_mqtt_to_event_grid_df.yaml")),
        ("profile.yaml", read("edge-ai--profiles_df_profile.yaml")),
        ("endpoint.yaml", grid),
    ];
    for (texts, plans) in [(quickstart.to_vec(), 1), (both_ways.to_vec(), 2)] {
        let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (files, parsed) = loaded(&texts, &strict);
        assert!(!parsed.has_errors(), "{}", report(&files, &parsed.diagnostics));
        assert_eq!(parsed.value.plans().len(), plans);
    }
}

#[test]
fn a_whole_folder_loads_in_one_go() {
    let Some(folder) = shared_folder("corpus") else { return };
    let mut texts = BTreeMap::new();
    for sub in ["k8s", "arm", "schemas", "bicep", "arm-templates"] {
        for entry in fs::read_dir(folder.join(sub)).unwrap().flatten().filter(|e| e.path().is_file()) {
            texts.insert(
                format!("{sub}/{}", entry.file_name().to_string_lossy()),
                fs::read_to_string(entry.path()).unwrap(),
            );
        }
    }
    let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (_, parsed) = loaded(&texts, &LoadOptions::default());
    let places: Vec<_> = parsed.diagnostics.iter().map(|d| d.span()).collect();
    assert!(places.is_sorted() && !places.is_empty());
}
