//! Resources that change while an instance runs: `apply`, `get`, `diff`, `delete`, `run --watch`, and what becomes of the
//! messages meanwhile.

use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PATIENCE, PLAIN, Request, dataflow, mqtt_endpoint, tidegate};

const LISTEN: [&str; 2] = ["--mqtt-listen", "127.0.0.1:0"];

fn flow(destination: &str) -> String {
    dataflow("flow", ("default", "in/+"), ("default", destination))
}

/// An instance without files.
async fn instance() -> Gateway {
    Gateway::start(tempfile::tempdir().unwrap(), LISTEN.map(String::from).to_vec()).await
}

async fn cli(gateway: &Gateway, args: &[&str]) -> Output {
    tidegate().args(args).args(["--api", &format!("http://{}", gateway.http)]).output().await.unwrap()
}

/// A command that is to succeed: what it says.
async fn done(gateway: &Gateway, args: &[&str]) -> String {
    let output = cli(gateway, args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(gateway: &Gateway, text: &str) -> String {
    let path = gateway.dir.path().join("flow.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn resources_are_applied_shown_kept_and_deleted() {
    let mut gateway = instance().await;
    let first = format!("# the press\n{}", flow("out/a").trim_start_matches("---\n"));
    let file = write(&gateway, &first);
    let said = done(&gateway, &["apply", "-f", &file, "--dry-run=server"]).await;
    assert_eq!(said, "dataflow/flow created (server dry run)\n");
    assert_eq!(done(&gateway, &["get", "all"]).await, "", "a dry run changes nothing");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow created\n");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow unchanged\n");
    gateway.until("flow", "available", |f| f["health"]["status"] == "Available").await;

    let yaml = done(&gateway, &["get", "dataflow", "flow", "-o", "yaml"]).await;
    assert!(yaml.starts_with("# the press\n"), "comments are kept: {yaml}");
    assert!(
        yaml.contains("status:\n  provisioningState: Succeeded\n  healthState:\n    status: Available\n"),
        "{yaml}"
    );
    let json: Value =
        serde_json::from_str(&done(&gateway, &["get", "dataflows", "flow", "-o", "json"]).await).unwrap();
    assert_eq!(
        (&json["kind"], &json["status"]["healthState"]["status"]),
        (&"Dataflow".into(), &"Available".into())
    );
    assert!(done(&gateway, &["describe", "dataflow", "flow"]).await.contains("delivered"));

    // what is shown can be applied again
    let shown = write(&gateway, &yaml);
    done(&gateway, &["apply", "-f", &shown]).await;

    let file = write(&gateway, &flow("out/b"));
    let diff = cli(&gateway, &["diff", "-f", &file]).await;
    let text = String::from_utf8(diff.stdout).unwrap();
    assert_eq!(diff.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|l| l.starts_with('+') && l.contains("out/b")), "{text}");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow configured\n");

    // one error, and nothing of the call is done
    let bad = dataflow("other", ("default", "x"), ("default", "y")) + &flow("out/#");
    let refused = cli(&gateway, &["apply", "-f", &write(&gateway, &bad)]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("flow.yaml:") && said.contains("error[TG"), "{said}");
    let all = done(&gateway, &["get", "dataflows"]).await;
    assert!(!all.contains("other") && all.contains("Available"), "{all}");

    gateway.kill_9().await;
    gateway.restart().await;
    let (got, _task) = subscribe(gateway.port(), "out/b").await;
    publish(gateway.port(), "in/1", 0..10, 10).await;
    got.until_complete(0..10).await;
    assert_eq!(done(&gateway, &["delete", "dataflow", "flow"]).await, "dataflow/flow deleted\n");
    let none = cli(&gateway, &["get", "all"]).await;
    assert_eq!((none.stdout.as_slice(), none.stderr.as_slice()), (&b""[..], &b"no resources found\n"[..]));
    assert_eq!(cli(&gateway, &["delete", "dataflow", "flow"]).await.status.code(), Some(2));
}

/// What a flow says it does now, by its destination.
async fn destination(gateway: &Gateway, name: &str) -> String {
    let flow = gateway.until(name, "available", |f| f["health"]["status"] == "Available").await;
    flow["destination"]["dataDestination"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_that_does_not_work_is_undone_where_that_is_wanted() {
    let mut gateway = instance().await;
    let apply = async |text: &str| {
        let output = cli(&gateway, &["apply", "--rollback", "-f", &write(&gateway, text)]).await;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    assert_eq!(apply(&flow("out/a")).await, (Some(0), "dataflow/flow created\n".into()));
    let (got, _task) = subscribe(gateway.port(), "out/a").await;
    // nobody listens there; what else the call makes is undone with it
    let nowhere = mqtt_endpoint("nowhere", "127.0.0.1:1", PLAIN);
    let to_nowhere = dataflow("flow", ("default", "in/+"), ("nowhere", "out/b"));
    let other = dataflow("other", ("default", "x"), ("default", "y"));
    let (code, said) = apply(&format!("{to_nowhere}{nowhere}{other}")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("it did not work and was undone: data flow `flow`") && said.contains("127.0.0.1:1"),
        "{said}"
    );
    assert_eq!(done(&gateway, &["get", "all", "-o", "name"]).await, "dataflow/flow\n");
    assert_eq!(destination(&gateway, "flow").await, "out/a");
    // one of a type that does not run
    let telemetry = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\n\
        metadata: { name: telemetry, namespace: azure-iot-operations }\nspec:\n  endpointType: OpenTelemetry\n  \
        openTelemetrySettings: { host: 'localhost:4317', authentication: { method: Anonymous, anonymousSettings: {} } }\n";
    let to_telemetry = dataflow("flow", ("default", "in/+"), ("telemetry", "out/c"));
    let (code, said) = apply(&format!("{to_telemetry}{telemetry}")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not run in this version"), "{said}");
    // what was there before and does not work is no reason
    done(
        &gateway,
        &[
            "apply",
            "-f",
            &write(&gateway, &format!("{to_nowhere}{nowhere}").replace("name: flow", "name: broken")),
        ],
    )
    .await;
    assert_eq!(apply(&other).await, (Some(0), "dataflow/other created\n".into()));
    publish(gateway.port(), "in/1", 0..10, 10).await;
    got.until_complete(0..10).await;
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(destination(&gateway, "flow").await, "out/a");
}

const BICEP: &str = "\
param presses int

resource flows 'Microsoft.IoTOperations/instances/dataflowProfiles/dataflows@2026-07-01' = [
  for i in range(0, presses): {
    name: '${uniqueString(resourceGroup().id)}/default/press-${i}'
    properties: {
      operations: [
        // as they come
        { operationType: 'Source', sourceSettings: { endpointRef: 'default', dataSources: ['in/${i}'] } }
        { operationType: 'Destination', destinationSettings: { endpointRef: 'default', dataDestination: 'out' } }
      ]
    }
  }
]
";

#[tokio::test]
async fn templates_and_lists_are_applied_as_what_they_come_to() {
    let gateway = instance().await;
    let path = gateway.dir.path().join("main.bicep");
    std::fs::write(&path, BICEP).unwrap();
    let file = path.display().to_string();
    let refused = cli(&gateway, &["apply", "-f", &file]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("main.bicep:1:7") && said.contains("nothing was changed"), "{said}");
    let apply = ["apply", "-f", &file, "--param", "presses=2"];
    assert_eq!(done(&gateway, &apply).await, "dataflow/press-0 created\ndataflow/press-1 created\n");
    assert_eq!(done(&gateway, &apply).await, "dataflow/press-0 unchanged\ndataflow/press-1 unchanged\n");
    gateway.until("press-1", "available", |f| f["health"]["status"] == "Available").await;
    let yaml = done(&gateway, &["get", "df/press-1", "-o", "yaml"]).await;
    assert!(yaml.contains("    # as they come\n    - operationType: Source\n"), "{yaml}");
    assert_eq!(
        done(&gateway, &["get", "df", "-A", "-o", "name"]).await,
        "dataflow/press-0\ndataflow/press-1\n"
    );

    let items = flow("out/a").trim_start_matches("---\n").replace('\n', "\n    ");
    let list = write(&gateway, &format!("apiVersion: v1\nkind: List\nitems:\n  - {}\n", items.trim_end()));
    let diff = cli(&gateway, &["diff", "-f", &list]).await;
    assert_eq!(diff.status.code(), Some(1), "{}", String::from_utf8_lossy(&diff.stderr));
    assert_eq!(done(&gateway, &["apply", "-f", &list]).await, "dataflow/flow created\n");
    let none = cli(&gateway, &["get", "dfe/plant"]).await;
    assert_eq!(String::from_utf8(none.stderr).unwrap(), "error: dataflowendpoint \"plant\" not found\n");
}

#[tokio::test]
async fn a_watch_prints_what_has_changed() {
    let gateway = instance().await;
    let two = flow("out/a") + &dataflow("still", ("default", "still"), ("default", "rest"));
    done(&gateway, &["apply", "-f", &write(&gateway, &two)]).await;
    for name in ["flow", "still"] {
        gateway.until(name, "available", |f| f["health"]["status"] == "Available").await;
    }
    let api = format!("http://{}", gateway.http);
    let mut watch = tidegate()
        .args(["get", "dataflows", "-o", "wide", "--watch", "--api", &api])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it goes on").unwrap().unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(next().await[..3], ["KIND", "NAMESPACE", "NAME"]);
    let first = next().await;
    assert_eq!((first[2].as_str(), next().await[2].as_str()), ("flow", "still"));
    done(&gateway, &["apply", "-f", &write(&gateway, &flow("out/b"))]).await;
    let changed = next().await;
    assert_eq!(changed[2], "flow");
    assert_ne!(changed[5], first[5], "the version");
}

/// A body for `az iot ops` is called as its file, and Bicep is read as such by the name of its file: the instance keeps
/// manifests, which say all of it themselves.
#[tokio::test]
async fn what_hangs_on_the_name_of_its_file_is_kept_as_a_manifest() {
    let mut gateway = instance().await;
    let body = json!({ "mode": "Enabled", "operations": [
        { "operationType": "Source", "sourceSettings": { "endpointRef": "default", "dataSources": ["in"] } },
        { "operationType": "Destination",
          "destinationSettings": { "endpointRef": "default", "dataDestination": "out" } },
    ]});
    let path = gateway.dir.path().join("press.json");
    std::fs::write(&path, body.to_string()).unwrap();
    let said = done(&gateway, &["apply", "-f", &path.display().to_string()]).await;
    assert_eq!(said, "dataflow/press created\n");
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(destination(&gateway, "press").await, "out");
    let bicep = BICEP.replace("param presses int", "var presses = 1");
    for (name, text) in [("pump.json", body.to_string()), ("main.bicep", bicep)] {
        let body = json!({ "files": [{ "name": name, "text": text }] }).to_string();
        let request = Request { method: "POST", path: "/api/v1/apply", headers: &[], body: &body };
        let (status, said) = gateway.ask(request).await;
        assert_eq!(status, 400, "{said}");
        assert!(said.contains("tidegate convert"), "{said}");
    }
}

#[tokio::test]
async fn an_instance_of_files_is_changed_by_its_files() {
    let gateway = Gateway::run_with(&flow("out/a"), &["--mqtt-listen", "127.0.0.1:0", "--watch"]).await;
    let path = gateway.dir.path().join("resources.yaml");
    let refused = cli(&gateway, &["apply", "-f", &path.display().to_string()]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("run --watch"), "{said}");
    let to = |topic: &'static str| move |f: &Value| f["destination"]["dataDestination"] == topic;
    gateway.until("flow", "as written", to("out/a")).await;
    std::fs::write(&path, flow("out/b")).unwrap();
    gateway.until("flow", "as written now", to("out/b")).await;
}

const PROFILE: &str = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\n";

/// Waits until the local broker has so much of something.
async fn until_broker_has(gateway: &Gateway, what: &str, count: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let broker: Value = serde_json::from_str(&gateway.get("/api/v1/broker").await.1).unwrap();
        if broker[what] == count {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "never {count} {what}: {broker}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// While its destination is away a flow gets fewer instances and another profile, is restarted by kill -9 and at last
/// deleted: what waits for it in the local broker comes once, and no session stays behind.
#[tokio::test]
async fn what_waits_for_a_flow_goes_with_it() {
    let args = LISTEN.iter().chain(&["--drain-timeout", "0s"]).map(|a| (*a).to_owned()).collect();
    let mut gateway = Gateway::start(tempfile::tempdir().unwrap(), args).await;
    let has = async |what: &str| {
        let (_, body) = gateway.get("/api/v1/broker").await;
        serde_json::from_str::<Value>(&body).unwrap()[what].as_u64().unwrap()
    };
    // those of the state store and the schema registry
    let (sessions, subscriptions) = (has("sessions").await, has("subscriptions").await);
    let mut sent = 0;
    // nobody listens there
    let away = mqtt_endpoint("away", "127.0.0.1:1", PLAIN);
    for (profile, instances) in [("line", 3), ("line", 2), ("line", 1), ("other", 1), ("other", 2)] {
        let resources = |destination: &str| {
            let flow = dataflow("flow", ("default", "in/+"), (destination, "out"))
                .replace("profileRef: default", &format!("profileRef: {profile}"));
            format!(
                "{flow}{away}{PROFILE}metadata: {{ name: {profile}, namespace: azure-iot-operations }}\n\
                 spec: {{ instanceCount: {instances} }}\n"
            )
        };
        done(&gateway, &["apply", "-f", &write(&gateway, &resources("away"))]).await;
        until_broker_has(&gateway, "subscriptions", subscriptions + instances).await;
        until_broker_has(&gateway, "sessions", sessions + instances).await;
        publish(gateway.port(), "in/a", sent..sent + 1000, 100).await;
        sent += 1000;
        if profile == "other" {
            gateway.kill_9().await;
            gateway.restart().await;
        }
    }
    let (got, _task) = subscribe(gateway.port(), "out").await;
    let to_out = write(&gateway, &dataflow("flow", ("default", "in/+"), ("default", "out")));
    done(&gateway, &["apply", "-f", &to_out]).await;
    got.until_complete(0..sent).await;
    gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!(got.duplicates(), 0);
    done(&gateway, &["delete", "dataflow", "flow"]).await;
    until_broker_has(&gateway, "sessions", sessions + 1).await;
    publish(gateway.port(), "in/a", sent..sent + 10, 10).await;
    until_broker_has(&gateway, "queuedMessages", 0).await;
}

/// QoS 1 messages keep coming while the flow, its endpoint and its profile change at random: none is lost or comes twice,
/// the books balance, and a flow that is not touched is not stopped. `TIDEGATE_TEST_APPLIES` says how many changes,
/// `TIDEGATE_TEST_RATE` how many messages there are in a second of that time, instead of some as fast as they go.
#[tokio::test]
async fn nothing_is_lost_while_resources_change() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let applies = number("TIDEGATE_TEST_APPLIES").unwrap_or(20);
    let rate = number("TIDEGATE_TEST_RATE");
    // so long that what is on its way is always acknowledged before the flow stops
    let args = LISTEN.iter().chain(&["--drain-timeout", "120s"]).map(|a| (*a).to_owned()).collect();
    let gateway = Gateway::start(tempfile::tempdir().unwrap(), args).await;
    let version = |[flow, endpoint, profile]: [u32; 3]| {
        let (keep_alive, instances) = (30 + endpoint % 7, 1 + profile % 3);
        let flow = dataflow("flow", ("local", "in/+"), ("local", &format!("out/{flow}")))
            .replace("profileRef: default", "profileRef: line");
        format!(
            "{flow}{}{PROFILE}\
             metadata: {{ name: line, namespace: azure-iot-operations }}\nspec: {{ instanceCount: {instances} }}\n\
             ---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\n\
             metadata: {{ name: local, namespace: azure-iot-operations }}\n\
             spec:\n  endpointType: Mqtt\n  mqttSettings:\n    host: aio-broker:18883\n    keepAliveSeconds: {keep_alive}\n    \
             tls: {{ mode: Enabled }}\n    authentication: {{ method: ServiceAccountToken, \
             serviceAccountTokenSettings: {{ audience: aio-internal }} }}\n",
            dataflow("still", ("default", "still/+"), ("default", "rest"))
        )
    };
    let mut versions = [0; 3];
    done(&gateway, &["apply", "-f", &write(&gateway, &version(versions))]).await;
    gateway.until("flow", "available", |f| f["health"]["status"] == "Available").await;
    let since = gateway.dataflow("still").await["health"]["lastTransitionTime"].clone();
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    let all_made = AtomicBool::new(false);
    let load = async {
        let Some(rate) = rate else {
            publish(gateway.port(), "in/a", 0..applies * 500, 100).await;
            return applies * 500;
        };
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut sent = 0;
        while !all_made.load(Ordering::Relaxed) {
            ticks.tick().await;
            publish(gateway.port(), "in/a", sent..sent + rate / 10, 500).await;
            sent += rate / 10;
        }
        sent
    };
    let started = tokio::time::Instant::now();
    let changes = async {
        let mut random = SmallRng::seed_from_u64(7);
        for _ in 0..applies {
            versions[random.random_range(0..3)] += 1;
            let said = done(&gateway, &["apply", "-f", &write(&gateway, &version(versions))]).await;
            assert!(said.contains("configured"), "{said}");
        }
        all_made.store(true, Ordering::Relaxed);
    };
    let work = async { tokio::join!(load, changes).0 };
    let messages = tokio::time::timeout(PATIENCE, work).await.unwrap();
    let took = started.elapsed();
    got.until_complete(0..messages).await;
    let flow = gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    println!("{applies} changes and {messages} messages in {took:?}: {flow}");
    assert_eq!(got.duplicates(), 0);
    assert_eq!(gateway.dataflow("still").await["health"]["lastTransitionTime"], since, "not touched");
}
