//! One network connection after its CONNACK: bytes in, the protocol machine, the core once a round, bytes out.
//!
//! It is one future, polled when bytes can be read or written, when the core calls, and when its timer goes off. It
//! knows no rule of the broker: those are the core's.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use tidegate_mqtt::flow::Receipt;
use tidegate_mqtt::server::{self, Event};
use tidegate_mqtt::topic::Shared as SharedFilter;
use tidegate_mqtt::{
    Disconnect, EncodeError, Output, PacketId, Publish, QoS, ReasonCode, Sent, Subscribe, Unsubscribe,
    Version, Violation,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, timeout};

use crate::access::Rights;
use crate::broker::{Shared, now};
use crate::core::{Attachment, CopyId, Core, Leave, Load, Publisher, Queued, Verdict};
use crate::message::{Message, Publication};

/// What is read at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// While so much waits to be written, nothing more is taken from the session's queue.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// A client that does not read so much in answers is not read either.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// After so many rounds it is another client's turn.
const ROUNDS_MAX: usize = 16;
/// A poll that reads and writes less than this gives buffers back.
const LIGHT_BYTES_MAX: usize = 4096;
/// How long a client that is told to go may take to read so.
const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(2);

/// Any transport.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Any transport, opened.
pub(crate) type Transport = Box<dyn Stream>;

/// A client that was let in.
pub(crate) struct Admitted {
    pub(crate) client_id: ByteString,
    pub(crate) rights: Rights,
    pub(crate) attachment: Attachment,
    pub(crate) machine: server::Connection<Queued>,
    /// Read behind the CONNECT.
    pub(crate) input: BytesMut,
    /// How many records of the log must be on disk before the CONNACK goes out.
    pub(crate) demand: Option<u64>,
}

/// Serves a client until the connection is over, and gives its session back.
pub(crate) async fn serve(shared: &Shared, stream: &mut Transport, client: Box<Admitted>) {
    let Admitted { client_id, rights, attachment, machine, input, demand } = *client;
    let mut connection = Connection {
        shared,
        stream,
        client_id,
        rights,
        attachment,
        machine,
        input,
        work: VecDeque::new(),
        work_bytes: 0,
        waits_since: None,
        finished: Vec::new(),
        taken: Vec::new(),
        gone: Load::default(),
        done: Vec::new(),
        sent: Vec::new(),
        released: Vec::new(),
        held: Held::default(),
        tally: Tally::default(),
        reply_bytes: 0,
        moved_bytes: 0,
        unflushed: false,
        timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
    };
    connection.held.hold(0, demand);
    let end = poll_fn(|cx| connection.poll(cx)).await;
    // Boxed, as it would otherwise make every connection larger.
    Box::pin(connection.close(end)).await;
}

struct Connection<'a> {
    shared: &'a Shared,
    stream: &'a mut Transport,
    client_id: ByteString,
    rights: Rights,
    attachment: Attachment,
    machine: server::Connection<Queued>,
    input: BytesMut,
    /// What the client asked for and has not got, in its order.
    work: VecDeque<Work>,
    work_bytes: usize,
    /// Since when the first of `work`, a publish, waits for room in a queue.
    waits_since: Option<Instant>,
    /// Publishes that are decided on and not yet answered.
    finished: Vec<(Receipt, ReasonCode)>,
    /// What was taken from the session's queue and not yet sent.
    taken: Vec<Queued>,
    /// What the client is done with and the core has not been told of.
    gone: Load,
    /// Those of them that the journal has.
    done: Vec<CopyId>,
    /// QoS 2 copies of the journal that were sent as that, or whose PUBREC has come.
    sent: Vec<(CopyId, PacketId, bool)>,
    /// QoS 2 messages that the client has released.
    released: Vec<PacketId>,
    held: Held,
    tally: Tally,
    /// Answers among what waits to be written, at most.
    reply_bytes: usize,
    /// Read and written in this poll.
    moved_bytes: usize,
    unflushed: bool,
    /// Goes off when something is due, or before.
    timer: Pin<Box<Sleep>>,
}

