use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The version of the layout that this program writes.
const FORMAT: &str = "tidegate data directory 1\n";

/// The folder that holds everything durable, taken for this process alone for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by another tidegate{}; give this one its own with --data-dir",
        .pid.as_deref().map(|p| format!(" (process {p})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, as it noted itself.
        pid: Option<String>,
    },
    /// It was written by a newer program.
    #[error(
        "the data directory {path} was written by a newer tidegate ({found}); run that version, or another folder"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// The file system says no.
    #[error("the data directory {path} can't be used: {error}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
}

impl DataDir {
    /// Makes the folder if need be and takes it.
    ///
    /// # Errors
    /// [`DataDirError`] says why not.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |error| DataDirError::Io { path: path.into(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("instance.lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // best effort: it only makes the sentence better
                let _ = lock.take(32).read_to_string(&mut pid);
                let pid = Some(pid.trim().to_owned()).filter(|p| !p.is_empty());
                return Err(DataDirError::InUse { path: path.into(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        lock.set_len(0).map_err(io)?;
        lock.rewind().map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        let format = path.join("format");
        match std::fs::read_to_string(&format) {
            Ok(found) if found == FORMAT => {}
            Ok(found) => {
                return Err(DataDirError::Newer { path: path.into(), found: found.trim().to_owned() });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::fs::write(&format, FORMAT).map_err(io)?
            }
            Err(error) => return Err(io(error)),
        }
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("format"), "tidegate data directory 2\n").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Newer { .. })));
    }
}
