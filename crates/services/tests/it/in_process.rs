//! The state store as a handle in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_services::state_store::{
    Condition, Disk, Entry, Hlc, Memory, Options, RequestError, Saved, SetOptions, StateStore,
    StateStoreError, Storage, StorageError,
};

const K: Bytes = Bytes::from_static(b"k");

/// A wall clock that follows tokio's.
pub(crate) fn options() -> Options {
    let start = tokio::time::Instant::now();
    let wall_clock = move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + start.elapsed();
    Options { wall_clock: Arc::new(wall_clock), ..Options::default() }
}

async fn set(store: &StateStore, value: &'static str) -> Result<Option<Hlc>, StateStoreError> {
    store.set(K, value.into(), SetOptions::default()).await
}

async fn get(store: &StateStore) -> Option<Bytes> {
    store.get(K).await.unwrap().map(|versioned| versioned.value)
}

#[tokio::test]
async fn what_was_set_is_got_and_what_was_deleted_is_gone() {
    let store = StateStore::start(Memory, options()).await.unwrap();
    assert_eq!(store.get(K).await.unwrap(), None);
    let version = set(&store, "a").await.unwrap().unwrap();
    let got = store.get(K).await.unwrap().unwrap();
    assert_eq!((got.value, got.version), (Bytes::from("a"), version));
    let only_new = SetOptions { condition: Condition::OnlyIfDoesNotExist, ..SetOptions::default() };
    assert_eq!(store.set(K, "b".into(), only_new).await.unwrap(), None);
    assert_eq!(store.keys("*".into(), None).await.unwrap(), (vec![K], None));
    assert!(store.del(K, None).await.unwrap());
    assert!(!store.del(K, None).await.unwrap());
    let error = store.get(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, StateStoreError::Refused(RequestError::EmptyKey)));
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_the_value_now_and_every_change_until_it_expires() {
    let store = StateStore::start(Memory, options()).await.unwrap();
    set(&store, "a").await.unwrap();
    let mut watch = store.watch(K).await.unwrap();
    assert_eq!(watch.value().unwrap().value, "a");
    let version = set(&store, "b").await.unwrap().unwrap();
    watch.changed().await.unwrap();
    assert_eq!(watch.value().unwrap().version, version);
    let expiring = SetOptions { expires_in: Some(Duration::from_millis(500)), ..SetOptions::default() };
    store.set(K, "c".into(), expiring).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(watch.value().unwrap().value, "c");
    let before = tokio::time::Instant::now();
    watch.changed().await.unwrap();
    assert_eq!(watch.value(), None);
    assert!(before.elapsed() >= Duration::from_millis(500));
    store.shutdown().await;
    assert!(matches!(watch.changed().await, Err(StateStoreError::ShutDown)));
    assert!(matches!(set(&store, "d").await, Err(StateStoreError::ShutDown)));
}

#[tokio::test]
async fn what_was_set_is_there_after_a_restart_with_its_fence_and_its_expiry() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::start(Disk::open(folder.path()).unwrap(), options()).await.unwrap();
    let lock = set(&store, "owner").await.unwrap().unwrap();
    let fenced = SetOptions { fencing_token: Some(lock.clone()), ..SetOptions::default() };
    store.set("fenced".into(), "1".into(), fenced).await.unwrap();
    let expiring = SetOptions { expires_in: Some(Duration::from_millis(1)), ..SetOptions::default() };
    store.set("expiring".into(), "1".into(), expiring).await.unwrap();
    store.shutdown().await;

    let later = options();
    let wall_clock = later.wall_clock.clone();
    let later = Options { wall_clock: Arc::new(move || wall_clock() + Duration::from_secs(60)), ..later };
    let store = StateStore::start(Disk::open(folder.path()).unwrap(), later).await.unwrap();
    assert_eq!(store.get(K).await.unwrap().unwrap().version, lock);
    assert_eq!(store.get("expiring".into()).await.unwrap(), None);
    let refused = store.set("fenced".into(), "2".into(), SetOptions::default()).await.unwrap_err();
    assert!(matches!(refused, StateStoreError::Refused(RequestError::FencingTokenRequired)));
    assert!(set(&store, "next").await.unwrap().unwrap() > lock);
}

/// Counts commits, and refuses them while it is told to.
#[derive(Clone, Default)]
struct Scripted {
    commits: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
    kept: Arc<std::sync::Mutex<std::collections::HashMap<Bytes, Bytes>>>,
}

impl Storage for Scripted {
    fn load(&mut self) -> Result<Saved, StorageError> {
        Ok(Saved::default())
    }

    fn commit(&mut self, changes: &[(Bytes, Option<Entry>)], _: &Hlc) -> Result<(), StorageError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        // even a commit that failed may have been kept
        let mut kept = self.kept.lock().unwrap();
        for (key, entry) in changes {
            match entry {
                Some(entry) => kept.insert(key.clone(), entry.value.clone()),
                None => kept.remove(key),
            };
        }
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StorageError::Failed { path: "state.redb".into(), error: "no space left".into() }),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let storage = Scripted::default();
    let store = StateStore::start(storage.clone(), options()).await.unwrap();
    let sets: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(
                async move { store.set(format!("k{n}").into(), "v".into(), SetOptions::default()).await },
            )
        })
        .collect();
    for set in sets {
        set.await.unwrap().unwrap();
    }
    assert_eq!(storage.kept.lock().unwrap().len(), 100);
    assert!(storage.commits.load(Ordering::SeqCst) < 100);
}

#[tokio::test]
async fn a_change_that_could_not_be_written_has_not_happened_and_the_storage_hears_so() {
    let storage = Scripted::default();
    let store = StateStore::start(storage.clone(), options()).await.unwrap();
    set(&store, "a").await.unwrap();
    let mut watch = store.watch(K).await.unwrap();
    watch.value();

    storage.fails.store(true, Ordering::SeqCst);
    let error = set(&store, "b").await.unwrap_err();
    assert!(error.to_string().contains("state.redb can't be used"), "{error}");
    assert_eq!(get(&store).await.unwrap(), "a");
    assert_eq!(storage.kept.lock().unwrap()[&K], "b");

    storage.fails.store(false, Ordering::SeqCst);
    store.set("other".into(), "x".into(), SetOptions::default()).await.unwrap();
    assert_eq!(storage.kept.lock().unwrap()[&K], "a");
    assert_eq!(watch.value().unwrap().value, "a");
}
