//! The thread that polls a consumer. It hands batches over as long as there is room for them, and goes on polling when
//! there is none, with its partitions paused: who does not poll is taken for dead and holds up the whole group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use tidegate_core::{ByteString, Record};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::client::Events;
use crate::failure::Failure;
use crate::records::incoming;

/// The most records and bytes of one batch.
const BATCH_RECORDS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 4 << 20;

/// How long one poll waits, and thus how long it may take to notice that the source was closed.
const POLL: Duration = Duration::from_millis(100);

/// How long there may be no room before the partitions are paused. Pausing throws away what librdkafka has fetched ahead,
/// so it is not for every hiccup; and it is well below `max.poll.interval.ms`.
const HOLD_AFTER: Duration = Duration::from_secs(5);

/// How long the group waits for its partitions until what was handed over of them is acknowledged.
const SETTLE_MAX: Duration = Duration::from_secs(10);

pub(crate) type Consumer = BaseConsumer<Events<Assignment>>;

/// The partitions that are this consumer's, and since which rebalance.
#[derive(Default)]
pub(crate) struct Assignment {
    state: Mutex<Assigned>,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    /// Batches that were handed over and are not acknowledged.
    batches: usize,
    /// Nothing more will be acknowledged.
    leaving: bool,
}

#[derive(Default)]
struct Assigned {
    /// How many rebalances there were.
    rebalances: u64,
    partitions: HashMap<(String, i32), Partition>,
}

#[derive(Clone, Copy)]
struct Partition {
    /// The rebalance it came with.
    generation: u64,
    /// Whether records of it have come since. Only then is it paused or resumed: librdkafka forgets the answer to where
    /// a partition begins if that happens while it asks, and never reads on.
    is_read: bool,
    is_paused: bool,
}

impl Assignment {
    /// Tells this assignment of a partition from an earlier one; `None` while another consumer may have it.
    pub(crate) fn generation(&self, topic: &str, partition: i32) -> Option<u64> {
        self.state.lock().partitions.get(&(topic.to_owned(), partition)).map(|p| p.generation)
    }

    /// The same for a partition of which there is a record.
    fn read(&self, topic: &str, partition: i32) -> Option<u64> {
        let mut state = self.state.lock();
        let partition = state.partitions.get_mut(&(topic.to_owned(), partition))?;
        partition.is_read = true;
        Some(partition.generation)
    }

    /// Those of which records have come, and that are to be paused or resumed for it to be as it should.
    fn to_change(&self, paused: bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), state) in &mut self.state.lock().partitions {
            if state.is_read && state.is_paused != paused {
                state.is_paused = paused;
                list.add_partition(topic, *partition);
            }
        }
        list
    }

    fn opened(&self) {
        self.open.lock().batches += 1;
    }

    /// A batch is acknowledged, and its offsets are stored; or it was not handed over after all.
    pub(crate) fn closed(&self) {
        self.open.lock().batches -= 1;
        self.changed.notify_all();
    }

    /// Nothing more will be acknowledged.
    pub(crate) fn leave(&self) {
        self.open.lock().leaving = true;
        self.changed.notify_all();
    }

    /// Waits until everything is acknowledged that will be; whether that was in time.
    fn settle(&self) -> bool {
        let mut open = self.open.lock();
        let goes_on = |open: &mut Open| open.batches > 0 && !open.leaving;
        !self.changed.wait_while_for(&mut open, goes_on, SETTLE_MAX).timed_out()
    }
}

impl ConsumerContext for Events<Assignment> {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            // so that the last commit has all of it, and nobody gets it again
            if !self.role.settle() {
                tracing::debug!("the group goes on before everything is acknowledged");
            }
            // a pause would outlive the assignment, and nobody would end it
            set_paused(consumer, false);
        }
        let mut state = self.role.state.lock();
        let Assigned { rebalances, partitions } = &mut *state;
        *rebalances += 1;
        let named = |list: &TopicPartitionList| {
            list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect::<Vec<_>>()
        };
        match rebalance {
            Rebalance::Assign(list) => {
                let new = Partition { generation: *rebalances, is_read: false, is_paused: false };
                partitions.extend(named(list).into_iter().map(|key| (key, new)));
            }
            Rebalance::Revoke(list) => named(list).iter().for_each(|key| {
                partitions.remove(key);
            }),
            Rebalance::Error(_) => {}
        }
        tracing::debug!(?rebalance, "the group shares out its partitions");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            // nothing to commit, or nobody there now: the next commit has the same offsets
            Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset | Code::WaitingForCoordinator)) => {}
            // what is not committed is delivered again
            Err(error) => tracing::warn!(%error, "offsets were not committed"),
        }
    }
}

