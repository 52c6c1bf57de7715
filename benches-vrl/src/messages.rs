//! The messages: 1000 different ones of exactly 768 bytes, compact ASCII.

use bytes::Bytes;

pub const COUNT: usize = 1000;
pub const LEN: usize = 768;

const NAMES: [&str; 12] = [
    "temperature",
    "pressure",
    "humidity",
    "flow",
    "Tag 1",
    "Tag 2",
    "Tag 3",
    "Tag 10",
    "speed",
    "level",
    "torque",
    "power",
];

/// SplitMix64, so that every run has the same messages.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// With up to three decimals, or none.
    fn number(&mut self, low: u64, high: u64) -> String {
        let whole = low + self.below(high - low);
        match self.below(4) {
            0 => whole.to_string(),
            1 => format!("{whole}.{}", self.below(10)),
            2 => format!("{whole}.{:02}", self.below(100)),
            _ => format!("{whole}.{:03}", self.below(1000)),
        }
    }
}

pub fn id(number: u64) -> String {
    format!("pump-{number:05}")
}

/// Every tenth has a `temperature.Value` of 20 or less; `deviceId` is that of one of `devices`.
pub fn messages(devices: u64) -> Vec<Bytes> {
    let mut random = Random(1);
    (0..COUNT).map(|i| message(i, devices, &mut random)).collect()
}

fn message(i: usize, devices: u64, random: &mut Random) -> Bytes {
    let mut text = format!("{{\"deviceId\":\"{}\"", id(random.below(devices)));
    for (n, name) in NAMES.iter().enumerate() {
        let value = match n {
            0 if i % 10 == 3 => random.number(5, 20),
            0 => random.number(21, 99),
            _ => random.number(0, 1500),
        };
        text += &format!(",\"{name}\":{{");
        if n % 3 != 2 {
            let (second, milli) = (random.below(60), random.below(1000));
            text += &format!("\"SourceTimestamp\":\"2026-03-01T12:07:{second:02}.{milli:03}Z\",");
        }
        text += &format!("\"Value\":{value}}}");
    }
    text += ",\"meta\":{\"note\":\"";
    let room = LEN.checked_sub(text.len() + "\"}}".len()).expect("the note takes the rest");
    text += &"abcdefghij".repeat(room)[..room];
    text += "\"}}";
    assert_eq!(text.len(), LEN);
    text.into()
}
