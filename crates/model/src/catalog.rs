//! Everything that was loaded, by kind and name.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_core::{Secret, Span};

use crate::broker::Broker;
use crate::endpoint::Endpoint;
use crate::names::{ResourceName, SchemaRef};
use crate::plan::{DestinationSpec, Plan, Transform};
use crate::profile::Profile;
use crate::resource::Kind;
use crate::schema::Schema;
use crate::simulator::Simulator;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// All resources of a load.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub(crate) resources: Vec<ResourceId>,
    pub(crate) endpoints: BTreeMap<Key, Declared<Endpoint>>,
    pub(crate) profiles: BTreeMap<Key, Declared<Profile>>,
    pub(crate) dataflows: Vec<Dataflow>,
    pub(crate) secrets: BTreeMap<Key, BTreeMap<String, Secret>>,
    pub(crate) config_maps: BTreeMap<Key, BTreeMap<String, Vec<u8>>>,
    pub(crate) schemas: BTreeMap<(String, String), Arc<Schema>>,
    pub(crate) broker: Option<Broker>,
    pub(crate) simulators: Vec<Simulator>,
}

/// A resource by its name, and where the name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceId {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Span,
}

/// Something that others refer to, perhaps with errors in it.
#[derive(Clone, Debug)]
pub(crate) struct Declared<T> {
    /// As much as could be understood.
    pub(crate) value: Option<Arc<T>>,
    /// Whether there is no error in it.
    pub(crate) valid: bool,
    pub(crate) name_at: Span,
}

/// A data flow and what is to become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataflow {
    /// `metadata.name`.
    pub name: ResourceName,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `profileRef`.
    pub profile: ResourceName,
    /// Whether it can run, and is to.
    pub state: DataflowState,
    /// What it does to messages; `None` if there is an error in it.
    pub outline: Option<Outline>,
}

/// What a data flow does to messages, whether or not it can run: enough to try it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// `dataSources`, as written.
    pub data_sources: Vec<String>,
    /// `builtInTransformationSettings`, if there are any that do something.
    pub transform: Option<Transform>,
    /// Where records go. An endpoint that was not given is taken for the local broker.
    pub destination: DestinationSpec,
}

/// Whether a data flow can run, and is to.
#[derive(Clone, Debug, PartialEq)]
pub enum DataflowState {
    /// It is to run.
    Enabled(Arc<Plan>),
    /// `mode: Disabled`.
    Disabled,
    /// Something in it, or in what it refers to, is wrong or missing; a diagnostic says what.
    Invalid,
}

impl Catalog {
    /// Every resource that was given, in the order of the files.
    pub fn resources(&self) -> &[ResourceId] {
        &self.resources
    }

    /// Every data flow, in the order of the files.
    pub fn dataflows(&self) -> &[Dataflow] {
        &self.dataflows
    }

    /// What is to run: a plan for each data flow that is enabled and valid.
    pub fn plans(&self) -> Vec<Arc<Plan>> {
        let plans = self.dataflows.iter().filter_map(|flow| match &flow.state {
            DataflowState::Enabled(plan) => Some(Arc::clone(plan)),
            DataflowState::Disabled | DataflowState::Invalid => None,
        });
        plans.collect()
    }

    /// The valid endpoints that were given.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values().filter(|d| d.valid).filter_map(|d| d.value.as_ref())
    }

    /// The valid profiles that were given.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values().filter(|d| d.valid).filter_map(|d| d.value.as_ref())
    }

    /// A value of a Secret that was given.
    pub fn secret(&self, namespace: &str, name: &str, key: &str) -> Option<&Secret> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned()))?.get(key)
    }

    /// The values of a ConfigMap that was given, by their keys.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.config_maps.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The schemas that were given.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// The schema that a reference names. There is one registry, so its namespace makes no difference.
    pub fn schema(&self, reference: &SchemaRef) -> Option<&Arc<Schema>> {
        self.schemas.get(&(reference.name().to_owned(), reference.version().to_owned()))
    }

    /// The simulated assets.
    pub fn simulators(&self) -> &[Simulator] {
        &self.simulators
    }

    /// The local broker's settings, if a `Broker` was given.
    pub fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }
}
