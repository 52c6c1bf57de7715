//! What comes out of good resources: data flows, and plans for those that are to run.

use std::time::Duration;

use tidegate_model::endpoint::Qos;
use tidegate_model::names::SchemaRef;
use tidegate_model::plan::{
    DataDestination, DataSources, FilterSemantics, HeaderAction, Plan, SerializationFormat,
};
use tidegate_model::{Catalog, DataflowState, LoadOptions};

use crate::support::{endpoint, flow, loaded};

fn catalog(text: &str) -> Catalog {
    loaded(&[("a.yaml", text)], &LoadOptions::default()).1.value
}

/// The one plan of a text.
fn plan(text: &str) -> Plan {
    let plans = catalog(text).plans();
    let [plan] = plans.as_slice() else { panic!("{} plans of {text}", plans.len()) };
    plan.as_ref().clone()
}

#[test]
fn a_flow_between_topics_of_the_local_broker() {
    let plan =
        plan(&flow("default", "['plant/+/press/#', $shared/g/b]", "", "default", "'clean/${inputTopic.2}'"));
    assert_eq!(
        (plan.name.as_str(), plan.namespace.as_str(), plan.profile.as_str()),
        ("press-clean", "azure-iot-operations", "default")
    );
    assert_eq!((plan.instance_count, plan.request_disk_persistence), (1, false));
    assert!(plan.source.endpoint.is_local_broker() && plan.destination.endpoint.is_local_broker());
    let DataSources::Mqtt { filters, qos } = &plan.source.data_sources else { panic!() };
    let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
    assert_eq!((filters, *qos), (vec!["plant/+/press/#".to_owned(), "$share/g/b".to_owned()], Qos::One));
    let DataDestination::Topic(topic) = &plan.destination.data_destination else { panic!() };
    assert_eq!(topic.resolve("plant/line-1/press/7").as_deref(), Some("clean/line-1"));
    assert_eq!((plan.transform, plan.destination.headers), (None, vec![]));
}

#[test]
fn a_flow_from_kafka_with_all_that_a_flow_can_have() {
    let text = flow(
        "line",
        "[presses, oil]",
        "map: [{inputs: ['*'], output: '*'}]",
        "default",
        "b, headers: [{actionType: AddOrReplace, key: site, value: north}, {actionType: Remove, key: debug}]",
    )
    .replace("profileRef: default", "profileRef: line-a\n  requestDiskPersistence: enabled\n  mode: ENABLED")
        + &endpoint(
            "line",
            "Kafka",
            "host: kafka.example:9092\nauthentication: {method: Anonymous}\nconsumerGroupId: g",
        )
        + "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {name: line-a}\nspec: {instanceCount: 3}\n";
    let plan = plan(&text);
    assert_eq!((plan.instance_count, plan.request_disk_persistence), (3, true));
    let DataSources::Kafka { topics, consumer_group_id } = &plan.source.data_sources else { panic!() };
    assert_eq!(
        (topics.as_slice(), consumer_group_id.as_str()),
        (&["presses".to_owned(), "oil".to_owned()][..], "g")
    );
    let headers = [
        HeaderAction::AddOrReplace { key: "site".into(), value: "north".into() },
        HeaderAction::Remove { key: "debug".into() },
    ];
    assert_eq!(plan.destination.headers, headers);
    assert!(plan.transform.is_some());
}

