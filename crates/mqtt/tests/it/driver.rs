//! A client and a server machine that talk to each other as a script of bytes says: publish, subscribe, lose the
//! connection, come back, wait, and hear what nobody said. Random tests and fuzz targets share it.
//!
//! Whatever the script, nothing panics, and who sees a rule broken says so in its last packet. As long as no byte was
//! tampered with, nobody sees a rule broken, and in the end every message has arrived, those of QoS 2 once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tidegate_core::{ByteString, Properties, Secret};
use tidegate_mqtt::flow::{Receipt, Session};
use tidegate_mqtt::{client, server, *};

const TOPICS: [&str; 3] = ["a", "plant/line7/press", "$t/x"];

const LARGE: usize = 20_000;

/// Decodes whatever it is given; what can be decoded can be encoded, and means the same then.
pub(crate) fn decode_anything(data: &[u8]) {
    for mut decoder in [
        Decoder::for_client(Version::V311, 1 << 16),
        Decoder::for_client(Version::V5, 1 << 16),
        Decoder::for_server(1 << 16),
    ] {
        let mut input = BytesMut::from(data);
        while let Ok(Some(packet)) = decoder.decode(&mut input) {
            let version = decoder.version().expect("a packet tells the version");
            let mut again = BytesMut::new();
            encode(&packet, version, &mut again).expect("what was decoded can be encoded");
            assert_eq!(decoder.decode(&mut again), Ok(Some(packet)));
        }
    }
}

/// Runs a script to its end.
pub(crate) fn drive(script: &[u8]) {
    let mut script = Script(script);
    let mut world = World::new(&mut script);
    while let Some(step) = script.next() {
        world.step(step, &mut script);
    }
    world.come_to_rest();
}

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `end`; 0 when the script is over.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % end
    }
}

#[derive(Clone, Debug)]
struct Message {
    number: u32,
    qos: QoS,
    topic: &'static str,
    payload: Bytes,
    properties: Properties,
}

impl Outgoing for Message {
    fn parts(&self, _now: Instant) -> PublishParts<'_> {
        PublishParts {
            dup: false,
            qos: self.qos,
            retain: false,
            topic: self.topic,
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            properties: &self.properties,
            payload: &self.payload,
        }
    }
}

/// What one side sent, and what of the other's it received.
#[derive(Default)]
struct Books {
    numbers: u32,
    waiting: VecDeque<Message>,
    /// Messages of QoS 1 and 2 that the machine took, by number.
    sent: HashMap<u32, QoS>,
    done: HashMap<u32, ReasonCode>,
    received: HashMap<u32, u32>,
    refused: HashSet<u32>,
    unfinished: Vec<(u32, Receipt)>,
}

impl Books {
    fn write(&mut self, qos: QoS, large: bool) {
        let number = self.numbers;
        self.numbers += 1;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(if large { LARGE } else { 10 }, 0);
        let topic = TOPICS[number as usize % TOPICS.len()];
        let properties = Properties::default();
        self.waiting.push_back(Message { number, qos, topic, payload: payload.into(), properties });
    }

    fn send(&mut self, tampered: bool, mut send: impl FnMut(Message) -> Sent<Message>) {
        while let Some(message) = self.waiting.pop_front() {
            let (number, qos) = (message.number, message.qos);
            match send(message) {
                Sent::NoRoom(message) => return self.waiting.push_front(message),
                Sent::InFlight(_) => drop(self.sent.insert(number, qos)),
                Sent::Done(_) => {}
                Sent::Refused(message, reason) => {
                    let too_large = (reason, message.payload.len()) == (ReasonCode::PacketTooLarge, LARGE);
                    assert!(too_large || tampered, "{reason}");
                }
            }
        }
    }

    fn finished(&mut self, delivered: &Delivered<Message>) {
        let before = self.done.insert(delivered.message.number, delivered.reason);
        assert_eq!(before, None, "done once");
    }

