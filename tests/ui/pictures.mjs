// Makes the pictures in docs/ui: each page, light and dark. `docs/ui/pictures.sh` starts an instance for it.

import { mkdirSync } from "node:fs";
import { apply, flowManifest, go, http, publish, publisher, run, until } from "./harness.mjs";

const folder = process.env.TIDEGATE_PICTURES;
mkdirSync(folder, { recursive: true });

const transform = (unit) => `    - operationType: BuiltInTransformation
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
            output: ${unit}
            expression: cToF($1)
          - inputs: [$context(machines).line]
            output: line
`;
const convert = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        map:
          - inputs: [level]
            output: litres
            expression: galToL($1)
`;
const MACHINES = [["P-0", "north", "early"], ["P-1", "north", "late"], ["P-2", "south", "early"], ["P-3", "south", "late"]];
const ENDPOINT = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: plant-broker
  namespace: azure-iot-operations
spec:
  endpointType: Mqtt
  mqttSettings:
    host: 127.0.0.1:1
    authentication:
      method: Anonymous
      anonymousSettings: {}
    tls:
      mode: Disabled
`;
const PROFILE = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata:
  name: packaging
  namespace: azure-iot-operations
spec:
  instanceCount: 2
`;

const PAGES = [
  ["overview", "#/"],
  ["flow", "#/flow/azure-iot-operations/press-to-mes", async page => { await page.locator("[data-stage=map]").click(); await page.getByRole("region", { name: "After" }).waitFor(); await page.getByRole("button", { name: "Hold" }).click(); }],
  ["edit", "#/flow/azure-iot-operations/press-to-mes", async page => {
    await page.locator("[data-stage=map]").click();
    await page.getByRole("tab", { name: "Settings" }).click();
    const rule = page.getByRole("group", { name: "Map rule 2" });
    await rule.getByLabel("Formula of map rule 2").fill("round_n(cToFF($1), 1)");
    await rule.getByRole("alert").waitFor();
    await rule.evaluate(element => element.scrollIntoView({ block: "center" }));
  }],
  ["endpoint", "#/endpoints/azure-iot-operations/plant-broker", async page => { await page.getByRole("button", { name: "Test connection" }).click(); await page.getByText("Not reached").waitFor(); }],
  ["schemas", "#/schemas/press/2", async page => { await page.getByRole("tab", { name: "Against version 1" }).click(); await page.locator(".diff .add").first().waitFor(); }],
  ["state", "#/state/machines", page => page.getByRole("cell", { name: "P-3" }).waitFor()],
  ["letters", "#/letters", page => page.getByRole("button", { name: "Open" }).first().waitFor()],
  ["broker", "#/broker/topics", async page => { await page.getByRole("button", { name: "press", exact: true }).first().click(); await page.getByText("since you look").waitFor(); }],
];

await run(async page => {
  await fetch(`${http}/api/v1/state/machines`, { method: "PUT", body: MACHINES.map(([id, line, shift]) => JSON.stringify({ id, line, shift })).join("\n") });
  const schema = columns => JSON.stringify({ $schema: "Delta/1.0", type: "object", properties: { type: "struct", fields: columns.map(([name, type]) => ({ name, type, nullable: true, metadata: {} })) } });
  const columns = [["temperature", "double"], ["pressure", "integer"]];
  for (const [version, more] of [["1", []], ["2", [["line", "string"]]]]) await fetch(`${http}/api/v1/schemas/press/${version}`, { method: "PUT", body: schema([...columns, ...more]) });
  await apply(ENDPOINT, PROFILE, flowManifest("press-to-mes", { destination: "mes/${inputTopic.2}/press", transform: transform("temperatureF") }),
    flowManifest("tank-levels", { source: "factory/+/tank", destination: "mes/${inputTopic.2}/tank", transform: convert }),
    flowManifest("packaging-counts", { source: "factory/+/pack", destination: "mes/pack" }).replace("profileRef: default", "profileRef: packaging"),
    flowManifest("all-to-archive", { source: "factory/#", destination: "archive/${inputTopic}" }),
    flowManifest("alarms-to-plant", { source: "factory/+/alarm", destination: "alarms" }).replace("endpointRef: default\n        dataDestination", "endpointRef: plant-broker\n        dataDestination"));
  // the same numbers each time, so that pictures differ by what was changed
  const wave = (n, low, high) => Math.round((low + (high - low) * (0.5 + 0.5 * Math.sin(n / 9))) * 10) / 10;
  publisher("factory/line1/press", n => ({ temperature: wave(n, 18, 34), pressure: 96 + n % 12, machine: { id: `P-${n % 4}` } }));
  publisher("factory/line2/press", n => ({ temperature: wave(n + 20, 19, 41), pressure: 101 + n % 7, machine: { id: `P-${(n + 2) % 4}` } }));
  publisher("factory/line1/tank", n => ({ level: wave(n, 10, 80), product: "syrup" }));
  publisher("factory/line3/pack", n => ({ count: n, ok: n % 9 !== 0 }));
  for (const [level, product] of [["n/a", "syrup"], [null, "glaze"], ["full", "syrup"]]) await publish("factory/line2/tank", { level, product });
  // the last minute is full
  await go(page, "#/");
  await until(() => page.evaluate(() => (document.querySelector(".tile .spark path.line")?.getAttribute("d").split("L").length ?? 0) > 50), "a minute of samples");
  for (const [name, hash, act] of PAGES) {
    for (const theme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      // the overview is open, and has its minute
      if (name !== "overview") await go(page, hash);
      await page.waitForFunction(theme => document.documentElement.dataset.theme === theme && document.querySelector("main .card"), theme);
      await act?.(page);
      await page.screenshot({ path: `${folder}/${name}-${theme}.png`, animations: "disabled" });
    }
  }
});
