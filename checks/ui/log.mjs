// The log in a real browser: a million lines, live lines over connections that are cut, hostile output, no scripts.
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { browser, visitor, world } from "./world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const MILLION = 1000000;
const DANUBEFILE = `from danube import ctx, pipeline, step


@pipeline(name="date-picker", params={"kind": {"default": "long"}})
def build():
    if ctx.params["kind"] == "long":
        step.run("seq -f 'line %.0f of the log' 1 ${MILLION}", name="Print")
    elif ctx.params["kind"] == "hostile":
        step.run(["python3", "hostile.py"], name="Hostile")
    else:
        step.run("n=0; while [ ! -e /workspace/stop ] && [ $n -lt 3000 ]; do n=$((n+1)); echo live line $n; [ $((n % 20)) -ne 0 ] || sleep 0.1; done; echo the end", name="Live")
`;
const HOSTILE = `import random, sys
random.seed(1)
out = sys.stdout.buffer
pieces = [b"<script>alert(1)</script>", b"\\x1b[31m", b"\\x1b]8;;javascript:alert(1)\\x07click\\x1b]8;;\\x07", b"\\x1b[", b"\\xff\\xfe",
          "\\u202e\\u200b\\ufeff".encode(), b"\\x1b]8;;https://evil.example/\\x07bank\\x1b]8;;\\x07", b"\\r", b"\\x08", b"\\0", b" https://a.example/<b> ",
          b"<img src=x onerror=alert(1)>", b"\\x1b[2J", b"\\x1b[999C", b"&lt;", b"\\x1b]0;title\\x07"]
for n in range(400):
    out.write(b"".join(random.choice(pieces) for _ in range(8)) + b"\\n")
out.write(b"x" * 10_000_000 + b"\\nafter\\n")
`;
const LOG = "/pipelines/date-picker/1/log";

let house, chrome, state;
before(async () => {
  house = await world();
  house.write("danubefile.py", DANUBEFILE);
  house.write("hostile.py", HOSTILE);
  house.commit("A log to look at");
  chrome = await browser();
  const context = await visitor(chrome, house);
  await (await context.newPage()).goto(house.link);
  state = await context.storageState();
  await house.ended((await house.start({ kind: "long" })).id);
  await house.ended((await house.start({ kind: "hostile" })).id);
});
after(async () => {
  await chrome?.close();
  await house?.close();
});

async function look(where, options = {}) {
  const context = await visitor(chrome, house, { viewport: { width: 1280, height: 800 }, ...options }, state);
  const page = await context.newPage();
  await page.goto((options.origin ?? house.url) + where);
  return { context, page };
}

/** The number and the text of the first row in view. */
const firstRow = (page) => page.evaluate(() => {
  const log = document.querySelector("danube-log"), top = log.getBoundingClientRect().top + 24;
  const row = [...log.querySelectorAll(".l")].find((row) => row.getBoundingClientRect().bottom > top);
  return row && { id: row.id, text: row.textContent, y: row.getBoundingClientRect().top };
});
/** Until the script has brought what is in view. */
const settled = (page) => page.waitForFunction(() => {
  const log = document.querySelector("danube-log"), view = log.getBoundingClientRect();
  if (log.settling) return false;
  return [...log.querySelectorAll(".l")].some((row) => { const box = row.getBoundingClientRect(); return box.bottom > view.top && box.top < view.bottom; });
});
const inView = (page, id) => page.waitForFunction((id) => {
  const row = document.getElementById(id), view = document.querySelector("danube-log").getBoundingClientRect();
  const box = row?.getBoundingClientRect();
  return box && box.bottom > view.top && box.top < view.bottom;
}, id);

test("of a million lines the top, the middle and the end are there, and little is on the page", async () => {
  const { page, context } = await look(LOG);
  await settled(page);
  assert.equal((await firstRow(page)).text, "line 1 of the log\n".replace("1", (await firstRow(page)).id.split(":")[1]));
  await page.evaluate(() => { const log = document.querySelector("danube-log"); log.scrollTop = log.scrollHeight; });
  await inView(page, `L1:${MILLION}`);
  await page.evaluate(() => { const log = document.querySelector("danube-log"); log.scrollTop = log.scrollHeight / 2; });
  await page.waitForFunction(() => !document.querySelector("danube-log").settling);
  await settled(page);
  const middle = Number((await firstRow(page)).id.split(":")[1]);
  assert.ok(Math.abs(middle - MILLION / 2) < 1000, `half way is line ${middle}`);
  const rows = await page.locator(".l").count();
  assert.ok(rows <= 3400, `${rows} rows`);
  assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) <= 12000);
  assert.deepEqual(context.complaints, []);
  await context.close();
});