#[test]
fn a_transformation_is_there_exactly_if_it_does_something() {
    let transform = |lines: &str| plan(&flow("default", "[a]", lines, "default", "b")).transform;
    for nothing in
        ["{}", "serializationFormat: Json", "map: []\nfilter: []\ndatasets: []", "map:\nschemaRef: ''"]
    {
        assert_eq!(transform(nothing), None, "{nothing}");
    }
    let something = transform("filter: [{inputs: [t], expression: $1 > 20}]").unwrap();
    assert_eq!(something.rules.filters_in_words(), ["drops messages where t > 20"]);
    assert_eq!(something.rules.semantics().filter, FilterSemantics::DropWhenTrue);
    assert_eq!((something.format, something.schema), (SerializationFormat::Json, None));

    let schema = "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {name: press-row}\nspec: {version: 1, format: Delta/1.0, content: {$schema: Delta/1.0, type: object, properties: {type: struct, fields: []}}}\n";
    let rows = plan(
        &(flow(
            "default",
            "[a]",
            "serializationFormat: Parquet\nschemaRef: aio-sr://press-row:1",
            "disk",
            "rows",
        ) + &endpoint("disk", "LocalStorage", "persistentVolumeClaimRef: vol")
            + schema),
    );
    let rows = rows.transform.unwrap();
    assert_eq!(
        (rows.format, rows.schema),
        (SerializationFormat::Parquet, SchemaRef::parse("aio-sr://press-row:1"))
    );
}

#[test]
fn the_meaning_of_filters_is_an_option_that_an_annotation_overrides() {
    let text = flow("default", "[a]", "filter: [{inputs: [t], expression: $1 > 20}]", "default", "b");
    let semantics = |text: &str, filter_semantics| {
        let options = LoadOptions { filter_semantics, ..LoadOptions::default() };
        let plans = loaded(&[("a.yaml", text)], &options).1.value.plans();
        plans[0].transform.as_ref().unwrap().rules.semantics().filter
    };
    let passing = text.replace(
        "{ name: press-clean }",
        "{name: press-clean, annotations: {tidegate.dev/filter-semantics: pass-when-true}}",
    );
    assert_eq!(semantics(&text, FilterSemantics::DropWhenTrue), FilterSemantics::DropWhenTrue);
    assert_eq!(semantics(&text, FilterSemantics::PassWhenTrue), FilterSemantics::PassWhenTrue);
    assert_eq!(semantics(&passing, FilterSemantics::DropWhenTrue), FilterSemantics::PassWhenTrue);
}

#[test]
fn what_is_disabled_is_listed_and_what_is_wrong_or_incomplete_is_not_run() {
    let base = flow("default", "[a]", "", "default", "b");
    let state = |text: &str| {
        let catalog = catalog(text);
        let [flow] = catalog.dataflows() else { panic!("{text}") };
        assert_eq!(catalog.plans().len(), usize::from(matches!(flow.state, DataflowState::Enabled(_))));
        format!("{:?}", flow.state).split('(').next().unwrap().to_owned()
    };
    assert_eq!(state(&base), "Enabled");
    assert_eq!(state(&base.replace("  operations:", "  mode: Disabled\n  operations:")), "Disabled");
    for wrong in [
        base.replace("Source", "Soruce"),
        base.replace("[a]", "['#/a']"),
        base.replace("dataDestination: b", "dataDestination: b, headers: [{}]"),
        base.replace("endpointRef: default, dataDestination", "endpointRef: line, dataDestination"),
        base.replace("profileRef: default", "profileRef: line-a"),
        base.replace("spec:", "sepc:"),
        base.replace("spec:", "spec: {}\nspec:"),
        base.replace("  operations:", "  mode: Enabled\n  mode: Disabled\n  operations:"),
        base.replace("name: press-clean", "name: press-clean, namespace: Plant"),
        base.replace(
            "name: press-clean",
            "name: press-clean, annotations: {tidegate.dev/filter-semantics: x}",
        ),
        base.replace("profileRef: default", "profileRef: line-a")
            + "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {name: line-a}\nspec: {instanceCount: 0}\n",
        base.replace("endpointRef: default, dataDestination", "endpointRef: line, dataDestination")
            + &endpoint(
                "line",
                "Kafka",
                "host: kafka.example:9092\nauthentication: {method: Anonymous}\ncompression: Zip",
            ),
        flow("default", "[a]", "map: [{inputs: [a], output: b, expression: $2}]", "default", "b"),
        flow("default", "[a]", "map: [{inputs: [a]}]", "default", "b"),
    ] {
        let catalog = catalog(&wrong);
        assert!(catalog.plans().is_empty(), "{wrong}");
        assert!(catalog.dataflows().iter().all(|f| f.state == DataflowState::Invalid), "{wrong}");
    }
}