    fn finish(&mut self, script: &mut Script<'_>) -> Option<(Receipt, ReasonCode)> {
        if self.unfinished.is_empty() {
            return None;
        }
        let (number, receipt) = self.unfinished.swap_remove(script.below(self.unfinished.len()));
        let reason = [ReasonCode::Success, ReasonCode::NotAuthorized][script.below(2)];
        if reason.is_failure() {
            self.refused.insert(number);
        }
        Some((receipt, reason))
    }

    fn at_rest(&self) -> bool {
        self.waiting.is_empty() && self.done.len() == self.sent.len() && self.unfinished.is_empty()
    }

    fn check_arrived(&self, peer: &Books) {
        assert!(self.at_rest(), "everything comes to its end");
        for (number, qos) in &self.sent {
            let times = peer.received.get(number).copied().unwrap_or(0);
            let again = *qos == QoS::AtLeastOnce || peer.refused.contains(number);
            assert!(times == 1 || times > 1 && again, "{number} of {qos:?}: {times} times");
            assert!(self.done.contains_key(number));
        }
    }

    fn receive(&mut self, publish: &Publish, receipt: Option<Receipt>, tampered: bool) {
        let number = publish.payload.get(..4).map_or(0, |mut bytes| bytes.get_u32());
        self.unfinished.extend(receipt.map(|receipt| (number, receipt)));
        if tampered {
            return;
        }
        assert_eq!(
            publish.topic,
            TOPICS[number as usize % TOPICS.len()],
            "aliases stand for the right topics"
        );
        let count = self.received.entry(number).or_default();
        *count += 1;
        let once = publish.qos == QoS::ExactlyOnce && !self.refused.contains(&number);
        assert!(
            *count == 1 || !once,
            "QoS 2 arrives once, unless the sender may not know that it was refused"
        );
    }
}

enum Client {
    Asking(Box<client::Handshake>),
    On(Box<client::Connection<Message>>),
}

enum Server {
    Asked(Box<server::Handshake>),
    On(Box<server::Connection<Message>>),
}

struct World {
    version: Version,
    connect: Connect,
    limits: server::Limits,
    now: Instant,
    /// None while there is no connection.
    client: Option<Client>,
    server: Option<Server>,
    /// None while the connection has it.
    client_session: Option<Session<Message>>,
    server_session: Option<Session<Message>>,
    client_books: Books,
    server_books: Books,
    to_client: BytesMut,
    to_server: BytesMut,
    server_knows_client: bool,
    may_tamper: bool,
    tampered: bool,
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        let version = if script.below(4) == 0 { Version::V311 } else { Version::V5 };
        let small =
            |script: &mut Script<'_>| NonZeroU16::new(script.below(5) as u16 + 1).expect("it is above 0");
        let bytes = |script: &mut Script<'_>| NonZeroU32::new([200, 1 << 16][script.below(2)]);
        let mut connect = Connect::new(version, "client");
        connect.clean_start = false;
        connect.session_expiry = u32::MAX;
        connect.keep_alive = script.below(3) as u16 * 5;
        if version == Version::V5 {
            connect.receive_max = small(script);
            connect.packet_bytes_max = bytes(script);
            connect.topic_alias_max = script.below(3) as u16;
            if script.below(4) == 0 {
                let data = Secret::new(Bytes::from_static(b"token"));
                connect.authentication = Some(Authentication { method: "M".into(), data });
            }
        }
        let limits = server::Limits {
            receive_max: small(script),
            in_flight_max: small(script),
            packet_bytes_max: bytes(script).filter(|_| version == Version::V5).unwrap_or(NonZeroU32::MAX),
            topic_alias_max: script.below(3) as u16,
            keep_alive_max: script.below(2) as u16 * 7,
            ..server::Limits::default()
        };
        Self {
            version,
            connect,
            limits,
            now: Instant::now(),
            client: None,
            server: None,
            client_session: Some(Session::new()),
            server_session: Some(Session::new()),
            client_books: Books::default(),
            server_books: Books::default(),
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
            server_knows_client: false,
            may_tamper: script.below(2) == 1,
            tampered: false,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let qos = QoS::from_number(step / 32 % 3).expect("0, 1 and 2 exist");
        match step % 32 {
            0 => self.cut(),
            1..=6 => self.client_books.write(qos, script.below(10) == 1),
            7..=12 => self.server_books.write(qos, script.below(10) == 1),
            13..=17 => self.client_reads(),
            18..=22 => self.server_reads(script),
            23 | 24 => self.client_finishes(script),
            25 | 26 => self.server_finishes(script),
            27 => self.wait(Duration::from_secs(script.below(12) as u64)),
            28 => self.client_requests(script),
            29 => self.somebody_leaves(script),
            _ if !self.may_tamper => {}
            30 => self.tamper(script),
            _ => self.say_anything(script),
        }
        self.talk();
    }