test("a wheel goes line by line, across blocks that come and go", async () => {
  const { page, context } = await look(`${LOG}?l=1:500000`);
  await settled(page);
  await inView(page, "L1:500000");
  const start = Number((await firstRow(page)).id.split(":")[1]);
  await page.locator("danube-log").hover();
  for (let n = 0; n < 100; n += 1) {
    await page.mouse.wheel(0, 800);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await page.waitForFunction(() => !document.querySelector("danube-log").settling);
  }
  await settled(page);
  const { id, text } = await firstRow(page), end = Number(id.split(":")[1]);
  assert.ok(Math.abs(end - start - 4000) <= 1, `from ${start} to ${end}`);
  assert.equal(text, `line ${end} of the log\n`);
  await context.close();
});

test("a link to a line arrives, marked, with scripts and without", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const { page, context } = await look(`${LOG}?l=1:123456-123458`, { javaScriptEnabled });
    const chosen = await page.locator(".l.k").evaluateAll((rows) => rows.map((row) => row.id));
    assert.deepEqual(chosen, ["L1:123456", "L1:123457", "L1:123458"]);
    const box = await page.locator("[id='L1:123456']").boundingBox();
    assert.ok(box.y > 0 && box.y < 800, `at ${box.y}`);
    await context.close();
  }
});

test("search finds lines that are not on the page, and goes from one to the next", async () => {
  const { page, context } = await look(`${LOG}?q=line+7777`);
  assert.match(await page.locator("#found").innerText(), /^1 of \d+/);
  await inView(page, "L1:7777");
  await page.waitForFunction(() => document.querySelector("danube-log").hits.length > 1, null, { timeout: 60000 });
  await page.keyboard.press("n");
  await inView(page, "L1:77770");
  assert.match(page.url(), /hit=2/);
  await page.keyboard.press("N");
  await inView(page, "L1:7777");
  assert.equal(await page.locator("[id='L1:7777'] mark").innerText(), "line 7777");
  await context.close();
});

test("what is copied is the log's own text, without numbers and times", async () => {
  const { page, context } = await look(`${LOG}?l=1:1000`);
  await settled(page);
  await page.evaluate(() => {
    const from = document.getElementById("L1:990"), to = document.getElementById("L1:1190");
    getSelection().setBaseAndExtent(from, 0, to, to.childNodes.length);
  });
  const copied = await page.evaluate(() => getSelection().toString());
  const expected = Array.from({ length: 201 }, (_, n) => `line ${990 + n} of the log`).join("\n");
  assert.equal(copied.trimEnd(), expected);
  await context.close();
});

test("chosen lines are copied as text and as Markdown, and downloaded", async () => {
  const { page, context } = await look(`${LOG}?l=1:1000`, { permissions: ["clipboard-read", "clipboard-write"] });
  await settled(page);
  await page.locator("[id='L1:1002'] a[data-n]").click({ modifiers: ["Shift"] });
  assert.match(page.url(), /l=1:1000-1002/);
  assert.match(await page.locator("#chosen").innerText(), /Lines 1000 to 1002 of step 1/);
  const lines = "line 1000 of the log\nline 1001 of the log\nline 1002 of the log\n";
  // The label of an earlier copy may still say "Copied": only the clipboard tells.
  const copies = async (name, wanted) => {
    await page.getByRole("button", { name, exact: true }).click();
    await page.getByRole("button", { name: "Copied" }).first().waitFor();
    await page.waitForFunction((wanted) => navigator.clipboard.readText().then((text) => text === wanted), wanted);
  };
  await copies("Copy", lines);
  await copies("Copy as Markdown", `[date-picker #1, lines 1000 to 1002 of step 1](${page.url()})\n\`\`\`\n${lines}\`\`\`\n`);
  const file = await page.evaluate(() => fetch(document.querySelector("#chosen a").href).then((answer) => answer.text()));
  assert.equal(file, lines);
  assert.deepEqual(context.complaints, []);
  await context.close();
});

