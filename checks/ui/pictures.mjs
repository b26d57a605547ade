// The README's pictures: the pipelines and a failed run, as a browser shows them, light and dark.
//   checks/ui/run pictures      writes docs/pictures; it is no test of anything
import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { browser, history, visitor, world } from "./world.mjs";

const PICTURES = { pipelines: "/", "failed-run": "/pipelines/date-picker/3", log: "/pipelines/date-picker/3/log" };

test("pictures", async () => {
  const house = await world();
  const chrome = await browser();
  await history(house);
  const first = await visitor(chrome, house);
  await (await first.newPage()).goto(house.link);
  const state = await first.storageState();
  const folder = path.join(process.env.DANUBE_ROOT, "docs/pictures");
  mkdirSync(folder, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    const context = await visitor(chrome, house, { viewport: { width: 1100, height: 620 }, colorScheme }, state);
    const page = await context.newPage();
    for (const [name, where] of Object.entries(PICTURES)) {
      await page.goto(house.url + where);
      await page.waitForTimeout(300);
      await page.screenshot({ path: path.join(folder, `${name}-${colorScheme}.png`) });
    }
  }
  await chrome.close();
  await house.close();
});
