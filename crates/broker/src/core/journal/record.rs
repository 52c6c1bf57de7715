//! What the journal writes, as bytes.
//!
//! All numbers are little-endian. A record says what *is*, not what to change, wherever that costs little: then it does
//! not matter which older records of the same thing are still there when it is read.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Buf, BufMut, Bytes};
use bytestring::ByteString;
use tidegate_core::Properties;
use tidegate_mqtt::{PacketId, QoS, Will};

use crate::core::subscriptions::Options;
use crate::message::{Message, SubscriptionIds};

/// One copy of a message, by the number of the message and its place among the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CopyId {
    pub(crate) message: u64,
    pub(crate) index: u32,
}

impl CopyId {
    /// The copy that the retained store keeps.
    pub(crate) fn retained(message: u64) -> Self {
        Self { message, index: RETAINED }
    }
}

/// The index of the copy that the retained store keeps.
pub(crate) const RETAINED: u32 = u32::MAX;

/// A session's copy of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// From 1 on, below [`RETAINED`].
    pub(crate) index: u32,
    /// The number of the session.
    pub(crate) session: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) from_store: bool,
    pub(crate) subscription_ids: SubscriptionIds,
    /// The shared subscription it came by, as written.
    pub(crate) group: Option<ByteString>,
    /// What a QoS 2 copy was sent as, and whether its PUBREC has come.
    pub(crate) sent: Option<(PacketId, bool)>,
}

/// A message and who is to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageRecord {
    pub(crate) number: u64,
    /// Milliseconds since 1970.
    pub(crate) received_at: u64,
    /// Whether the retained store keeps it.
    pub(crate) retained: bool,
    /// The session that published it with QoS 2, and its packet identifier.
    pub(crate) received: Option<(u64, PacketId)>,
    pub(crate) message: Message,
    pub(crate) copies: Vec<Copy>,
}

/// A session without its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    pub(crate) number: u64,
    pub(crate) client_id: ByteString,
    pub(crate) username: Option<ByteString>,
    /// Who in this process it belongs to, if anybody.
    pub(crate) owner: Option<ByteString>,
    /// Session Expiry Interval in seconds.
    pub(crate) expiry_interval: u32,
    /// When its client went, in milliseconds since 1970; none while it is there.
    pub(crate) left_at: Option<u64>,
    pub(crate) will: Option<Will>,
    /// QoS 2 messages from the client whose PUBREL has not come.
    pub(crate) received: Vec<PacketId>,
    pub(crate) subscriptions: Vec<(ByteString, Options)>,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The session is now this.
    Session(SessionRecord),
    /// The session of this number has ended.
    Ended(u64),
    /// The session of this number subscribed.
    Subscribed(u64, ByteString, Options),
    /// The session of this number unsubscribed.
    Unsubscribed(u64, ByteString),
    /// The message is now this.
    Message(MessageRecord),
    /// The message of this number has this copy, in place of one of the same index.
    Copy(u64, Copy),
    /// These copies are done with.
    Done(Vec<CopyId>),
    /// The session of this number has released this message of its own.
    Released(u64, PacketId),
}

/// A record that says nothing this build understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const SESSION: u8 = 1;
const ENDED: u8 = 2;
const SUBSCRIBED: u8 = 3;
const UNSUBSCRIBED: u8 = 4;
const MESSAGE: u8 = 5;
const COPY: u8 = 6;
const DONE: u8 = 7;
const RELEASED: u8 = 8;

/// Appends a message, from its parts.
pub(crate) fn put_message(
    out: &mut Vec<u8>,
    number: u64,
    received_at: u64,
    retained: bool,
    received: Option<(u64, PacketId)>,
    message: &Message,
    copies: &[Copy],
) {
    out.put_u8(MESSAGE);
    out.put_u64_le(number);
    out.put_u64_le(received_at);
    out.put_u8(u8::from(retained));
    put_option(out, received, |out, (session, id)| {
        out.put_u64_le(session);
        out.put_u16_le(id.get());
    });
    put_content(out, message);
    out.put_u32_le(copies.len() as u32);
    copies.iter().for_each(|copy| put_copy(out, copy));
}

