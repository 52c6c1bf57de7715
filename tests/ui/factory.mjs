// A small factory for pages and pictures: what it runs, what its machines say, and every page with what is to be seen on it.

import { apply, endpointManifest, flowManifest, go, http, publish, publisher } from "./harness.mjs";

const press = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        datasets:
          - key: machines
            inputs:
              - $source.machine.id
              - $context.id
            expression: $1 == $2
        filter:
          - inputs: [temperature]
            expression: $1 < 20
        map:
          - inputs: ['*']
            output: '*'
          - inputs: [temperature]
            output: temperatureF
            expression: round_n(cToF($1), 1)
          - inputs: [$context(machines).line]
            output: line
`;
const tank = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        map:
          - inputs: [level]
            output: litres
            expression: galToL($1)
`;
const history = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: Delta
        schemaRef: aio-sr://press:2
        map:
          - inputs: [temperature]
            output: temperature
          - inputs: [pressure]
            output: pressure
`;
const HUB = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: event-hub
  namespace: azure-iot-operations
spec:
  endpointType: Kafka
  kafkaSettings:
    host: plant.servicebus.windows.net:9093
    authentication:
      method: Sasl
      saslSettings:
        saslType: Plain
        secretRef: hub-login
`;
const HISTORY = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: history
  namespace: azure-iot-operations
spec:
  endpointType: LocalStorage
  localStorageSettings:
    persistentVolumeClaimRef: history
`;
const MACHINES = [["P-0", "north", "early"], ["P-1", "north", "late"], ["P-2", "south", "early"], ["P-3", "south", "late"]];
const PROFILE = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata:
  name: packaging
  namespace: azure-iot-operations
spec:
  instanceCount: 2
`;
const values = (kind, name, values) => JSON.stringify({ apiVersion: "v1", kind, metadata: { name, namespace: "azure-iot-operations" }, [kind === "Secret" ? "stringData" : "data"]: values });

// Builds it and sets its machines going.
export async function factory() {
  await fetch(`${http}/api/v1/state/machines`, { method: "PUT", body: MACHINES.map(([id, line, shift]) => JSON.stringify({ id, line, shift })).join("\n") });
  const columns = [["temperature", "double"], ["pressure", "integer"], ["line", "string"]];
  const schema = (version, n) => JSON.stringify({ apiVersion: "tidegate.dev/v1", kind: "Schema", metadata: { name: "press" }, spec: { version, format: "Delta/1.0",
    content: { $schema: "Delta/1.0", type: "object", properties: { type: "struct", fields: columns.slice(0, n).map(([name, type]) => ({ name, type, nullable: true, metadata: {} })) } } } });
  await apply(endpointManifest("plant-broker"), HUB, HISTORY, PROFILE, schema(1, 2), schema(2, 3),
    values("Secret", "hub-login", { username: "operator", password: "hush" }), values("ConfigMap", "plant-ca", { "ca.crt": "-----BEGIN CERTIFICATE-----\n" }),
    flowManifest("press-to-mes", { destination: "mes/${inputTopic.2}/press", transform: press }),
    flowManifest("press-history", { destination: "press", endpoint: "history", transform: history }),
    flowManifest("tank-levels", { source: "factory/+/tank", destination: "mes/${inputTopic.2}/tank", transform: tank }),
    flowManifest("packaging-counts", { source: "factory/+/pack", destination: "mes/pack", profile: "packaging" }),
    flowManifest("all-to-archive", { source: "factory/#", destination: "archive/${inputTopic}" }),
    flowManifest("alarms-to-plant", { source: "factory/+/alarm", destination: "alarms", endpoint: "plant-broker" }));
  // the same numbers each time, so that pictures differ by what was changed
  const wave = (n, low, high) => Math.round((low + (high - low) * (0.5 + 0.5 * Math.sin(n / 9))) * 10) / 10;
  publisher("factory/line1/press", n => ({ temperature: wave(n, 18, 34), pressure: 96 + n % 12, machine: { id: `P-${n % 4}` } }));
  publisher("factory/line2/press", n => ({ temperature: wave(n + 20, 19, 41), pressure: 101 + n % 7, machine: { id: `P-${(n + 2) % 4}` } }));
  publisher("factory/line1/tank", n => ({ level: wave(n, 10, 80), product: "syrup" }));
  publisher("factory/line3/pack", n => ({ count: n, ok: n % 9 !== 0 }));
  for (const [level, product] of [["n/a", "syrup"], [null, "glaze"], ["full", "syrup"]]) await publish("factory/line2/tank", { level, product });
}

const FLOW = "#/flow/azure-iot-operations/press-to-mes";
const text = said => page => page.getByText(said).first().waitFor();
const pickStage = async (page, stage, tab) => {
  await page.locator(`[data-stage=${stage}]`).click();
  await page.getByRole("tab", { name: tab }).click();
};

