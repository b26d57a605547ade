// What Lighthouse says of the pages, as a phone and as a desk would load them.
//   checks/ui/run lighthouse     prints a table for docs/ui.md; fails below 100 for accessibility or best practices
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { browser, history, visitor, world } from "./world.mjs";

const P = "/pipelines/date-picker";
const PAGES = { pipelines: "/", "a pipeline": P, "a failed run": `${P}/3`, "its log": `${P}/3/log`, "its tests": `${P}/3/tests`, queue: "/queue" };
/** Below this the measured times are printed too. */
const FAST = 98;
const METRICS = ["server-response-time", "first-contentful-paint", "largest-contentful-paint", "speed-index", "total-blocking-time", "cumulative-layout-shift"];
const CATEGORIES = ["performance", "accessibility", "best-practices"];

test("lighthouse", { timeout: 900000 }, async () => {
  const house = await world(), chrome = await browser(), folder = mkdtempSync(path.join(tmpdir(), "danube-lighthouse-"));
  await history(house);
  const context = await visitor(chrome, house);
  await (await context.newPage()).goto(house.link);
  const { cookies } = await context.storageState();
  const headers = path.join(folder, "headers.json"), report = path.join(folder, "report.json");
  writeFileSync(headers, JSON.stringify({ Cookie: cookies.map(({ name, value }) => `${name}=${value}`).join("; ") }), { mode: 0o600 });
  await chrome.close();
  console.log("| page | as | performance | accessibility | best practices |\n| --- | --- | --- | --- | --- |");
  const wrong = [];
  for (const [name, where] of Object.entries(PAGES)) for (const form of ["mobile", "desktop"]) {
    const words = [house.url + where, "--quiet", "--output=json", `--output-path=${report}`, `--extra-headers=${headers}`,
      `--only-categories=${CATEGORIES.join(",")}`, "--chrome-flags=--headless=new --no-sandbox --disable-gpu", ...(form === "desktop" ? ["--preset=desktop"] : [])];
    const done = spawnSync(process.env.DANUBE_LIGHTHOUSE ?? "lighthouse", words, { encoding: "utf8", env: { ...process.env, CHROME_PATH: "/usr/bin/chromium" } });
    assert.equal(done.status, 0, done.stderr);
    const { categories, audits } = JSON.parse(readFileSync(report, "utf8"));
    const scores = CATEGORIES.map((key) => Math.round(categories[key].score * 100));
    console.log(`| ${name} | ${form} | ${scores.join(" | ")} |`);
    // What cost it points.
    if (scores[0] < FAST) console.log(`| | | ${METRICS.map((key) => `${audits[key].title} ${audits[key].displayValue}`).join(", ")} | | |`);
    for (const key of CATEGORIES.slice(1)) {
      const failed = categories[key].auditRefs.map(({ id }) => audits[id]).filter((audit) => audit.score !== null && audit.score < 1);
      wrong.push(...failed.map((audit) => `${name}, ${form}: ${audit.title} ${JSON.stringify(audit.details?.items?.slice(0, 3) ?? "")}`));
    }
  }
  rmSync(folder, { recursive: true });
  await house.close();
  assert.deepEqual(wrong, []);
});