impl Record {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::Session(session) => put_session(out, session),
            Record::Ended(session) => {
                out.put_u8(ENDED);
                out.put_u64_le(*session);
            }
            Record::Subscribed(session, filter, options) => {
                out.put_u8(SUBSCRIBED);
                out.put_u64_le(*session);
                put_subscription(out, filter, options);
            }
            Record::Unsubscribed(session, filter) => {
                out.put_u8(UNSUBSCRIBED);
                out.put_u64_le(*session);
                put_bytes(out, filter.as_bytes());
            }
            Record::Message(MessageRecord { number, received_at, retained, received, message, copies }) => {
                put_message(out, *number, *received_at, *retained, *received, message, copies);
            }
            Record::Copy(message, copy) => {
                out.put_u8(COPY);
                out.put_u64_le(*message);
                put_copy(out, copy);
            }
            Record::Done(copies) => {
                out.put_u8(DONE);
                for CopyId { message, index } in copies {
                    out.put_u64_le(*message);
                    out.put_u32_le(*index);
                }
            }
            Record::Released(session, packet_id) => {
                out.put_u8(RELEASED);
                out.put_u64_le(*session);
                out.put_u16_le(packet_id.get());
            }
        }
    }

    pub(crate) fn parse(mut bytes: Bytes) -> Result<Self, Malformed> {
        let from = &mut bytes;
        let record = match u8(from)? {
            SESSION => Record::Session(session(from)?),
            ENDED => Record::Ended(u64(from)?),
            SUBSCRIBED => {
                let number = u64(from)?;
                let (filter, options) = subscription(from)?;
                Record::Subscribed(number, filter, options)
            }
            UNSUBSCRIBED => Record::Unsubscribed(u64(from)?, text(from)?),
            MESSAGE => Record::Message(MessageRecord {
                number: u64(from)?,
                received_at: u64(from)?,
                retained: flag(from)?,
                received: option(from, |from| Ok((u64(from)?, packet_id(from)?)))?,
                message: content(from)?,
                copies: list(from, copy)?,
            }),
            COPY => Record::Copy(u64(from)?, copy(from)?),
            DONE => {
                let mut copies = Vec::with_capacity(from.len() / 12);
                while !from.is_empty() {
                    copies.push(CopyId { message: u64(from)?, index: u32(from)? });
                }
                Record::Done(copies)
            }
            RELEASED => Record::Released(u64(from)?, packet_id(from)?),
            _ => return Err(Malformed),
        };
        if from.is_empty() { Ok(record) } else { Err(Malformed) }
    }
}

fn put_session(out: &mut Vec<u8>, session: &SessionRecord) {
    let SessionRecord {
        number,
        client_id,
        username,
        owner,
        expiry_interval,
        left_at,
        will,
        received,
        subscriptions,
    } = session;
    out.put_u8(SESSION);
    out.put_u64_le(*number);
    put_bytes(out, client_id.as_bytes());
    put_option(out, username.as_ref(), |out, name| put_bytes(out, name.as_bytes()));
    put_option(out, owner.as_ref(), |out, owner| put_bytes(out, owner.as_bytes()));
    out.put_u32_le(*expiry_interval);
    put_option(out, *left_at, |out, at| out.put_u64_le(at));
    put_option(out, will.clone(), |out, will| {
        let delay = will.delay;
        put_content(out, &will.into());
        out.put_u32_le(delay);
    });
    out.put_u32_le(received.len() as u32);
    received.iter().for_each(|id| out.put_u16_le(id.get()));
    out.put_u32_le(subscriptions.len() as u32);
    subscriptions.iter().for_each(|(filter, options)| put_subscription(out, filter, options));
}

fn session(from: &mut Bytes) -> Result<SessionRecord, Malformed> {
    Ok(SessionRecord {
        number: u64(from)?,
        client_id: text(from)?,
        username: option(from, text)?,
        owner: option(from, text)?,
        expiry_interval: u32(from)?,
        left_at: option(from, u64)?,
        will: option(from, |from| {
            let Message { topic, payload, properties, qos, retain, expiry_interval } = content(from)?;
            let message_expiry = expiry_interval;
            Ok(Will { topic, payload, properties, qos, retain, message_expiry, delay: u32(from)? })
        })?,
        received: list(from, packet_id)?,
        subscriptions: list(from, subscription)?,
    })
}

fn put_content(out: &mut Vec<u8>, message: &Message) {
    let Message { topic, payload, properties, qos, retain, expiry_interval } = message;
    out.put_u8(*qos as u8);
    out.put_u8(u8::from(*retain));
    put_option(out, *expiry_interval, |out, seconds| out.put_u32_le(seconds));
    put_bytes(out, topic.as_bytes());
    put_bytes(out, properties.as_bytes());
    put_bytes(out, payload);
}

