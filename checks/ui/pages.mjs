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
  "a question": `${P}/4/cancel`,
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

/** The accessibility rules that a page breaks, each with what breaks it. The page's policy must be off. */
async function broken(page) {
  if (!await page.evaluate(() => "axe" in globalThis)) await page.addScriptTag({ content: axe });
  const found = await page.evaluate((rules) => globalThis.axe.run(document, { runOnly: rules }), RULES);
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}

for (const [name, where] of Object.entries(PAGES)) {
  test(`${name}: the accessibility rules hold, light and dark`, async () => {
    const { page } = await at("rules", where);
    for (const theme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: theme });
      await picture(page, `${name}-${theme}`);
      assert.deepEqual(await broken(page), [], theme);
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

test("what a failed run names leads to its forge, if the commit has it", async () => {
  house.git("remote", "add", "origin", "https://me:secret@github.example/team/date-picker.git");
  house.git("update-ref", "refs/remotes/origin/main", "HEAD");
  const { context, page } = await look(PAGES.failed);
  const links = await page.locator("#why a[rel]").evaluateAll((all) => all.map((link) => [link.textContent, link.href, link.rel]));
  const sha = await page.locator("#line code").getAttribute("title");
  const line = /:(\d+)$/.exec(links[0]?.[0] ?? "")?.[1];
  assert.deepEqual(links, [[`danubefile.py:${line}`, `https://github.example/team/date-picker/blob/${sha}/danubefile.py#L${line}`, "noopener noreferrer nofollow"]]);
  assert.match(await page.locator("#why .tail").innerText(), /at src\/date\.test\.ts:41/, "a file that the commit has not is text");
  assert.deepEqual(complaints(context), []);
  house.git("remote", "remove", "origin");
  await page.reload();
  assert.equal(await page.locator("#why a[rel]").count(), 0);
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
  const { id, number } = await house.start();
  const { context, page } = await look("/welcome");
  // As if the tab were behind another one; and no minute is waited for.
  await page.clock.install();
  await page.addInitScript(() => {
    globalThis.behind = false;
    Object.defineProperty(document, "hidden", { get: () => globalThis.behind });
  });
  await page.goto(`${house.url}${P}/${number}`);
  const title = await page.title(), asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.evaluate(() => { globalThis.behind = true; document.dispatchEvent(new Event("visibilitychange")); });
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  await house.ended(id);
  await page.clock.runFor(5000);
  assert.equal(await page.title(), title, "it asks for nothing yet");
  await page.clock.runFor(40000);
  await page.waitForFunction(() => document.title.startsWith("cancelled"));
  assert.ok(await page.evaluate(() => document.querySelector("link[rel=icon]").getAttribute("href").endsWith(".svg")));
  assert.deepEqual([...new Set(asked)], [`${P}/${number}/summary`], "one line, and not the page");
  const so_far = asked.length;
  await page.clock.runFor(120000);
  assert.equal(asked.length, so_far, "once it is over there is nothing to ask");
  assert.match(title, new RegExp(`#${number} date-picker`));
  assert.match(await page.title(), new RegExp(`^cancelled #${number} date-picker`));
  await context.close();
});

test("a wrong value comes back with the form, and what is said about it leads to the field", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const { context, page } = await look(`${P}/run`, { javaScriptEnabled });
    await page.getByLabel("seconds").fill("soon");
    await page.getByRole("button", { name: "Run date-picker" }).click();
    await page.getByRole("alert").waitFor();
    assert.match(await page.title(), /^Error:/);
    assert.equal(await page.getByLabel("seconds").inputValue(), "soon");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("role")), "alert", "what is wrong is read first");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const field = await page.evaluate(() => {
      const target = document.querySelector(":target");
      return [target?.id, target?.getAttribute("aria-invalid"), document.getElementById(target?.getAttribute("aria-describedby")?.split(" ").at(-1) ?? "")?.textContent];
    });
    assert.deepEqual(field.slice(0, 2), ["p-seconds", "true"]);
    assert.match(field[2], /seconds/);
    // The next key goes to the field.
    await page.keyboard.press("Tab");
    const before = await page.evaluate(() => document.activeElement?.id);
    assert.ok(["p-seconds", "p-target"].includes(before), before);
    await context.close();
  }
});