// Every page: its name, if it has a picture in docs/ui; where it is; what is done there, or what shows that it is all there.
export const PAGES = [
  ["overview", "#/", text("Needs attention")],
  ["flow", FLOW, async page => {
    await pickStage(page, "map", "Live messages");
    await page.getByRole("region", { name: "After" }).waitFor();
    await page.getByText("lately").first().waitFor();
    await page.getByRole("button", { name: "Hold" }).click();
  }],
  ["edit", FLOW, async page => {
    await pickStage(page, "map", "Settings");
    const rule = page.getByRole("group", { name: "Map rule 2" });
    await rule.getByLabel("Formula of map rule 2").fill("round_n(cToFF($1), 1)");
    await rule.getByRole("alert").waitFor();
    await rule.evaluate(element => element.scrollIntoView({ block: "center" }));
  }],
  ["", FLOW, async page => { await pickStage(page, "source", "Settings"); await page.getByLabel("Topic 1", { exact: true }).waitFor(); }],
  ["", FLOW, async page => { await pickStage(page, "enrich", "Settings"); await page.getByRole("group", { name: "Dataset 1" }).waitFor(); }],
  ["", FLOW, async page => { await pickStage(page, "filter", "Settings"); await page.getByRole("group", { name: "Filter rule 1" }).waitFor(); }],
  ["", FLOW, async page => { await pickStage(page, "destination", "Settings"); await page.getByLabel("MQTT topic", { exact: true }).waitFor(); }],
  ["", FLOW, async page => { await pickStage(page, "map", "Try out"); await page.getByRole("heading", { name: "What goes on" }).waitFor(); }],
  ["", FLOW, async page => { await page.getByRole("button", { name: "Bicep, ARM" }).click(); await page.getByLabel("main.bicep").waitFor(); }],
  ["", "#/flow/azure-iot-operations/alarms-to-plant", text("refused the connection")],
  ["", "#/new", text("error")],
  ["endpoints", "#/endpoints", text("plant-broker")],
  ["endpoint", "#/endpoints/azure-iot-operations/plant-broker", async page => {
    await page.getByRole("button", { name: "Test connection" }).click();
    await page.getByText("Not reached").waitFor();
    await page.getByText("no errors").waitFor();
  }],
  ["endpoint-new", "#/endpoints/new", async page => {
    await page.getByLabel("Name", { exact: true }).fill("analytics-hub");
    await page.getByLabel("Endpoint type").selectOption("Kafka");
    await page.getByLabel("Host", { exact: true }).fill("plant.servicebus.windows.net:9093");
    await page.getByLabel("Method", { exact: true }).selectOption("Sasl");
    await page.getByLabel("SASL type").selectOption("Plain");
    await page.getByLabel("Secret", { exact: true }).fill("hub-login");
    await page.getByLabel("Secret", { exact: true }).press("Escape");
    await page.getByText("no errors").waitFor();
    await page.getByText("more settings").click();
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  }],
  ["secrets", "#/secrets", text("hub-login")],
  ["secret", "#/secrets", async page => {
    await page.getByRole("button", { name: "New Secret" }).click();
    await page.getByLabel("Name", { exact: true }).fill("plant-client");
    await page.getByLabel("For", { exact: true }).selectOption("certificate");
    await page.getByLabel("Value of client_cert.pem").fill("-----BEGIN CERTIFICATE-----");
  }],
  ["profiles", "#/profiles", page => page.locator("td:nth-child(3)").filter({ hasText: /^[1-9]/ }).first().waitFor()],
  ["", "#/profiles/new", text("no errors")],
  ["schemas", "#/schemas/press/2", async page => {
    await page.getByRole("tab", { name: "Against version 1" }).click();
    await page.locator(".diff .add").first().waitFor();
  }],
  ["", "#/schemas/new", text("Samples from")],
  ["state", "#/state/machines", page => page.getByRole("cell", { name: "P-3" }).waitFor()],
  ["letters", "#/letters", page => page.getByRole("button", { name: "Open" }).first().waitFor()],
  ["letter", "#/letters", async page => {
    await page.getByRole("button", { name: "Open" }).first().click();
    await page.getByRole("dialog").getByLabel("The message").waitFor();
  }],
  ["broker", "#/broker/topics", async page => {
    await page.getByRole("button", { name: "press", exact: true }).first().click();
    await page.getByText("since you look").waitFor();
  }],
  ["", "#/broker/clients", page => page.getByRole("cell", { name: /press-to-mes/ }).first().waitFor()],
  ["", "#/broker/retained", text("No message is retained")],
  ["", "#/broker/settings", text("Write settings")],
  ["broker-settings", "#/broker/settings/new", async page => {
    await page.getByRole("button", { name: "Listener", exact: true }).click();
    await page.getByLabel("Address", { exact: true }).fill("0.0.0.0:8883");
    await page.getByText("no errors").waitFor();
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  }],
];

export const THEMES = ["light", "dark"];

// Opens a page in a theme, and does there what is to be done.
export async function visit(page, hash, act, theme) {
  await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
  await go(page, hash);
  await page.waitForFunction(theme => document.documentElement.dataset.theme === theme && document.querySelector("main .card"), theme);
  await act(page);
}
