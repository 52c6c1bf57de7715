//! Where files go. All that the writers need of a file system or an object store, and no more: a file appears whole or
//! not at all, and of several who make the same one, one wins.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::failure::{Failure, Kind};

/// Paths are relative, their parts separated by `/`.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Makes sure that a folder can be written to.
    async fn prepare(&self, folder: &str) -> Result<(), Failure>;

    /// Looks whether a folder could be written to, and leaves nothing behind.
    async fn probe(&self, folder: &str) -> Result<(), Failure> {
        self.list(folder).await.map(drop)
    }

    /// Writes a file, over another if there is one.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Failure>;

    /// Writes a file unless there is one already; whether it did. After a failure it may have been written.
    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool, Failure>;

    /// A whole file, if it is there.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, Failure>;

    /// The names of the files in a folder, sorted; none if there is no such folder.
    async fn list(&self, folder: &str) -> Result<Vec<String>, Failure>;
}

/// A folder of this machine. What is written is on synced disk when the call returns.
#[derive(Clone, Debug)]
pub(crate) struct LocalFolder {
    root: PathBuf,
}

/// Files that are being written end so, and start with a dot, so that no reader takes them for data.
const UNFINISHED: &str = ".tidegate-unfinished";

/// An unfinished file of that age was left behind by a crash.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(3600);

impl LocalFolder {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let path = self.root.join(path);
        tokio::task::spawn_blocking(move || work(&path).map_err(|error| failure(&path, &error)))
            .await
            .map_err(|error| Failure::later(Kind::Send, format!("the write was given up: {error}")))?
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind as E;
    let path = path.display();
    match error.kind() {
        E::PermissionDenied => Failure::refused(
            Kind::Authentication,
            format!("no right to write {path} ({error}); give it to this user"),
        ),
        E::ReadOnlyFilesystem | E::NotADirectory | E::IsADirectory | E::InvalidFilename | E::Unsupported => {
            Failure::refused(
                Kind::Configuration,
                format!("{path} can't be written ({error}); choose another volume"),
            )
        }
        E::StorageFull | E::QuotaExceeded => {
            Failure::later(Kind::Send, format!("there is no room for {path} ({error}); free some"))
        }
        _ => Failure::later(Kind::Send, format!("{path} can't be written ({error})")),
    }
}

#[async_trait]
impl Store for LocalFolder {
    async fn prepare(&self, folder: &str) -> Result<(), Failure> {
        self.run(folder, |folder| {
            make_folder(folder)?;
            sweep(folder)
        })
        .await
    }

    async fn probe(&self, folder: &str) -> Result<(), Failure> {
        self.run(folder, |folder| {
            // it is made when it is needed, in what is there
            let there = folder.ancestors().find(|f| f.exists()).unwrap_or(Path::new("."));
            std::fs::remove_file(write_unfinished(&there.join("probe"), b"")?)
        })
        .await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Failure> {
        self.run(path, move |path| {
            let unfinished = write_unfinished(path, &bytes)?;
            std::fs::rename(&unfinished, path)?;
            sync_parent(path)
        })
        .await
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool, Failure> {
        self.run(path, move |path| {
            let unfinished = write_unfinished(path, &bytes)?;
            // fails if the name is taken, and brings the whole file or nothing
            let linked = std::fs::hard_link(&unfinished, path);
            std::fs::remove_file(&unfinished)?;
            match linked {
                Ok(()) => sync_parent(path).map(|()| true),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    Err(e)
                }
                // the folder can be written to, or it would not have come so far
                Err(e) => {
                    let message = format!("a Delta table needs a file system with hard links: {e}");
                    Err(io::Error::new(io::ErrorKind::Unsupported, message))
                }
            }
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        self.run(path, |path| match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, Failure> {
        self.run(folder, |folder| {
            let entries = match std::fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
                Err(e) => return Err(e),
            };
            let mut names = Vec::new();
            for entry in entries {
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }
}

/// Makes a folder and all above it, each on synced disk.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => sync_parent(folder),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn write_unfinished(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_folder(parent)?;
    let unfinished = parent.join(format!(".{}{UNFINISHED}", Uuid::new_v4()));
    let mut file = std::fs::File::create_new(&unfinished)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // what is left of it is swept later, if it can't be now
        let _ = std::fs::remove_file(&unfinished);
    }
    written.map(|()| unfinished)
}

/// Removes what a crash left behind.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            continue;
        }
        let modified = entry.metadata().and_then(|m| m.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > UNFINISHED_AGE_MAX) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}
