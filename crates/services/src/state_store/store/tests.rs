//! The protocol's cases as small scripts, and the store against a naive map.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::state_store::reply::encode;
use crate::state_store::resp3::{put_array, put_string};

const T0: u64 = 1_696_374_425_000;

/// Runs scripts against a store, line by line:
///
/// - `+600 => DELETE`: so many milliseconds pass; what the observer is told.
/// - `SET k a NX ts=T ft=F => +OK => SET a`: a request, the payload of its response (`\r\n` left out, as text), what the
///   observer is told. `ts` is the time of the request unless given, in milliseconds from the start or as a text; `none`
///   leaves it out. `ft` is a name or a text.
/// - `name = SET ...`: remembers the version in the response.
/// - `newer`, `same`, `none` after the reply: the version in the response, compared with the request's timestamp, with
///   the last version seen, or absent.
/// - `gone`: the observer's connection ends.
struct Script {
    store: Store<u8>,
    now: u64,
    versions: HashMap<String, Hlc>,
    last_version: Option<Hlc>,
}

impl Script {
    fn new(limits: Limits) -> Self {
        Self {
            store: Store::<u8>::new([], None, limits),
            now: T0,
            versions: HashMap::new(),
            last_version: None,
        }
    }

    fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.step(line);
        }
    }

    fn step(&mut self, line: &str) {
        let mut parts = line.split("=>").map(str::trim);
        let request = parts.next().unwrap();
        if request == "gone" {
            return self.store.keep_observers(|_| false);
        }
        if let Some(millis) = request.strip_prefix('+') {
            self.now += millis.parse::<u64>().unwrap();
            let told = self.store.expire(self.now).iter().map(|c| self.told(c)).collect::<String>();
            return assert_eq!(told, parts.next().unwrap_or(""), "{line}");
        }
        let (name, request) = match request.split_once(" = ") {
            Some((name, request)) => (Some(name), request),
            None => (None, request),
        };
        let (reply, version) = match parts.next().unwrap().rsplit_once(' ') {
            Some((reply, version @ ("newer" | "same" | "none"))) => (reply.to_owned(), Some(version)),
            Some((reply, more)) => (format!("{reply} {more}"), None),
            None => panic!("{line}: say which version the reply has"),
        };
        let outcome = self.request(request);
        let text = String::from_utf8(encode(&outcome.reply).to_vec()).unwrap();
        let text = text.trim_end().replace("\r\n", " ");
        assert_eq!(text, reply, "{line}");
        match version {
            Some("newer") => {
                let version = outcome.version.clone().unwrap();
                assert!(version.millis >= self.now && Some(&version) > self.last_version.as_ref(), "{line}");
                let sent = Hlc { millis: self.now, counter: 0, node: "client".into() };
                assert!((version.millis, version.counter) > (sent.millis, sent.counter), "{line}");
            }
            Some("same") => assert_eq!(outcome.version, self.last_version, "{line}"),
            _ => assert_eq!(outcome.version, None, "{line}"),
        }
        if outcome.version.is_some() {
            self.last_version = outcome.version.clone();
        }
        if let Some(name) = name {
            self.versions.insert(name.into(), outcome.version.clone().unwrap());
        }
        let told = outcome.change.as_ref().map_or(String::new(), |change| {
            assert_eq!(Some(&change.version), outcome.version.as_ref(), "{line}");
            self.told(change)
        });
        assert_eq!(told, parts.next().unwrap_or(""), "{line}");
    }

    fn request(&mut self, request: &str) -> Outcome {
        let mut timestamp = Some(format!("{}:0:client", self.now));
        let mut token = None;
        let mut strings = Vec::new();
        for word in request.split(' ') {
            if let Some(text) = word.strip_prefix("ts=") {
                timestamp = match text.parse::<u64>() {
                    Ok(millis) => Some(format!("{}:0:client", T0 + millis)),
                    Err(_) => Some(text.to_owned()).filter(|text| text != "none"),
                };
            } else if let Some(text) = word.strip_prefix("ft=") {
                token = Some(self.versions.get(text).map_or_else(|| text.to_owned(), Hlc::to_string));
            } else {
                strings.push(if word == "''" { "" } else { word });
            }
        }
        let mut payload = BytesMut::new();
        put_array(&mut payload, strings.len());
        strings.iter().for_each(|s| put_string(&mut payload, s.as_bytes()));
        self.send(payload.freeze(), timestamp.as_deref(), token.as_deref())
    }

    fn send(&mut self, payload: Bytes, timestamp: Option<&str>, token: Option<&str>) -> Outcome {
        match Request::parse(&payload, timestamp, token) {
            Ok(request) => self.store.apply(self.now, Some(1), &request),
            Err(error) => Outcome::refused(error),
        }
    }

    /// What the observer reads in a notification, if it gets one.
    fn told(&self, change: &Change) -> String {
        if self.store.observers_of(&change.key).count() == 0 {
            return String::new();
        }
        let payload = String::from_utf8(change.encode().to_vec()).unwrap();
        match payload.trim_end().split("\r\n").collect::<Vec<_>>()[..] {
            ["*2", "$6", "NOTIFY", "$6", "DELETE"] => "DELETE".into(),
            ["*4", "$6", "NOTIFY", "$3", "SET", "$5", "VALUE", _, value] => format!("SET {value}"),
            _ => panic!("{payload:?}"),
        }
    }
}

