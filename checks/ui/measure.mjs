// How fast the pages are: first paint of a log of a million lines beside a page of one line, a line's way into a browser
// beside 199 other readers, and what travels.
//   checks/ui/run measure        prints a table for docs/ui.md; it is no test of anything
import { get } from "node:http";
import { test } from "node:test";
import { browser, visitor, world } from "./world.mjs";

const LOADS = 30, READERS = 200, LINES = 300;
const DANUBEFILE = `from danube import ctx, pipeline, step


@pipeline(name="date-picker", params={"kind": {"default": "one"}})
def build():
    if ctx.params["kind"] == "one":
        step.run("echo one line", name="Print")
    elif ctx.params["kind"] == "long":
        step.run("seq -f 'line %.0f of the log' 1 1000000; echo 'error: at the end'; exit 1", name="Print")
    else:
        step.run(["python3", "-u", "-c", "import time\\nfor n in range(${LINES}):\\n    time.sleep(0.05)\\n    print(int(time.time() * 1000))"], name="Clock")
`;
const P = "/pipelines/date-picker";
/** @param {number[]} values @param {number} part */
const at = (values, part) => Math.round(values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]);
const row = (/** @type {(string | number)[]} */ ...cells) => console.log(`| ${cells.join(" | ")} |`);

test("measure", { timeout: 600000 }, async () => {
  const house = await world(), chrome = await browser();
  house.write("danubefile.py", DANUBEFILE);
  house.commit("What is measured");
  await house.ended((await house.start({ kind: "one" })).id);
  await house.ended((await house.start({ kind: "long" })).id);
  const first = await visitor(chrome, house);
  await (await first.newPage()).goto(house.link);
  const state = await first.storageState(), cookie = state.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");

  row("first paint, cold", "p50", "p95", "requests", "travels");
  row("---", "---", "---", "---", "---");
  const pages = { "a log of one line": `${P}/1/log`, "a log of 1 000 001 lines, at its failure": `${P}/2/log`, "the same, line 500 000": `${P}/2/log?l=1:500000`, "pipelines": "/", "a pipeline": P, "a failed run": `${P}/2` };
  for (const [name, where] of Object.entries(pages)) {
    const paints = [];
    let requests = 0, bytes = 0;
    for (let load = 0; load < LOADS; load += 1) {
      const context = await visitor(chrome, house, { viewport: { width: 1280, height: 800 } }, state), page = await context.newPage();
      await page.goto(house.url + where, { waitUntil: "load" });
      const seen = await page.evaluate(async () => {
        const paint = await new Promise((resolve) => new PerformanceObserver((list) => { const found = list.getEntriesByName("first-contentful-paint")[0]; if (found) resolve(found.startTime); }).observe({ type: "paint", buffered: true }));
        const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
        const loaded = all.filter((entry) => !entry.name.includes("/log/lines"));
        return { paint, requests: loaded.length, bytes: loaded.reduce((sum, entry) => sum + entry.encodedBodySize, 0) };
      });
      paints.push(seen.paint);
      ({ requests, bytes } = seen);
      await context.close();
    }
    row(name, `${at(paints, 0.5)} ms`, `${at(paints, 0.95)} ms`, requests, `${(bytes / 1000).toFixed(1)} kB`);
  }

  const job = await house.start({ kind: "clock" });
  const others = Array.from({ length: READERS - 1 }, () => get(`${house.url}${P}/${job.number}/events`, { headers: { Cookie: cookie } }, (answer) => answer.resume()));
  others.forEach((reader) => reader.on("error", () => {}));
  const context = await visitor(chrome, house, { viewport: { width: 1280, height: 800 } }, state), page = await context.newPage();
  await page.goto(`${house.url}${P}/${job.number}/log`);
  await page.evaluate(() => {
    globalThis.delays = [];
    new MutationObserver((changes) => {
      const now = Date.now();
      for (const change of changes) for (const node of change.addedNodes) {
        const rows = node instanceof Element ? (node.matches(".l") ? [node] : [...node.querySelectorAll(".l")]) : [];
        for (const row of rows) if (/^\d{13}$/.test(row.textContent.trim())) globalThis.delays.push(now - Number(row.textContent));
      }
    }).observe(document.querySelector("danube-log"), { childList: true, subtree: true });
  });
  await house.ended(job.id);
  await page.waitForFunction(() => !("after" in document.querySelector("danube-log").dataset));
  const delays = await page.evaluate(() => globalThis.delays);
  console.log(`\na line's way into the browser, ${READERS} readers, ${delays.length} lines: p50 ${at(delays, 0.5)} ms, p95 ${at(delays, 0.95)} ms, longest ${Math.max(...delays)} ms`);
  others.forEach((reader) => reader.destroy());
  await chrome.close();
  await house.close();
});
