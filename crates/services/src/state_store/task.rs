//! The task that owns the store: for the handles in this process, and for the clients of a broker.
//!
//! All requests that wait while one commit is on its way to the disk go into the next one together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_broker::{ClientRef, Delivery, Link, LinkError, Message};
use tokio::sync::{mpsc, oneshot, watch};

use super::handle::{Options, StateStoreError, Versioned};
use super::reply::Change;
use super::request::Request;
use super::service::{self, Incoming};
use super::storage::{Saved, Storage, StorageError};
use super::store::{Outcome, Store};

/// Requests in one commit, and calls that wait for the task.
const BATCH_MAX: usize = 1024;

/// The longest sleep until a key expires, should the wall clock be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What handles ask for.
pub(super) enum Call {
    /// To carry out a request.
    Request(Request, oneshot::Sender<Result<Outcome, StateStoreError>>),
    /// To show a key from now on.
    Watch(Bytes, oneshot::Sender<watch::Receiver<Option<Versioned>>>),
    /// To serve a broker.
    Serve(Link),
    /// To end.
    ShutDown(oneshot::Sender<()>),
}

/// Reads what the storage holds and starts the task. It runs until it is told to end, or nobody can call it.
pub(super) async fn start(
    mut storage: Box<dyn Storage>,
    options: Options,
) -> Result<mpsc::Sender<Call>, StorageError> {
    let (storage, loaded) = blocking(move || {
        let loaded = storage.load();
        (storage, loaded)
    })
    .await;
    let Saved { entries, clock } = loaded?;
    let (sender, calls) = mpsc::channel(BATCH_MAX);
    let task = Task {
        store: Store::new(entries, clock, options.limits),
        storage: Some(storage),
        watches: HashMap::new(),
        link: None,
        wall_clock: options.wall_clock,
    };
    tokio::spawn(task.run(calls));
    Ok(sender)
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
