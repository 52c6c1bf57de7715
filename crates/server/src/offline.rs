//! A data flow without its ends: what becomes of a message, as far as the flow decides it.

use tidegate_connect::properties::PropertyRules;
use tidegate_core::Record;
use tidegate_expr::{Dataset, Message, Outcome, Step, Transformer};
use tidegate_model::endpoint::{CloudEventAttributes, Settings};
use tidegate_model::plan::{DataDestination, DestinationSpec};
use tidegate_model::topic::TopicFilter;
use tidegate_model::{Catalog, Outline};

/// A data flow to try out, with its memory.
pub struct Offline {
    transformer: Option<Transformer>,
    destination: DestinationSpec,
    /// What each filter rule does, in words.
    filters: Vec<String>,
    /// Where a message comes from that doesn't say it.
    topic: String,
}

/// What becomes of a message.
pub enum Verdict {
    /// It goes on.
    Passed(Record),
    /// A filter drops it.
    Filtered {
        /// Which, counted from 1.
        rule: usize,
        /// What it does.
        words: String,
    },
    /// It can't be processed, and why.
    Failed(String),
}

/// The outline of the data flow of that name, or of the only one. There were no errors when the catalog was loaded.
///
/// # Errors
/// A sentence that names the data flows there are.
pub fn choose<'a>(
    catalog: &'a Catalog,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<&'a Outline, String> {
    let called = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
    let flows: Vec<_> = catalog
        .dataflows()
        .iter()
        .filter(|flow| called(namespace, &flow.namespace) && called(name, flow.name.as_str()))
        .collect();
    match (flows.as_slice(), name) {
        ([flow], _) => flow.outline.as_ref().ok_or_else(|| format!("data flow `{}` has errors", flow.name)),
        ([], None) => Err("there is no data flow".into()),
        ([], Some(name)) => {
            let known: Vec<_> = catalog.dataflows().iter().map(|flow| format!("`{}`", flow.name)).collect();
            let known = if known.is_empty() { "no data flow at all".into() } else { known.join(", ") };
            Err(format!("there is no data flow `{name}`, but {known}"))
        }
        (several, None) => {
            let known: Vec<_> = several.iter().map(|flow| format!("`{}`", flow.name)).collect();
            Err(format!("there are several data flows: {}", known.join(", ")))
        }
        (several, Some(name)) => {
            let namespaces: Vec<_> = several.iter().map(|flow| format!("`{}`", flow.namespace)).collect();
            Err(format!("data flow `{name}` is in several namespaces: {}", namespaces.join(", ")))
        }
    }
}

impl Offline {
    /// A flow that has seen no message. Until they are set, its datasets are empty.
    pub fn new(outline: &Outline) -> Self {
        let rules = outline.transform.as_ref().map(|transform| transform.rules.clone());
        let mut transformer = rules.map(Transformer::new);
        if let Some(transformer) = &mut transformer {
            let keys: Vec<_> = transformer.transform().dataset_keys().map(str::to_owned).collect();
            keys.iter().for_each(|key| transformer.set_dataset(key, &Dataset::default()));
        }
        let filters = transformer.as_ref().map_or(vec![], |t| t.transform().filters_in_words());
        let plain = |text: &String| {
            let filter = TopicFilter::parse(text).ok()?;
            (!filter.filter().contains(['+', '#'])).then(|| filter.filter().to_owned())
        };
        let topic = outline.data_sources.iter().find_map(plain).unwrap_or_default();
        Self { transformer, destination: outline.destination.clone(), filters, topic }
    }

    /// The state store keys of its datasets.
    pub fn dataset_keys(&self) -> Vec<String> {
        let keys = self.transformer.iter().flat_map(|t| t.transform().dataset_keys());
        keys.map(str::to_owned).collect()
    }

    /// Sets the records of a dataset.
    pub fn set_dataset(&mut self, key: &str, dataset: &Dataset) {
        if let Some(transformer) = &mut self.transformer {
            transformer.set_dataset(key, dataset);
        }
    }

    /// Enriches, filters and maps.
    pub fn transform(&mut self, record: Record) -> Verdict {
        let record = self.received(record);
        match &mut self.transformer {
            None => Verdict::Passed(record),
            Some(transformer) => {
                let outcome = transformer.apply(Message::from(&record));
                self.verdict(record, outcome)
            }
        }
    }

    /// The same, and what each rule did.
    pub fn explain(&mut self, record: Record) -> (Verdict, Vec<Step>) {
        let record = self.received(record);
        match &mut self.transformer {
            None => (Verdict::Passed(record), vec![]),
            Some(transformer) => {
                let (outcome, steps) = transformer.explain(Message::from(&record));
                (self.verdict(record, outcome), steps)
            }
        }
    }

    fn received(&self, mut record: Record) -> Record {
        if record.topic.is_empty() {
            record.topic = self.topic.as_str().into();
        }
        record
    }

    fn verdict(&self, mut record: Record, outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Pass(passed) => {
                record.payload = passed.payload;
                record.properties = passed.properties;
                Verdict::Passed(record)
            }
            Outcome::Filtered { rule } => {
                Verdict::Filtered { rule: rule + 1, words: self.filters[rule].clone() }
            }
            Outcome::Failed(failure) => Verdict::Failed(failure.to_string()),
        }
    }

    /// A transformed message as it leaves: with the destination's topic, and what header actions and CloudEvents make
    /// of its properties. What an endpoint that is not of type Mqtt does to headers by itself is not in it.
    ///
    /// # Errors
    /// A sentence: the topic can't be resolved, or a header doesn't fit.
    pub fn send(&self, record: &Record) -> Result<Record, String> {
        let DestinationSpec { endpoint, data_destination, headers } = &self.destination;
        let topic = match data_destination {
            DataDestination::Name(name) => name.clone(),
            DataDestination::Topic(topic) => topic.resolve(&record.topic).ok_or_else(|| {
                format!("the topic `{topic}` can't be resolved for a message on `{}`", record.topic)
            })?,
        };
        let (cloud_events, keeps_retain) = match &endpoint.settings {
            Settings::Mqtt(mqtt) => (mqtt.cloud_event_attributes, mqtt.keep_retain),
            _ => (CloudEventAttributes::Propagate, false),
        };
        let rules = PropertyRules {
            headers: headers.clone(),
            cloud_events,
            event_source: format!("aio://{}", endpoint.name),
        };
        let properties = rules.apply(record, &topic)?;
        Ok(Record {
            topic: topic.into(),
            properties,
            retain: keeps_retain && record.retain,
            ..record.clone()
        })
    }
}
