//! The state store as this process uses it: a handle to the task that owns the store.
//!
//! All requests that wait while one commit is on its way to the disk go into the next one together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_broker::{Broker, ClientRef, Delivery, Link, LinkError, Message};
use tokio::sync::{mpsc, oneshot, watch};

use super::hlc::Hlc;
use super::reply::{Change, Reply};
use super::request::{Command, Condition, Request, RequestError};
use super::service::{self, Incoming};
use super::storage::{Saved, Storage, StorageError};
use super::store::{Limits, Outcome, Store};

/// Requests in one commit, and calls that wait for the task.
const BATCH_MAX: usize = 1024;

/// The longest sleep until a key expires, should the wall clock be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

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
    /// It could not be written, for the reason given; what the key is afterwards is not known.
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

enum Call {
    Request(Request, oneshot::Sender<Result<Outcome, StateStoreError>>),
    Watch(Bytes, oneshot::Sender<watch::Receiver<Option<Versioned>>>),
    Serve(Link),
    ShutDown(oneshot::Sender<()>),
}

impl StateStore {
    /// Starts a store with what the storage holds, in the tokio runtime it is called in.
    ///
    /// # Errors
    /// The storage can't be read.
    pub async fn start(mut storage: impl Storage, options: Options) -> Result<Self, StorageError> {
        let (storage, loaded) = blocking(move || {
            let loaded = storage.load();
            (storage, loaded)
        })
        .await;
        let Saved { entries, clock } = loaded?;
        let (sender, calls) = mpsc::channel(BATCH_MAX);
        let task = Task {
            store: Store::new(entries, clock, options.limits),
            storage: Some(Box::new(storage)),
            watches: HashMap::new(),
            link: None,
            wall_clock: options.wall_clock,
        };
        tokio::spawn(task.run(calls));
        Ok(Self { calls: sender })
    }

    /// Serves the clients of a broker too, until that shuts down.
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

struct Task {
    store: Store<ClientRef>,
    /// Away while it commits.
    storage: Option<Box<dyn Storage>>,
    watches: HashMap<Bytes, watch::Sender<Option<Versioned>>>,
    /// To the broker that is served.
    link: Option<Link>,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Task {
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut batch = Vec::new();
        loop {
            let until_expiry = self.until_expiry();
            tokio::select! {
                count = calls.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                    if let Some(done) = self.answer_calls(&mut batch).await {
                        drop(self);
                        // whoever asked may have gone
                        let _ = done.send(());
                        return;
                    }
                }
                messages = next(&mut self.link) => match messages {
                    Ok(messages) => self.answer_messages(&messages).await,
                    Err(error) => {
                        tracing::info!("the state store serves the broker no longer: {error}");
                        self.set_link(None);
                    }
                },
                () = tokio::time::sleep(until_expiry) => drop(self.expire()),
            }
        }
    }

    /// Carries out calls as one commit, and answers them. Gives back a call to end.
    async fn answer_calls(&mut self, calls: &mut Vec<Call>) -> Option<oneshot::Sender<()>> {
        let now = self.expire();
        let (mut requests, mut watches, mut ended) = (Vec::new(), Vec::new(), None);
        let mut notices = Vec::new();
        for call in calls.drain(..) {
            match call {
                Call::Request(request, reply) => {
                    requests.push((self.apply(now, None, &request, &mut notices), reply));
                }
                Call::Watch(key, reply) => watches.push((key, reply)),
                Call::Serve(link) => self.set_link(Some(link)),
                Call::ShutDown(reply) => ended = Some(reply),
            }
        }
        let saved = self.save().await;
        if saved.is_ok() {
            requests.iter().filter_map(|(outcome, _)| outcome.change.as_ref()).for_each(|c| self.show(c));
            self.publish(&notices);
        }
        for (outcome, reply) in requests {
            // whoever asked may have gone
            let _ = reply.send(saved.clone().map(|()| outcome));
        }
        for (key, reply) in watches {
            let _ = reply.send(self.watch(key));
        }
        ended
    }

