//! The properties a record leaves with: `destinationSettings.headers` first, then CloudEvents attributes, which AIO
//! makes in the target client.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::{Properties, PropertiesBuilder, Property, Record};
use tidegate_model::endpoint::CloudEventAttributes;
use tidegate_model::plan::HeaderAction;

/// What an endpoint and a data flow want done to the properties of outgoing messages.
#[derive(Clone, Debug)]
pub struct PropertyRules {
    /// `destinationSettings.headers`.
    pub headers: Vec<HeaderAction>,
    /// `cloudEventAttributes`.
    pub cloud_events: CloudEventAttributes,
    /// The CloudEvents attribute `source` of events made here: `aio://<endpoint name>`.
    pub event_source: String,
}

/// The attributes every CloudEvent has (CloudEvents 1.0, "Required Attributes").
pub const REQUIRED: [&str; 4] = ["specversion", "type", "source", "id"];

/// The type AIO gives events it makes.
const EVENT_TYPE: &str = "ms.aio-dataflow.telemetry";

const DATA_CONTENT_TYPE: &str = "datacontenttype";

impl PropertyRules {
    /// The properties of `record` on its way to `topic`. A message that nothing is to be done to keeps its buffer.
    ///
    /// # Errors
    /// A sentence, when a header does not fit an MQTT user property.
    pub fn apply(&self, record: &Record, topic: &str) -> Result<Properties, String> {
        let given = &record.properties;
        let untouched = self.headers.is_empty()
            && self.cloud_events == CloudEventAttributes::Propagate
            && given.user_property(DATA_CONTENT_TYPE).is_none();
        if untouched {
            return Ok(given.clone());
        }
        let (id, time);
        let mut list: Vec<Property<'_>> = given.iter().collect();
        for action in &self.headers {
            apply(action, &mut list);
        }
        let complete = REQUIRED.iter().all(|name| find(&list, name).is_some());
        let content_type = given.content_type();
        if complete {
            if let (Some(i), Some(v)) = (find(&list, DATA_CONTENT_TYPE), content_type) {
                list[i] = Property::UserProperty(DATA_CONTENT_TYPE, v);
            }
        } else if self.cloud_events == CloudEventAttributes::CreateOrRemap {
            id = uuid::Uuid::new_v4().to_string();
            time = rfc3339(SystemTime::now());
            let wanted = [
                ("specversion", Some("1.0")),
                ("type", Some(EVENT_TYPE)),
                ("source", Some(self.event_source.as_str())),
                ("id", Some(id.as_str())),
                ("subject", Some(topic)),
                ("time", Some(time.as_str())),
                (DATA_CONTENT_TYPE, content_type),
            ];
            for (name, value) in wanted {
                if let (Some(value), None) = (value, find(&list, name)) {
                    list.push(Property::UserProperty(name, value));
                }
            }
        }
        let mut builder = PropertiesBuilder::default();
        for property in list {
            if !builder.push(property) {
                return Err(
                    "a header is longer than 65535 bytes or holds U+0000, which MQTT can't carry".into()
                );
            }
        }
        Ok(builder.build().expect("nothing that stands once was added"))
    }
}

fn find(list: &[Property<'_>], name: &str) -> Option<usize> {
    list.iter().position(|p| is_named(p, name))
}

fn is_named(property: &Property<'_>, name: &str) -> bool {
    matches!(property, Property::UserProperty(k, _) if *k == name)
}

fn apply<'a>(action: &'a HeaderAction, list: &mut Vec<Property<'a>>) {
    match action {
        HeaderAction::AddIfNotPresent { key, value } => {
            if find(list, key).is_none() {
                list.push(Property::UserProperty(key, value));
            }
        }
        HeaderAction::AddOrReplace { key, value } => {
            let new = Property::UserProperty(key, value);
            match find(list, key) {
                None => list.push(new),
                Some(first) => {
                    list[first] = new;
                    let mut i = 0;
                    list.retain(|p| {
                        i += 1;
                        i - 1 <= first || !is_named(p, key)
                    });
                }
            }
        }
        HeaderAction::Remove { key } => list.retain(|p| !is_named(p, key)),
    }
}