/// What is to be written and may not be before the log is on disk.
#[derive(Default)]
struct Held {
    /// How many bytes were written.
    written: u64,
    /// From which byte on it has to wait for how many records. Both ascend.
    from: VecDeque<(u64, u64)>,
    /// For the first of them.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Held {
    /// What is written after the next `after` bytes waits for so many records.
    fn hold(&mut self, after: usize, records: Option<u64>) {
        if let Some(records) = records {
            self.from.push_back((self.written + after as u64, records));
        }
    }

    /// How many bytes may be written now. If not all, has `cx` called when there are more.
    fn poll_free(&mut self, shared: &Shared, cx: &mut Context<'_>) -> usize {
        while let Some((from, records)) = self.from.front() {
            let wait = self.wait.get_or_insert_with(|| Box::pin(shared.durable(*records)));
            if wait.as_mut().poll(cx).is_pending() {
                return usize::try_from(from - self.written).unwrap_or(usize::MAX);
            }
            self.wait = None;
            self.from.pop_front();
        }
        usize::MAX
    }
}

/// Something a client asks for.
enum Work {
    Publish(Arc<Publication>, Option<Receipt>),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Disconnect(ReasonCode),
}

impl Work {
    /// About what it takes of the memory.
    fn size(&self) -> usize {
        let content = match self {
            Work::Publish(publication, _) => publication.message.size(),
            Work::Subscribe(subscribe) => subscribe.subscriptions.iter().map(|s| s.filter.len() + 64).sum(),
            Work::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().map(|f| f.len() + 64).sum(),
            Work::Disconnect(_) => 0,
        };
        content + 64
    }
}

/// What the counters are to be told.
#[derive(Default)]
struct Tally {
    messages_received: u64,
    bytes_received: u64,
    bytes_sent: u64,
    too_large: u64,
    not_authorized: u64,
}

impl Tally {
    fn settle(&mut self, core: &mut Core) {
        let (counters, dropped) = (&mut core.counters, &mut core.spent.dropped);
        let Tally { messages_received, bytes_received, bytes_sent, too_large, not_authorized } =
            std::mem::take(self);
        counters.messages_received += messages_received;
        counters.bytes_received += bytes_received;
        counters.bytes_sent += bytes_sent;
        dropped.too_large += too_large;
        dropped.not_authorized += not_authorized;
    }
}

/// Why a connection is over.
enum End {
    /// The client says so.
    Disconnect(ReasonCode),
    /// The transport is closed or broken.
    Closed(io::Error),
    /// The client broke a rule; its machine has the DISCONNECT ready.
    Violation(Violation),
    /// The broker wants it so.
    Dismissed(ReasonCode),
}