    /// Carries out requests of clients as one commit, and answers them.
    async fn answer_messages(&mut self, messages: &[Delivery]) {
        let now = self.expire();
        let Some(link) = &self.link else { return };
        if self.store.is_full_of_observers() {
            self.store.keep_observers(|client| link.client_id(client).is_some());
        }
        let incoming: Vec<_> = messages.iter().filter_map(|message| Incoming::read(link, message)).collect();
        let mut notices = Vec::new();
        let outcomes: Vec<_> = incoming
            .iter()
            .map(|Incoming { client, request, .. }| match request {
                Ok(request) => self.apply(now, *client, request, &mut notices),
                Err(error) => Outcome::refused(*error),
            })
            .collect();
        let asked = incoming.iter().map(|incoming| &incoming.reply_to).zip(&outcomes);
        let answers: Vec<_> = match self.save().await {
            Ok(()) => {
                outcomes.iter().filter_map(|outcome| outcome.change.as_ref()).for_each(|c| self.show(c));
                asked.map(|(reply_to, outcome)| service::response(reply_to, outcome)).chain(notices).collect()
            }
            Err(error) => {
                let reason = error.to_string();
                asked.map(|(reply_to, _)| service::failure(reply_to, &reason)).collect()
            }
        };
        self.publish(&answers);
        if let Some(link) = &mut self.link {
            // an error says that the link has ended, which the next look for messages finds too
            let _ = link.ack(messages.len());
        }
    }

    /// Carries out a request, and adds the notices for those who observe the key at that moment.
    fn apply(
        &mut self,
        now: u64,
        client: Option<ClientRef>,
        request: &Request,
        notices: &mut Vec<Message>,
    ) -> Outcome {
        let outcome = self.store.apply(now, client, request);
        notices.extend(outcome.change.iter().flat_map(|change| self.notices(change)));
        outcome
    }

    /// Deletes what has expired and tells about it. Gives the time it is.
    fn expire(&mut self) -> u64 {
        let now = self.now();
        for change in self.store.expire(now) {
            self.show(&change);
            self.publish(&self.notices(&change));
        }
        now
    }

    /// Writes what requests changed. An error means that it has been undone.
    ///
    /// What expired is written along with the next change: it would only expire again.
    async fn save(&mut self) -> Result<(), StateStoreError> {
        if !self.store.is_changed() {
            return Ok(());
        }
        let changes = self.store.unsaved();
        let clock = self.store.clock().clone();
        let mut storage = self.storage.take().expect("it comes back from every commit");
        let (storage, committed) = blocking(move || {
            let committed = storage.commit(&changes, &clock);
            (storage, committed)
        })
        .await;
        self.storage = Some(storage);
        committed.map(|()| self.store.saved()).map_err(|error| {
            tracing::error!("a change of the state store is undone: {error}");
            self.store.undo();
            StateStoreError::NotWritten(error.to_string().into())
        })
    }

    /// Shows a change to those in this process who watch the key.
    fn show(&self, Change { key, value, version }: &Change) {
        if let Some(watch) = self.watches.get(key) {
            let version = version.clone();
            watch.send_replace(value.clone().map(|value| Versioned { value, version }));
        }
    }

    /// What the clients that observe a key are told.
    fn notices(&self, change: &Change) -> Vec<Message> {
        let Some(link) = &self.link else { return Vec::new() };
        let clients = self.store.observers_of(&change.key).filter_map(|client| link.client_id(client));
        clients.filter_map(|id| service::notification(&id, change)).collect()
    }

    /// Observers are clients of one broker.
    fn set_link(&mut self, link: Option<Link>) {
        self.store.keep_observers(|_| false);
        self.link = link;
    }

    fn publish(&self, messages: &[Message]) {
        // an error says that the link has ended, which the next look for messages finds too
        if let Some(link) = &self.link
            && let Ok(dropped @ 1..) = link.publish_now(messages)
        {
            tracing::warn!("{dropped} messages of the state store were dropped: their receivers do not read");
        }
    }

    fn watch(&mut self, key: Bytes) -> watch::Receiver<Option<Versioned>> {
        self.watches.retain(|_, watch| !watch.is_closed());
        let current = self.store.get(&key);
        let current = current.map(|e| Versioned { value: e.value.clone(), version: e.version.clone() });
        self.watches.entry(key).or_insert_with(|| watch::channel(current).0).subscribe()
    }

    fn until_expiry(&self) -> Duration {
        self.store
            .next_expiry()
            .map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(self.now())).min(SLEEP_MAX))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64 {
        let since = (self.wall_clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Does what may block a thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // the runtime ends, and this task with it
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Waits for messages; for ever if nobody is served.
async fn next(link: &mut Option<Link>) -> Result<Vec<Delivery>, LinkError> {
    match link {
        Some(link) => link.next(BATCH_MAX).await,
        None => std::future::pending().await,
    }
}
