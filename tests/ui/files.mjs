// An instance that runs files: everything is shown, and where nothing can be changed, the page says so and what to do.

import { readFile } from "node:fs/promises";
import { assert, go, run } from "./harness.mjs";

async function downloaded(page, press) {
  const [file] = await Promise.all([page.waitForEvent("download"), press()]);
  return [file.suggestedFilename(), await readFile(await file.path(), "utf8")];
}

await run(async page => {
  await go(page, "#/");
  await page.getByText("runs files").waitFor();
  await page.getByRole("link", { name: "thermostat-fahrenheit" }).click();
  await page.getByRole("button", { name: "Disable" }).click();
  const foot = page.getByRole("region", { name: "Unapplied changes" });
  await foot.getByText("dataflows.yaml").waitFor();
  const [name, text] = await downloaded(page, () => foot.getByRole("button", { name: "Download" }).click());
  assert.equal(name, "thermostat-fahrenheit.yaml");
  assert.match(text, /mode: Disabled/);
  assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);

  await go(page, "#/secrets");
  await page.getByText("--secrets-dir").first().waitFor();
  assert.equal(await page.getByRole("button", { name: "New Secret" }).count(), 0);

  // a schema is a file, too, or goes into the registry alone
  await go(page, "#/schemas/new");
  await page.getByLabel("Samples from").selectOption({ label: "the data flow assets-to-archive" });
  await page.getByLabel("Name", { exact: true }).fill("thermostat");
  await page.getByRole("button", { name: /^Generate from [1-9]/ }).click();
  await page.waitForFunction(() => /"fields"/.test(document.querySelector("textarea").value));
  const [, schema] = await downloaded(page, () => page.getByRole("button", { name: "Download" }).click());
  assert.equal(JSON.parse(schema).kind, "Schema");
  await page.getByRole("button", { name: "Put it into the registry" }).click();
  await page.getByRole("heading", { name: "thermostat", exact: true }).waitFor();
});
