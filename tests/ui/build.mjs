// A flow from nothing: topics seen live, a filter in words, a formula that is wrong and then right, applied, and alive.

import { assert, go, publisher, run, stage, stageSays, subscriber } from "./harness.mjs";

await run(async page => {
  publisher("factory/line1/press", n => ({ temperature: 20 + n % 10, pressure: 101, machine: { id: `P-${n % 3}` } }));
  const heard = await subscriber("mes/line1");

  await go(page, "#/");
  await page.getByRole("link", { name: "Build the first data flow" }).click();
  await page.getByLabel("Name", { exact: true }).fill("press-to-mes");

  // the topic is offered because messages are on it
  await page.getByLabel("Topic 1", { exact: true }).click();
  await page.getByRole("option", { name: /factory\/line1\/press/ }).click();
  await page.getByLabel("Topic 1", { exact: true }).fill("factory/+/press");
  await page.getByLabel("Topic 1", { exact: true }).press("Escape");
  await stageSays(page, "source", "factory/+/press");

  await stage(page, "filter").click();
  await page.getByRole("button", { name: "Add a rule" }).click();
  const filter = page.getByRole("group", { name: "Filter rule 1" });
  await filter.getByLabel("Fields 1", { exact: true }).fill("");
  // the fields of real messages are offered
  await filter.getByRole("option", { name: /^temperature/ }).click();
  await filter.getByLabel("Expression of filter rule 1").fill("$1 < 25");
  await page.getByText("Drops messages where temperature < 25.").waitFor();

  await stage(page, "map").click();
  await page.getByRole("button", { name: "Pass through", exact: true }).click();
  await page.getByRole("button", { name: "Compute", exact: true }).click();
  const rule = page.getByRole("group", { name: "Map rule 2" });
  await rule.getByLabel("From 1", { exact: true }).fill("temperature");
  await rule.getByLabel("Output of map rule 2").fill("temperatureF");
  await rule.getByLabel("Output of map rule 2").press("Escape");
  const formula = rule.getByLabel("Formula of map rule 2");
  await formula.fill("cToFF($1)");
  await rule.getByRole("alert").getByText("did you mean cToF?").waitFor();
  assert.match(await rule.getByRole("alert").locator("pre").innerText(), /cToFF\(\$1\)\n\^{5}/);
  assert.equal(await page.getByRole("button", { name: "Review and apply" }).isDisabled(), true);
  // completion writes the name
  await formula.fill("");
  await formula.pressSequentially("cTo");
  await rule.getByRole("option", { name: /cToF/ }).click();
  await formula.pressSequentially("$1)");
  await rule.getByLabel("Result of map rule 2").getByText(/\d/).waitFor();

  await stage(page, "destination").click();
  await page.getByLabel("MQTT topic", { exact: true }).fill("mes/${inputTopic.2}");
  await page.getByLabel("MQTT topic", { exact: true }).press("Escape");

  await page.getByRole("button", { name: "Review and apply" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("+         dataDestination: mes/${inputTopic.2}").waitFor();
  await dialog.getByRole("button", { name: "Apply" }).click();

  // it runs, and its picture lives
  await page.getByRole("heading", { name: "press-to-mes" }).waitFor();
  await page.getByText("Available", { exact: true }).waitFor();
  await heard(/"temperatureF":(7[7-9]|8\d)/);
  await page.locator("svg text.rate", { hasText: /[1-9].* filtered/ }).waitFor();
  await stage(page, "map").click();
  await page.getByRole("region", { name: "Before" }).waitFor();
  await page.getByRole("region", { name: "After" }).locator(".add", { hasText: "temperatureF" }).first().waitFor();
});
