// Keeps a page true while somebody looks at it. The page itself is asked for again and its parts are put in place of the
// old ones, so there is one way to make them: the server's. A hidden tab asks nothing.
// @ts-check
import { dress } from "./ui.js";

/** The parts that change. */
const PARTS = ["head", "line", "why", "steps", "facts", "list", "open"];
/** Milliseconds between two looks: at a run that goes on, and at a list. */
const RUN = 2000, LIST = 10000;
const LONGEST = 30000;

/** The page comes from this server, where every text of a job was escaped. */
const policy = globalThis.trustedTypes?.createPolicy("danube", { createHTML: (/** @type {string} */ html) => html });
const said = document.createElement("div");
said.className = "hidden";
said.setAttribute("role", "status");
document.body.append(said);

let failures = 0;

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

/** Looks once. Says whether there is more to come. */
async function look() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(String(answer.status));
  const page = parse(await answer.text());
  for (const id of PARTS) replace(id, page);
  if (document.title !== page.title) {
    document.title = page.title;
    said.textContent = page.title;
  }
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

async function keepTrue() {
  const run = document.getElementById("job");
  if (run ? "over" in run.dataset : !document.getElementById("list")) return;
  const usual = run ? RUN : LIST;
  for (let more = true; more;) {
    await pause(failures ? Math.min(LONGEST, usual * 2 ** failures) * (0.5 + Math.random() / 2) : usual);
    await shown();
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

keepTrue();
