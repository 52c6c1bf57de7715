//! The dead letters of each flow: `<data-dir>/dlq/<namespace>.<flow>/<id>.json`, one file a message, so that the store is
//! whole after any crash and people can look into it with what they have.
//!
//! Bounded: beyond the limits the oldest letters go, and are counted. Taking a letter never blocks a flow.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidegate_core::{Properties, Record};
use tidegate_runtime::DeadLetter;

use crate::api::rfc3339;

/// Letters of one flow.
const LETTERS_MAX: usize = 10_000;
/// Bytes of the letters of one flow, on disk.
const BYTES_MAX: u64 = 64 << 20;
/// Letters on their way to the disk, of all flows.
const WAITING_MAX: usize = 10_000;

/// All dead letters of an instance.
pub(crate) struct DeadLetters {
    sender: SyncSender<Job>,
    boxes: Arc<Boxes>,
}

/// What the thread that writes has to do.
enum Job {
    Keep(String, Box<DeadLetter>),
    /// Say when all before is done.
    Flush(SyncSender<()>),
}

struct Boxes {
    folder: PathBuf,
    by_flow: Mutex<HashMap<String, Arc<Mutex<LetterBox>>>>,
}

/// The letters of one flow: their sizes by id. What is in them is read when it is asked for.
#[derive(Default)]
struct LetterBox {
    folder: PathBuf,
    sizes: BTreeMap<u64, u64>,
    bytes: u64,
    next_id: u64,
    /// Letters that fell out, since the process started.
    dropped: u64,
}

/// A letter as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    /// When it was taken, RFC 3339.
    pub(crate) at: String,
    pub(crate) reason: String,
    topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    payload: String,
    /// Content type, user properties and the like, as MQTT encodes them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    properties: String,
    #[serde(default)]
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
}

impl Letter {
    fn of(letter: &DeadLetter) -> Self {
        let DeadLetter { record, reason } = letter;
        Self {
            at: rfc3339(SystemTime::now()),
            reason: reason.clone(),
            topic: record.topic.to_string(),
            key: record.key.as_ref().map(|key| STANDARD.encode(key)),
            payload: STANDARD.encode(&record.payload),
            properties: STANDARD.encode(record.properties.as_bytes()),
            retain: record.retain,
            timestamp: record.timestamp,
        }
    }

    /// The message, received now; whoever replays it wants it delivered, so it does not expire.
    pub(crate) fn record(&self) -> Result<Record, String> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|e| e.to_string());
        let properties = Properties::parse(decode(&self.properties)?.into()).map_err(|e| e.to_string())?;
        Ok(Record {
            key: self.key.as_deref().map(decode).transpose()?.map(Into::into),
            properties,
            retain: self.retain,
            timestamp: self.timestamp,
            ..Record::new(self.topic.as_str(), decode(&self.payload)?, Instant::now())
        })
    }
}

/// How full a flow's box is.
pub(crate) struct Fill {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
}

impl DeadLetters {
    /// Starts the thread that writes.
    pub(crate) fn open(data_dir: &Path) -> std::io::Result<Self> {
        let boxes = Arc::new(Boxes { folder: data_dir.join("dlq"), by_flow: Mutex::default() });
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let writer = boxes.clone();
        std::thread::Builder::new().name("dead letters".into()).spawn(move || write(&receiver, &writer))?;
        Ok(Self { sender, boxes })
    }

    /// Takes a letter. Never blocks: if the disk can't keep up, the letter is counted as dropped and logged.
    pub(crate) fn put(&self, flow: &str, letter: DeadLetter) {
        let full = match self.sender.try_send(Job::Keep(flow.to_owned(), Box::new(letter))) {
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job,
            Ok(()) => return,
        };
        if let Job::Keep(_, letter) = full {
            self.boxes.of(flow).lock().dropped += 1;
            tracing::warn!(flow, reason = letter.reason, "a dead letter was dropped: too many at once");
        }
    }

    /// Returns once every letter taken so far is on its way to the disk. Blocks.
    pub(crate) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if self.sender.send(Job::Flush(done)).is_ok() {
            // an error says that the thread is gone, and with it what it had
            let _ = is_done.recv();
        }
    }

    pub(crate) fn fill(&self, flow: &str) -> Fill {
        let letters = self.boxes.of(flow);
        let letters = letters.lock();
        Fill { count: letters.sizes.len(), bytes: letters.bytes, dropped: letters.dropped }
    }

    /// The oldest letters, at most `limit`, or those of the given ids. Blocks.
    pub(crate) fn list(&self, flow: &str, ids: Option<&[u64]>, limit: usize) -> Vec<(u64, Letter)> {
        let letters = self.boxes.of(flow);
        let letters = letters.lock();
        let wanted = letters.sizes.keys().filter(|id| ids.is_none_or(|ids| ids.contains(id))).take(limit);
        wanted.filter_map(|id| letters.read(*id).map(|letter| (*id, letter))).collect()
    }

    /// Removes letters, all if no ids are given; gives how many there were. Blocks.
    pub(crate) fn discard(&self, flow: &str, ids: Option<&[u64]>) -> usize {
        let letters = self.boxes.of(flow);
        let mut letters = letters.lock();
        let wanted: Vec<u64> =
            letters.sizes.keys().copied().filter(|id| ids.is_none_or(|ids| ids.contains(id))).collect();
        wanted.iter().for_each(|id| letters.remove(*id));
        wanted.len()
    }
}