impl Connection<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.moved_bytes = 0;
        for _ in 0..ROUNDS_MAX {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => {
                    if self.moved_bytes < LIGHT_BYTES_MAX {
                        self.shrink();
                    }
                    return Poll::Pending;
                }
                Err(end) => return Poll::Ready(end),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads, decodes, works, writes, looks at the time. `false` if there is nothing more to do before the next call.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let now = now();
        let read = self.read(cx)?;
        let unwritten = self.machine.output().len();
        self.decode(now)?;
        let shared = self.shared;
        let (worked, demand) = shared.with_demand(|core| self.work(core, cx, now));
        self.held.hold(unwritten, demand);
        // Even if the connection ends now: what was accepted is not to come again.
        for (receipt, reason) in self.finished.drain(..) {
            self.machine.finish(receipt, reason);
        }
        worked?;
        self.reply_bytes += self.machine.output().len() - unwritten;
        self.send(now);
        if !self.sent.is_empty() {
            // nothing of QoS 2 goes out under an identifier that could be forgotten
            let ((), demand) = shared.with_demand(|core| self.note_sent(core));
            self.held.hold(unwritten, demand);
        }
        let wrote = self.write(cx)?;
        Ok(read || wrote || self.gone != Load::default() || self.is_due(cx, now)?)
    }

    /// While a publish waits, the client is read on only so far: acknowledgements behind it may be what makes room.
    fn is_far_ahead(&self) -> bool {
        self.waits_since.is_some() && self.work_bytes >= self.shared.config.limits.read_ahead_bytes_max
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.is_far_ahead() || self.reply_bytes >= REPLY_BYTES_MAX {
            return Ok(false);
        }
        // On the stack, so that a connection that is idle keeps no buffer.
        let mut buffer = [MaybeUninit::uninit(); READ_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        match Pin::new(&mut *self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(End::Closed(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Err(End::Closed(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(buffer.filled());
                self.tally.bytes_received += buffer.filled().len() as u64;
                self.moved_bytes += buffer.filled().len();
                Ok(true)
            }
        }
    }

    fn decode(&mut self, now: Instant) -> Result<(), End> {
        while !self.is_far_ahead()
            && !matches!(self.work.back(), Some(Work::Disconnect(_)))
            && let Some(event) = self.machine.receive(&mut self.input, now).map_err(End::Violation)?
        {
            let work = match event {
                Event::Delivered(delivered) => {
                    self.gone += delivered.message.load();
                    self.done.extend(delivered.message.id());
                    continue;
                }
                Event::Taken(packet_id) => {
                    let copy = self.machine.in_flight(packet_id).and_then(Queued::id);
                    self.sent.extend(copy.map(|copy| (copy, packet_id, true)));
                    continue;
                }
                Event::Released(packet_id) => {
                    self.released.push(packet_id);
                    continue;
                }
                Event::Publish(publish, receipt) => {
                    self.tally.messages_received += 1;
                    match self.check_publish(&publish) {
                        Ok(()) => Work::Publish(publication(publish, self.attachment, now), receipt),
                        Err(reason) => {
                            self.refuse_publish(receipt, reason)?;
                            continue;
                        }
                    }
                }
                Event::Subscribe(subscribe) => Work::Subscribe(subscribe),
                Event::Unsubscribe(unsubscribe) => Work::Unsubscribe(unsubscribe),
                Event::Disconnect(disconnect) => Work::Disconnect(disconnect.reason),
                // Enhanced authentication was refused at the CONNECT.
                Event::Auth(_) => return Err(End::Dismissed(ReasonCode::BadAuthenticationMethod)),
            };
            self.work_bytes += work.size();
            self.work.push_back(work);
        }
        Ok(())
    }

    fn check_publish(&self, publish: &Publish) -> Result<(), ReasonCode> {
        if publish.topic.split('/').count() > self.shared.config.limits.topic_levels_max {
            return Err(ReasonCode::TopicNameInvalid);
        }
        if self.rights.may_publish(&publish.topic) { Ok(()) } else { Err(ReasonCode::NotAuthorized) }
    }

    fn refuse_publish(&mut self, receipt: Option<Receipt>, reason: ReasonCode) -> Result<(), End> {
        match receipt {
            // v3.1.1 has no other way to say so.
            Some(_) if self.machine.version() == Version::V311 => return Err(End::Dismissed(reason)),
            Some(receipt) => self.machine.finish(receipt, reason),
            None if reason == ReasonCode::NotAuthorized => self.tally.not_authorized += 1,
            None => return Err(End::Dismissed(reason)),
        }
        Ok(())
    }

    /// What needs the lock.
    fn work(&mut self, core: &mut Core, cx: &mut Context<'_>, now: Instant) -> Result<(), End> {
        let at = self.attachment;
        core.release(at, self.gone).map_err(End::Dismissed)?;
        self.gone = Load::default();
        core.spent.done.append(&mut self.done);
        self.note_sent(core);
        for packet_id in self.released.drain(..) {
            core.released(at, packet_id).map_err(End::Dismissed)?;
        }
        self.tally.settle(core);
        while let Some(work) = self.work.pop_front() {
            let size = work.size();
            match work {
                Work::Publish(publication, receipt) => {
                    match self.publish(core, &publication, receipt.as_ref(), cx, now) {
                        Verdict::Accepted { matched } => {
                            self.waits_since = None;
                            let reason =
                                if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
                            self.finished.extend(receipt.map(|receipt| (receipt, reason)));
                        }
                        Verdict::Refused(reason) => {
                            self.waits_since = None;
                            self.refuse_publish(receipt, reason)?;
                        }
                        Verdict::Wait => {
                            self.waits_since.get_or_insert(now);
                            self.work.push_front(Work::Publish(publication, receipt));
                            break;
                        }
                    }
                }
                Work::Subscribe(subscribe) => self.subscribe(core, &subscribe, now)?,
                Work::Unsubscribe(unsubscribe) => self.unsubscribe(core, &unsubscribe)?,
                Work::Disconnect(reason) => return Err(End::Disconnect(reason)),
            }
            self.work_bytes -= size;
        }
        let room = self.machine.room();
        let bytes = OUTPUT_BYTES_MAX.saturating_sub(self.machine.output().len());
        core.take(at, room, bytes, now, &mut self.taken).map_err(End::Dismissed)
    }

    fn note_sent(&mut self, core: &mut Core) {
        for (copy, packet_id, taken) in self.sent.drain(..) {
            core.sent(copy, packet_id, taken);
        }
    }

    fn publish(
        &self,
        core: &mut Core,
        publication: &Arc<Publication>,
        receipt: Option<&Receipt>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Verdict {
        let exactly_once = receipt.and_then(Receipt::exactly_once);
        let publisher = Publisher { waker: cx.waker(), patient: false, exactly_once };
        match self.waits_since {
            Some(since) if now >= since + self.shared.config.limits.publish_wait_max => {
                core.accept_or_refuse(publisher, publication, now)
            }
            _ => core.accept(publisher, publication, now),
        }
    }

    fn subscribe(&mut self, core: &mut Core, subscribe: &Subscribe, now: Instant) -> Result<(), End> {
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        for subscription in &subscribe.subscriptions {
            let filter = &subscription.filter;
            let reason =
                if self.rights.may_subscribe(SharedFilter::parse(filter).map_or(filter, |s| s.filter)) {
                    core.subscribe(self.attachment, subscription, subscribe.subscription_id, now)
                        .map_err(End::Dismissed)?
                } else {
                    ReasonCode::NotAuthorized
                };
            reasons.push(reason);
        }
        self.machine.suback(subscribe.packet_id, reasons).map_err(too_large)
    }

    fn unsubscribe(&mut self, core: &mut Core, unsubscribe: &Unsubscribe) -> Result<(), End> {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            reasons.push(core.unsubscribe(self.attachment, filter).map_err(End::Dismissed)?);
        }
        self.machine.unsuback(unsubscribe.packet_id, reasons).map_err(too_large)
    }

    fn send(&mut self, now: Instant) {
        for copy in self.taken.drain(..) {
            let (load, id, qos) = (copy.load(), copy.id(), copy.qos);
            match self.machine.send(copy, now) {
                Sent::InFlight(packet_id) if qos == QoS::ExactlyOnce => {
                    self.sent.extend(id.map(|id| (id, packet_id, false)));
                }
                Sent::InFlight(_) => {}
                Sent::Done(_) => self.gone += load,
                Sent::Refused(..) => {
                    self.gone += load;
                    self.done.extend(id);
                    self.tally.too_large += 1;
                }
                Sent::NoRoom(_) => unreachable!("no more is taken than there is room for"),
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut wrote = false;
        let output = self.machine.output();
        let mut free = if output.is_empty() { 0 } else { self.held.poll_free(self.shared, cx) };
        while free > 0 && !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let count = output.chunks_vectored(&mut slices);
            let stream = Pin::new(&mut *self.stream);
            let written = match &slices[..count] {
                _ if free < output.len() => {
                    let chunk = output.chunk();
                    stream.poll_write(cx, &chunk[..free.min(chunk.len())])
                }
                [slice] => stream.poll_write(cx, slice),
                slices => stream.poll_write_vectored(cx, slices),
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(End::Closed(error)),
                Poll::Ready(Ok(0)) => return Err(End::Closed(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => {
                    output.advance(bytes);
                    free -= bytes;
                    self.held.written += bytes as u64;
                    self.tally.bytes_sent += bytes as u64;
                    self.moved_bytes += bytes;
                    wrote = true;
                }
            }
        }
        if output.is_empty() {
            self.reply_bytes = 0;
        }
        self.unflushed |= wrote;
        if self.unflushed {
            match Pin::new(&mut *self.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(flushed) => {
                    flushed.map_err(End::Closed)?;
                    self.unflushed = false;
                }
            }
        }
        Ok(wrote)
    }

    /// Whether something is due; if not, has `cx` called when it is.
    fn is_due(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        let mut deadline = self.waits_since.map(|since| since + self.shared.config.limits.publish_wait_max);
        // A client that is not read can't show that it lives.
        if !self.is_far_ahead() {
            self.machine.tick(now).map_err(End::Violation)?;
            deadline = deadline.into_iter().chain(self.machine.deadline()).min();
        }
        let Some(deadline) = deadline else { return Ok(false) };
        let set_to = self.timer.deadline().into_std();
        if set_to <= now || deadline < set_to {
            self.timer.as_mut().reset(deadline.into());
        }
        Ok(self.timer.as_mut().poll(cx).is_ready())
    }

    /// Gives memory back that a client needed while there was more to do.
    fn shrink(&mut self) {
        if self.machine.output().is_empty() {
            *self.machine.output() = Output::default();
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.work.is_empty() {
            self.work = VecDeque::new();
        }
        self.finished = Vec::new();
        self.taken = Vec::new();
    }

    async fn close(mut self, end: End) {
        let mut leave = Leave { without_will: false, expiry_interval: self.machine.session_expiry() };
        match &end {
            End::Disconnect(reason) => {
                leave.without_will = *reason == ReasonCode::Success;
                tracing::debug!(client = %self.client_id, %reason, "client disconnected");
            }
            End::Closed(error) => tracing::debug!(client = %self.client_id, %error, "connection lost"),
            End::Violation(violation) => {
                tracing::info!(client = %self.client_id, %violation, "client broke the protocol");
            }
            End::Dismissed(reason) => {
                tracing::info!(client = %self.client_id, %reason, "client disconnected by the broker");
                self.machine.disconnect(Disconnect::new(*reason));
            }
        }
        let mut output = std::mem::take(self.machine.output());
        let held = self.held.from.back().copied();
        let (shared, sent) = (self.shared, std::mem::take(&mut self.sent));
        let mut flow = self.machine.into_session();
        // Publishes that were not answered come again and are new then.
        flow.inbound.forget_unfinished();
        shared.with(|core| {
            self.tally.settle(core);
            core.spent.done.append(&mut self.done);
            sent.into_iter().for_each(|(copy, packet_id, taken)| core.sent(copy, packet_id, taken));
            core.detach(self.attachment, flow, self.gone, leave, now());
        });
        if matches!(end, End::Closed(_)) {
            return;
        }
        if let Some((_, records)) = held
            && timeout(FAREWELL_WAIT_MAX, shared.durable(records)).await.is_err()
        {
            // what is not on disk by then is not said
            return;
        }
        farewell(self.stream, &mut output).await;
    }
}

/// Writes the last there is to say and closes. What the client still sends is read for a while, as its system would
/// otherwise throw our words away along with the connection.
pub(crate) async fn farewell(stream: &mut Transport, output: &mut Output) {
    let farewell = async {
        stream.write_all_buf(output).await?;
        stream.shutdown().await?;
        while stream.read(&mut [0; 1024]).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever does not listen does not hear why.
    let _ = timeout(FAREWELL_WAIT_MAX, farewell).await;
}

fn publication(publish: Publish, publisher: Attachment, now: Instant) -> Arc<Publication> {
    let Publish { topic, payload, properties, qos, retain, message_expiry, .. } = publish;
    let message = Message { topic, payload, properties, qos, retain, expiry_interval: message_expiry };
    Arc::new(Publication::new(message, Some(publisher), now))
}

/// An answer does not fit into the packets that the client takes.
fn too_large(_: EncodeError) -> End {
    End::Dismissed(ReasonCode::PacketTooLarge)
}
