// A message that can't be processed: read, mended, sent through once more.

import { apply, assert, flowManifest, flowNow, go, publish, run, subscriber, until } from "./harness.mjs";

const transform = `    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        map:
          - inputs: [temperature]
            output: fahrenheit
            expression: cToF($1)
`;

await run(async page => {
  await apply(flowManifest("press-to-mes", { transform }));
  const heard = await subscriber("mes/press");
  await publish("factory/line1/press", { temperature: "hot" });

  await go(page, "#/letters");
  const box = page.getByRole("region", { name: "Dead letters of press-to-mes" });
  await box.getByText(/cToF/).first().waitFor();
  await box.getByRole("button", { name: "Open" }).click();
  const dialog = page.getByRole("dialog");
  const message = dialog.getByLabel("The message");
  await message.fill((await message.inputValue()).replace('"hot"', "100"));
  await dialog.getByRole("button", { name: "Replay as edited" }).click();
  await page.getByRole("heading", { name: "No dead letters" }).waitFor();
  assert.match(await heard(/\{"fahrenheit[^}]*\}/), /212/);

  // a second one, as it is: it fails again, and is dropped
  await publish("factory/line1/press", { temperature: "cold" });
  await box.getByText(/"cold"/).waitFor();
  await box.getByRole("button", { name: "Replay", exact: true }).click();
  await until(async () => (await flowNow("press-to-mes")).messages.deadLettered === 3, "a letter again");
  await box.getByRole("button", { name: "Open" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
  await page.getByRole("heading", { name: "No dead letters" }).waitFor();
});
