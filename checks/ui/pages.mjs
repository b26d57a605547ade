// Every page: accessible, within 320 pixels and at 400 %, without a complaint of the browser, with scripts and without.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { browser, history, visitor, world } from "./world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const P = "/pipelines/date-picker";
/** Every page that is made from the table of routes, in the states that it has. */
const PAGES = {
  pipelines: "/",
  "no pipeline fits": "/?q=nothing",
  welcome: "/welcome",
  pipeline: P,
  "no run fits": `${P}?by=nobody`,
  "run form": `${P}/run`,
  history: `${P}/tests`,
  passed: `${P}/1`,
  failed: `${P}/3`,
  running: `${P}/4`,
  waiting: `${P}/5`,
  log: `${P}/3/log`,
  "log that goes on": `${P}/4/log`,
  "log with a search": `${P}/3/log?q=zone`,
  tests: `${P}/3/tests`,
  "no tests": `${P}/5/tests`,
  artifacts: `${P}/1/artifacts`,
  compare: `${P}/compare/1...3`,
  queue: "/queue",
  search: "/search?q=%233",
  "nothing found": "/search?q=zzz",
  system: "/system",
  account: "/account",
  login: "/login",
  "not there": "/nothing",
};
/** Kilobytes that travel for a page, and for the style sheet. */
const HTML = 15, CSS = 9, SCRIPT = 25;
const pictures = process.env.DANUBE_UI_PICTURES;

let house, chrome, state;
const seats = {};
before(async () => {
  house = await world();
  chrome = await browser();
  await history(house);
  const context = await visitor(chrome, house);
  await (await context.newPage()).goto(house.link);
  state = await context.storageState();
  for (const [name, options] of Object.entries(SEATS)) seats[name] = await look("/welcome", options);
});
after(async () => {
  await chrome?.close();
  await house?.close();
});

/** A page that somebody looks at. */
async function look(where, options = {}) {
  const context = await visitor(chrome, house, { viewport: { width: 1280, height: 900 }, ...options }, state);
  const page = await context.newPage();
  await page.goto(house.url + where);
  return { context, page };
}

const picture = (page, name) => page.screenshot({ path: path.join(pictures, `${name.replaceAll(" ", "-")}.png`), fullPage: true });

/** What the browser complained of, but for the answer that was asked for. */
const complaints = (context) => context.complaints.filter((words) => !/status of (404|401)/.test(words));

/** Browsers that go from page to page. */
const SEATS = {
  rules: { bypassCSP: true },
  // Where the server is not: times of the day are written anew, and must have been before they are seen.
  strict: { timezoneId: "Asia/Kolkata" },
  phone: { viewport: { width: 320, height: 640 }, hasTouch: true },
  plain: { javaScriptEnabled: false },
};

/** Goes to a page. The complaints are those of this page only. */
async function at(name, where) {
  const { context, page } = seats[name];
  context.complaints.length = 0;
  await page.goto(house.url + where);
  return { context, page };
}

/** What a page says, without what another moment, another zone or another request changes. */
async function words({ page }) {
  const text = await page.locator("main").innerText();
  const moments = /just now|\d+ (s|min|h|d) ago|(\d+ [A-Z][a-z]{2} (\d{4} )?)?\d\d:\d\d\b|(\d+[hm] )*\d[\d.]*(ms|[smh])\b/g;
  return text.replaceAll(moments, "").replaceAll(/Copy|the digest of \S+|these lines|Follow|Request [0-9a-f]+/g, "").replaceAll(/\s+/g, " ");
}

for (const [name, where] of Object.entries(PAGES)) {
  test(`${name}: the accessibility rules hold, light and dark`, async () => {
    const { page } = await at("rules", where);
    await page.addScriptTag({ content: axe });
    for (const theme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: theme });
      const found = await page.evaluate((rules) => globalThis.axe.run(document, { runOnly: rules }), RULES);
      const said = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
      await picture(page, `${name}-${theme}`);
      assert.deepEqual(said, [], theme);
    }
  });

  test(`${name}: its own policy refuses nothing, nothing shifts, and without scripts it says the same`, async () => {
    const seat = await at("strict", where);
    const shifts = await seat.page.evaluate(() => new Promise((resolve) => {
      const seen = [];
      const name = (node) => node?.outerHTML?.slice(0, 80) ?? node?.textContent;
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) seen.push(entry.sources.map((source) => name(source.node))); })
        .observe({ type: "layout-shift", buffered: true });
      setTimeout(() => resolve(seen), 200);
    }));
    assert.deepEqual(shifts, []);
    assert.deepEqual(complaints(seat.context), []);
    // A page of its own: without scripts it asks again by itself, and would do so in the middle of the next one. What goes on
    // may do so between two looks, so two that were taken one after the other are enough.
    const plain = await seats.plain.context.newPage();
    let without, scripted;
    for (let tries = 0; tries < 5 && (tries === 0 || without !== scripted); tries += 1) {
      await plain.goto(house.url + where);
      without = await words({ page: plain });
      await seat.page.goto(house.url + where);
      scripted = await words(seat);
    }
    assert.equal(without, scripted);
    await plain.close();
  });

  test(`${name}: on a phone, which is also 400 %, nothing is wider than the screen`, async () => {
    const { page } = await at("phone", where);
    for (const theme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: theme });
      await picture(page, `${name}-phone-${theme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 320, `${theme}: ${wide}`);
    }
  });
}

test("what travels is small, and the second page brings only itself", async () => {
  const { context, page } = await look("/welcome");
  const sizes = {};
  page.on("response", async (response) => {
    const { responseBodySize } = await response.request().sizes();
    sizes[new URL(response.url()).pathname] = responseBodySize / 1000;
  });
  for (const where of [PAGES.failed, PAGES.running, PAGES.pipeline, PAGES.tests]) {
    await page.goto(house.url + where, { waitUntil: "load" });
    await page.waitForTimeout(200);
    assert.ok(sizes[where] > 0 && sizes[where] <= HTML, `${where}: ${sizes[where]} kB`);
  }
  await context.close();
  const fresh = await look("/");
  const css = await fresh.page.evaluate(() => performance.getEntriesByType("resource").map(({ name, encodedBodySize }) => [name, encodedBodySize / 1000]));
  const sum = (ending) => css.filter(([name]) => name.endsWith(ending)).reduce((all, [, size]) => all + size, 0);
  assert.ok(sum(".css") <= CSS && sum(".js") <= SCRIPT, JSON.stringify(css));
  assert.ok(css.length + 1 <= 7, `${css.length + 1} requests`);
  console.log("kB:", JSON.stringify(css.map(([name, size]) => [name.split("/").at(-1), size])));
  await fresh.context.close();
});

test("a run is started, watched and cancelled with the keyboard alone", async () => {
  const { context, page } = await look(`${P}/run`);
  const press = async (key, times = 1) => { for (let n = 0; n < times; n++) await page.keyboard.press(key); };
  const focusOn = async (name) => {
    for (let n = 0; n < 60; n++) {
      await press("Tab");
      if (await page.evaluate((name) => document.activeElement?.textContent?.trim() === name || document.activeElement?.getAttribute("name") === name, name)) return;
    }
    assert.fail(`Tab never came to ${name}`);
  };
  await focusOn("p.seconds");
  await press("Control+a");
  await page.keyboard.type("600");
  await focusOn("Run date-picker");
  await press("Enter");
  await page.waitForURL(/\/pipelines\/date-picker\/\d+$/);
  const number = page.url().split("/").at(-1);
  assert.match(await page.locator("[role=status].bar").innerText(), new RegExp(`#${number} was started`));
  await focusOn(`Cancel #${number}`);
  await press("Enter");
  await page.getByText("cancelled").first().waitFor({ timeout: 20000 });
  await context.close();
});