    fn tamper(&mut self, script: &mut Script<'_>) {
        let wire = if script.below(2) == 0 { &mut self.to_client } else { &mut self.to_server };
        let at = script.below(256) << 8 | script.below(256);
        if !wire.is_empty() {
            let at = at % wire.len();
            wire[at] ^= 1 << script.below(8);
            self.tampered = true;
        }
    }

    fn say_anything(&mut self, script: &mut Script<'_>) {
        let wire = if script.below(2) == 0 { &mut self.to_client } else { &mut self.to_server };
        let first = script.next().unwrap_or(0);
        let body: Vec<u8> = (0..script.below(12)).map_while(|_| script.next()).collect();
        wire.extend_from_slice(&[first, body.len() as u8]);
        wire.extend_from_slice(&body);
        self.tampered = true;
    }

    /// Connects if nobody is, gives the machines what waits, and carries what they wrote.
    fn talk(&mut self) {
        if self.client.is_none() && self.server.is_none() {
            let options = client::Options {
                connect: self.connect.clone(),
                in_flight_max: self.limits.in_flight_max,
                topic_alias_max: self.limits.topic_alias_max,
            };
            let handshake = client::Handshake::new(options).expect("the CONNECT is not too long");
            self.client = Some(Client::Asking(Box::new(handshake)));
            self.server = Some(Server::Asked(Box::new(server::Handshake::new(self.limits))));
        }
        match &mut self.client {
            Some(Client::Asking(handshake)) => carry(handshake.output(), &mut self.to_server),
            Some(Client::On(connection)) => {
                self.client_books.send(self.tampered, |message| connection.send(message, self.now));
                carry(connection.output(), &mut self.to_server);
            }
            None => {}
        }
        match &mut self.server {
            Some(Server::Asked(handshake)) => carry(handshake.output(), &mut self.to_client),
            Some(Server::On(connection)) => {
                self.server_books.send(self.tampered, |message| connection.send(message, self.now));
                carry(connection.output(), &mut self.to_client);
            }
            None => {}
        }
    }

    /// The connection is gone with all that was under way; the sessions stay.
    fn cut(&mut self) {
        if let Some(Client::On(connection)) = self.client.take() {
            self.client_session = Some(connection.into_session());
        }
        if let Some(Server::On(connection)) = self.server.take() {
            self.server_session = Some(connection.into_session());
        }
        self.to_client.clear();
        self.to_server.clear();
    }

    fn client_reads(&mut self) {
        loop {
            match &mut self.client {
                None => return,
                Some(Client::Asking(handshake)) => match handshake.receive(&mut self.to_client) {
                    Ok(None) => return,
                    Ok(Some(client::HandshakeEvent::Auth(auth))) => {
                        handshake.authenticate(*auth).expect("it is not too long");
                    }
                    Ok(Some(client::HandshakeEvent::Refused(_))) => return self.cut(),
                    Ok(Some(client::HandshakeEvent::Accepted(connack))) => self.client_begins(&connack),
                    Err(violation) => {
                        assert!(self.tampered, "nobody tampered: {violation}");
                        return self.cut();
                    }
                },
                Some(Client::On(connection)) => match connection.receive(&mut self.to_client, self.now) {
                    Ok(None) => return,
                    Ok(Some(client::Event::Publish(publish, receipt))) => {
                        self.client_books.receive(&publish, receipt, self.tampered);
                    }
                    Ok(Some(client::Event::Delivered(delivered))) => self.client_books.finished(&delivered),
                    Ok(Some(client::Event::Disconnect(_))) => return self.cut(),
                    Ok(Some(_)) => {}
                    Err(violation) => {
                        assert!(self.tampered, "nobody tampered: {violation}");
                        check_told(violation, connection.output(), self.version);
                        return self.cut();
                    }
                },
            }
        }
    }

