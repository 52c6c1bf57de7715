//! Where the state store is kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::hlc::Hlc;
use super::store::Entry;

/// Keeps what the store holds. It is asked for all of it once, and then only told what changes.
pub trait Storage: Send + 'static {
    /// Everything kept.
    ///
    /// # Errors
    /// The store can't start.
    fn load(&mut self) -> Result<Saved, StorageError>;

    /// Keeps changes, all or none; `None` is a key without entry. They are safe when it returns.
    ///
    /// # Errors
    /// Whether the changes are kept is not known; a later call may tell otherwise.
    fn commit(&mut self, changes: &[(Bytes, Option<Entry>)], clock: &Hlc) -> Result<(), StorageError>;
}

/// What a storage has kept.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// All keys and what is stored under them.
    pub entries: Vec<(Bytes, Entry)>,
    /// The latest reading of the store's clock; none of a store that was never written.
    pub clock: Option<Hlc>,
}

/// Why a storage does not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A newer program wrote it.
    #[error("the state store {path} has format {found}, which only a newer tidegate reads")]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        found: u64,
    },
    /// The file system or the database says no.
    #[error("the state store {path} can't be used: {error}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keeps nothing: the state is lost with the process, as it is by default in AIO.
#[derive(Debug, Default)]
pub struct Memory;

impl Storage for Memory {
    fn load(&mut self) -> Result<Saved, StorageError> {
        Ok(Saved::default())
    }

    fn commit(&mut self, _: &[(Bytes, Option<Entry>)], _: &Hlc) -> Result<(), StorageError> {
        Ok(())
    }
}

const FORMAT: u64 = 1;

/// The state is in memory: this only serves commits.
const CACHE_BYTES_MAX: usize = 8 << 20;

/// Milliseconds, counter and node of an [`Hlc`].
type HlcRow<'a> = (u64, u64, &'a str);

const FORMATS: TableDefinition<(), u64> = TableDefinition::new("format");
const CLOCK: TableDefinition<(), HlcRow<'_>> = TableDefinition::new("clock");
/// By key: version, fencing token, expiry, value.
type Row<'a> = (HlcRow<'a>, Option<HlcRow<'a>>, Option<u64>, &'a [u8]);
const ENTRIES: TableDefinition<&[u8], Row<'_>> = TableDefinition::new("entries");

/// Keeps everything in one file, on synced disk before a commit returns.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// None after a failure, when a database refuses everything until it is opened anew.
    database: Option<Database>,
}

impl Disk {
    /// Opens `state.redb` in a folder, which is made if need be.
    ///
    /// # Errors
    /// [`StorageError`] says why not.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join("state.redb");
        let failed = |error: redb::Error| StorageError::Failed { path: path.clone(), error: error.into() };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        let database = open(&path).map_err(failed)?;
        let found = format(&database).map_err(failed)?;
        // the file's name is to last as long as its content
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(error.into()))?;
        if found > FORMAT {
            return Err(StorageError::Newer { path, found });
        }
        Ok(Self { path, database: Some(database) })
    }

    fn with_database<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let database = self.database.take().map_or_else(|| open(&self.path), Ok);
        database
            .and_then(|database| {
                let done = work(&database)?;
                self.database = Some(database);
                Ok(done)
            })
            .map_err(|error| StorageError::Failed { path: self.path.clone(), error: error.into() })
    }
}

impl Storage for Disk {
    fn load(&mut self) -> Result<Saved, StorageError> {
        self.with_database(|database| {
            let read = database.begin_read()?;
            let mut entries = Vec::new();
            for row in read.open_table(ENTRIES)?.iter()? {
                let (key, row) = row?;
                let (version, fencing_token, expires_at, value) = row.value();
                let entry = Entry {
                    value: Bytes::copy_from_slice(value),
                    version: hlc(version),
                    fencing_token: fencing_token.map(hlc),
                    expires_at,
                };
                entries.push((Bytes::copy_from_slice(key.value()), entry));
            }
            let clock = read.open_table(CLOCK)?.get(())?.map(|row| hlc(row.value()));
            Ok(Saved { entries, clock })
        })
    }

