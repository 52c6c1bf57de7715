//! What must outlive the process: the batch that is about to be handed over, and those of which the cluster has not yet
//! said what became of them. After a crash between sending a message and hearing that it was taken, the same message is
//! sent again, and the cluster ingests it once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Content};

/// The books of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Books {
    /// Uploaded, and perhaps taken by a queue that did not answer.
    pub(crate) pending: Option<Batch>,
    /// How far the records of a log have been delivered.
    pub(crate) delivered: Option<Content>,
    /// Taken by a queue.
    pub(crate) watched: Vec<Batch>,
}

pub(crate) struct Journal(PathBuf);

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn read(&self) -> io::Result<Books> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Books::default()),
            Err(e) => Err(e),
        }
    }

    /// Returns once it is safe on disk.
    pub(crate) fn write(&self, books: &Books) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = self.0.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
        file.write_all(&serde_json::to_vec(books)?)?;
        file.sync_data()?;
        fs::rename(&new, &self.0)?;
        File::open(folder)?.sync_all()
    }
}
