// The log and the layout in Debian's Firefox, which is driven by WebDriver BiDi.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import puppeteer from "puppeteer-core";
import { world } from "./world.mjs";

const MILLION = 1000000;
const DANUBEFILE = `from danube import ctx, pipeline, step


@pipeline(name="date-picker", params={"live": {"default": False}})
def build():
    if ctx.params["live"]:
        step.run("n=0; while [ ! -e stop ] && [ $n -lt 15000 ]; do n=$((n+1)); echo live line $n; [ $((n % 20)) -ne 0 ] || sleep 0.1; done", name="Live")
    else:
        step.run("echo first; exit 3", name="Breaks", check=False)
        step.run("seq -f 'line %.0f of the log' 1 ${MILLION}; echo 'error: at the end'; exit 1", name="Print")
`;
const P = "/pipelines/date-picker", LOG = `${P}/1/log`;

let house, firefox, page;
before(async () => {
  house = await world();
  house.write("danubefile.py", DANUBEFILE);
  house.commit("A log to look at");
  await house.ended((await house.start()).id);
  firefox = await puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true });
  page = await firefox.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(house.link);
});
after(async () => {
  await firefox?.close();
  await house?.close();
});

const go = (where) => page.goto(house.url + where, { waitUntil: "load" });
/** Number and text of the first row in view. */
const firstRow = () => page.evaluate(() => {
  const log = document.querySelector("danube-log"), top = log.getBoundingClientRect().top + 24;
  const row = [...log.querySelectorAll(".l")].find((row) => row.getBoundingClientRect().bottom > top);
  return row && { line: Number(row.id.split(":")[1]), text: row.textContent, y: row.getBoundingClientRect().top };
});
/** Until the script has brought what is in view. */
const settled = () => page.waitForFunction(() => {
  const log = document.querySelector("danube-log"), view = log.getBoundingClientRect();
  if (log.settling || !("settled" in log.dataset)) return false;
  return [...log.querySelectorAll(".l")].some((row) => { const box = row.getBoundingClientRect(); return box.bottom > view.top && box.top < view.bottom; });
});
const inView = (id) => page.waitForFunction((id) => {
  const box = document.getElementById(id)?.getBoundingClientRect(), view = document.querySelector("danube-log").getBoundingClientRect();
  return box && box.bottom > view.top && box.top < view.bottom;
}, {}, id);
const scrollTo = (part) => page.evaluate((part) => { const log = document.querySelector("danube-log"); log.scrollTop = log.scrollHeight * part; }, part);

test("no page is wider than a phone", async () => {
  await page.setViewport({ width: 320, height: 640 });
  for (const where of ["/", P, `${P}/run`, `${P}/1`, `${P}/1/tests`, LOG, `${P}/compare/1...1`, "/queue", "/system", "/account", "/search?q=1"]) {
    await go(where);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), where);
  }
  await page.setViewport({ width: 1280, height: 800 });
});

test("of a million lines the beginning, the middle and the end are there, and little is on the page", async () => {
  await go(`${LOG}?step=2`);
  await settled();
  assert.equal((await firstRow()).text, `line ${(await firstRow()).line} of the log\n`);
  await scrollTo(1);
  await inView(`L2:${MILLION + 1}`);
  await scrollTo(0.5);
  await page.waitForFunction(() => !document.querySelector("danube-log").settling);
  await settled();
  const middle = (await firstRow()).line;
  assert.ok(Math.abs(middle - MILLION / 2) < 1000, `half way is line ${middle}`);
  assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) <= 12000);
});

test("a wheel goes line by line, across blocks that come and go", async () => {
  await go(`${LOG}?l=2:500000`);
  await settled();
  const start = (await firstRow()).line;
  await page.mouse.move(700, 400);
  for (let n = 0; n < 40; n += 1) {
    await page.mouse.wheel({ deltaY: 800 });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await page.waitForFunction(() => !document.querySelector("danube-log").settling);
  }
  // Firefox scrolls smoothly: until it has come to rest.
  const rest = async () => { const before = await firstRow(); await new Promise((resolve) => setTimeout(resolve, 200)); return before?.y === (await firstRow())?.y && before?.line === (await firstRow())?.line; };
  while (!(await rest()));
  const { line, text } = await firstRow();
  assert.ok(line > start + 400, `from ${start} to ${line}`);
  assert.equal(text, `line ${line} of the log\n`);
});

test("what is copied is the log's own text", async () => {
  await go(`${LOG}?l=2:1000`);
  await settled();
  await inView("L2:1000");
  const copied = await page.evaluate(async () => {
    getSelection().setBaseAndExtent(document.getElementById("L2:990"), 0, document.getElementById("L2:1190"), document.getElementById("L2:1190").childNodes.length);
    // What is skipped is laid out one frame after it was selected.
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return getSelection().toString();
  });
  const expected = Array.from({ length: 201 }, (_, n) => `line ${990 + n} of the log`).join("\n");
  assert.equal(copied.trimEnd(), expected);
});

test("it follows the end, and what is read does not move", async () => {
  const job = await house.start({ live: "true" });
  // A page that sees an attempt begin loads again, and a wait of this driver does not outlive its page.
  await house.running(job.id, "Live");
  await go(`${P}/${job.number}/log`);
  await page.waitForFunction(() => document.querySelectorAll(".l").length > 250, { timeout: 60000 });
  assert.ok(await page.evaluate(() => { const log = document.querySelector("danube-log"); return log.scrollHeight - log.scrollTop - log.clientHeight; }) < 40, "it follows");
  await page.evaluate(() => { document.querySelector("danube-log").scrollTop = 200; });
  await page.waitForFunction(() => !document.querySelector("danube-log").follows);
  const read = await firstRow();
  await page.waitForFunction(() => !document.querySelector("#new").hidden && /[1-9]\d* new/.test(document.querySelector("#new button").textContent), { timeout: 60000 });
  assert.deepEqual(await firstRow(), read);
  await house.api("POST", `/api/v1/jobs/${job.id}/cancel`);
});
