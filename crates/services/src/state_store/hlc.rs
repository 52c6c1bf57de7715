//! Timestamps of a hybrid logical clock: what versions and fencing tokens are made of (AIO: State store protocol,
//! "Versioning"; the SDKs' `HybridLogicalClock`).

use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

/// How far a timestamp may be ahead of our clock, in milliseconds (AIO: State store protocol).
const CLOCK_DRIFT_MS_MAX: u64 = 60_000;

/// A timestamp. The order is that of the protocol: time, then counter, then node.
///
/// Its text is `{milliseconds}:{counter}:{node}`, padded with zeros as the SDKs write it, so that texts of one node
/// sort like the timestamps; numbers without the zeros are read too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub millis: u64,
    /// Tells apart what happens within one millisecond.
    pub counter: u64,
    /// Whose clock it is; without a colon.
    pub node: ByteString,
}

impl Hlc {
    /// Whether it is further ahead of a clock than clocks may differ.
    pub(crate) fn is_too_far_ahead(&self, now: u64) -> bool {
        self.millis > now.saturating_add(CLOCK_DRIFT_MS_MAX)
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015}:{:05}:{}", self.millis, self.counter, self.node)
    }
}

/// A text is no [`Hlc`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed timestamp")]
pub struct MalformedHlc;

impl FromStr for Hlc {
    type Err = MalformedHlc;

    fn from_str(text: &str) -> Result<Self, MalformedHlc> {
        // `parse` alone would take a plus sign
        let number = |digits: &str| {
            let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
            all_digits.then(|| digits.parse().ok()).flatten().ok_or(MalformedHlc)
        };
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(millis), Some(counter), Some(node), None) => {
                Ok(Self { millis: number(millis)?, counter: number(counter)?, node: node.into() })
            }
            _ => Err(MalformedHlc),
        }
    }
}

/// A clock whose every reading is later than all before it, whatever the wall clock does.
#[derive(Clone, Debug)]
pub(crate) struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that goes on after `last`.
    pub(crate) fn after(last: Hlc) -> Self {
        Self { last }
    }

    /// The latest reading.
    pub(crate) fn last(&self) -> &Hlc {
        &self.last
    }

    /// A reading at the wall clock's `now`, later than every earlier one and than `seen`.
    pub(crate) fn read(&mut self, now: u64, seen: Option<&Hlc>) -> Hlc {
        let last = (self.last.millis, self.last.counter);
        let (millis, counter) = seen.map_or(last, |seen| last.max((seen.millis, seen.counter)));
        (self.last.millis, self.last.counter) = if now > millis {
            (now, 0)
        } else {
            // the SDKs' clocks refuse to count further; a millisecond more is as good
            counter.checked_add(1).map_or((millis.saturating_add(1), 0), |counter| (millis, counter))
        };
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hlc(text: &str) -> Hlc {
        text.parse().unwrap()
    }

    #[test]
    fn texts_are_read_with_and_without_zeros_and_written_with_them() {
        for (text, millis, counter, node) in [
            ("1696374425000:0:Client1", 1_696_374_425_000, 0, "Client1"),
            ("001696374425000:00001:StateStore", 1_696_374_425_000, 1, "StateStore"),
            ("0:0:", 0, 0, ""),
            ("18446744073709551615:18446744073709551615:n", u64::MAX, u64::MAX, "n"),
        ] {
            assert_eq!(hlc(text), Hlc { millis, counter, node: node.into() }, "{text}");
        }
        assert_eq!(hlc("1696374425000:1:StateStore").to_string(), "001696374425000:00001:StateStore");
    }

    #[test]
    fn what_is_no_timestamp_is_malformed() {
        for text in [
            "",
            "abc",
            "1",
            "1:2",
            "1:2:n:m",
            ":2:n",
            "1::n",
            "+1:2:n",
            "1:-2:n",
            "1: 2:n",
            "1.5:2:n",
            "18446744073709551616:0:n",
        ] {
            assert_eq!(text.parse::<Hlc>(), Err(MalformedHlc), "{text:?}");
        }
    }

    #[test]
    fn order_is_time_then_counter_then_node() {
        let sorted = ["9:9:z", "10:0:b", "10:1:a", "10:1:b", "11:0:a"].map(hlc);
        assert!(sorted.is_sorted());
    }

    #[test]
    fn readings_follow_the_sdks_update_rule() {
        // (wall clock, own, seen, reading)
        for (now, own, seen, reading) in [
            (20, "10:5:s", Some("15:7:c"), "20:0:s"),
            (20, "10:5:s", None, "20:0:s"),
            (10, "10:5:s", Some("10:7:c"), "10:8:s"),
            (10, "10:7:s", Some("10:5:c"), "10:8:s"),
            (10, "30:7:s", Some("20:9:c"), "30:8:s"),
            (10, "20:7:s", Some("30:9:c"), "30:10:s"),
            (10, "10:7:s", None, "10:8:s"),
            // the documented pair
            (
                1_696_374_425_000,
                "0:0:StateStore",
                Some("1696374425000:0:Client1"),
                "1696374425000:1:StateStore",
            ),
            // a client's counter at its end
            (10, "10:0:s", Some("10:18446744073709551615:c"), "11:0:s"),
        ] {
            let mut clock = HybridClock::after(hlc(own));
            assert_eq!(clock.read(now, seen.map(hlc).as_ref()), hlc(reading), "{now} {own} {seen:?}");
        }
    }

    prop_compose! {
        fn any_hlc()(
            millis in prop_oneof![0..50u64, any::<u64>()],
            counter in prop_oneof![0..5u64, any::<u64>()],
            node in "[^:]{0,8}",
        ) -> Hlc {
            Hlc { millis, counter, node: node.into() }
        }
    }

    proptest! {
        #[test]
        fn every_text_written_is_read_back(hlc in any_hlc()) {
            prop_assert_eq!(hlc.to_string().parse(), Ok(hlc));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            if let Ok(hlc) = text.parse::<Hlc>() {
                prop_assert_eq!(hlc.to_string().parse(), Ok(hlc));
            }
        }

        #[test]
        fn every_reading_is_later_than_all_before_it_and_all_seen(
            steps in proptest::collection::vec((0..50u64, proptest::option::of(any_hlc())), 1..40)
        ) {
            let mut clock = HybridClock::after(hlc("0:0:s"));
            for (now, seen) in steps {
                // the store refuses what is further ahead
                let seen = seen.filter(|seen| !seen.is_too_far_ahead(now));
                let before = clock.last().clone();
                let reading = clock.read(now, seen.as_ref());
                prop_assert!(reading > before);
                prop_assert!(reading.millis >= now);
                if let Some(seen) = seen {
                    prop_assert!((reading.millis, reading.counter) > (seen.millis, seen.counter));
                }
                prop_assert_eq!(clock.last(), &reading);
            }
        }
    }
}
