//! Payloads, made before the run, and the mark in each that tells the messages apart.

use anyhow::ensure;
use memchr::memmem::Finder;
use rand::Rng;
use rand::distr::Alphanumeric;

use crate::args::PayloadShape;

/// Bytes before the fields of a mark: `tgb:` and the run.
const PREFIX_BYTES: usize = 12;
/// Bytes of a whole mark.
pub(crate) const MARK_BYTES: usize = PREFIX_BYTES + 4 + 8 + 12;
/// Different payloads of a run: enough that nothing can profit from their being alike.
const VARIANTS_MAX: usize = 64;
/// Memory for them.
const VARIANTS_BYTES_MAX: usize = 4 << 20;
/// MQTT's limit is 256 MB for a packet; this leaves room for the topic.
const PAYLOAD_BYTES_MAX: usize = 255 << 20;

/// What a message says of itself, as 24 hexadecimal digits: the width never changes, so a payload is patched in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) publisher: u16,
    /// From 0.
    pub(crate) sequence: u32,
    /// Nanoseconds since the start of the run, modulo 2^48 (78 hours).
    pub(crate) sent: u64,
}

/// Writes and finds the marks of one run, wherever in a payload they are: a data flow may have moved them.
#[derive(Debug)]
pub(crate) struct Marks {
    prefix: String,
    finder: Finder<'static>,
}

impl Marks {
    pub(crate) fn new(run: u32) -> Self {
        let prefix = format!("tgb:{run:08x}");
        Self { finder: Finder::new(&prefix).into_owned(), prefix }
    }

    /// A mark to be overwritten.
    fn blank(&self) -> String {
        format!("{}{:0width$}", self.prefix, 0, width = MARK_BYTES - PREFIX_BYTES)
    }

    /// Overwrites the mark that starts at `at`.
    pub(crate) fn write(mark: Mark, at: usize, payload: &mut [u8]) {
        let fields = &mut payload[at + PREFIX_BYTES..at + MARK_BYTES];
        put_hex(mark.publisher.into(), &mut fields[..4]);
        put_hex(mark.sequence.into(), &mut fields[4..12]);
        put_hex(mark.sent, &mut fields[12..]);
    }

    /// The mark of a message of this run.
    pub(crate) fn find(&self, payload: &[u8]) -> Option<Mark> {
        let fields =
            payload.get(self.finder.find(payload)? + PREFIX_BYTES..)?.get(..MARK_BYTES - PREFIX_BYTES)?;
        Some(Mark {
            publisher: u16::try_from(hex(&fields[..4])?).ok()?,
            sequence: u32::try_from(hex(&fields[4..12])?).ok()?,
            sent: hex(&fields[12..])?,
        })
    }
}

fn put_hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// Payloads of one length, with a blank mark at one place.
#[derive(Debug)]
pub(crate) struct Payloads {
    variants: Vec<Vec<u8>>,
    mark_at: usize,
}

impl Payloads {
    pub(crate) fn new(
        shape: PayloadShape,
        bytes: usize,
        marks: &Marks,
        rng: &mut impl Rng,
    ) -> anyhow::Result<Self> {
        ensure!(
            bytes >= MARK_BYTES,
            "--payload-bytes is at least {MARK_BYTES}: a message must say which one it is"
        );
        ensure!(bytes <= PAYLOAD_BYTES_MAX, "--payload-bytes is at most {PAYLOAD_BYTES_MAX}");
        let count = (VARIANTS_BYTES_MAX / bytes).clamp(1, VARIANTS_MAX);
        let variants: Vec<_> = (0..count)
            .map(|i| match shape {
                PayloadShape::Size => text(bytes, marks, rng),
                PayloadShape::Thermostat => thermostat(i, bytes, marks, rng),
            })
            .map(String::into_bytes)
            .collect();
        let mark_at = marks.finder.find(&variants[0]).unwrap_or(0);
        Ok(Self { variants, mark_at })
    }

    /// The payload for message `sequence`.
    pub(crate) fn of(&self, sequence: u32) -> &[u8] {
        &self.variants[sequence as usize % self.variants.len()]
    }

    /// Where the mark starts in each.
    pub(crate) fn mark_at(&self) -> usize {
        self.mark_at
    }

    /// The length of each.
    pub(crate) fn bytes(&self) -> usize {
        self.variants[0].len()
    }
}