test("who looks at a list sees what comes at once, by one stream", async () => {
  const { context, page } = await look("/welcome");
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.goto(`${house.url}/queue`);
  const { id, number } = await house.start();
  const began = Date.now();
  await page.locator(`#list a[href="${P}/${number}"]`).waitFor({ timeout: 60000 });
  console.log(`a new run was in the queue after ${Date.now() - began} ms`);
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  await page.locator(`#list a[href="${P}/${number}"]`).waitFor({ state: "detached", timeout: 60000 });
  assert.equal(asked.filter((where) => where === "/events").length, 1);
  assert.deepEqual(complaints(context), []);
  await context.close();
});

test("where there is no stream a list is looked at now and then", async () => {
  const { context, page } = await look("/welcome");
  await page.route("**/events?*", (route) => route.abort());
  await page.clock.install();
  await page.goto(`${house.url}/queue`);
  const { id, number } = await house.start();
  const shown = page.locator(`#list a[href="${P}/${number}"]`);
  for (let n = 0; n < 30 && !await shown.count(); n += 1) {
    await page.clock.runFor(5000);
    await page.waitForTimeout(200);
  }
  assert.equal(await shown.count(), 1);
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  await context.close();
});

test("nothing that is in view shifts when a list changes", async () => {
  for (const where of ["/", "/queue", P]) {
    const { context, page } = await look(where);
    await page.evaluate(() => {
      globalThis.shifts = [];
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) globalThis.shifts.push(entry.sources.map((source) => source.node?.outerHTML?.slice(0, 80) ?? source.node?.textContent)); })
        .observe({ type: "layout-shift" });
    });
    const height = () => page.evaluate(() => [...new Set([...document.querySelectorAll("#list tbody tr")].map((row) => row.getBoundingClientRect().height))]);
    const before = await height();
    const { id, number } = await house.start();
    if (where !== "/") await page.locator(`#list a[href="${P}/${number}"]`).waitFor({ timeout: 60000 });
    await house.api("POST", `/api/v1/jobs/${id}/cancel`);
    await house.ended(id);
    await page.waitForTimeout(3000);
    // A new row at the top of what is looked at is no surprise, and pushes those below it as a whole.
    const shifts = await page.evaluate(() => globalThis.shifts);
    if (where !== P) assert.deepEqual(shifts, [], where);
    assert.ok((await height()).every((one) => before.includes(one)), `${where}: rows keep their height`);
    await context.close();
  }
});