    fn client_begins(&mut self, connack: &ConnAck) {
        if let (Some(Client::Asking(handshake)), Some(session)) =
            (self.client.take(), self.client_session.take())
        {
            let (connection, lost) = handshake.begin(connack, session, self.now);
            assert!(lost.is_empty() || self.tampered, "the server kept the session");
            self.client = Some(Client::On(Box::new(connection)));
        }
    }

    fn server_reads(&mut self, script: &mut Script<'_>) {
        loop {
            match &mut self.server {
                None => return,
                Some(Server::Asked(handshake)) => match handshake.receive(&mut self.to_server) {
                    Ok(None) => return,
                    Ok(Some(server::HandshakeEvent::Connect(connect))) => {
                        if script.below(8) == 7 {
                            handshake.refuse(ConnAck::new(ReasonCode::ServerUnavailable));
                            return;
                        }
                        match connect.authentication {
                            Some(_) => {
                                let auth = Auth {
                                    reason: ReasonCode::ContinueAuthentication,
                                    authentication: connect.authentication,
                                    reason_string: None,
                                    user_properties: Vec::new(),
                                };
                                let _ = handshake.authenticate(auth);
                            }
                            None => self.server_begins(),
                        }
                    }
                    Ok(Some(server::HandshakeEvent::Auth(_))) => self.server_begins(),
                    Ok(Some(server::HandshakeEvent::Disconnect(_))) => return self.cut(),
                    Err(violation) => {
                        assert!(self.tampered, "nobody tampered: {violation}");
                        return self.cut();
                    }
                },
                Some(Server::On(connection)) => match connection.receive(&mut self.to_server, self.now) {
                    Ok(None) => return,
                    Ok(Some(server::Event::Publish(publish, receipt))) => {
                        self.server_books.receive(&publish, receipt, self.tampered);
                    }
                    Ok(Some(server::Event::Delivered(delivered))) => self.server_books.finished(&delivered),
                    Ok(Some(server::Event::Taken(_) | server::Event::Released(_))) => {}
                    Ok(Some(server::Event::Subscribe(subscribe))) => {
                        let reasons = vec![ReasonCode::GrantedQoS1; subscribe.subscriptions.len()];
                        let _ = connection.suback(subscribe.packet_id, reasons);
                    }
                    Ok(Some(server::Event::Unsubscribe(unsubscribe))) => {
                        let reasons = vec![ReasonCode::Success; unsubscribe.filters.len()];
                        let _ = connection.unsuback(unsubscribe.packet_id, reasons);
                    }
                    Ok(Some(server::Event::Auth(mut auth))) => {
                        auth.reason = ReasonCode::Success;
                        let _ = connection.authenticate(*auth);
                    }
                    Ok(Some(server::Event::Disconnect(_))) => return self.cut(),
                    Err(violation) => {
                        assert!(self.tampered, "nobody tampered: {violation}");
                        check_told(violation, connection.output(), self.version);
                        return self.cut();
                    }
                },
            }
        }
    }

    fn server_begins(&mut self) {
        let Some(Server::Asked(handshake)) = self.server.take() else { return };
        let mut connack = handshake.connack();
        connack.session_present = self.server_knows_client;
        let Ok(accepted) = handshake.accept(connack) else { return self.cut() };
        if let Some(session) = self.server_session.take() {
            self.server_knows_client = true;
            self.server = Some(Server::On(Box::new(accepted.begin(session, self.now))));
        }
    }

    fn client_finishes(&mut self, script: &mut Script<'_>) {
        let Some((receipt, reason)) = self.client_books.finish(script) else { return };
        match (&mut self.client, &mut self.client_session) {
            (Some(Client::On(connection)), _) => connection.finish(receipt, reason),
            (_, Some(session)) => session.inbound.finish(receipt, reason),
            _ => unreachable!("the session is here or there"),
        }
    }

