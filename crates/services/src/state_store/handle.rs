//! The state store as this process uses it: a handle to the [task](super::task) that owns the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_broker::{Broker, LinkError};
use tokio::sync::{mpsc, oneshot, watch};

use super::hlc::Hlc;
use super::reply::Reply;
use super::request::{Command, Condition, Request, RequestError};
use super::service;
use super::storage::{Storage, StorageError};
use super::store::{Limits, Outcome};
use super::task::{self, Call};

/// How a state store works.
#[derive(Clone)]
pub struct Options {
    /// How much of everything.
    pub limits: Limits,
    /// What the time is, for versions and expiry.
    pub wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), wall_clock: Arc::new(SystemTime::now) }
    }
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The version the SET that stored it made.
    pub version: Hlc,
}

/// How a value is set.
#[derive(Clone, Debug, Default)]
pub struct SetOptions {
    /// When.
    pub condition: Condition,
    /// After which time the key is deleted.
    pub expires_in: Option<Duration>,
    /// The version of the lock the caller holds.
    pub fencing_token: Option<Hlc>,
}

/// Why the store did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateStoreError {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// It could not be written, for the reason given, and was undone.
    #[error("{0}")]
    NotWritten(Arc<str>),
    /// The store was shut down.
    #[error("the state store is shut down")]
    ShutDown,
}

/// A handle to a state store; clones are handles to the same. The store runs until [`StateStore::shutdown`], or until
/// the last handle is dropped.
#[derive(Clone, Debug)]
pub struct StateStore {
    calls: mpsc::Sender<Call>,
}

impl StateStore {
    /// Starts a store with what the storage holds, in the tokio runtime it is called in.
    ///
    /// # Errors
    /// The storage can't be read.
    pub async fn start(storage: impl Storage, options: Options) -> Result<Self, StorageError> {
        Ok(Self { calls: task::start(Box::new(storage), options).await? })
    }

    /// Serves the clients of a broker too, until that shuts down. One broker at a time: the last one it was called with.
    ///
    /// # Errors
    /// The broker does not take the store as a client.
    pub async fn serve(&self, broker: &Broker) -> Result<(), LinkError> {
        let link = service::attach(broker).await?;
        // a store that was shut down serves nobody
        let _ = self.calls.send(Call::Serve(link)).await;
        Ok(())
    }

    /// The value of a key, if it has one.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub async fn get(&self, key: Bytes) -> Result<Option<Versioned>, StateStoreError> {
        let outcome = self.request(Command::Get { key }, None).await?;
        let (Ok(Reply::Value(Some(value))), Some(version)) = (outcome.reply, outcome.version) else {
            return Ok(None);
        };
        Ok(Some(Versioned { value, version }))
    }

    /// Sets a value; it is safe when this returns. The new version, or none if the condition was not met.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub async fn set(
        &self,
        key: Bytes,
        value: Bytes,
        options: SetOptions,
    ) -> Result<Option<Hlc>, StateStoreError> {
        let SetOptions { condition, expires_in, fencing_token } = options;
        let outcome = self.request(Command::Set { key, value, condition, expires_in }, fencing_token).await?;
        Ok(outcome.change.map(|change| change.version))
    }

    /// Deletes a key. Whether there was one.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub async fn del(&self, key: Bytes, fencing_token: Option<Hlc>) -> Result<bool, StateStoreError> {
        Ok(self.request(Command::Del { key }, fencing_token).await?.change.is_some())
    }

    /// A page of the keys that match a glob, in their order, and the token that asks for the next page.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub async fn keys(
        &self,
        pattern: Bytes,
        token: Option<Bytes>,
    ) -> Result<(Vec<Bytes>, Option<Bytes>), StateStoreError> {
        match self.request(Command::Scan { pattern, token }, None).await?.reply? {
            Reply::Keys { keys, token } => Ok((keys, token)),
            other => unreachable!("a scan is answered with keys, not {other:?}"),
        }
    }

    /// The value of a key, now and whenever it changes. Of changes in quick succession only the last may be seen.
    ///
    /// # Errors
    /// [`StateStoreError::ShutDown`].
    pub async fn watch(&self, key: Bytes) -> Result<Watch, StateStoreError> {
        self.call(|reply| Call::Watch(key, reply)).await.map(Watch)
    }

    /// Ends the store after what it is at. Calls after that fail.
    pub async fn shutdown(&self) {
        // an error says that it has ended already
        let _ = self.call(Call::ShutDown).await;
    }

    async fn request(
        &self,
        command: Command,
        fencing_token: Option<Hlc>,
    ) -> Result<Outcome, StateStoreError> {
        let request = Request { command, timestamp: None, fencing_token };
        let outcome = self.call(|reply| Call::Request(request, reply)).await??;
        if let Err(error) = outcome.reply { Err(error.into()) } else { Ok(outcome) }
    }

    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, StateStoreError> {
        let (sender, reply) = oneshot::channel();
        self.calls.send(call(sender)).await.map_err(|_| StateStoreError::ShutDown)?;
        reply.await.map_err(|_| StateStoreError::ShutDown)
    }
}

/// The value of one key, kept up to date.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<Option<Versioned>>);

impl Watch {
    /// The value now, if there is one. [`Watch::changed`] won't tell of it again.
    pub fn value(&mut self) -> Option<Versioned> {
        self.0.borrow_and_update().clone()
    }

    /// Waits until the value is another than last told.
    ///
    /// # Errors
    /// [`StateStoreError::ShutDown`]: there won't be any more.
    pub async fn changed(&mut self) -> Result<(), StateStoreError> {
        self.0.changed().await.map_err(|_| StateStoreError::ShutDown)
    }
}