test("eight tabs at once all load and all stay true, whatever a browser's connections are", async () => {
  const { id, number } = await house.start({ seconds: "600" });
  const { context } = await look("/welcome");
  const places = ["/", "/queue", P, `${P}/4/log`, "/queue", "/", `${P}/4/log`, "/queue"];
  const tabs = await Promise.all(places.map(() => context.newPage()));
  await Promise.all(tabs.map((tab, n) => tab.goto(house.url + places[n], { timeout: 60000 })));
  const held = await tabs[0].evaluate(async () => (await navigator.locks.query()).held.length);
  assert.ok(held <= 4, `${held} streams`);
  await house.api("POST", `/api/v1/jobs/${id}/cancel`);
  await house.ended(id);
  for (const [n, tab] of tabs.entries()) {
    if (places[n] === "/queue") await tab.locator(`#list a[href="${P}/${number}"]`).waitFor({ state: "detached", timeout: 60000 });
  }
  // And a ninth one loads while they are there.
  const ninth = await context.newPage();
  await ninth.goto(`${house.url}${P}/3`, { timeout: 60000 });
  assert.match(await ninth.title(), /#3/);
  await context.close();
});

test("times are the server's, also where the browser's clock is wrong", async () => {
  const { context, page } = await look("/welcome");
  // A day ahead, and going.
  await page.addInitScript(() => {
    const real = Date.now.bind(Date), day = 86400000;
    globalThis.Date = class extends Date {
      constructor(...given) { if (given.length) super(...given); else super(real() + day); }
      static now() { return real() + day; }
    };
  });
  await page.goto(`${house.url}/queue`);
  assert.match(await page.locator(".foot").innerText(), /clock of this device is 2[34]h \d\dm ahead/);
  const since = page.locator("[data-since]").first(), before = await since.innerText();
  assert.match(before, /^(\d+(\.\d)?s|\d+m \d\ds)$/, "not a day");
  await page.waitForFunction((before) => document.querySelector("[data-since]").textContent !== before, before);
  assert.match(await page.locator("#list .when").first().innerText(), /\d+ (s|min) ago/);
  assert.deepEqual(complaints(context), []);
  await context.close();
  const right = await look("/queue");
  assert.doesNotMatch(await right.page.locator(".foot").innerText(), /clock of this device/);
  await right.context.close();
});

test("a screen four times as large shows the same, and nothing is cut", async () => {
  // 1280 pixels at 400 % are 320 of the page's own, each four of the screen's.
  for (const [name, where] of [["failed", PAGES.failed], ["pipelines", "/"], ["log", PAGES.log]]) {
    const { context, page } = await look(where, { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 });
    await picture(page, `${name}-400-percent`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), name);
    // Text that is larger than its box is cut, unless the box scrolls.
    const cut = await page.evaluate(() => [...document.querySelectorAll("main *, header *")].filter((element) => {
      const style = getComputedStyle(element);
      return style.overflowX === "hidden" && element.scrollWidth > element.clientWidth + 1 && !element.closest(".hidden, [hidden]") && style.display !== "inline";
    }).map((element) => element.outerHTML.slice(0, 100)));
    assert.deepEqual(cut, [], name);
    await context.close();
  }
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

test("whoever cancels somebody else's run is asked first, with scripts and without", async () => {
  const { id, number } = await house.start({ seconds: "600" });
  await house.handOver("bob");
  for (const javaScriptEnabled of [true, false]) {
    const theirs = await house.start({ seconds: "600" });
    for (const where of [`${P}/${theirs.number}`, "/queue"]) {
      const { context, page } = await look(where, { javaScriptEnabled, bypassCSP: true });
      await page.getByRole("link", { name: `Cancel #${theirs.number}` }).click();
      if (javaScriptEnabled) {
        const dialog = page.getByRole("dialog", { name: `Cancel #${theirs.number} of date-picker?` });
        assert.match(await dialog.innerText(), /bob started it/);
        assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Let it run");
        assert.deepEqual(await broken(page), [], "the question keeps the rules");
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "hidden" });
        assert.match(await page.evaluate(() => document.activeElement?.textContent), /^Cancel #/);
        await page.keyboard.press("Enter");
        await page.keyboard.press("Enter");
        await dialog.waitFor({ state: "hidden" });
      } else {
        await page.waitForURL(/cancel/);
        assert.match(await page.locator("main").innerText(), /bob started it/);
        assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Let it run");
        await page.getByRole("link", { name: "Let it run" }).click();
      }
      assert.equal((await house.api("GET", `/api/v1/jobs/${theirs.id}`)).finished_ms, null, "it runs on");
      if (where !== "/queue") { await context.close(); continue; }
      await page.goto(`${house.url}${P}/${theirs.number}`);
      await page.getByRole("link", { name: `Cancel #${theirs.number}` }).click();
      await picture(page, `a-question-${javaScriptEnabled ? "asked" : "plain"}`);
      await page.getByRole("button", { name: `Cancel #${theirs.number}` }).click();
      await page.locator("[role=status].bar").waitFor();
      assert.match(await page.locator("[role=status].bar").innerText(), /was asked to end/);
      assert.deepEqual(complaints(context), []);
      await context.close();
    }
    await house.ended(theirs.id);
  }
  // One's own is cancelled at once.
  const { context, page } = await look(`${P}/${number}`);
  await page.getByRole("button", { name: `Cancel #${number}` }).click();
  await house.ended(id);
  await context.close();
});
