// The budgets that take minutes: a log of five million lines, and one that grows by 10 000 lines a second.
//   checks/ui/run long           with a release build (DANUBE_BINARY) it takes two minutes
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, visitor, world } from "./world.mjs";

const LINES = 5000000, SECONDS = 30, A_SECOND = 10000;
/** Elements of a page, and megabytes of its scripts. */
const ELEMENTS = 12000, HEAP = 20;
const DANUBEFILE = `from danube import ctx, pipeline, step


@pipeline(name="date-picker", params={"kind": {"default": "long"}})
def build():
    if ctx.params["kind"] == "long":
        step.run("seq -f 'line %.0f of the log' 1 ${LINES}", name="Print")
    else:
        step.run(["python3", "-u", "fast.py"], name="Fast")
`;
// As many lines as are due by now, every 20 ms: a machine that is busy makes up for it.
const FAST = `import os, sys, time
began, told = time.monotonic(), 0
while not os.path.exists("/workspace/stop") and told < ${(SECONDS + 60) * A_SECOND}:
    due = int((time.monotonic() - began) * ${A_SECOND})
    sys.stdout.write("".join(f"fast line {n} of many\\n" for n in range(told + 1, due + 1)))
    sys.stdout.flush()
    told = max(told, due)
    time.sleep(0.02)
`;

let house, chrome, state;
before(async () => {
  house = await world();
  house.write("danubefile.py", DANUBEFILE);
  house.write("fast.py", FAST);
  house.commit("Logs that are long");
  chrome = await browser();
  const context = await visitor(chrome, house);
  await (await context.newPage()).goto(house.link);
  state = await context.storageState();
});
after(async () => {
  await chrome?.close();
  await house?.close();
});

async function look(where, options = {}) {
  const context = await visitor(chrome, house, { viewport: { width: 1280, height: 800 }, ...options }, state);
  const page = await context.newPage();
  await page.goto(house.url + where);
  return { context, page };
}

/** The number and the text of the first row in view. */
const firstRow = (page) => page.evaluate(() => {
  const log = document.querySelector("danube-log"), top = log.getBoundingClientRect().top + 24;
  const row = [...log.querySelectorAll(".l")].find((row) => row.getBoundingClientRect().bottom > top);
  return row && { number: Number(row.id.split(":")[1]), text: row.textContent };
});
const settled = (page) => page.waitForFunction(() => {
  const log = document.querySelector("danube-log"), view = log.getBoundingClientRect();
  return !log.settling && [...log.querySelectorAll(".l")].some((row) => { const box = row.getBoundingClientRect(); return box.bottom > view.top && box.top < view.bottom; });
}, null, { timeout: 60000 });

/** Elements on the page, and megabytes that its scripts hold once what nobody needs is given back. */
async function weight(page, context) {
  const devtools = await context.newCDPSession(page);
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return [await page.evaluate(() => document.querySelectorAll("*").length), usedSize / 1e6];
}

test("of five million lines the top, the end and the middle are there, and little is on the page", { timeout: 900000 }, async () => {
  const job = await house.start({ kind: "long" });
  await house.ended(job.id);
  const { page, context } = await look(`/pipelines/date-picker/${job.number}/log?step=1`, { permissions: ["clipboard-read", "clipboard-write"] });
  await settled(page);
  assert.equal((await firstRow(page)).number, 1);
  const weights = [await weight(page, context)];
  for (const [name, part, line] of [["the end", 1, LINES], ["the middle", 0.5, LINES / 2], ["the top", 0, 1]]) {
    await page.evaluate((part) => { const log = document.querySelector("danube-log"); log.scrollTop = (log.scrollHeight - log.clientHeight) * part; }, part);
    await page.waitForFunction(() => !document.querySelector("danube-log").settling);
    await settled(page);
    const { number, text } = await firstRow(page);
    // The ends are the ends; between them a pixel of the scroll bar, 800 pixels high, is thousands of lines.
    const near = line === LINES / 2 ? LINES / 800 : 100;
    assert.ok(Math.abs(number - line) < near, `${name} is line ${number}`);
    assert.equal(text, `line ${number} of the log\n`);
    weights.push(await weight(page, context));
  }
  for (const [elements, heap] of weights) assert.ok(elements <= ELEMENTS && heap <= HEAP, `${elements} elements, ${heap} MB`);
  console.log("elements and MB:", weights.map(([elements, heap]) => `${elements}, ${heap.toFixed(1)}`).join("; "));

  // The end itself, line by line, and what is copied of it.
  await page.goto(`${house.url}/pipelines/date-picker/${job.number}/log?l=1:${LINES - 1500}`);
  await settled(page);
  await page.evaluate(([from, to]) => document.querySelector("danube-log").choose(1, from, to), [LINES - 1500, LINES - 20]);
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  await page.getByRole("button", { name: "Copied" }).first().waitFor();
  const same = await page.evaluate(async () => {
    const raw = await (await fetch(`${document.querySelector("#chosen a").href}&raw=1`)).arrayBuffer();
    const copied = new TextEncoder().encode(await navigator.clipboard.readText());
    return [copied.length, copied.length === raw.byteLength && copied.every((byte, at) => byte === new Uint8Array(raw)[at])];
  });
  assert.ok(same[0] > 20000 && same[1], `${same[0]} bytes, equal: ${same[1]}`);
  assert.deepEqual(context.complaints, []);
  await context.close();
});

