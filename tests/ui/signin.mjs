// An instance that wants its token: asked for once, never where a script or a URL could show it, and asked for again when
// the session has ended, with what was being edited still there.

import { assert, axeSource, go, http, run } from "./harness.mjs";

const token = "the-token-of-this-test";

await run(async page => {
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  const signIn = async given => {
    await dialog.getByLabel("Token").fill(given);
    await dialog.getByRole("button", { name: "Sign in" }).click();
  };

  await go(page, "#/");
  await dialog.waitFor();
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run("dialog", { resultTypes: ["violations"] }));
  assert.deepEqual(violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => v.id), []);
  await signIn("the-token-of-another-test");
  await dialog.getByText("that is not the token").waitFor();
  await signIn(token);
  await page.getByText(/^Live/).waitFor();
  assert.equal(await dialog.count(), 0);

  // the cookie is for requests to this instance alone
  const [cookie, ...others] = await page.context().cookies();
  assert.deepEqual(others, []);
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/api/v1"]);
  assert.equal(cookie.value.includes(token), false);
  const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]));
  assert.equal(kept.includes(token) || kept.includes(cookie.value), false);
  assert.equal(page.url(), `${http}/#/`);

  // the session ends in the middle of an edit
  await go(page, "#/new");
  await page.getByLabel("Name", { exact: true }).fill("press-to-mes");
  await page.context().clearCookies();
  await dialog.waitFor();
  await signIn(token);
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "press-to-mes");

  await page.getByRole("button", { name: "Sign out" }).click();
  await dialog.waitFor();
  assert.deepEqual(await page.context().cookies(), []);
});
