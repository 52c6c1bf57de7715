// How fast the web UI is: its first paint, and what an update costs with a thousand data flows that run. Prints the figures.
// `tests/ui/with-instance.sh speed [path of a built tidegate]`

import { apply, flowManifest, go, http, open, publisher, run, until } from "./harness.mjs";

const LOADS = 15, FLOWS = 1000, TOPICS = 50, WATCH_MS = 12_000;

const median = values => values.toSorted((a, b) => a - b)[values.length >> 1];
const ms = value => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

// Each with a browser cache of its own, as on the first visit.
async function firstPaints(browser) {
  const seen = { paint: [], data: [] };
  for (let i = 0; i < LOADS; i++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
    const page = await context.newPage();
    await page.goto(`${http}/#/`);
    await page.locator(".vt .space .vrow, .empty").first().waitFor();
    seen.paint.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    seen.data.push(await page.evaluate(() => new Promise(done => requestAnimationFrame(() => done(performance.now())))));
    await context.close();
  }
  return `first paint ${ms(median(seen.paint))} (slowest of ${LOADS}: ${ms(Math.max(...seen.paint))}), with data ${ms(median(seen.data))}`;
}

// What the page does of itself, and while somebody scrolls.
async function watch(page, what, act) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const measure = async () => Object.fromEntries((await devtools.send("Performance.getMetrics")).metrics.map(m => [m.name, m.value]));
  let updates = 0;
  const count = response => { if (response.url().endsWith("/api/v1/status")) updates++; };
  await page.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(e => e.duration))).observe({ type: "longtask" });
  });
  page.on("response", count);
  const before = await measure(), since = Date.now();
  await act();
  const after = await measure(), took = Date.now() - since;
  page.off("response", count);
  const spent = name => (after[name] - before[name]) * 1000;
  const tasks = await page.evaluate(() => window.tasks);
  console.log(`${what}: ${updates} updates in ${Math.round(took / 1000)} s; for each ${ms(spent("ScriptDuration") / updates)} of scripts, ${ms((spent("LayoutDuration") + spent("RecalcStyleDuration")) / updates)} of layout;`,
    `${Math.round(spent("TaskDuration") / took * 100)} % of a core; tasks over 50 ms: ${tasks.length}${tasks.length ? `, the longest ${ms(Math.max(...tasks))}` : ""};`,
    `${after.Nodes} nodes, ${(after.JSHeapUsedSize / 1024 / 1024).toFixed(1)} MiB of heap`);
}

await run(async page => {
  const { browser } = await open();
  console.log(`no flows: ${await firstPaints(browser)}`);
  const all = Array.from({ length: FLOWS }, (_, i) => flowManifest(`flow-${String(i).padStart(4, "0")}`, { source: `factory/${i % TOPICS}/press`, destination: `mes/${i}` }));
  await apply(...all);
  for (let i = 0; i < 5; i++) publisher(`factory/${i}/press`, n => ({ temperature: 20 + n % 10 }));
  await until(async () => {
    const { dataflows } = await (await fetch(`${http}/api/v1/dataflows`)).json();
    return dataflows.length === FLOWS && dataflows.every(flow => flow.health.status === "Available");
  }, "a thousand flows");
  const asked = performance.now();
  const body = await (await fetch(`${http}/api/v1/status`)).text();
  console.log(`${FLOWS} flows: status ${(body.length / 1024).toFixed(0)} KiB in ${ms(performance.now() - asked)}`);
  console.log(`${FLOWS} flows: ${await firstPaints(browser)}`);
  await browser.close();

  const rest = () => page.waitForTimeout(WATCH_MS);
  await go(page, "#/");
  await page.getByRole("link", { name: /^flow-/ }).first().waitFor();
  await watch(page, "overview", rest);
  await watch(page, "overview, scrolled all the time", async () => {
    for (const until = Date.now() + WATCH_MS; Date.now() < until;) await page.mouse.wheel(0, 400).then(() => page.waitForTimeout(40));
  });
  for (const [name, hash] of [["a data flow", "#/flow/azure-iot-operations/flow-0000"], ["profiles", "#/profiles"], ["endpoints", "#/endpoints"], ["broker", "#/broker/clients"]]) {
    await go(page, hash);
    await page.locator("main .card").first().waitFor();
    await watch(page, name, rest);
  }
  const typed = await (async () => {
    await go(page, "#/");
    const field = page.getByPlaceholder("Find by name");
    await page.getByRole("link", { name: /^flow-/ }).first().waitFor();
    const since = performance.now();
    await field.fill("flow-0999");
    await page.getByRole("link", { name: "flow-0999" }).waitFor();
    return performance.now() - since;
  })();
  console.log(`a flow found by name in ${ms(typed)}`);
});
