//! Every code has a page; what the page shows as wrong yields the code, and the mended form has no error.

use tidegate_core::{Code, Diagnostic, Files, Severity};
use tidegate_model::LoadOptions;
use tidegate_model::codes::{ALL, explain};

use crate::support::{loaded, report};

/// Examples too long for a page.
const WITHOUT_EXAMPLE: [&str; 2] = ["TG0413", "TG0602"];
/// The codes of test files.
const OF_TESTS: &str = "TG06";

#[test]
fn every_page_shows_the_mistake_and_its_mend() {
    let mut failures = String::new();
    for explanation in ALL {
        let code = explanation.code;
        let page = explanation.page;
        assert!(page.starts_with(&format!("# {code}: {}\n", explanation.title)), "{code}");
        let examples = examples(page);
        if WITHOUT_EXAMPLE.contains(&code.0) {
            assert!(examples.is_empty(), "{code}");
            continue;
        }
        let [(form, wrong), (_, mended)] = examples.as_slice() else { panic!("{code} has two examples") };
        let (diagnostics, said) = diagnosed(code, form, wrong);
        if diagnostics.iter().all(|d| d.code != code) {
            failures += &format!("{code} isn't said of\n{wrong}\nbut\n{said}\n");
        }
        let (diagnostics, said) = diagnosed(code, form, mended);
        let fine = diagnostics.iter().all(|d| d.code != code && d.severity != Severity::Error);
        if !fine {
            failures += &format!("{code}: of the mended\n{mended}\nit is said\n{said}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// What is said of an example.
fn diagnosed(code: Code, form: &str, text: &str) -> (Vec<Diagnostic>, String) {
    let (files, diagnostics) = if code.0.starts_with(OF_TESTS) {
        let mut files = Files::default();
        let file = files.add(format!("press-clean.test.{form}"), text);
        (files, tidegate_model::cases::parse(file, text).diagnostics)
    } else {
        let (files, parsed) = loaded(&[(&format!("press-clean.{form}"), text)], &LoadOptions::default());
        (files, parsed.diagnostics)
    };
    let said = report(&files, &diagnostics);
    (diagnostics, said)
}

/// The fenced blocks of a page, each with its language.
fn examples(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("```").collect::<Vec<_>>();
    blocks.iter().skip(1).step_by(2).filter_map(|b| b.split_once('\n')).collect()
}

#[test]
fn pages_on_disk_and_codes_are_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    let mut pages: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    let codes: Vec<String> = ALL.iter().map(|e| format!("{}.md", e.code)).collect();
    assert!(codes.is_sorted());
    assert_eq!(pages, codes);
}

#[test]
fn codes_are_found_in_any_case() {
    assert_eq!(explain("tg0110").unwrap().title, "unknown field");
    assert!(explain("TG9999").is_none());
}