/// A time as RFC 3339 writes it, in UTC with milliseconds.
fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day comes last.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn record(list: &[Property<'_>]) -> Record {
        let mut builder = PropertiesBuilder::default();
        assert!(list.iter().all(|p| builder.push(*p)));
        let mut record = Record::new("in/a", "x", Instant::now());
        record.properties = builder.build().unwrap();
        record
    }

    fn rules(headers: Vec<HeaderAction>, cloud_events: CloudEventAttributes) -> PropertyRules {
        PropertyRules { headers, cloud_events, event_source: "aio://hq".into() }
    }

    fn user_properties(p: &Properties) -> Vec<(&str, &str)> {
        p.user_properties().collect()
    }

    const COMPLETE: [Property<'_>; 4] = [
        Property::UserProperty("specversion", "1.0"),
        Property::UserProperty("type", "t"),
        Property::UserProperty("source", "s"),
        Property::UserProperty("id", "1"),
    ];

    #[test]
    fn a_message_nothing_is_done_to_keeps_its_buffer() {
        let record = record(&COMPLETE);
        let out = rules(vec![], CloudEventAttributes::Propagate).apply(&record, "out").unwrap();
        assert_eq!(out.as_bytes().as_ptr(), record.properties.as_bytes().as_ptr());
    }

    #[test]
    fn header_actions_work_on_user_properties_in_list_order() {
        let up = Property::UserProperty;
        let add =
            |key: &str, value: &str| HeaderAction::AddIfNotPresent { key: key.into(), value: value.into() };
        let set =
            |key: &str, value: &str| HeaderAction::AddOrReplace { key: key.into(), value: value.into() };
        let del = |key: &str| HeaderAction::Remove { key: key.into() };
        let given = [up("a", "1"), Property::ContentType("text/plain"), up("b", "2"), up("a", "3")];
        for (actions, expected) in [
            (vec![add("a", "x"), add("c", "y")], vec![("a", "1"), ("b", "2"), ("a", "3"), ("c", "y")]),
            (vec![set("a", "x"), set("c", "y")], vec![("a", "x"), ("b", "2"), ("c", "y")]),
            (vec![del("a"), del("zzz")], vec![("b", "2")]),
            (vec![del("a"), add("a", "x"), set("a", "y")], vec![("b", "2"), ("a", "y")]),
        ] {
            let out = rules(actions, CloudEventAttributes::Propagate).apply(&record(&given), "o").unwrap();
            assert_eq!(user_properties(&out), expected);
            assert_eq!(out.content_type(), Some("text/plain"));
        }
        let bad = rules(vec![set("a", "\0")], CloudEventAttributes::Propagate);
        assert!(bad.apply(&record(&given), "o").unwrap_err().contains("U+0000"));
    }

    #[test]
    fn propagate_leaves_incomplete_events_alone() {
        let given =
            [COMPLETE[0], Property::UserProperty("datacontenttype", "old"), Property::ContentType("new")];
        let record = record(&given);
        let out = rules(vec![], CloudEventAttributes::Propagate).apply(&record, "out").unwrap();
        assert_eq!(out, record.properties);
    }

    #[test]
    fn a_complete_event_keeps_its_attributes_but_names_the_content_type_it_leaves_with() {
        let mut given = COMPLETE.to_vec();
        given.push(Property::UserProperty("datacontenttype", "old"));
        given.push(Property::ContentType("application/json"));
        for mode in [CloudEventAttributes::Propagate, CloudEventAttributes::CreateOrRemap] {
            let out = rules(vec![], mode).apply(&record(&given), "out").unwrap();
            assert_eq!(
                user_properties(&out),
                [
                    ("specversion", "1.0"),
                    ("type", "t"),
                    ("source", "s"),
                    ("id", "1"),
                    ("datacontenttype", "application/json")
                ]
            );
        }
    }

    #[test]
    fn create_or_remap_fills_what_is_missing() {
        let given = [Property::UserProperty("type", "mine"), Property::ContentType("application/json")];
        let out = rules(vec![], CloudEventAttributes::CreateOrRemap).apply(&record(&given), "out/x").unwrap();
        for (name, value) in [
            ("specversion", "1.0"),
            ("type", "mine"),
            ("source", "aio://hq"),
            ("subject", "out/x"),
            ("datacontenttype", "application/json"),
        ] {
            assert_eq!(out.user_property(name), Some(value));
        }
        let id = uuid::Uuid::parse_str(out.user_property("id").unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert!(out.user_property("time").unwrap().ends_with('Z'));
        let without_type =
            rules(vec![], CloudEventAttributes::CreateOrRemap).apply(&record(&[]), "out/x").unwrap();
        assert_eq!(without_type.user_property("datacontenttype"), None);
        assert_eq!(without_type.user_property("type"), Some("ms.aio-dataflow.telemetry"));
    }

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(1_007)), "1970-01-01T00:00:01.007Z");
    }
}
