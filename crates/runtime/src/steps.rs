//! What happens to a record between source and sink: its schema's name is compared, then enrich, filter, map.

use tidegate_core::Record;
use tidegate_expr::{Dataset, Message, Outcome, Transformer};
use tidegate_model::names::schemas_conflict;
use tidegate_model::plan::{Plan, SerializationFormat, Transform};
use tokio::sync::watch;

use crate::ledger::{Account, End};
use crate::supervisor::Instance;
use crate::{DeadLetter, Stage};

/// The records of a dataset as they are known now.
#[derive(Clone, Debug)]
pub enum DatasetState {
    /// Nobody has answered yet.
    Pending,
    /// The value of its key; a key without a value is a dataset without records.
    Ready(Dataset),
    /// The state store can't be asked, and why.
    Unavailable(String),
}

/// The steps of one instance, with their memory.
pub(crate) struct Steps {
    /// What the source's messages are said to be.
    schema: Option<String>,
    transformer: Option<Transformer>,
    datasets: Vec<(String, watch::Receiver<DatasetState>)>,
}

impl Steps {
    /// The steps of a plan; `watch` finds the records of a dataset by its state store key.
    pub(crate) fn new(plan: &Plan, watch: impl Fn(&str) -> watch::Receiver<DatasetState>) -> Self {
        // what is made into columns is read once, there
        let wanted = |t: &&Transform| t.format == SerializationFormat::Json || !t.rules.only_copies();
        let transform = plan.transform.as_ref().filter(wanted);
        let transformer = transform.map(|t| Transformer::new(t.rules.clone()));
        let keys = transformer.iter().flat_map(|t| t.transform().dataset_keys());
        let datasets = keys.map(|key| (key.to_owned(), watch(key))).collect();
        Self { schema: plan.source.schema.clone(), transformer, datasets }
    }

    /// Nothing happens on the way to a spool.
    pub(crate) fn none() -> Self {
        Self { schema: None, transformer: None, datasets: vec![] }
    }

    /// Waits until every dataset is there, or known not to be: no message should fail for want of patience.
    pub(crate) async fn prepare(&mut self) {
        let Some(transformer) = &mut self.transformer else { return };
        for (key, dataset) in &mut self.datasets {
            // an error says that nobody will ever tell
            let known = dataset.wait_for(|state| !matches!(state, DatasetState::Pending)).await;
            let state =
                known.map_or_else(|_| DatasetState::Unavailable("nobody holds it".into()), |s| s.clone());
            set(transformer, key, &state);
        }
    }

    /// Takes up what has changed in the datasets.
    fn refresh(&mut self) {
        let Some(transformer) = &mut self.transformer else { return };
        for (key, dataset) in &mut self.datasets {
            if dataset.has_changed().unwrap_or(false) {
                let state = dataset.borrow_and_update().clone();
                set(transformer, key, &state);
            }
        }
    }

    /// Runs the steps over a batch; what goes on is appended to `out`, the rest is settled.
    pub(crate) fn run(
        &mut self,
        mut records: Vec<Record>,
        instance: &Instance,
        account: &Account,
        out: &mut Vec<Record>,
    ) {
        let bury = |record, reason| {
            account.settle(1, End::DeadLettered);
            instance.bury(DeadLetter { record, reason });
        };
        if let Some(schema) = &self.schema {
            let conflict = |record: &Record| {
                let theirs = record.properties.user_property("dataschema")?;
                schemas_conflict(theirs, schema)
                    .then(|| format!("conflicting schema: it says `{theirs}`, and the source has `{schema}`"))
            };
            records.retain(|record| match conflict(record) {
                Some(reason) => {
                    bury(record.clone(), reason);
                    false
                }
                None => true,
            });
        }
        self.refresh();
        let tap = &instance.flow.tap;
        let watched = tap.is_watched() && instance.leg.is_last();
        let Some(transformer) = &mut self.transformer else {
            if watched {
                records.iter().for_each(|record| tap.show_transformed(record.clone(), record.clone()));
            }
            out.extend(records);
            return;
        };
        let mut filtered = 0;
        for mut record in records {
            match transformer.apply(Message::from(&record)) {
                Outcome::Pass(passed) => {
                    let before = watched.then(|| record.clone());
                    record.payload = passed.payload;
                    record.properties = passed.properties;
                    if let Some(before) = before {
                        tap.show_transformed(before, record.clone());
                    }
                    out.push(record);
                }
                Outcome::Filtered { rule } => {
                    filtered += 1;
                    if watched {
                        let words = transformer.transform().filters_in_words().swap_remove(rule);
                        tap.show_end(Stage::Filtered, record, format!("rule {}, which {words}", rule + 1));
                    }
                }
                Outcome::Failed(failure) => bury(record, failure.to_string()),
            }
        }
        if filtered > 0 {
            account.settle(filtered, End::Filtered);
        }
    }
}

fn set(transformer: &mut Transformer, key: &str, state: &DatasetState) {
    match state {
        DatasetState::Pending => {}
        DatasetState::Ready(dataset) => transformer.set_dataset(key, dataset),
        DatasetState::Unavailable(why) => transformer.dataset_unavailable(key, why),
    }
}