/// Section B7 of the protocol digest; S23 to S25 need a broker or raw bytes and stand elsewhere.
#[test]
fn the_cases_of_the_protocol() {
    let cases: &[(&str, &str)] = &[
        ("S01 S02", "SET k a => +OK newer\n GET k => $1 a same"),
        ("S03", "GET nope => $-1 none"),
        ("S05", "SET k a => +OK newer\n KEYNOTIFY k => +OK none\n SET k b NX => :-1 same\n GET k => $1 a same"),
        ("S06", "SET k b NX => +OK newer"),
        ("S07", "SET k a => +OK newer\n SET k b NEX => :-1 same\n GET k => $1 a same"),
        (
            "S08 S09",
            "SET k a => +OK newer
             KEYNOTIFY k => +OK none
             SET k a NEX PX 500 => +OK newer => SET a
             +499
             GET k => $1 a same
             +101 => DELETE
             GET k => $-1 none",
        ),
        ("S10", "SET k a => +OK newer\n DEL k => :1 newer\n DEL k => :0 none"),
        (
            "S11",
            "SET k a => +OK newer\n VDEL k b => :-1 same\n VDEL k a => :1 newer\n VDEL k a => :0 none",
        ),
        ("S12", "KEYNOTIFY k => +OK none\n SET k x => +OK newer => SET x\n DEL k => :1 newer => DELETE"),
        ("S13", "KEYNOTIFY k => +OK none\n KEYNOTIFY k STOP => +OK none\n SET k y => +OK newer"),
        ("S14", "KEYNOTIFY k STOP => :0 none"),
        ("S15", "SET k a ts=none => -ERR missing timestamp none\n GET k ts=none => $-1 none"),
        (
            "S16",
            "SET k a ts=120000 => -ERR the request timestamp is too far in the future; ensure that the client and broker system clocks are synchronized none
             SET k a ts=60000 => +OK newer",
        ),
        ("S17", "SET k a ts=abc => -ERR malformed timestamp none"),
        ("S18", "FOO => -ERR unknown command none"),
        ("S19", "GET => -ERR wrong number of arguments none"),
        ("S20", "GET '' => -ERR the key length is zero none\n SET '' a => -ERR the key length is zero none"),
        (
            "S22",
            "lock1 = SET L c1 NEX PX 10000 => +OK newer
             SET K 1 ft=lock1 => +OK newer
             +10000
             lock2 = SET L c2 NEX PX 10000 => +OK newer
             SET K 2 ft=lock2 => +OK newer
             SET K 9 ft=lock1 => -ERR the request fencing token is a lower version than the fencing token protecting the resource none
             SET K 3 => -ERR a fencing token is required for this request none
             DEL K => -ERR a fencing token is required for this request none
             VDEL K 2 ft=lock1 => -ERR the request fencing token is a lower version than the fencing token protecting the resource none
             GET K => $1 2 same
             VDEL K 9 ft=lock2 => :-1 same
             SET K 3 NX ft=lock2 => :-1 same
             SET K 3 ft=lock2 => +OK newer
             DEL K ft=lock2 => :1 newer
             SET K 4 => +OK newer",
        ),
        ("S26", "SET k a PX 10000 => +OK newer\n SET k b => +OK newer\n +20000\n GET k => $1 b same"),
    ];
    for (name, script) in cases {
        eprintln!("{name}");
        Script::new(Limits::default()).run(script);
    }
}