test("hostile output is text", async () => {
  const { page, context } = await look("/pipelines/date-picker/2/log");
  await page.waitForSelector("[data-settled]");
  const found = await page.evaluate(() => {
    const log = document.querySelector("danube-log");
    return {
      names: [...new Set([...log.querySelectorAll(".l *")].map((element) => element.localName))].sort(),
      attributes: [...new Set([...log.querySelectorAll(".l, .l *")].flatMap((element) => element.getAttributeNames()))].sort(),
      schemes: [...new Set([...log.querySelectorAll(".l a")].map((link) => link.protocol))].sort(),
      others: [...log.querySelectorAll(".l a[rel]")].every((link) => link.rel === "noopener noreferrer nofollow"),
      rows: log.querySelectorAll(".l").length,
    };
  });
  assert.deepEqual(found.names.filter((name) => !["a", "i", "mark", "span"].includes(name)), []);
  assert.deepEqual(found.attributes.filter((name) => !["aria-label", "class", "data-c", "data-h", "data-n", "data-t", "href", "id", "rel", "tabindex", "title", "autofocus"].includes(name)), []);
  assert.deepEqual(found.schemes.filter((scheme) => !["http:", "https:"].includes(scheme)), []);
  assert.equal(found.rows, 402);
  assert.ok(await page.locator("[id='L1:401'] .r").getAttribute("data-c").then((words) => words.includes("10.0 MB")));
  assert.deepEqual(context.complaints, []);
  await context.close();
});

test("the accessibility rules hold, light and dark, and nothing scrolls sideways on a phone", async () => {
  for (const where of [`${LOG}?q=line+7777`, "/pipelines/date-picker/2/log?t=clock"]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, context } = await look(where, { bypassCSP: true, colorScheme, viewport: { width: 320, height: 640 } });
      // Every row is made in the same way: some of them are enough to look at, and thousands take minutes.
      await page.waitForSelector("[data-settled]");
      await page.evaluate((most) => [...document.querySelectorAll(".l:not(.k)")].slice(most).forEach((row) => row.setAttribute("data-left-out", "")), 100);
      await page.addScriptTag({ content: axe });
      const found = await page.evaluate((rules) => globalThis.axe.run({ exclude: [["[data-left-out]"]] }, { runOnly: rules }), RULES);
      assert.deepEqual(found.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      assert.ok(await page.evaluate(() => { const log = document.querySelector("danube-log"); return log.scrollWidth <= log.clientWidth; }), "lines are wrapped");
      await context.close();
    }
  }
});

/** A proxy on which every live stream ends after a random number of bytes. */
async function cutting() {
  let cuts = 0;
  const server = createServer((ask, answer) => {
    const there = request(ask.url, { method: ask.method, headers: ask.headers }, (found) => {
      answer.writeHead(found.statusCode, found.headers);
      let left = ask.url.includes("/events?") ? 40000 + Math.floor(Math.random() * 60000) : Infinity;
      found.on("data", (bytes) => {
        answer.write(bytes.subarray(0, Math.max(0, left)));
        left -= bytes.length;
        if (left < 0) { cuts += 1; found.destroy(); answer.destroy(); }
      });
      found.on("end", () => answer.end());
      found.on("error", () => answer.destroy());
    });
    there.on("error", () => answer.destroy());
    answer.on("close", () => there.destroy());
    ask.pipe(there);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, address: `http://127.0.0.1:${server.address().port}`, cuts: () => cuts };
}

test("live lines arrive over connections that are cut, each once; and follow ends where the reader goes", async (t) => {
  const job = await house.start({ kind: "live" });
  const proxy = await cutting();
  t.after(() => { proxy.server.closeAllConnections(); proxy.server.close(); });
  const { page: live, context: there } = await look(`/pipelines/date-picker/${job.number}/log`, {
    proxy: { server: proxy.address, bypass: "<-loopback>" },
  });
  await live.waitForFunction(() => document.querySelectorAll(".l").length > 300, null, { timeout: 60000 });
  const atEnd = () => live.evaluate(() => { const log = document.querySelector("danube-log"); return log.scrollHeight - log.scrollTop - log.clientHeight; });
  assert.ok(await atEnd() < 40, "it follows");
  await live.evaluate(() => { document.querySelector("danube-log").scrollTop = 200; });
  await live.waitForFunction(() => !document.querySelector("danube-log").follows);
  const before = await firstRow(live);
  await live.waitForFunction(() => /[1-9]\d* new/.test(document.querySelector("#new button").textContent) && !document.querySelector("#new").hidden, null, { timeout: 60000 });
  assert.deepEqual(await firstRow(live), before, "what is read does not move");
  await live.locator("#new button").click();
  await live.waitForFunction(() => document.body.innerText.includes("the end"), null, { timeout: 120000 });
  await live.waitForFunction(() => !document.querySelector("danube-log").settling && !("after" in document.querySelector("danube-log").dataset), null, { timeout: 60000 });
  const texts = await live.locator("[id='s1'] .l").allTextContents();
  const raw = await live.evaluate((url) => fetch(url).then((answer) => answer.text()), `/pipelines/date-picker/${job.number}/log.txt?step=1&raw=1`);
  assert.equal(texts.join(""), raw);
  assert.ok(proxy.cuts() > 2, `${proxy.cuts()} cuts`);
  await there.close();
});
