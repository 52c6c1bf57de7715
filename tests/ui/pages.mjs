// Every page, light and dark: axe finds nothing serious, the keyboard reaches everything, no other host is asked, and a
// thousand flows are as quick as four.

import { apply, assert, axeSource, flowManifest, go, http, publish, publisher, run } from "./harness.mjs";

// Each page, and what shows that it is all there.
const PAGES = [
  ["#/", "text=Needs attention"], ["#/flow/azure-iot-operations/press-to-mes", ".before-after, .json"], ["#/flow/azure-iot-operations/to-plant", "text=refused the connection"],
  ["#/new", "text=error"], ["#/endpoints", "text=plant"], ["#/endpoints/azure-iot-operations/plant", "text=no errors"], ["#/endpoints/new", ".diag"],
  ["#/profiles", "text=exists without being written"], ["#/profiles/new", "text=no errors"], ["#/schemas", "text=No schemas yet"], ["#/schemas/new", "text=Samples from"],
  ["#/state", "text=Choose a key"], ["#/state/machines", "td"], ["#/letters", "text=Replay all"], ["#/broker/topics", ".leaf"], ["#/broker/clients", "td"], ["#/broker/retained", "text=No message is retained"],
];

const ENDPOINT = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: plant
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

const transform = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        filter:
          - inputs: [temperature]
            expression: $1 < 20
        map:
          - inputs: ['*']
            output: '*'
          - inputs: [temperature]
            output: fahrenheit
            expression: cToF($1)
`;

await run(async page => {
  await apply(ENDPOINT, flowManifest("press-to-mes", { transform }), flowManifest("to-plant").replace("endpointRef: default\n        dataDestination", "endpointRef: plant\n        dataDestination"));
  await fetch(`${http}/api/v1/state/machines`, { method: "PUT", body: '{"id":"P-1","line":1}\n{"id":"P-2","line":2}' });
  await publish("factory/line1/press", { temperature: "hot" });
  publisher("factory/line1/press", n => ({ temperature: 18 + n % 10 }));

  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    for (const [hash, sign] of PAGES) {
      await go(page, hash);
      await page.locator(`main ${sign}`.replace("main text=", "text=")).first().waitFor();
      await page.waitForFunction(wanted => document.documentElement.dataset.theme === wanted, theme);
      // `eval` by the debugger is no script of the page, so that its policy stays as it is
      await page.evaluate(axeSource);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      const serious = violations.filter(v => ["serious", "critical"].includes(v.impact));
      assert.deepEqual(serious.map(v => `${hash} ${theme}: ${v.id}: ${v.nodes.map(n => n.html.slice(0, 160) + " " + n.any.map(a => a.message)).join("; ")}`), []);
    }
  }

  // by keyboard alone: from the address bar to a stage of a flow
  await go(page, "#/flow/azure-iot-operations/press-to-mes");
  await page.locator("[data-stage=filter]").waitFor();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement.dataset?.stage) === "filter") break;
  }
  await page.keyboard.press("Enter");
  await page.locator("[data-stage=filter][aria-pressed=true]").waitFor();
  await page.getByRole("region", { name: "Filter" }).waitFor();

  // a thousand flows: only those that can be seen are in the page
  const { dataflows, ...status } = await (await fetch(`${http}/api/v1/status`)).json();
  const many = Array.from({ length: 1000 }, (_, i) => ({ ...dataflows[i % dataflows.length], name: `flow-${String(i).padStart(4, "0")}` }));
  await page.route("**/api/v1/status", route => route.fulfill({ json: { ...status, dataflows: many } }));
  await go(page, "#/");
  await page.reload();
  await page.getByRole("link", { name: /^flow-0/ }).first().waitFor();
  assert.ok(await page.getByRole("table", { name: "Data flows" }).getByRole("row").count() < 60);
  await page.getByRole("button", { name: "Name" }).click();
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await page.getByRole("link", { name: "flow-0999" }).waitFor();
});