/// S04.
#[test]
fn an_empty_value_is_a_value() {
    Script::new(Limits::default()).run("SET k '' => +OK newer\n GET k => $0 same\n SET k x NX => :-1 same");
}

#[test]
fn keys_and_values_are_any_bytes() {
    let mut script = Script::new(Limits::default());
    let bytes = b"\x00\r\n\xff";
    let request = |strings: &[&[u8]]| {
        let mut payload = BytesMut::new();
        put_array(&mut payload, strings.len());
        strings.iter().for_each(|s| put_string(&mut payload, s));
        payload.freeze()
    };
    let set = script.send(request(&[b"SET", bytes, bytes]), Some("1:0:c"), None);
    assert_eq!(set.reply, Ok(Reply::Ok));
    let get = script.send(request(&[b"GET", bytes]), None, None);
    assert_eq!(encode(&get.reply), &b"$4\r\n\x00\r\n\xff\r\n"[..]);
}

/// S21.
#[test]
fn what_is_no_request_is_answered_with_a_syntax_error() {
    let outcome = Script::new(Limits::default()).send(Bytes::from("hello"), None, None);
    assert_eq!(encode(&outcome.reply), "-ERR syntax error\r\n");
}

#[test]
fn fencing_tokens_from_the_future_are_refused_where_they_count() {
    Script::new(Limits::default()).run(
        "SET k a ft=9999999999999:0:c => -ERR the request fencing token timestamp is too far in the future; ensure that the client and broker system clocks are synchronized none
         SET k a ft=xyz => -ERR malformed timestamp none
         SET k a => +OK newer
         GET k ft=9999999999999:0:c => $1 a same
         DEL k ft=9999999999999:0:c => -ERR the request fencing token timestamp is too far in the future; ensure that the client and broker system clocks are synchronized none",
    );
}

#[test]
fn a_client_that_goes_is_forgotten_and_observing_twice_is_observing_once() {
    let mut script = Script::new(Limits { observations_max: 1, ..Limits::default() });
    script.run(
        "KEYNOTIFY k => +OK none
         KEYNOTIFY k => +OK none
         SET k a => +OK newer => SET a
         KEYNOTIFY j => -ERR the quota has been exceeded none
         gone
         SET k b => +OK newer
         KEYNOTIFY j => +OK none
         KEYNOTIFY j STOP => +OK none
         KEYNOTIFY j STOP => :0 none",
    );
    assert_eq!(script.store.observers.len(), 0);
}

#[test]
fn setting_the_same_value_again_notifies_again() {
    Script::new(Limits::default())
        .run("KEYNOTIFY k => +OK none\n SET k a => +OK newer => SET a\n SET k a => +OK newer => SET a");
}

#[test]
fn quotas_refuse_growth_and_nothing_else() {
    let exceeded = "-ERR the quota has been exceeded none";
    Script::new(Limits { keys_max: 2, ..Limits::default() }).run(&format!(
        "SET a 1 => +OK newer
         SET b 1 => +OK newer
         SET c 1 => {exceeded}
         SET b 22 => +OK newer
         DEL a => :1 newer
         SET c 1 => +OK newer"
    ));
    Script::new(Limits { bytes_max: 10, ..Limits::default() }).run(&format!(
        "SET a 12345 => +OK newer
         SET b 1234 => {exceeded}
         SET b 123 => +OK newer
         SET b 1234 => {exceeded}
         SET a 1 => +OK newer
         SET b 1234567 => +OK newer"
    ));
    Script::new(Limits { key_bytes_max: 3, ..Limits::default() }).run(&format!(
        "SET abc 1 => +OK newer\n SET abcd 1 => {exceeded}\n KEYNOTIFY abcd => {exceeded}\n SCAN abc* => {exceeded}"
    ));
}