    fn commit(&mut self, changes: &[(Bytes, Option<Entry>)], clock: &Hlc) -> Result<(), StorageError> {
        self.with_database(|database| {
            let write = database.begin_write()?;
            {
                let mut entries = write.open_table(ENTRIES)?;
                for (key, entry) in changes {
                    match entry {
                        Some(Entry { value, version, fencing_token, expires_at }) => {
                            let token = fencing_token.as_ref().map(row);
                            entries.insert(&key[..], (row(version), token, *expires_at, &value[..]))?;
                        }
                        None => {
                            entries.remove(&key[..])?;
                        }
                    }
                }
                write.open_table(CLOCK)?.insert((), row(clock))?;
            }
            Ok(write.commit()?)
        })
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES_MAX).create(path)?)
}

/// The format of the database, which a new one is given.
fn format(database: &Database) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let found = write.open_table(FORMATS)?.get(())?.map(|format| format.value());
    if let Some(found) = found {
        write.abort()?;
        return Ok(found);
    }
    write.open_table(FORMATS)?.insert((), FORMAT)?;
    write.open_table(CLOCK)?;
    write.open_table(ENTRIES)?;
    write.commit()?;
    Ok(FORMAT)
}

fn row(hlc: &Hlc) -> HlcRow<'_> {
    (hlc.millis, hlc.counter, &hlc.node)
}

fn hlc((millis, counter, node): HlcRow<'_>) -> Hlc {
    Hlc { millis, counter, node: node.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn any_hlc() -> impl Strategy<Value = Hlc> {
        let node = prop::sample::select(vec!["", "StateStore", "ä"]);
        (any::<u64>(), any::<u64>(), node).prop_map(|(millis, counter, node)| Hlc {
            millis,
            counter,
            node: node.into(),
        })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let value = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        (value, any_hlc(), proptest::option::of(any_hlc()), any::<Option<u64>>()).prop_map(
            |(value, version, fencing_token, expires_at)| Entry { value, version, fencing_token, expires_at },
        )
    }

    fn any_commit() -> impl Strategy<Value = (Vec<(Bytes, Option<Entry>)>, Hlc)> {
        let key = prop::sample::select(vec![&b"a"[..], b"b", b"\x00\xff", b""]).prop_map(Bytes::from);
        let change = (key, proptest::option::of(any_entry()));
        (proptest::collection::vec(change, 0..6), any_hlc())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The file is looked at as a crash would leave it: while it is open, between two commits.
        #[test]
        fn what_was_committed_is_there_whenever_the_process_dies(
            commits in proptest::collection::vec(any_commit(), 1..6)
        ) {
            let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut disk = Disk::open(folder.path()).unwrap();
            let mut expected = BTreeMap::new();
            for (changes, clock) in commits {
                disk.commit(&changes, &clock).unwrap();
                for (key, entry) in changes {
                    match entry {
                        Some(entry) => expected.insert(key, entry),
                        None => expected.remove(&key),
                    };
                }
                std::fs::copy(folder.path().join("state.redb"), crashed.path().join("state.redb")).unwrap();
                let saved = Disk::open(crashed.path()).unwrap().load().unwrap();
                prop_assert_eq!(saved.entries.into_iter().collect::<BTreeMap<_, _>>(), expected.clone());
                prop_assert_eq!(saved.clock, Some(clock));
            }
        }
    }

    #[test]
    fn a_new_store_is_empty_and_survives_at_once() {
        let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut disk = Disk::open(&folder.path().join("state")).unwrap();
        assert!(disk.load().unwrap().entries.is_empty());
        std::fs::copy(folder.path().join("state/state.redb"), crashed.path().join("state.redb")).unwrap();
        assert_eq!(Disk::open(crashed.path()).unwrap().load().unwrap().clock, None);
    }

    #[test]
    fn after_a_failure_the_database_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(folder.path()).unwrap();
        let clock = Hlc { millis: 1, counter: 2, node: "StateStore".into() };
        disk.commit(&[], &clock).unwrap();
        let error = disk.with_database::<()>(|_| Err(redb::Error::PreviousIo)).unwrap_err();
        assert!(error.to_string().contains("state.redb can't be used"), "{error}");
        assert_eq!(disk.load().unwrap().clock, Some(clock));
    }

    #[test]
    fn a_newer_format_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let write = disk.database.as_ref().unwrap().begin_write().unwrap();
        write.open_table(FORMATS).unwrap().insert((), 2).unwrap();
        write.commit().unwrap();
        drop(disk);
        let error = Disk::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has format 2, which only a newer tidegate reads"), "{error}");
        std::fs::write(folder.path().join("state.redb"), "hello").unwrap();
        assert!(matches!(Disk::open(folder.path()), Err(StorageError::Failed { .. })));
    }
}
