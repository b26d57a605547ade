// Keeps a page true while somebody looks at it. The page itself is asked for again and its parts are put in place of the
// old ones, so there is one way to make them: the server's. A list is asked for when the stream says that it is another one
// by now, or from time to time where there is no stream. A hidden tab asks nothing.
// @ts-check
import { dress, setClock } from "./ui.js";

/** The parts that change. */
const PARTS = ["head", "line", "why", "steps", "facts", "list", "count", "open"];
/** Milliseconds between two looks: at a run that goes on, and at a list. */
const RUN = 2000, LIST = 10000;
const LONGEST = 30000, SUMMARY = 30000;
/** After the last key of a filter. */
const TYPED = 200;
/** Two looks that a stream asks for are so far apart; and how long a stream is believed that says nothing. */
const PACE = 1000, SILENCE = 60000;
/** A stream of a tab that nobody looks at ends after this. */
const AWAY = 10000;
/** Over HTTP/1.1 a browser has six connections to a server, for all of its tabs: so many of them may be streams. */
const STREAMS = 4;
/** How long a tab keeps its turn when others wait for theirs. */
const TURN = 5000;

/** The page comes from this server, where every text of a job was escaped. */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("danube", { createHTML: (/** @type {string} */ html) => html });
const said = document.createElement("div");
said.className = "hidden";
said.setAttribute("role", "status");
document.body.append(said);

let failures = 0, asked = 0;

/** @param {string} html */
export function parse(html) {
  return new DOMParser().parseFromString(/** @type {any} */ (policy ? policy.createHTML(html) : html), "text/html");
}

/** A tab's turn to have a stream. Tabs that wait get theirs one after the other: where a stream stopped, it goes on. */
export class Turn {
  /** @type {(() => void) | null} */
  #end = null;
  #asks = false;
  /** @param {() => void} ends called when the turn is over */
  constructor(ends) { this.ends = ends; }

  get mine() { return this.#end !== null || !navigator.locks; }

  /** Waits for it. @param {() => void} begins */
  async take(begins) {
    if (this.mine || this.#asks) return;
    this.#asks = true;
    const names = Array.from({ length: STREAMS }, (_, n) => `danube-stream-${n}`);
    let name = names[Math.floor(Math.random() * STREAMS)];
    for (const free of names) if (!this.#end) { this.#end = await this.#lock(free, true); if (this.#end) name = free; }
    this.#end ??= await this.#lock(name, false);
    this.#asks = false;
    if (document.hidden) { this.give(); return; }
    begins();
    this.#yield(name);
  }

  /** @param {string} name @param {boolean} ifAvailable @returns {Promise<(() => void) | null>} */
  #lock(name, ifAvailable) {
    return new Promise((resolve) => {
      navigator.locks.request(name, { ifAvailable }, (lock) => lock ? new Promise((end) => resolve(() => end(undefined))) : resolve(null));
    });
  }

  /** Gives it up once somebody else waits. @param {string} name */
  async #yield(name) {
    const mine = this.#end;
    while (this.#end === mine && mine) {
      await pause(TURN);
      const { pending } = await navigator.locks.query();
      if (this.#end !== mine || !pending?.some((other) => other.name === name)) continue;
      this.give();
      this.ends();
    }
  }

  give() {
    this.#end?.();
    this.#end = null;
  }
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
  // Nothing is taken away under a selection, or under a question.
  if (selection && !selection.isCollapsed && old.contains(selection.anchorNode)) return;
  if (old.querySelector("dialog[open]")) return;
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
  const came = performance.now();
  if (!answer.ok) throw new Error(String(answer.status));
  const page = parse(await answer.text());
  // Somebody has typed on meanwhile.
  if (mine !== asked) return true;
  setClock(page, came);
  document.body.dataset.events = page.body.dataset.events ?? "";
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

/** The stream that says when the list is another one. */
class Listener {
  /** @type {EventSource | null} */
  stream = null;
  /** Something has changed since the last look. */
  changed = false;
  wake = () => {};
  turn = new Turn(() => { this.close(); this.open(); });

  constructor() {
    this.open();
    let away = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(away);
      if (document.hidden) away = window.setTimeout(() => { this.close(); this.turn.give(); }, AWAY);
      else this.open();
    });
  }

  open() {
    if (document.hidden || this.stream || !document.body.dataset.events) return;
    if (!this.turn.mine) { this.turn.take(() => this.open()); return; }
    const stream = new EventSource(document.body.dataset.events);
    this.stream = stream;
    stream.addEventListener("changed", () => { this.changed = true; this.wake(); });
    // The browser comes back by itself, at this address; a newer one is better.
    stream.onerror = () => { if (stream === this.stream) { this.close(); setTimeout(() => this.open(), LIST * (0.5 + Math.random() / 2)); } };
  }

  close() {
    this.stream?.close();
    this.stream = null;
  }

  /** Waits for a change; where there is no stream, and where it says nothing at all, for some time. */
  async wait() {
    const soonest = pause(PACE), began = Date.now();
    while (!this.changed && Date.now() - began < (this.stream ? SILENCE : LIST)) {
      await Promise.race([new Promise((resolve) => { this.wake = () => resolve(undefined); }), pause(LIST / 2)]);
    }
    await soonest;
    // Not all who look at a list ask at once.
    await pause(Math.random() * PACE / 4);
    this.changed = false;
  }
}

async function keepTrue() {
  const run = document.getElementById("job");
  if (run ? "over" in run.dataset : !document.getElementById("list")) return;
  const usual = run ? RUN : LIST, listener = run ? null : new Listener();
  for (let more = true; more;) {
    if (failures || !listener) await pause(failures ? Math.min(LONGEST, usual * 2 ** failures) * (0.5 + Math.random() / 2) : usual);
    else await listener.wait();
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