fn filler(bytes: usize, rng: &mut impl Rng) -> String {
    rng.sample_iter(Alphanumeric).take(bytes).map(char::from).collect()
}

fn text(bytes: usize, marks: &Marks, rng: &mut impl Rng) -> String {
    marks.blank() + &filler(bytes - MARK_BYTES, rng)
}

/// An asset as AIO's connectors publish it: one object, each data point with its time and value. It is as long as it
/// needs to be, and filled up to `bytes` with one more data point.
fn thermostat(variant: usize, bytes: usize, marks: &Marks, rng: &mut impl Rng) -> String {
    let time = format!("2026-01-01T00:00:{:02}.0000000Z", variant % 60);
    let point =
        |name: &str, value: &str| format!(r#""{name}":{{"SourceTimestamp":"{time}","Value":{value}}}"#);
    let points = [
        point("temperature", &format!("{:.2}", rng.random_range(10.0..99.99))),
        point("Tag 10", &rng.random_range(100..1000).to_string()),
        point("bench", &format!("\"{}\"", marks.blank())),
    ];
    let note_bytes = point("note", "\"\"").len() + 1;
    let json = format!("{{{}}}", points.join(","));
    match bytes.checked_sub(json.len() + note_bytes) {
        None => json,
        Some(room) => {
            let note = point("note", &format!("\"{}\"", filler(room, rng)));
            format!("{{{},{note}}}", points.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn payloads(shape: PayloadShape, bytes: usize) -> Payloads {
        Payloads::new(shape, bytes, &Marks::new(7), &mut SmallRng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn a_thermostat_is_json_of_the_length_asked_for() {
        for bytes in [400, 768] {
            let payloads = payloads(PayloadShape::Thermostat, bytes);
            assert_eq!(payloads.variants.len(), VARIANTS_MAX);
            for payload in &payloads.variants {
                assert_eq!(payload.len(), bytes);
                let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
                assert!(value["temperature"]["Value"].as_f64().unwrap() >= 10.0);
                assert!(value["Tag 10"]["SourceTimestamp"].is_string());
            }
        }
    }

    #[test]
    fn a_thermostat_is_never_cut_short() {
        let payloads = payloads(PayloadShape::Thermostat, MARK_BYTES);
        assert!(payloads.bytes() > MARK_BYTES);
        assert!(payloads.variants.iter().all(|p| p.len() == payloads.bytes()));
        serde_json::from_slice::<serde_json::Value>(payloads.of(3)).unwrap();
    }

    #[test]
    fn the_same_seed_makes_the_same_payloads() {
        assert_eq!(payloads(PayloadShape::Size, 100).variants, payloads(PayloadShape::Size, 100).variants);
    }

    #[test]
    fn a_payload_must_have_room_for_its_mark() {
        let rng = &mut SmallRng::seed_from_u64(1);
        assert!(Payloads::new(PayloadShape::Size, MARK_BYTES - 1, &Marks::new(7), rng).is_err());
        assert_eq!(payloads(PayloadShape::Size, MARK_BYTES).bytes(), MARK_BYTES);
    }

    proptest! {
        #[test]
        fn a_mark_is_found_where_it_was_written(
            publisher: u16, sequence: u32, sent in 0..1u64 << 48, run: u32, bytes in MARK_BYTES..300, moved in ".{0,20}",
        ) {
            let marks = Marks::new(run);
            let payloads = Payloads::new(PayloadShape::Size, bytes, &marks, &mut SmallRng::seed_from_u64(1)).unwrap();
            let mut payload = payloads.of(sequence).to_vec();
            let mark = Mark { publisher, sequence, sent };
            Marks::write(mark, payloads.mark_at(), &mut payload);
            let wrapped = [moved.as_bytes(), &payload, moved.as_bytes()].concat();
            prop_assert_eq!(marks.find(&wrapped), Some(mark));
            prop_assert_eq!(Marks::new(run.wrapping_add(1)).find(&wrapped), None);
        }

        #[test]
        fn no_payload_breaks_the_search(payload: Vec<u8>, tail in "[0-9a-fx]{0,30}") {
            let marks = Marks::new(7);
            let _ = marks.find(&payload);
            let _ = marks.find([payload.as_slice(), marks.prefix.as_bytes(), tail.as_bytes()].concat().as_slice());
        }
    }
}