fn write(receiver: &Receiver<Job>, boxes: &Boxes) {
    for job in receiver {
        match job {
            Job::Keep(flow, letter) => {
                let letters = boxes.of(&flow);
                let mut letters = letters.lock();
                if let Err(error) = letters.add(&Letter::of(&letter)) {
                    letters.dropped += 1;
                    tracing::warn!(flow, %error, reason = letter.reason, "a dead letter can't be written");
                }
            }
            Job::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

impl Boxes {
    fn of(&self, flow: &str) -> Arc<Mutex<LetterBox>> {
        let mut by_flow = self.by_flow.lock();
        let open = || Arc::new(Mutex::new(LetterBox::open(self.folder.join(flow.replace('/', ".")))));
        by_flow.entry(flow.to_owned()).or_insert_with(open).clone()
    }
}

impl LetterBox {
    /// Reads what is there. A folder that can't be read is an empty one; writing to it will say why.
    fn open(folder: PathBuf) -> Self {
        let mut letters = Self { folder, next_id: 1, ..Self::default() };
        for entry in std::fs::read_dir(&letters.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse::<u64>().ok());
            if let (Some(id), Ok(metadata)) = (id, entry.metadata()) {
                letters.sizes.insert(id, metadata.len());
                letters.bytes += metadata.len();
                letters.next_id = letters.next_id.max(id + 1);
            }
        }
        letters
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:020}.json"))
    }

    fn add(&mut self, letter: &Letter) -> std::io::Result<()> {
        let text = serde_json::to_vec(letter)?;
        std::fs::create_dir_all(&self.folder)?;
        let id = self.next_id;
        // under another name first, so that no half letter is ever seen
        let unfinished = self.folder.join("unfinished");
        std::fs::write(&unfinished, &text)?;
        std::fs::rename(&unfinished, self.path(id))?;
        self.next_id += 1;
        self.sizes.insert(id, text.len() as u64);
        self.bytes += text.len() as u64;
        while self.sizes.len() > LETTERS_MAX || (self.bytes > BYTES_MAX && self.sizes.len() > 1) {
            let Some(oldest) = self.sizes.keys().next().copied() else { break };
            self.remove(oldest);
            self.dropped += 1;
        }
        Ok(())
    }

    fn read(&self, id: u64) -> Option<Letter> {
        let read = std::fs::read(self.path(id)).map_err(|e| e.to_string());
        match read.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string())) {
            Ok(letter) => Some(letter),
            Err(error) => {
                tracing::warn!(file = %self.path(id).display(), error, "a dead letter can't be read");
                None
            }
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(size) = self.sizes.remove(&id) {
            self.bytes -= size;
        }
        if let Err(error) = std::fs::remove_file(self.path(id))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path(id).display(), %error, "a dead letter can't be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{PropertiesBuilder, Property};

    use super::*;

    fn letter(n: usize) -> DeadLetter {
        let mut properties = PropertiesBuilder::default();
        properties.push(Property::UserProperty("n", &n.to_string()));
        let mut record = Record::new("in", vec![0xff, b'0'], Instant::now());
        record.properties = properties.build().unwrap();
        DeadLetter { record, reason: format!("reason {n}") }
    }

    #[test]
    fn letters_are_whole_after_a_restart_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = LetterBox::open(dir.path().join("ns.flow"));
        for n in 0..12 {
            letters.add(&Letter::of(&letter(n))).unwrap();
        }
        letters.remove(3);
        let again = LetterBox::open(dir.path().join("ns.flow"));
        assert_eq!(
            (again.sizes.clone(), again.bytes, again.next_id),
            (letters.sizes.clone(), letters.bytes, 13)
        );
        let read = again.read(12).unwrap();
        assert_eq!(read.reason, "reason 11");
        let record = read.record().unwrap();
        assert_eq!(
            (&record.payload[..], record.properties.user_property("n")),
            (&[0xff, b'0'][..], Some("11"))
        );
    }

    #[test]
    fn the_oldest_fall_out_of_a_full_box_and_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = LetterBox::open(dir.path().join("ns.flow"));
        letters.add(&Letter::of(&letter(0))).unwrap();
        // as if there were many already
        letters.bytes += BYTES_MAX;
        letters.add(&Letter::of(&letter(1))).unwrap();
        assert_eq!((letters.sizes.keys().copied().collect::<Vec<_>>(), letters.dropped), (vec![2], 1));
        assert!(!letters.path(1).exists());
    }
}