/// Records, and how far they reach in their partitions.
pub(crate) struct Fetched {
    pub(crate) records: Vec<Record>,
    pub(crate) bytes: usize,
    pub(crate) positions: Vec<Position>,
}

/// The offset that follows the last record of a partition.
pub(crate) struct Position {
    pub(crate) topic: ByteString,
    pub(crate) partition: i32,
    pub(crate) next: i64,
    pub(crate) generation: Option<u64>,
}

/// What the thread needs.
pub(crate) struct Reader {
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) topics: Vec<ByteString>,
    pub(crate) batches: mpsc::Sender<Result<Fetched, Failure>>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The thread from outside: stops it when dropped.
pub(crate) struct Handle {
    stop: Arc<AtomicBool>,
    thread: Thread,
    /// Ends with the thread.
    pub(crate) ended: Option<oneshot::Receiver<()>>,
}

impl Handle {
    /// There is room for a batch.
    pub(crate) fn wake(&self) {
        self.thread.unpark();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Reader {
    /// Starts the thread; the answer says when it has seen its topics and subscribed.
    pub(crate) fn start(self) -> std::io::Result<(Handle, oneshot::Receiver<Result<(), Failure>>)> {
        let stop = self.stop.clone();
        let (subscribed, answer) = oneshot::channel();
        let (alive, ended) = oneshot::channel::<()>();
        let thread: JoinHandle<()> =
            std::thread::Builder::new().name("kafka-source".into()).spawn(move || {
                let connected = self.connect();
                let goes_on = connected.is_ok();
                if subscribed.send(connected).is_ok() && goes_on {
                    self.run();
                }
                while !self.is_stopped() {
                    std::thread::park();
                }
                // The last reference commits what was acknowledged and leaves the group, which takes a moment.
                drop(self);
                drop(alive);
            })?;
        Ok((Handle { stop, thread: thread.thread().clone(), ended: Some(ended) }, answer))
    }

    fn connect(&self) -> Result<(), Failure> {
        let monitor = &self.consumer.context().monitor;
        for topic in &self.topics {
            // Before it is subscribed, a poll serves nothing but events: errors, and the wish for a token.
            monitor.find_topic(self.consumer.client(), topic, || {
                if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(10))
                    && let Some(code) = error.rdkafka_error_code()
                {
                    monitor.note(code);
                }
            })?;
        }
        let topics: Vec<&str> = self.topics.iter().map(|t| &**t).collect();
        self.consumer.subscribe(&topics).map_err(|e| Failure::unusable(&e))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&self) {
        while !self.is_stopped() {
            let result = match self.consumer.poll(POLL) {
                None => continue,
                Some(Ok(first)) => Ok(self.fetch(&first)),
                Some(Err(error)) => match self.is_serious(&error) {
                    None => continue,
                    Some(failure) => Err(failure),
                },
            };
            let failed = result.is_err();
            self.hand_over(result);
            if failed {
                return;
            }
        }
    }

    /// The first record and what else is there already.
    fn fetch(&self, first: &BorrowedMessage<'_>) -> Fetched {
        let mut fetched = Fetched { records: Vec::new(), bytes: 0, positions: Vec::new() };
        let now = Instant::now();
        self.take(first, now, &mut fetched);
        while fetched.records.len() < BATCH_RECORDS_MAX && fetched.bytes < BATCH_BYTES_MAX {
            // An error that stays comes again; a rebalance ends the batch, too.
            let Some(Ok(message)) = self.consumer.poll(Duration::ZERO) else { break };
            self.take(&message, now, &mut fetched);
        }
        fetched
    }

    fn take(&self, message: &BorrowedMessage<'_>, now: Instant, fetched: &mut Fetched) {
        let (partition, next) = (message.partition(), message.offset() + 1);
        let topic = self.topics.iter().find(|t| ***t == *message.topic()).cloned();
        let topic = topic.unwrap_or_else(|| message.topic().into());
        match fetched.positions.iter_mut().find(|p| p.partition == partition && p.topic == topic) {
            Some(position) => position.next = next,
            None => {
                let generation = self.consumer.context().role.read(&topic, partition);
                fetched.positions.push(Position { topic: topic.clone(), partition, next, generation });
            }
        }
        fetched.bytes += message.payload_len() + message.key_len();
        fetched.records.push(incoming(message, topic, now));
    }

    /// What an error means, if it is one that librdkafka does not get over by itself.
    fn is_serious(&self, error: &KafkaError) -> Option<Failure> {
        let monitor = &self.consumer.context().monitor;
        match error.rdkafka_error_code()? {
            // It joins the group again by itself.
            Code::PollExceeded | Code::AssignmentLost | Code::RebalanceInProgress => None,
            code => {
                let failure = monitor.note(code);
                if failure.refused || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                    return Some(failure);
                }
                // One of several brokers may be down, or a connection was idle. Whether anybody is there can be asked.
                self.topics
                    .iter()
                    .try_for_each(|topic| monitor.find_topic(self.consumer.client(), topic, || {}))
                    .err()
            }
        }
    }

