// Every page, light and dark: axe finds nothing serious, the keyboard reaches everything, no other host is asked, and a
// thousand flows are as quick as four.

import { factory, PAGES, THEMES, visit } from "./factory.mjs";
import { assert, axeSource, go, http, run } from "./harness.mjs";

const EMPTY = [
  ["#/", "Nothing moves yet"], ["#/endpoints", "exists without being written"], ["#/secrets", "No Secrets yet"], ["#/profiles", "Only the default profile"],
  ["#/schemas", "No schemas yet"], ["#/state", "No keys yet"], ["#/letters", "No dead letters"],
];

async function isForEverybody(page, hash, theme) {
  // `eval` by the debugger is no script of the page, so that its policy stays as it is
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(v => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map(v => `${hash} ${theme}: ${v.id}: ${v.nodes.map(n => n.html.slice(0, 160) + " " + n.any.map(a => a.message)).join("; ")}`), []);
}

// The Tab key stops at whatever a mouse can press; a dialog keeps it inside.
async function isReachable(page, hash) {
  const pressable = await page.evaluate(() => {
    const inside = document.querySelector("dialog[open]") ?? document;
    window.stops = new Set();
    addEventListener("focusin", event => window.stops.add(event.target));
    inside.querySelector("a, button, input, select, textarea").focus();
    const all = inside.querySelectorAll("a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, [role=button]");
    return [...all].filter(element => element.tabIndex >= 0 && element.checkVisibility()).length;
  });
  for (let i = 0; i < pressable + 4; i++) await page.keyboard.press("Tab");
  const reached = await page.evaluate(() => window.stops.size);
  assert.ok(reached >= pressable, `${hash}: ${reached} of ${pressable} are reached`);
}

await run(async page => {
  for (const theme of THEMES) {
    for (const [hash, said] of EMPTY) {
      await visit(page, hash, page => page.getByText(said).first().waitFor(), theme);
      await isForEverybody(page, hash, theme);
    }
  }
  await factory();
  for (const theme of THEMES) {
    for (const [, hash, act] of PAGES) {
      await visit(page, hash, act, theme);
      await isForEverybody(page, hash, theme);
      if (theme === "light") await isReachable(page, hash);
    }
  }

  // by keyboard alone
  await go(page, "#/flow/azure-iot-operations/press-to-mes");
  await page.locator("[data-stage=filter]").focus();
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
