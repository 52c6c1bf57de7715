//! What the article "Configure dataflow endpoints" promises: its examples load unchanged, and each row of its tables
//! holds.

use tidegate_model::{DataflowState, LoadOptions};

use crate::support::{endpoint, flow, loaded, report, shared_folder, verdict};

/// A local broker, a custom endpoint that may be source and destination, and one of each other type.
fn endpoints() -> String {
    const SYSTEM: &str = "authentication: {method: SystemAssignedManagedIdentity}";
    const ANONYMOUS: &str = "authentication: {method: Anonymous}";
    endpoint("local", "Mqtt", &format!("host: aio-broker\n{ANONYMOUS}"))
        + &endpoint("mqtt", "Mqtt", &format!("host: mqtt.example:8883\n{ANONYMOUS}"))
        + &endpoint("kafka", "Kafka", &format!("host: kafka.example:9092\nconsumerGroupId: g\n{ANONYMOUS}"))
        + &endpoint("data-lake", "DataLakeStorage", &format!("host: plant.blob.core.windows.net\n{SYSTEM}"))
        + &endpoint(
            "onelake",
            "FabricOneLake",
            &format!(
                "host: onelake.dfs.fabric.microsoft.com\nnames: {{workspaceName: w, lakehouseName: l}}\noneLakePathType: Tables\n{SYSTEM}"
            ),
        )
        + &endpoint(
            "adx",
            "DataExplorer",
            &format!("host: p.westeurope.kusto.windows.net\ndatabase: d\n{SYSTEM}"),
        )
        + &endpoint("disk", "LocalStorage", "persistentVolumeClaimRef: vol")
        + "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {name: row}\nspec: {version: 1, format: Delta/1.0, content: {$schema: Delta/1.0, type: object, properties: {type: struct, fields: [{name: a, type: string}]}}}\n"
}

const ROWS: &str = "serializationFormat: Parquet\nschemaRef: aio-sr://row:1\nmap: [{inputs: [a], output: a}]";

/// What is said of a flow among these endpoints, with all references to be resolved.
fn said_of(flow: &str) -> String {
    let text = flow.to_owned() + &endpoints();
    let (files, parsed) =
        loaded(&[("a.yaml", &text)], &LoadOptions { strict: true, ..LoadOptions::default() });
    let runs = matches!(parsed.value.dataflows()[0].state, DataflowState::Enabled(_));
    assert_eq!(runs, !parsed.has_errors());
    report(&files, &parsed.diagnostics)
}

#[test]
fn each_endpoint_type_is_a_source_or_not_and_a_destination() {
    for (endpoint, source, storage) in [
        ("mqtt", true, false),
        ("kafka", true, false),
        ("data-lake", false, true),
        ("onelake", false, true),
        ("adx", false, true),
        ("disk", false, true),
    ] {
        let as_source = said_of(&flow(endpoint, "[a]", "", "default", "b"));
        if source {
            assert_eq!(as_source, "", "{endpoint}");
        } else {
            assert!(as_source.contains("error TG0406"), "{endpoint}: {as_source}");
        }
        let rows = if storage { ROWS } else { "" };
        assert_eq!(said_of(&flow("default", "[a]", rows, endpoint, "b")), "", "{endpoint}");
        if storage {
            let without_schema = said_of(&flow("default", "[a]", "", endpoint, "b"));
            assert!(without_schema.contains("error TG0409"), "{endpoint}: {without_schema}");
        }
    }
}

#[test]
fn each_supported_scenario_is_supported() {
    for (scenario, source, destination, supported) in [
        ("default endpoint as source", "default", "kafka", true),
        ("default endpoint as destination", "kafka", "default", true),
        ("default endpoint as both", "default", "default", true),
        ("custom endpoint as source, destination default", "mqtt", "default", true),
        ("custom endpoint as source, destination another with host aio-broker", "kafka", "local", true),
        ("custom endpoint as source, destination custom", "mqtt", "kafka", false),
        ("custom endpoint as destination, source default", "default", "mqtt", true),
        ("custom endpoint as destination, source another with host aio-broker", "local", "kafka", true),
        ("custom endpoint as source and destination", "kafka", "kafka", false),
        ("custom endpoint as source and destination, both with host aio-broker", "local", "local", true),
    ] {
        let said = said_of(&flow(source, "[a]", "", destination, "b"));
        if supported {
            assert_eq!(said, "", "{scenario}");
        } else {
            assert!(said.contains("error TG0408"), "{scenario}: {said}");
        }
    }
}

#[test]
fn one_endpoint_serves_several_flows_with_their_own_topics() {
    let flows = flow("default", "[a]", "", "kafka", "b")
        + "---\n"
        + &flow("default", "[c]", "", "kafka", "d").replace("press-clean", "press-other")
        + "---\n"
        + &flow("kafka", "[e]", "", "default", "f").replace("press-clean", "press-back");
    let (files, parsed) = loaded(&[("a.yaml", &(flows + &endpoints()))], &LoadOptions::default());
    assert_eq!((report(&files, &parsed.diagnostics).as_str(), parsed.value.plans().len()), ("", 3));
}

#[test]
fn the_examples_load_unchanged() {
    let Some(folder) = shared_folder("spec") else { return };
    let article = std::fs::read_to_string(folder.join("configure-dataflow-endpoints.md")).unwrap();
    let examples: Vec<&str> =
        article.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [broker_to_broker, broker_to_hub] = examples.as_slice() else {
        panic!("{} examples", examples.len())
    };
    let (files, parsed) =
        loaded(&[("a.yaml", broker_to_broker)], &LoadOptions { strict: true, ..LoadOptions::default() });
    assert_eq!((report(&files, &parsed.diagnostics).as_str(), parsed.value.plans().len()), ("", 1));
    // "The endpoint needs to be created before you can reference it here", says the other, so it is not an error yet.
    let (_, parsed) = loaded(&[("a.yaml", broker_to_hub)], &LoadOptions::default());
    assert_eq!(verdict(&parsed.diagnostics), "accept-with-warning");
    let hub = endpoint(
        "example-event-hub-endpoint",
        "Kafka",
        "host: p.servicebus.windows.net:9093\nauthentication: {method: SystemAssignedManagedIdentity}",
    );
    let both = [("a.yaml", *broker_to_hub), ("b.yaml", &hub)];
    let (files, parsed) = loaded(&both, &LoadOptions { strict: true, ..LoadOptions::default() });
    // Kafka itself takes no slashes, which is worth a warning; the product takes them.
    let said = report(&files, &parsed.diagnostics);
    assert!(said.starts_with("warning TG0305 "), "{said}");
    assert_eq!(parsed.value.plans().len(), 1);
}
