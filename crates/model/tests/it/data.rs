//! The manifests of `tests/data`: the folder is the verdict.

use std::fs;
use std::path::Path;

use tidegate_model::LoadOptions;

use crate::support::{loaded, report, verdict};

/// The files of a folder of `tests/data`, with their names in it.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), text)
    };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect();
    files.sort();
    files
}

#[test]
fn each_file_has_the_verdict_of_its_folder() {
    for (folder, expected) in [("accept", "accept"), ("warn", "accept-with-warning"), ("reject", "reject")] {
        for (name, text) in files(folder) {
            let (files, parsed) = loaded(&[(&name, &text)], &LoadOptions::default());
            assert_eq!(
                verdict(&parsed.diagnostics),
                expected,
                "{name}\n{}",
                report(&files, &parsed.diagnostics)
            );
        }
    }
}