test("while 10 000 lines a second come, what is read does not move by a pixel for 30 s", { timeout: 600000 }, async () => {
  const job = await house.start({ kind: "fast" });
  await house.running(job.id, "Fast");
  const { page, context } = await look(`/pipelines/date-picker/${job.number}/log`);
  await page.waitForFunction(() => document.querySelectorAll(".l").length > 400, null, { timeout: 60000 });
  // Somebody goes up, and stays there.
  await page.mouse.move(640, 500);
  await page.mouse.wheel(0, -1000);
  await page.waitForFunction(() => !document.querySelector("danube-log").follows);
  await settled(page);
  // A wheel's way has a slow end.
  await page.waitForFunction(() => new Promise((resolve) => {
    const log = document.querySelector("danube-log"), before = log.scrollTop;
    setTimeout(() => resolve(log.scrollTop === before), 1000);
  }), null, { timeout: 60000 });
  const lines = () => page.evaluate(() => document.querySelector("danube-log").total());
  const before = await lines(), seen = await page.evaluate((seconds) => new Promise((resolve) => {
    const log = document.querySelector("danube-log"), top = log.getBoundingClientRect().top;
    const row = [...log.querySelectorAll(".l")].find((row) => row.getBoundingClientRect().bottom > top + 24);
    const where = row.getBoundingClientRect().top, ends = performance.now() + seconds * 1000;
    let frames = 0, moved = 0, gone = 0;
    const look = () => {
      frames += 1;
      if (!row.isConnected) gone += 1;
      moved = Math.max(moved, Math.abs(row.getBoundingClientRect().top - where));
      if (performance.now() < ends) requestAnimationFrame(look);
      else resolve({ id: row.id, frames, moved, gone });
    };
    look();
  }), SECONDS);
  const came = await lines() - before;
  console.log(`${came} lines came in ${SECONDS} s, ${seen.frames} frames were looked at, the row moved by ${seen.moved} px`);
  assert.equal(seen.gone, 0, "the row stays on the page");
  assert.ok(seen.moved < 1, `${seen.id} moved by ${seen.moved} px`);
  assert.ok(came > SECONDS * A_SECOND / 10, `${came} lines are no flood`);
  // Back at the end it follows again, and every line is there.
  await page.locator("#new button").click();
  await page.waitForFunction(() => document.querySelector("danube-log").follows && document.querySelector("danube-log").isAtEnd(), null, { timeout: 60000 });
  await house.api("POST", `/api/v1/jobs/${job.id}/cancel`);
  await house.ended(job.id);
  await page.waitForFunction(() => !("after" in document.querySelector("danube-log").dataset), null, { timeout: 60000 });
  const raw = await page.evaluate((url) => fetch(url).then((answer) => answer.text()), `/pipelines/date-picker/${job.number}/log.txt?step=1&raw=1`);
  assert.equal(await page.evaluate(() => document.querySelector("danube-log").section(1).lines), raw.match(/\n/g).length + (raw.endsWith("\n") ? 0 : 1));
  await context.close();
});
