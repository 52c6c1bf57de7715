//! Records of the journal are read as they were written, and damaged ones without a panic.

use bytes::Bytes;
use bytestring::ByteString;
use proptest::option;
use proptest::prelude::*;
use tidegate_core::Properties;
use tidegate_mqtt::PacketId;

use super::*;
use crate::core::journal::record::{Copy, MessageRecord};

fn text() -> impl Strategy<Value = ByteString> {
    "[a-zä/+#]{0,12}".prop_map(ByteString::from)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

fn qos() -> impl Strategy<Value = QoS> {
    (0..3u8).prop_map(|qos| QoS::from_number(qos).unwrap())
}

fn id() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|id| NonZeroU32::new(id).unwrap())
}

fn content() -> impl Strategy<Value = Message> {
    let payload = prop::collection::vec(any::<u8>(), 0..20);
    (text(), payload, any::<bool>(), qos(), any::<bool>(), option::of(any::<u32>())).prop_map(
        |(topic, payload, with_property, qos, retain, expiry_interval)| {
            // a User Property, a = b
            let properties: &[u8] = if with_property { b"\x26\0\x01a\0\x01b" } else { b"" };
            let properties = Properties::parse(Bytes::from_static(properties)).unwrap();
            Message { topic, payload: payload.into(), properties, qos, retain, expiry_interval }
        },
    )
}

fn will() -> impl Strategy<Value = Will> {
    (content(), any::<u32>()).prop_map(|(message, delay)| {
        let Message { topic, payload, properties, qos, retain, expiry_interval } = message;
        Will { topic, payload, properties, qos, retain, message_expiry: expiry_interval, delay }
    })
}

fn copy() -> impl Strategy<Value = Copy> {
    let flags = (qos(), any::<bool>(), any::<bool>());
    let sent = option::of((packet_id(), any::<bool>()));
    (any::<u32>(), any::<u64>(), flags, prop::collection::vec(id(), 0..4), option::of(text()), sent).prop_map(
        |(index, session, (qos, retain, from_store), ids, group, sent)| {
            let mut subscription_ids = SubscriptionIds::None;
            ids.into_iter().for_each(|id| subscription_ids.push(id));
            Copy { index, session, qos, retain, from_store, subscription_ids, group, sent }
        },
    )
}

fn subscription() -> impl Strategy<Value = (ByteString, Options)> {
    (text(), qos(), any::<bool>(), any::<bool>(), option::of(id())).prop_map(
        |(filter, qos, no_local, retain_as_published, id)| {
            (filter, Options { qos, no_local, retain_as_published, id })
        },
    )
}

fn session() -> impl Strategy<Value = SessionRecord> {
    let name = || option::of(text());
    let who = (any::<u64>(), text(), name(), name(), any::<u32>(), option::of(any::<u64>()));
    let received = prop::collection::vec(packet_id(), 0..4);
    let subscriptions = prop::collection::vec(subscription(), 0..4);
    (who, option::of(will()), received, subscriptions).prop_map(|(who, will, received, subscriptions)| {
        let (number, client_id, username, owner, expiry_interval, left_at) = who;
        SessionRecord {
            number,
            client_id,
            username,
            owner,
            expiry_interval,
            left_at,
            will,
            received,
            subscriptions,
        }
    })
}

fn message_record() -> impl Strategy<Value = MessageRecord> {
    let received = option::of((any::<u64>(), packet_id()));
    let copies = prop::collection::vec(copy(), 0..4);
    (any::<u64>(), any::<u64>(), any::<bool>(), received, content(), copies).prop_map(
        |(number, received_at, retained, received, message, copies)| MessageRecord {
            number,
            received_at,
            retained,
            received,
            message,
            copies,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let done = (any::<u64>(), any::<u32>()).prop_map(|(message, index)| CopyId { message, index });
    prop_oneof![
        session().prop_map(Record::Session),
        any::<u64>().prop_map(Record::Ended),
        (any::<u64>(), subscription())
            .prop_map(|(number, (filter, options))| Record::Subscribed(number, filter, options)),
        (any::<u64>(), text()).prop_map(|(number, filter)| Record::Unsubscribed(number, filter)),
        message_record().prop_map(Record::Message),
        (any::<u64>(), copy()).prop_map(|(number, copy)| Record::Copy(number, copy)),
        prop::collection::vec(done, 0..4).prop_map(Record::Done),
        (any::<u64>(), packet_id()).prop_map(|(number, id)| Record::Released(number, id)),
    ]
}

proptest! {
    #[test]
    fn records_are_read_as_written(
        record in record(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        len in any::<prop::sample::Index>(),
    ) {
        let mut written = Vec::new();
        record.put(&mut written);
        prop_assert_eq!(Record::parse(written.clone().into()), Ok(record));

        let _ = Record::parse(Bytes::copy_from_slice(&written[..len.index(written.len())]));
        for (at, byte) in changes {
            let at = at.index(written.len());
            written[at] = byte;
            // what is understood is written the same way again, and so means what it says
            if let Ok(read) = Record::parse(written.clone().into()) {
                let mut again = Vec::new();
                read.put(&mut again);
                prop_assert_eq!(&again, &written);
            }
        }
    }
}