    fn server_finishes(&mut self, script: &mut Script<'_>) {
        let Some((receipt, reason)) = self.server_books.finish(script) else { return };
        match (&mut self.server, &mut self.server_session) {
            (Some(Server::On(connection)), _) => connection.finish(receipt, reason),
            (_, Some(session)) => session.inbound.finish(receipt, reason),
            _ => unreachable!("the session is here or there"),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let mut violation = None;
        if let Some(Client::On(connection)) = &mut self.client
            && connection.deadline().is_some_and(|deadline| deadline <= self.now)
        {
            violation = connection.tick(self.now).err();
        }
        if let Some(Server::On(connection)) = &mut self.server
            && connection.deadline().is_some_and(|deadline| deadline <= self.now)
        {
            let silent = connection.tick(self.now).expect_err("the deadline is over");
            check_told(silent, connection.output(), self.version);
            violation = Some(silent);
        }
        if let Some(violation) = violation {
            assert_eq!(violation.reason, ReasonCode::KeepAliveTimeout);
            self.cut();
        }
    }

    fn client_requests(&mut self, script: &mut Script<'_>) {
        let Some(Client::On(connection)) = &mut self.client else { return };
        let filter = ["a", "plant/#", "$share/g/+", "b/#/c"][script.below(4)];
        let refused = if script.below(2) == 0 {
            let subscription = Subscription::new(filter, QoS::AtLeastOnce);
            connection.subscribe(vec![subscription], None, Vec::new()).is_err()
        } else {
            connection.unsubscribe(vec![ByteString::from(filter)]).is_err()
        };
        assert_eq!(refused, filter == "b/#/c");
    }

    fn somebody_leaves(&mut self, script: &mut Script<'_>) {
        let disconnect = Disconnect::new(ReasonCode::Success);
        match (&mut self.client, &mut self.server) {
            (Some(Client::On(connection)), _) if script.below(2) == 0 => connection.disconnect(disconnect),
            (_, Some(Server::On(connection))) => {
                connection.disconnect(Disconnect::new(ReasonCode::ServerBusy));
                if self.version == Version::V311 {
                    self.cut();
                }
            }
            _ => {}
        }
    }

    /// Nothing happens any more but what must: then everything has arrived.
    fn come_to_rest(mut self) {
        if self.tampered {
            return;
        }
        let silent = &mut Script(&[]);
        for _ in 0..10_000 {
            self.talk();
            self.client_reads();
            self.server_reads(silent);
            self.client_finishes(silent);
            self.server_finishes(silent);
            if self.client_books.at_rest() && self.server_books.at_rest() {
                break;
            }
        }
        self.client_books.check_arrived(&self.server_books);
        self.server_books.check_arrived(&self.client_books);
        self.cut();
        let sessions = [self.client_session, self.server_session];
        assert!(sessions.iter().flatten().all(|s| s.outbound.is_empty()), "nothing is left behind");
    }
}

fn carry(output: &mut Output, wire: &mut BytesMut) {
    while output.has_remaining() {
        let chunk = output.chunk();
        wire.extend_from_slice(chunk);
        output.advance(chunk.len());
    }
}

/// Who saw a rule broken has said so in its last packet, where its version has a word for it.
fn check_told(violation: Violation, output: &mut Output, version: Version) {
    let mut bytes = BytesMut::new();
    carry(output, &mut bytes);
    let mut decoder = Decoder::for_client(version, PACKET_BYTES_MAX);
    let mut last = None;
    while let Some(packet) = decoder.decode(&mut bytes).expect("what is written can be read") {
        last = Some(packet);
    }
    let told = match last {
        Some(Packet::Disconnect(disconnect)) => Some(disconnect.reason),
        _ => None,
    };
    let reason = violation.reason;
    let known = reason.is_valid_in(PacketType::Disconnect);
    let expected = if known { reason } else { ReasonCode::ProtocolError };
    assert_eq!(told, (version == Version::V5).then_some(expected), "{violation}");
}
