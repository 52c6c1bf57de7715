//! A `Dataflow` by itself: its fields, its operations, and whether they make a flow. What needs the endpoints to be
//! known is checked later.

use tidegate_core::Span;

use crate::codes;
use crate::endpoint::Switch;
use crate::field::{choice, object, settings_key};
use crate::names::ResourceName;
use crate::node::Text;
use crate::plan::{FilterSemantics, HeaderAction};
use crate::problems::{Problems, error, warning};
use crate::transform::{self, TransformDraft, TransformFields};
use crate::value::{Filled, Given, Raw, Short, Spanned};

/// `operationType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperationType {
    Source,
    Destination,
    BuiltInTransformation,
}
choice!(OperationType { Source, Destination, BuiltInTransformation });

/// `serializationFormat` of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InputFormat {
    Json,
}
choice!(InputFormat { Json });

/// `actionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionType {
    AddIfNotPresent,
    AddOrReplace,
    Remove,
}
choice!(ActionType { AddIfNotPresent, AddOrReplace, Remove });

object! {
    /// A `Dataflow`.
    pub(crate) struct DataflowFields {
        /// The profile whose instances run it. In ARM the parent resource says so.
        profile "profileRef": depends Spanned<ResourceName>;
        /// Whether it runs.
        mode "mode": default Switch = Switch::Enabled;
        /// Whether the local broker is asked to keep its queue on disk.
        request_disk_persistence "requestDiskPersistence": default Given<Switch> = Switch::Disabled;
        /// One source, one destination, perhaps one transformation, in any order.
        operations "operations": required Spanned<Vec<OperationFields>>;
        ignored "provisioningState", "healthState", "status";
    }
}

object! {
    /// One of `operations`.
    pub(crate) struct OperationFields {
        /// What it does, which says what settings count.
        operation_type "operationType": required Spanned<OperationType>;
        /// A label.
        _name "name": optional Short<64>;
        /// Settings of a `Source`.
        source "sourceSettings": optional SourceFields;
        /// Settings of a `BuiltInTransformation`.
        transform "builtInTransformationSettings": optional TransformFields;
        /// Settings of a `Destination`.
        destination "destinationSettings": optional DestinationFields;
    }
}

object! {
    /// `sourceSettings`.
    pub(crate) struct SourceFields {
        /// An endpoint of type `Mqtt` or `Kafka`.
        endpoint "endpointRef": required Spanned<ResourceName>;
        /// MQTT topic filters or Kafka topics.
        data_sources "dataSources": required Spanned<Vec<Filled>>;
        /// The asset the data is from; a note for people.
        _asset "assetRef": optional Raw;
        /// The format of what comes in.
        _format "serializationFormat": default InputFormat = InputFormat::Json;
        /// The schema of what comes in, `aio-sr://<namespace>/<name>:<version>`.
        schema "schemaRef": optional Raw;
    }
}

object! {
    /// `destinationSettings`.
    pub(crate) struct DestinationFields {
        /// An endpoint of any type.
        endpoint "endpointRef": required Spanned<ResourceName>;
        /// The MQTT topic, perhaps with `${inputTopic}` and `${inputTopic.N}`; the Kafka topic, container, table or
        /// folder.
        data_destination "dataDestination": required Filled;
        /// What happens to user properties or headers of outgoing messages, in this order.
        headers "headers": optional Vec<HeaderFields>;
    }
}

object! {
    /// One of `headers`.
    pub(crate) struct HeaderFields {
        /// What is done.
        action_type "actionType": required Spanned<ActionType>;
        /// The header's name.
        key "key": required Filled;
        /// The header's value; `Remove` has none.
        value "value": depends Raw;
    }
}

/// A data flow as read, before its endpoints are known. A part that is `None` was complained about.
#[derive(Clone, Debug)]
pub(crate) struct DataflowDraft {
    pub(crate) profile: Spanned<ResourceName>,
    pub(crate) enabled: bool,
    /// Where persistence is asked for, if it is.
    pub(crate) persistence_at: Option<Span>,
    pub(crate) source: Option<SourceDraft>,
    pub(crate) transform: Option<TransformDraft>,
    pub(crate) destination: Option<DestinationDraft>,
}

#[derive(Clone, Debug)]
pub(crate) struct SourceDraft {
    pub(crate) endpoint: Option<Spanned<ResourceName>>,
    /// Empty only if that was complained about.
    pub(crate) data_sources: Vec<Text>,
    pub(crate) schema: Option<Text>,
}

#[derive(Clone, Debug)]
pub(crate) struct DestinationDraft {
    pub(crate) endpoint: Option<Spanned<ResourceName>>,
    pub(crate) data_destination: Option<Text>,
    pub(crate) headers: Vec<HeaderAction>,
}

/// What a data flow is read with.
pub(crate) struct Setting {
    /// The profile from outside: an ARM parent, or the caller's.
    pub(crate) parent: Option<String>,
    /// Whether it is a Kubernetes manifest, where `profileRef` belongs into the flow.
    pub(crate) manifest: bool,
    pub(crate) filter_semantics: FilterSemantics,
    /// Where to point when `profileRef` is missing.
    pub(crate) at: Span,
}