fn content(from: &mut Bytes) -> Result<Message, Malformed> {
    Ok(Message {
        qos: qos(from)?,
        retain: flag(from)?,
        expiry_interval: option(from, u32)?,
        topic: text(from)?,
        properties: Properties::parse(bytes(from)?).map_err(|_| Malformed)?,
        payload: bytes(from)?,
    })
}

fn put_copy(out: &mut Vec<u8>, copy: &Copy) {
    let Copy { index, session, qos, retain, from_store, subscription_ids, group, sent } = copy;
    out.put_u32_le(*index);
    out.put_u64_le(*session);
    out.put_u8(*qos as u8);
    out.put_u8(u8::from(*retain));
    out.put_u8(u8::from(*from_store));
    let ids = subscription_ids.as_slice();
    out.put_u32_le(ids.len() as u32);
    ids.iter().for_each(|id| out.put_u32_le(id.get()));
    put_option(out, group.as_ref(), |out, group| put_bytes(out, group.as_bytes()));
    put_option(out, *sent, |out, (id, taken)| {
        out.put_u16_le(id.get());
        out.put_u8(u8::from(taken));
    });
}

fn copy(from: &mut Bytes) -> Result<Copy, Malformed> {
    Ok(Copy {
        index: u32(from)?,
        session: u64(from)?,
        qos: qos(from)?,
        retain: flag(from)?,
        from_store: flag(from)?,
        subscription_ids: {
            let mut ids = SubscriptionIds::None;
            for id in list(from, |from| NonZeroU32::new(u32(from)?).ok_or(Malformed))? {
                ids.push(id);
            }
            ids
        },
        group: option(from, text)?,
        sent: option(from, |from| Ok((packet_id(from)?, flag(from)?)))?,
    })
}

fn put_subscription(out: &mut Vec<u8>, filter: &ByteString, options: &Options) {
    let Options { qos, no_local, retain_as_published, id } = options;
    put_bytes(out, filter.as_bytes());
    out.put_u8(*qos as u8);
    out.put_u8(u8::from(*no_local));
    out.put_u8(u8::from(*retain_as_published));
    out.put_u32_le(id.map_or(0, NonZeroU32::get));
}

fn subscription(from: &mut Bytes) -> Result<(ByteString, Options), Malformed> {
    let filter = text(from)?;
    let options = Options {
        qos: qos(from)?,
        no_local: flag(from)?,
        retain_as_published: flag(from)?,
        id: NonZeroU32::new(u32(from)?),
    };
    Ok((filter, options))
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

fn u8(from: &mut Bytes) -> Result<u8, Malformed> {
    from.try_get_u8().map_err(|_| Malformed)
}

fn u32(from: &mut Bytes) -> Result<u32, Malformed> {
    from.try_get_u32_le().map_err(|_| Malformed)
}

fn u64(from: &mut Bytes) -> Result<u64, Malformed> {
    from.try_get_u64_le().map_err(|_| Malformed)
}

fn packet_id(from: &mut Bytes) -> Result<PacketId, Malformed> {
    NonZeroU16::new(from.try_get_u16_le().map_err(|_| Malformed)?).ok_or(Malformed)
}

fn flag(from: &mut Bytes) -> Result<bool, Malformed> {
    match u8(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

fn qos(from: &mut Bytes) -> Result<QoS, Malformed> {
    QoS::from_number(u8(from)?).ok_or(Malformed)
}

fn bytes(from: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = u32(from)? as usize;
    if len > from.len() { Err(Malformed) } else { Ok(from.split_to(len)) }
}

fn text(from: &mut Bytes) -> Result<ByteString, Malformed> {
    ByteString::try_from(bytes(from)?).map_err(|_| Malformed)
}

fn option<T>(
    from: &mut Bytes,
    read: impl FnOnce(&mut Bytes) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if flag(from)? { read(from).map(Some) } else { Ok(None) }
}

fn list<T>(
    from: &mut Bytes,
    mut read: impl FnMut(&mut Bytes) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let len = u32(from)? as usize;
    // every element takes a byte at least, so a length that lies takes no memory
    let mut items = Vec::with_capacity(len.min(from.len()));
    for _ in 0..len {
        items.push(read(from)?);
    }
    Ok(items)
}
