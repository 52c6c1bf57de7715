// Text, picture and Bicep follow each other; what is applied can be undone.

import { apply, assert, flowManifest, go, run, stageSays } from "./harness.mjs";

await run(async page => {
  await apply(flowManifest("press-to-mes"));
  await go(page, "#/flow/azure-iot-operations/press-to-mes");
  const text = page.getByLabel("Manifest in YAML");
  const before = await text.inputValue();

  // the picture follows the text
  await text.fill(before.replace("factory/+/press", "factory/+/oven"));
  await stageSays(page, "source", "factory/+/oven");

  // the text follows the form, which changes its line and no other
  await page.getByRole("tab", { name: "Settings" }).click();
  await page.getByLabel("Topic 1", { exact: true }).fill("factory/+/kiln");
  await page.getByLabel("Topic 1", { exact: true }).press("Escape");
  await page.waitForFunction(() => document.querySelector("textarea[aria-label='Manifest in YAML']").value.includes("factory/+/kiln"));
  assert.equal(await text.inputValue(), before.replace("factory/+/press", "factory/+/kiln"));

  // undo, step by step, to what it was
  const undo = page.getByRole("button", { name: "Undo", exact: true });
  while (await undo.isEnabled()) await undo.click();
  assert.equal(await text.inputValue(), before);

  // a mistake is shown in its line, with a caret and the mend
  await text.fill(before.replace("dataDestination", "dataDestinaton"));
  const said = page.getByRole("region", { name: "YAML" }).locator(".diag.error");
  await said.getByText("did you mean dataDestination?").waitFor();
  assert.match(await said.locator("pre").innerText(), /dataDestinaton: mes\/press\n +\^+/);
  await stageSays(page, "destination", "has errors");

  // applied, and undone
  await text.fill(before.replace("mes/press", "mes/other"));
  await page.getByRole("button", { name: "Review and apply" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator(".del", { hasText: "mes/press" }).waitFor();
  await dialog.getByRole("button", { name: "Apply" }).click();
  await page.getByText("press-to-mes is applied").waitFor();
  await page.getByRole("status").getByRole("button", { name: "Undo" }).click();
  await page.getByText("It is as it was").waitFor();
  await stageSays(page, "destination", "mes/press");
  assert.equal(await text.inputValue(), before);

  // the same in Bicep, changed there
  await page.getByRole("button", { name: "Bicep, ARM" }).click();
  const bicep = page.getByRole("dialog").getByLabel("main.bicep");
  await bicep.fill((await bicep.inputValue()).replace("factory/+/press", "factory/+/mill"));
  await page.getByRole("button", { name: "Use this text" }).click();
  await stageSays(page, "source", "factory/+/mill");
  assert.match(await text.inputValue(), /^apiVersion: /m);
});
