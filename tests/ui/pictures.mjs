// Makes the pictures in docs/ui: pages, light and dark. `docs/ui/pictures.sh` starts an instance for it.

import { mkdirSync } from "node:fs";
import { factory, PAGES, THEMES, visit } from "./factory.mjs";
import { go, run, until } from "./harness.mjs";

const folder = process.env.TIDEGATE_PICTURES;
mkdirSync(folder, { recursive: true });

const shoot = (page, name, theme) => page.screenshot({ path: `${folder}/${name}-${theme}.png`, animations: "disabled" });

await run(async page => {
  await page.setViewportSize({ width: 1280, height: 900 });
  await factory();
  // the overview's last minute is full
  await go(page, "#/");
  await until(() => page.evaluate(() => (document.querySelector(".tile .spark path.line")?.getAttribute("d").split("L").length ?? 0) > 50), "a minute of samples");
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await page.waitForFunction(theme => document.documentElement.dataset.theme === theme, theme);
    await shoot(page, "overview", theme);
  }
  for (const [name, hash, act] of PAGES.filter(([name]) => name && name !== "overview")) {
    for (const theme of THEMES) {
      await visit(page, hash, act, theme);
      await shoot(page, name, theme);
    }
  }
});
