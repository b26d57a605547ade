// Keeps a page true while somebody looks at it. The page itself is asked for again and its parts are put in place of the
// old ones, so there is one way to make them: the server's. A hidden tab asks nothing.
// @ts-check
import { dress } from "./ui.js";

/** The parts that change. */
const PARTS = ["head", "line", "why", "steps", "facts", "list", "count", "open"];
/** Milliseconds between two looks: at a run that goes on, and at a list. */
const RUN = 2000, LIST = 10000;
const LONGEST = 30000, SUMMARY = 30000;
/** After the last key of a filter. */
const TYPED = 200;

/** The page comes from this server, where every text of a job was escaped. */
const policy = globalThis.trustedTypes?.createPolicy("danube", { createHTML: (/** @type {string} */ html) => html });
const said = document.createElement("div");
said.className = "hidden";
said.setAttribute("role", "status");
document.body.append(said);

let failures = 0, asked = 0;

/** @param {string} html */
export function parse(html) {
  return new DOMParser().parseFromString(/** @type {any} */ (policy ? policy.createHTML(html) : html), "text/html");
}

/** What has the focus within a part, so that it can be found again. @param {Element} part */
function focused(part) {
  const active = document.activeElement;
  if (!active || !part.contains(active)) return null;
  const all = [...part.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  return all.indexOf(active);
}

/** @param {string} id @param {Document} page */
function replace(id, page) {
  const old = document.getElementById(id), fresh = page.getElementById(id);
  if (!old || !fresh || old.innerHTML === fresh.innerHTML) return;
  const selection = document.getSelection();
  // Nothing is taken away under a selection.
  if (selection && !selection.isCollapsed && old.contains(selection.anchorNode)) return;
  const index = focused(old), open = [...old.querySelectorAll("details")].map((part) => part.open);
  old.replaceChildren(...fresh.childNodes);
  dress(old);
  [...old.querySelectorAll("details")].forEach((part, at) => { if (open[at]) part.open = true; });
  if (index !== null && index >= 0) {
    const all = old.querySelectorAll("a, button, input, select, summary, [tabindex]");
    /** @type {HTMLElement | undefined} */ (all[index])?.focus({ preventScroll: true });
  }
}

/** The rows of a list, in order. @param {Element | null} list */
const rows = (list) => [...list?.querySelectorAll("tbody a.name") ?? []].map((link) => link.getAttribute("href"));

/** Who reads further down is not pushed by rows that come above: those wait until they are asked for. @param {Document} page */
function holds(page) {
  const list = document.getElementById("list"), old = rows(list), fresh = rows(page.getElementById("list"));
  const held = list !== null && list.getBoundingClientRect().top < 0 && fresh.join() !== old.join();
  document.querySelector(".held")?.remove();
  if (!held) return false;
  const button = document.createElement("button"), box = document.createElement("p");
  const count = fresh.filter((row) => !old.includes(row)).length;
  button.textContent = count ? `${count} new, show` : "The order has changed, show";
  button.addEventListener("click", () => { scrollTo(0, 0); look().catch(() => {}); });
  box.className = "held";
  box.append(button);
  document.body.append(box);
  return true;
}

/** Title and picture of the tab: how a run stands. @param {string} state @param {string} icon */
export function entitle(state, icon) {
  document.title = `${state} ${document.title.slice(document.title.indexOf("#"))}`;
  document.querySelector("link[rel=icon]")?.setAttribute("href", icon);
}

/** Looks once. Says whether there is more to come. */
async function look() {
  const mine = asked += 1;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(String(answer.status));
  const page = parse(await answer.text());
  // Somebody has typed on meanwhile.
  if (mine !== asked) return true;
  const held = holds(page);
  for (const id of PARTS) if (id !== "list" || !held) replace(id, page);
  if (document.title !== page.title) {
    document.title = page.title;
    said.textContent = page.title;
  }
  const icon = page.querySelector("link[rel=icon]")?.getAttribute("href");
  if (icon) document.querySelector("link[rel=icon]")?.setAttribute("href", icon);
  const run = page.getElementById("job");
  return run ? !("over" in run.dataset) : true;
}

function shown() {
  return new Promise((resolve) => {
    if (!document.hidden) resolve(undefined);
    else document.addEventListener("visibilitychange", () => resolve(undefined), { once: true });
  });
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A hidden tab asks for one line, so that its title stays true. @param {boolean} isRun */
async function hidden(isRun) {
  for (let over = !isRun; document.hidden;) {
    await Promise.race(over ? [shown()] : [shown(), pause(SUMMARY)]);
    const answer = document.hidden ? await fetch(`${location.pathname}/summary`).catch(() => null) : null;
    if (!answer?.ok) continue;
    const now = await answer.json();
    entitle(now.state, now.icon);
    over = now.over;
  }
}

/** A filter's answer comes while it is typed; its address is what the form would have led to. */
function filter() {
  const form = document.querySelector("form[data-live]");
  if (!(form instanceof HTMLFormElement)) return;
  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) query.set(name, String(value));
      history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
      look().catch(() => {});
    }, TYPED);
  });
}

async function keepTrue() {
  const run = document.getElementById("job");
  if (run ? "over" in run.dataset : !document.getElementById("list")) return;
  const usual = run ? RUN : LIST;
  for (let more = true; more;) {
    await pause(failures ? Math.min(LONGEST, usual * 2 ** failures) * (0.5 + Math.random() / 2) : usual);
    await hidden(run !== null);
    try {
      more = await look();
      if (failures >= 3) said.textContent = "Live again.";
      failures = 0;
    } catch {
      failures += 1;
      if (failures === 3) said.textContent = "Live update lost, trying again.";
    }
  }
}

filter();
keepTrue();
