//! What `tests/peers/*.sh` have installed.

use std::path::{Path, PathBuf};

/// The newest folder of `~/.cache/tidegate-test` whose name starts so.
pub(crate) fn newest(prefix: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let folder = cache.expect("there is a home directory").join("tidegate-test");
    let found = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let is_it = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)) && path.is_dir()
    };
    found.filter(is_it).max()
}

/// The Python that has Microsoft's clients of Azure Data Explorer, where `tests/peers/azure-kusto.sh` puts it.
pub fn azure_kusto_python() -> PathBuf {
    newest("azure-kusto-")
        .expect("azure-kusto-ingest is not there; run tests/peers/azure-kusto.sh, which installs it")
        .join("bin/python")
}

/// The Python that has schemathesis, where `tests/peers/schemathesis.sh` puts it.
pub fn schemathesis_python() -> PathBuf {
    newest("schemathesis-")
        .expect("schemathesis is not there; run tests/peers/schemathesis.sh, which installs it")
        .join("bin/python")
}
