// What a link or a form can do without it, done a little sooner: copying, keys, times in the reader's own zone.
// @ts-check

/** Shows a moment as the server does, in the browser's zone. @param {HTMLTimeElement} time */
function localTime(time) {
  const at = new Date(time.dateTime), now = new Date();
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
  if (navigator.clipboard) {
    for (const button of part.querySelectorAll("button[data-copy]")) /** @type {HTMLButtonElement} */ (button).hidden = false;
  }
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
document.addEventListener("keydown", key);
if (document.body.dataset.zone === "browser") {
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}
dress(document);
