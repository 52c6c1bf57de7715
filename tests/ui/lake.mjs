// From machines to a Delta table on the local disk, from nothing: an endpoint, a schema from live messages, a flow.

import { go, publisher, run, stage } from "./harness.mjs";

await run(async page => {
  publisher("factory/line1/press", n => ({ n, temperature: 20.5 + n % 10, machine: `P-${n % 3}` }));

  await go(page, "#/endpoints");
  await page.getByRole("link", { name: "New endpoint" }).click();
  await page.getByLabel("Name", { exact: true }).fill("lake");
  await page.getByLabel("Endpoint type").selectOption("LocalStorage");
  await page.getByLabel("Persistent volume claim").fill("history");
  await page.getByText("no errors").waitFor();
  await page.getByRole("button", { name: "Review and apply" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.getByText("lake is applied").waitFor();

  await go(page, "#/schemas/new");
  await page.getByLabel("Samples from").selectOption({ label: "a topic of the local broker" });
  await page.getByLabel("Topic filter").fill("factory/+/press");
  await page.getByLabel("Name", { exact: true }).fill("press");
  const generate = page.getByRole("button", { name: /^Generate from [1-9]/ });
  await generate.click();
  await page.waitForFunction(() => /"temperature"/.test(document.querySelector("textarea").value));
  await page.getByRole("button", { name: "Add press, version 1" }).click();
  await page.getByRole("heading", { name: "press", exact: true }).waitFor();

  await go(page, "#/new");
  await page.getByLabel("Name", { exact: true }).fill("press-history");
  await page.getByLabel("Topic 1", { exact: true }).fill("factory/+/press");
  await page.getByLabel("Topic 1", { exact: true }).press("Escape");
  await stage(page, "destination").click();
  await page.getByLabel("Endpoint", { exact: true }).selectOption("lake");
  await page.getByLabel("Folder").fill("press");
  await page.getByLabel("Format").selectOption("Delta");
  await page.getByLabel("Schema").fill("aio-sr://press:1");
  await page.getByLabel("Schema").press("Escape");
  await page.getByText("no errors").waitFor();
  await page.getByRole("button", { name: "Review and apply" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.getByRole("heading", { name: "press-history" }).waitFor();
  await page.getByText("Available", { exact: true }).waitFor();

  // batches arrive in the table
  await page.locator("[data-edge-to=destination] text.total").filter({ hasText: /^[1-9]/ }).waitFor();
});