test("a page that is looked at stays true by itself", async () => {
  const { context, page } = await look(`${P}/run`);
  await page.getByRole("button", { name: "Run date-picker" }).click();
  await page.waitForURL(/\/\d+$/);
  const id = await page.locator("dd.mono").last().innerText();
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  await page.locator(".s", { hasText: "cancelled" }).first().waitFor({ timeout: 20000 });
  assert.match(await page.title(), /^cancelled/);
  assert.deepEqual(complaints(context), []);
  await context.close();
});

test("a filter answers while it is typed, and its address leads to the same", async () => {
  const { context, page } = await look("/");
  const name = page.getByLabel("Name");
  await name.fill("zzz");
  await page.getByText("No pipeline fits").waitFor();
  assert.equal(new URL(page.url()).search, "?q=zzz");
  assert.equal(await page.locator("#count").innerText(), "0 of 1");
  await page.reload();
  assert.equal(await name.inputValue(), "zzz");
  await name.fill("date");
  await page.locator("#list a.name").waitFor();
  assert.ok(await name.evaluate((box) => box === document.activeElement), "who types is not disturbed");
  assert.deepEqual(complaints(context), []);
  await context.close();
});

test("new runs do not push away what is read: they wait until they are asked for", async () => {
  const { context, page } = await look(P, { viewport: { width: 1280, height: 240 } });
  await page.evaluate(() => document.querySelector("#list tbody tr:last-child").scrollIntoView());
  const row = page.locator("#list tbody tr:last-child"), before = await row.boundingBox();
  const { id, number } = await house.start();
  await page.locator(".held button", { hasText: "1 new, show" }).waitFor({ timeout: 60000 });
  assert.deepEqual(await row.boundingBox(), before);
  await page.locator(".held button").click();
  await page.locator(`#list a[href="${P}/${number}"]`).waitFor();
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  assert.deepEqual(complaints(context), []);
  await context.close();
});

test("a tab that nobody looks at keeps its title and its picture true", async () => {
  const { context, page } = await look(`${P}/4`);
  const seen = await page.evaluate(async () => {
    const { entitle } = await import(document.querySelector("script[src$='live.js']").src);
    const { state, icon } = await (await fetch(`${location.pathname}/summary`)).json();
    const shown = [document.title, document.querySelector("link[rel=icon]").getAttribute("href")];
    entitle("failed · script", icon.replace("run", "fail"));
    return [shown[0].startsWith(`${state} #4`), shown[1] === icon, document.title, document.querySelector("link[rel=icon]").getAttribute("href").endsWith("favicon-fail.svg")];
  });
  assert.deepEqual(seen, [true, true, "failed · script #4 date-picker · Danube", true]);
  await context.close();
});

test("states can be told apart in grey, in forced colours, and on paper", async () => {
  for (const [name, options, media] of [["forced", { forcedColors: "active" }], ["paper", {}, "print"], ["grey", {}]]) {
    const { context, page } = await look(P, options);
    if (media) await page.emulateMedia({ media });
    if (name === "grey") await page.evaluate(() => document.documentElement.style.setProperty("filter", "grayscale(1)")).catch(() => {});
    await picture(page, `states-${name}`);
    const states = await page.locator(".s").evaluateAll((all) => all.map((one) => [one.textContent.trim(), one.querySelector("use").getAttribute("href").split("#")[1]]));
    const distinct = new Set(states.map(([word]) => word)).size;
    assert.equal(new Set(states.map(([, shape]) => shape)).size, distinct, JSON.stringify(states));
    await context.close();
  }
});
