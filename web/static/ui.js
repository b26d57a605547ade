// What a link or a form can do without it, done a little sooner: copying, keys, questions, times in the reader's own zone.
// @ts-check

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
/** A clock that is so wrong is told of: what a page's way takes is no error. */
const WRONG = 2 * SECOND;

/** The server's time, and the browser's count when it was that. */
let served = 0, counted = 0;
/** Browsers' clocks are wrong now and then; how long ago something was is told by the server's. */
const serverNow = () => served + performance.now() - counted;

/** Sets the clock by a page. @param {Document} page @param {number} came by the browser's count */
export function setClock(page, came) {
  served = Number(page.body.dataset.now);
  counted = came;
}

function firstClock() {
  const [way] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  setClock(document, way?.responseStart ?? 0);
  // A page out of the browser's store tells an old time.
  if (way && way.transferSize === 0) { served = Date.now(); counted = performance.now(); }
  const ahead = Date.now() - serverNow(), drift = document.getElementById("drift");
  if (drift && Math.abs(ahead) >= WRONG) drift.textContent = `. The clock of this device is ${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead" : "behind"}`;
}

/** As the server says it. @param {number} ms */
function ago(ms) {
  if (ms < 0) return "just now";
  const [size, unit] = ms < MINUTE ? [SECOND, "s"] : ms < HOUR ? [MINUTE, "min"] : ms < DAY ? [HOUR, "h"] : [DAY, "d"];
  return `${Math.floor(ms / size)} ${unit} ago`;
}

/** As the server says it. @param {number} ms */
function duration(ms) {
  const two = (/** @type {number} */ n) => String(Math.floor(n)).padStart(2, "0");
  if (ms < 950) return `${Math.max(0, Math.floor(ms))}ms`;
  if (ms < 9950) return `${(ms / SECOND).toFixed(1)}s`;
  if (ms < 59500) return `${Math.floor((ms + 500) / SECOND)}s`;
  if (ms < HOUR) return `${Math.floor((ms + 500) / MINUTE)}m ${two((ms + 500) % MINUTE / SECOND)}s`;
  return `${Math.floor(ms / HOUR)}h ${two(ms % HOUR / MINUTE)}m`;
}

/** Writes what has become of the time that something takes, and of how long ago it was. @param {ParentNode} part */
function tick(part) {
  const write = (/** @type {Element | null} */ element, /** @type {string} */ words) => {
    if (element && element.textContent !== words) element.textContent = words;
  };
  for (const element of part.querySelectorAll("[data-since]")) {
    const ms = serverNow() - Number(/** @type {HTMLElement} */ (element).dataset.since);
    // Of what goes on tenths say nothing.
    write(element, duration(ms < 9950 ? Math.max(1, Math.round(ms / SECOND)) * SECOND : ms));
  }
  for (const when of part.querySelectorAll(".when")) {
    const at = Date.parse(when.querySelector("time")?.dateTime ?? "");
    if (!Number.isNaN(at)) write(when.querySelector(".quiet"), `(${ago(serverNow() - at)})`);
  }
}

/** Shows a moment as the server does, in the browser's zone. @param {HTMLTimeElement} time */
function localTime(time) {
  const at = new Date(time.dateTime), now = new Date(serverNow());
  if (Number.isNaN(at.getTime())) return;
  const clock = at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === now.toDateString()) { time.textContent = clock; return; }
  const year = at.getFullYear() === now.getFullYear() ? undefined : "numeric";
  const date = at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year });
  time.textContent = `${date} ${clock}`;
}

/** Dresses a part of the page that has just come. @param {ParentNode} part */
export function dress(part) {
  if (document.body.dataset.zone === "browser") {
    for (const time of part.querySelectorAll("time[datetime]")) localTime(/** @type {HTMLTimeElement} */ (time));
  }
  tick(part);
  if (navigator.clipboard) {
    for (const button of part.querySelectorAll("button[data-copy]")) /** @type {HTMLButtonElement} */ (button).hidden = false;
  }
}

/** A link to a page that asks opens the question here. @param {MouseEvent} event */
function ask(event) {
  const link = event.target instanceof Element ? event.target.closest("a[data-dialog]") : null;
  const dialog = link instanceof HTMLElement ? document.getElementById(link.dataset.dialog ?? "") : null;
  if (!(dialog instanceof HTMLDialogElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog.showModal();
}

/** @param {MouseEvent} event */
async function copy(event) {
  const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
  if (!(button instanceof HTMLButtonElement)) return;
  await navigator.clipboard.writeText(button.dataset.copy ?? "");
  tell(button, "Copied");
}

/** Says on a button what it did, for a while. @param {HTMLButtonElement} button @param {string} words */
export function tell(button, words) {
  const label = button.firstChild;
  if (!label || label.textContent === words) return;
  const before = label.textContent;
  label.textContent = words;
  setTimeout(() => { label.textContent = before; }, 2000);
}

/** Whether keys go to something that takes text. @param {EventTarget | null} target */
function takesText(target) {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

let before = "";

/** @param {KeyboardEvent} event */
function key(event) {
  if (!("keys" in document.body.dataset) || event.defaultPrevented || takesText(event.target)) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const both = before + event.key;
  before = event.key === "g" ? "g" : "";
  if (both === "gp") location.assign("/");
  else if (both === "gq") location.assign("/queue");
  else if (event.key === "?") location.assign("/account#keys");
  else if (event.key === "/") {
    const boxes = [...document.querySelectorAll("input[type=search]")];
    const shown = boxes.find((box) => /** @type {HTMLElement} */ (box).checkVisibility());
    if (shown instanceof HTMLElement) { event.preventDefault(); shown.focus(); }
  }
}

document.addEventListener("click", copy);
document.addEventListener("click", ask);
document.addEventListener("keydown", key);
if (document.body.dataset.zone === "browser") {
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}
firstClock();
dress(document);
setInterval(() => tick(document), SECOND);