pub(crate) fn parse(
    fields: DataflowFields,
    setting: Setting,
    problems: &mut Problems,
) -> Option<DataflowDraft> {
    let parent = setting.parent.as_deref().and_then(ResourceName::parse);
    let profile = match (parent, fields.profile) {
        (Some(value), _) => Spanned { value, span: setting.at },
        (None, Some(profile)) => profile,
        (None, None) => {
            if setting.manifest && !fields.flawed {
                let problem = warning(codes::PROFILE_NOT_NAMED, setting.at, "`profileRef` is missing");
                problems.push(problem.help("write `profileRef: default`, which is what it is taken for"));
            }
            Spanned { value: ResourceName::default_name(), span: setting.at }
        }
    };
    let operations = fields.operations?;
    check_operations(&operations, problems);
    let (mut source, mut transform, mut destination) = (None, None, None);
    for operation in operations.value {
        match operation.operation_type.map(|t| t.value) {
            Some(OperationType::Source) => source = source.or(operation.source),
            Some(OperationType::Destination) => destination = destination.or(operation.destination),
            Some(OperationType::BuiltInTransformation) => transform = transform.or(operation.transform),
            None => {}
        }
    }
    Some(DataflowDraft {
        profile,
        enabled: fields.mode == Switch::Enabled,
        persistence_at: fields
            .request_disk_persistence
            .span
            .filter(|_| fields.request_disk_persistence.value == Switch::Enabled),
        source: source.map(|s| parse_source(s, problems)),
        transform: transform
            .map(|t| transform::parse(t, setting.filter_semantics, setting.manifest, problems)),
        destination: destination.map(|d| parse_destination(d, problems)),
    })
}

/// One source, one destination, at most one transformation, and each with its settings.
fn check_operations(operations: &Spanned<Vec<OperationFields>>, problems: &mut Problems) {
    let types_known = operations.value.iter().all(|o| o.operation_type.is_some());
    for (of, needed) in [
        (OperationType::Source, true),
        (OperationType::BuiltInTransformation, false),
        (OperationType::Destination, true),
    ] {
        let at: Vec<Span> = operations
            .value
            .iter()
            .filter_map(|o| o.operation_type.as_ref().filter(|t| t.value == of))
            .map(|t| t.span)
            .collect();
        match at.as_slice() {
            [] if needed && types_known => {
                let at = operations.value.first().map_or(operations.span, |o| o.at);
                let problem =
                    error(codes::OPERATION_COUNT, at, format!("there is no operation of type {of:?}"));
                problems.push(problem.help("a data flow has one Source and one Destination"));
            }
            [first, more @ ..] => {
                for at in more {
                    let message = format!("there is more than one operation of type {of:?}");
                    let problem = error(codes::OPERATION_COUNT, *at, message).label(*first, "first here");
                    problems.push(problem.help("make another data flow of it"));
                }
            }
            [] => {}
        }
    }
    for operation in &operations.value {
        let Some(Spanned { value: operation_type, span }) = operation.operation_type.clone() else {
            continue;
        };
        for (of, at) in [
            (OperationType::Source, operation.source.as_ref().map(|s| s.at)),
            (OperationType::BuiltInTransformation, operation.transform.as_ref().map(|s| s.at)),
            (OperationType::Destination, operation.destination.as_ref().map(|s| s.at)),
        ] {
            let key = settings_key(of);
            match at {
                None if of == operation_type && !operation.flawed => {
                    let message = format!("an operation of type {of:?} needs `{key}`");
                    problems.push(error(codes::OPERATION_SETTINGS, span, message));
                }
                Some(at) if of != operation_type => {
                    let message = format!("`{key}` means nothing in an operation of type {operation_type:?}");
                    let problem = warning(codes::OPERATION_SETTINGS, at, message).label(span, "the type");
                    problems.push(problem.help("remove it, or give it an operation of its own"));
                }
                _ => {}
            }
        }
    }
}

fn parse_source(fields: SourceFields, problems: &mut Problems) -> SourceDraft {
    if let Some(sources) = fields.data_sources.as_ref().filter(|s| s.value.is_empty()) {
        let problem = error(codes::NO_DATA_SOURCE, sources.span, "a source needs at least one data source");
        problems.push(problem.help("list topic filters such as `factory/+/temperature`, or Kafka topics"));
    }
    SourceDraft {
        endpoint: fields.endpoint,
        data_sources: fields.data_sources.map_or(vec![], |s| s.value.into_iter().map(|s| s.0).collect()),
        schema: fields.schema.map(|s| s.0).filter(|s| !s.as_str().is_empty()),
    }
}

fn parse_destination(fields: DestinationFields, problems: &mut Problems) -> DestinationDraft {
    let headers =
        fields.headers.unwrap_or_default().into_iter().filter_map(|h| header(h, problems)).collect();
    let data_destination = fields.data_destination.map(|d| d.0);
    DestinationDraft { endpoint: fields.endpoint, data_destination, headers }
}

fn header(fields: HeaderFields, problems: &mut Problems) -> Option<HeaderAction> {
    let action = fields.action_type?;
    let key = fields.key?.0.as_str().to_owned();
    let value = fields.value.map(|v| v.0);
    match (action.value, value) {
        (ActionType::Remove, None) => Some(HeaderAction::Remove { key }),
        (ActionType::Remove, Some(value)) => {
            let message = "a header that is removed has no value";
            problems.push(error(codes::HEADER_VALUE, value.span(), message).label(action.span, "the action"));
            None
        }
        (_, None) => {
            if !fields.flawed {
                let message = format!("{:?} needs `value`", action.value);
                problems.push(error(codes::HEADER_VALUE, action.span, message));
            }
            None
        }
        (ActionType::AddIfNotPresent, Some(value)) => {
            Some(HeaderAction::AddIfNotPresent { key, value: value.as_str().to_owned() })
        }
        (ActionType::AddOrReplace, Some(value)) => {
            Some(HeaderAction::AddOrReplace { key, value: value.as_str().to_owned() })
        }
    }
}
