// Every endpoint type with every way to log in, and the settings of the broker, by form alone: no line of YAML is typed.

import { assert, go, http, run } from "./harness.mjs";

const GUID = "3f0c6c0e-8d5c-4d1c-9a35-5b1a3a1f8f11";
const HOSTS = {
  Mqtt: "plant.example:8883", Kafka: "plant.example:9093", DataLakeStorage: "https://plant.blob.core.windows.net",
  FabricOneLake: "https://onelake.dfs.fabric.microsoft.com", DataExplorer: "https://plant.westeurope.kusto.windows.net", OpenTelemetry: "collector.example:4317",
};
const WANTED = {
  "Client ID": GUID, "Tenant ID": GUID, Audience: "plant", Secret: "plant-login", Database: "plant", "Workspace name": "plant", "Lakehouse name": "history",
  "Persistent volume claim": "history", "SASL type": "ScramSha512", "OneLake path type": "Tables",
};

async function fill(page, name, value) {
  const field = page.getByLabel(name, { exact: true });
  if (!await field.count()) return;
  if (await field.evaluate(element => element.tagName) === "SELECT") await field.selectOption(value);
  else {
    await field.fill(value);
    // what is suggested is in nobody's way
    await field.press("Escape");
  }
}

const resource = async (kind, name) => (await fetch(`${http}/api/v1/resources/${kind}/azure-iot-operations/${name}`)).json();

async function applied(page, name) {
  await page.getByText("no errors").waitFor();
  await page.getByRole("button", { name: "Review and apply" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.getByText(`${name} is applied`).waitFor();
}

await run(async page => {
  // a Secret, made where it is needed
  await go(page, "#/endpoints/new");
  await page.getByLabel("Endpoint type").selectOption("Kafka");
  await page.getByLabel("Method", { exact: true }).selectOption("Sasl");
  await page.getByRole("button", { name: "New Secret" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("plant-login");
  await dialog.getByLabel("Value of username").fill("operator");
  await dialog.getByLabel("Value of password").fill("hush-hush");
  await dialog.getByRole("button", { name: "Make it" }).click();
  await page.waitForFunction(() => document.querySelector("textarea[aria-label='Manifest in YAML']").value.includes("secretRef: plant-login"));
  assert.deepEqual((await resource("Secret", "plant-login")).keys, ["password", "username"]);

  const types = await page.getByLabel("Endpoint type").locator("option").evaluateAll(all => all.map(o => o.value).filter(Boolean));
  assert.equal(types.length, 7);
  for (const type of types) {
    await go(page, "#/endpoints/new");
    const name = `a-${type.toLowerCase()}`;
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByLabel("Endpoint type").selectOption(type);
    await fill(page, "Host", HOSTS[type]);
    const method = page.getByLabel("Method", { exact: true });
    const methods = await method.count() ? await method.locator("option").evaluateAll(all => all.map(o => o.value).filter(Boolean)) : [null];
    for (const one of methods) {
      if (one) await method.selectOption(one);
      for (const [label, value] of Object.entries(WANTED)) await fill(page, label, value);
      await page.waitForFunction(one => !one || document.querySelector("textarea[aria-label='Manifest in YAML']").value.includes(`method: ${one}`), one);
      await page.getByText("no errors").waitFor();
    }
    await applied(page, name);
    const { manifest: { spec } } = await resource("DataflowEndpoint", name);
    assert.equal(spec.endpointType, type);
    const blocks = Object.keys(spec).filter(key => key.endsWith("Settings"));
    assert.equal(blocks.length, 1, blocks.join());
    const { authentication } = spec[blocks[0]];
    // of the ways that were tried, only the last is left
    if (methods[0]) assert.deepEqual(Object.keys(authentication).length, 2, JSON.stringify(authentication));
  }

  // what it is used by, and its values again, which nobody shows
  await go(page, "#/secrets");
  const row = page.getByRole("row", { name: /plant-login/ });
  await row.getByRole("button", { name: "Change" }).click();
  assert.equal(await dialog.getByLabel("Value of password").inputValue(), "");
  await dialog.getByLabel("Value of username").fill("operator");
  await dialog.getByLabel("Value of password").fill("other");
  await dialog.getByRole("button", { name: "Put in place" }).click();
  await page.getByText("plant-login is applied").waitFor();
  assert.doesNotMatch(await page.content(), /hush|"other"/);

  // lists: rows that come and go
  await go(page, "#/broker/settings/new");
  await page.getByRole("button", { name: "Listener", exact: true }).click();
  await page.getByLabel("Address", { exact: true }).fill("127.0.0.1:18830");
  await page.getByRole("button", { name: "Listener", exact: true }).click();
  await page.getByRole("button", { name: "Remove listener 2" }).click();
  await page.getByRole("button", { name: "Rule", exact: true }).click();
  const rule = page.getByRole("group", { name: "Rule 1" });
  await rule.getByRole("button", { name: "Username", exact: true }).click();
  await rule.getByLabel("Username 1", { exact: true }).fill("operator");
  await rule.getByRole("button", { name: "Broker resource", exact: true }).click();
  const what = rule.getByRole("group", { name: "Broker resource 1" });
  await what.getByLabel("Method", { exact: true }).selectOption("Publish");
  await what.getByRole("button", { name: "Topic", exact: true }).click();
  await what.getByLabel("Topic 1", { exact: true }).fill("factory/#");
  await applied(page, "default");
  const { manifest: { spec } } = await resource("Broker", "default");
  assert.deepEqual(spec, {
    listeners: [{ address: "127.0.0.1:18830" }],
    authorization: { rules: [{ principals: { usernames: ["operator"] }, brokerResources: [{ method: "Publish", topics: ["factory/#"] }] }] },
  });
});