#[test]
fn a_scan_gives_the_matching_keys_in_order_and_a_token_while_there_are_more() {
    let mut script = Script::new(Limits::default());
    script.run(
        "SET b2 x => +OK newer
         SET b1 x => +OK newer
         SET a x => +OK newer
         SCAN b* => *1 *2 $2 b1 $2 b2 none
         SCAN *1 => *1 *1 $2 b1 none
         SCAN * b1 => *1 *1 $2 b2 none
         SCAN z* => *1 *0 none
         SCAN [ => -ERR syntax error none",
    );
    let mut all: Vec<_> = (0..2 * SCAN_KEYS_MAX + 1).map(|n| format!("n{n:05}")).collect();
    for key in &all {
        script.run(&format!("SET {key} x => +OK newer"));
    }
    let (mut found, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let (keys, next) = script.store.scan(b"n*", token.as_deref()).unwrap();
        assert!(keys.len() <= SCAN_KEYS_MAX);
        found.extend(keys.iter().map(|k| String::from_utf8(k.to_vec()).unwrap()));
        pages += 1;
        token = next;
        if token.is_none() {
            break;
        }
    }
    all.sort();
    assert_eq!((found, pages), (all, 3));
}

#[test]
fn versions_go_on_after_a_restart_even_if_the_wall_clock_went_back() {
    let mut script = Script::new(Limits::default());
    script.run("SET k a => +OK newer");
    script.run("DEL k => :1 newer");
    let clock = script.store.clock().clone();
    let mut store = Store::<u8>::new([], Some(clock.clone()), Limits::default());
    let request = Request {
        command: Command::Set {
            key: "k".into(),
            value: "b".into(),
            condition: Condition::Unconditional,
            expires_in: None,
        },
        timestamp: None,
        fencing_token: None,
    };
    assert!(store.apply(T0 - 1_000_000, None, &request).version.unwrap() > clock);
}

/// The store's rules, said in another way: a list of keys.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model(Vec<(Bytes, Bytes, Option<u64>, Option<Hlc>)>);

impl Model {
    fn expire(&mut self, now: u64) {
        self.0.retain(|(_, _, expires_at, _)| expires_at.is_none_or(|at| at > now));
    }

    fn apply(&mut self, now: u64, request: &Request) -> Result<Reply, RequestError> {
        let key = request.command.key();
        let at = self.0.iter().position(|(k, ..)| k == key);
        let old = at.map(|at| self.0[at].clone());
        if !matches!(request.command, Command::Get { .. }) {
            let token = request.fencing_token.as_ref();
            match old.as_ref().and_then(|(.., fence)| fence.as_ref()) {
                Some(_) if token.is_none() => return Err(RequestError::FencingTokenRequired),
                Some(fence) if token < Some(fence) => return Err(RequestError::FencingTokenLower),
                _ => {}
            }
        }
        let old_value = old.as_ref().map(|(_, value, ..)| value.clone());
        let mut delete = |if_value: Option<&Bytes>| match (at, if_value) {
            (None, _) => Reply::Count(0),
            (Some(_), Some(value)) if Some(value) != old_value.as_ref() => Reply::Count(-1),
            (Some(at), _) => {
                self.0.remove(at);
                Reply::Count(1)
            }
        };
        Ok(match &request.command {
            Command::Get { .. } => Reply::Value(old_value),
            Command::Del { .. } => delete(None),
            Command::VDel { value, .. } => delete(Some(value)),
            Command::Set { value, condition, expires_in, .. } => {
                match condition {
                    Condition::OnlyIfDoesNotExist if at.is_some() => return Ok(Reply::Count(-1)),
                    Condition::OnlyIfEqualOrDoesNotExist if old_value.is_some_and(|old| old != value) => {
                        return Ok(Reply::Count(-1));
                    }
                    _ => {}
                }
                self.0.retain(|(k, ..)| k != key);
                let expires_at = expires_in.map(|d| now + u64::try_from(d.as_millis()).unwrap());
                self.0.push((key.clone(), value.clone(), expires_at, request.fencing_token.clone()));
                Reply::Ok
            }
            Command::KeyNotify { .. } | Command::Scan { .. } => unreachable!("not generated"),
        })
    }
}

fn any_request() -> impl Strategy<Value = Request> {
    let key = || prop::sample::select(vec!["a", "b"]).prop_map(Bytes::from);
    let value = || prop::sample::select(vec!["", "1", "2"]).prop_map(Bytes::from);
    let condition = prop::sample::select(vec![
        Condition::Unconditional,
        Condition::OnlyIfDoesNotExist,
        Condition::OnlyIfEqualOrDoesNotExist,
    ]);
    let expiry = proptest::option::of((1..4u64).prop_map(std::time::Duration::from_millis));
    let command = prop_oneof![
        1 => key().prop_map(|key| Command::Get { key }),
        3 => (key(), value(), condition, expiry)
            .prop_map(|(key, value, condition, expires_in)| Command::Set { key, value, condition, expires_in }),
        1 => key().prop_map(|key| Command::Del { key }),
        1 => (key(), value()).prop_map(|(key, value)| Command::VDel { key, value }),
    ];
    let token = (1..4u64).prop_map(|millis| Hlc { millis, counter: 0, node: ByteString::from_static("c") });
    (command, proptest::option::weighted(0.3, token)).prop_map(|(command, fencing_token)| Request {
        command,
        timestamp: None,
        fencing_token,
    })
}

proptest! {
    /// Batches of requests, each of them kept or undone, with the storage told what is unsaved: the store answers as the
    /// naive one, and the storage has what the store has.
    #[test]
    fn the_store_is_a_map_with_expiry_and_fencing(
        batches in proptest::collection::vec(
            (0..3u64, proptest::collection::vec(any_request(), 0..5), any::<bool>()),
            1..20,
        )
    ) {
        let mut store = Store::<u8>::new([], None, Limits::default());
        let (mut model, mut storage) = (Model::default(), HashMap::new());
        let (mut now, mut last_version) = (T0, None);
        for (passed, requests, kept) in batches {
            now += passed;
            store.expire(now);
            model.expire(now);
            let before = model.clone();
            for request in &requests {
                let outcome = store.apply(now, None, request);
                prop_assert_eq!(&outcome.reply, &model.apply(now, request), "{:?}", request);
                if let Some(change) = outcome.change {
                    prop_assert!(Some(&change.version) > last_version.as_ref());
                    last_version = Some(change.version);
                }
            }
            if kept {
                for (key, entry) in store.unsaved() {
                    match entry {
                        Some(entry) => storage.insert(key, entry),
                        None => storage.remove(&key),
                    };
                }
                store.saved();
                prop_assert_eq!(&storage, &store.entries.clone().into_iter().collect::<HashMap<_, _>>());
            } else {
                store.undo();
                model = before;
            }
            let mut held: Vec<_> = model.0.iter().map(|(k, v, at, ft)| (k, v, at, ft)).collect();
            held.sort();
            let entries = store.entries.iter();
            prop_assert_eq!(held, entries.map(|(k, e)| (k, &e.value, &e.expires_at, &e.fencing_token)).collect::<Vec<_>>());
            prop_assert_eq!(store.bytes, store.entries.iter().map(|(k, e)| size(k, e)).sum::<usize>());
            let expiries: BTreeSet<_> =
                store.entries.iter().filter_map(|(k, e)| Some((e.expires_at?, k.clone()))).collect();
            prop_assert_eq!(&store.expiries, &expiries);
        }
    }
}