#[test]
fn what_a_flow_does_is_known_without_its_endpoints_and_when_it_is_disabled() {
    let base =
        flow("default", "[a/+, b]", "map: [{inputs: [t], output: u}]", "default", "'x/${inputTopic.2}'");
    let endpoint_elsewhere = "endpointRef: lake, dataDestination";
    for text in [
        base.clone(),
        base.replace("  operations:", "  mode: Disabled\n  operations:"),
        base.replace("profileRef: default", "profileRef: line-a"),
        base.replace("endpointRef: default, dataSources", "endpointRef: hub, dataSources"),
        base.replace("endpointRef: default, dataDestination", endpoint_elsewhere),
    ] {
        let catalog = catalog(&text);
        let outline = catalog.dataflows()[0].outline.as_ref().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(outline.data_sources, ["a/+", "b"]);
        assert_eq!(outline.transform.as_ref().unwrap().rules.maps_in_words(), ["u: t"]);
        let DataDestination::Topic(topic) = &outline.destination.data_destination else { panic!("{text}") };
        assert_eq!(topic.resolve("a/7").as_deref(), Some("x/7"));
        assert!(outline.destination.endpoint.is_local_broker());
    }
    let table = base
        .replace("endpointRef: default, dataDestination", endpoint_elsewhere)
        .replace("'x/${inputTopic.2}'", "a+b");
    let destination = catalog(&table).dataflows()[0].outline.clone().unwrap().destination;
    assert_eq!(destination.data_destination, DataDestination::Name("a+b".into()));
    assert_eq!(catalog(&base.replace("output: u", "outptu: u")).dataflows()[0].outline, None);
}

#[test]
fn of_two_resources_with_one_name_the_first_counts() {
    let first = flow("default", "[a]", "", "default", "first");
    let catalog = catalog(&format!("{first}---\n{}", first.replace("first", "second")));
    let [plan] = catalog.plans().try_into().unwrap();
    let DataDestination::Topic(topic) = &plan.destination.data_destination else { panic!() };
    assert_eq!(topic.as_static(), Some("first"));
}

#[test]
fn one_bad_flow_does_not_keep_the_others_from_running() {
    let good = flow("default", "[a]", "", "default", "b");
    let bad = good.replace("press-clean", "press-dirty").replace("[a]", "[]");
    let other = good.replace("press-clean", "press-other");
    let catalog = catalog(&format!("{good}---\n{bad}---\n{other}"));
    let names: Vec<_> = catalog.plans().iter().map(|p| p.name.to_string()).collect();
    assert_eq!(names, ["press-clean", "press-other"]);
    assert_eq!(catalog.dataflows().len(), 3);
}

#[test]
fn files_are_loaded_together_and_endpoints_shared() {
    let line = endpoint(
        "grid",
        "Mqtt",
        "host: p.westeurope-1.ts.eventgrid.azure.net:8883\nretain: Never\nsessionExpirySeconds: 60\nauthentication: {method: SystemAssignedManagedIdentity}",
    );
    let up = flow("default", "[a]", "", "grid", "b");
    let down = flow("grid", "[c]", "", "default", "d").replace("press-clean", "press-back");
    let texts = [("1.yaml", up.as_str()), ("2.yaml", &down), ("3.yaml", &line)];
    let (_, parsed) = loaded(&texts, &LoadOptions { strict: true, ..LoadOptions::default() });
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let plans = parsed.value.plans();
    assert!(std::sync::Arc::ptr_eq(&plans[0].destination.endpoint, &plans[1].source.endpoint));
    let tidegate_model::endpoint::Settings::Mqtt(mqtt) = &plans[1].source.endpoint.settings else { panic!() };
    assert_eq!(mqtt.session_expiry, Duration::from_secs(60));
}