    fn offer(&self, result: Result<Fetched, Failure>) -> Result<(), TrySendError<Result<Fetched, Failure>>> {
        let assignment = &self.consumer.context().role;
        assignment.opened();
        self.batches.try_send(result).inspect_err(|_| assignment.closed())
    }

    /// Waits until there is room; from some time on with all partitions paused.
    fn hand_over(&self, result: Result<Fetched, Failure>) {
        let mut held = match self.offer(result) {
            Ok(()) | Err(TrySendError::Closed(_)) => return,
            Err(TrySendError::Full(held)) => held,
        };
        let started = Instant::now();
        while !self.is_stopped() {
            let left = HOLD_AFTER.saturating_sub(started.elapsed());
            if left.is_zero() {
                return self.hold(held);
            }
            std::thread::park_timeout(left);
            held = match self.offer(held) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(held)) => held,
            };
        }
    }

    fn hold(&self, first: Result<Fetched, Failure>) {
        let mut held = std::collections::VecDeque::from([first]);
        set_paused(&self.consumer, true);
        while !self.is_stopped() {
            while let Some(next) = held.pop_front() {
                match self.offer(next) {
                    Ok(()) => {}
                    Err(TrySendError::Closed(_)) => return,
                    Err(TrySendError::Full(next)) => {
                        held.push_front(next);
                        break;
                    }
                }
            }
            if held.is_empty() {
                break;
            }
            match self.consumer.poll(POLL) {
                // What had been fetched before the pause, or of a partition that has come since.
                Some(Ok(message)) => {
                    held.push_back(Ok(self.fetch(&message)));
                    set_paused(&self.consumer, true);
                }
                Some(Err(error)) => {
                    if let Some(failure) = self.is_serious(&error) {
                        held.push_back(Err(failure));
                    }
                }
                None => {}
            }
        }
        set_paused(&self.consumer, false);
    }
}

/// Pauses what is read, or resumes what is paused.
fn set_paused(consumer: &BaseConsumer<Events<Assignment>>, paused: bool) {
    let list = consumer.context().role.to_change(paused);
    let result = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
    if let Err(error) = result {
        tracing::warn!(%error, paused, "partitions were not paused or resumed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_waited_for_unless_nothing_more_comes() {
        for end in [Assignment::closed, Assignment::leave] {
            let assignment = Assignment::default();
            assignment.opened();
            std::thread::scope(|scope| {
                let settled = scope.spawn(|| assignment.settle());
                end(&assignment);
                assert!(settled.join().unwrap(), "in time");
            });
        }
    }
}
