// The log with scripts: the lines that the page leaves out come as they are scrolled to, new ones as they are written.
// Everything here is also a link: a block of lines, a search, a page of the log. This is what its reader does.
// @ts-check
import { byId } from "./log-lines.js";
import { LiveLog, say } from "./log-live.js";
import { tell } from "./ui.js";

class DanubeLog extends LiveLog {
  /** Step and line of what the search found. @type {[number, number][]} */
  hits = [];
  /** Which of them is shown, from 1. */
  hit = 1;
  /** Whether there are more than the search gives. */
  more = false;
  /** @type {{ step: number, from: number, to: number } | null} */
  chosen = null;

  connectedCallback() {
    this.classList.add("scripted");
    this.begin();
    this.hit = Number(this.dataset.hit ?? 1);
    this.chosen = this.chosenByAddress();
    this.last = this.dataset.after ?? "";
    this.listen();
    this.showChosen();
    this.toTarget();
    this.settle();
    if ("after" in this.dataset) this.keepLive();
    if (this.dataset.q) this.search();
  }

  /** The lines that are not there have got their room: back to what the page is about. */
  toTarget() {
    const row = this.row(Number(this.dataset.step), Number(this.dataset.line)), place = this.dataset.place;
    if ("follow" in this.dataset) this.toEnd();
    else if (row && (place !== "top" || Number(this.dataset.line) > 1)) {
      const offset = row.getBoundingClientRect().top - this.getBoundingClientRect().top, height = this.clientHeight;
      this.scrollTop += place === "top" ? offset - 2 * this.rowHeight : place === "middle" ? offset - height / 3 : offset - height + this.rowHeight;
    }
  }

  /** Goes to a line, wherever it is. @param {number} step @param {number} line */
  async goTo(step, line) {
    const section = this.section(step);
    if (!section) return;
    this.setFollow(false);
    for (let fold = section.element; fold; fold = /** @type {any} */ (fold.parentElement?.closest("details"))) fold.open = true;
    if (!this.row(step, line)) await this.jump(section, line, "middle");
    const row = this.row(step, line);
    if (!row) return;
    const box = row.getBoundingClientRect(), view = this.getBoundingClientRect();
    if (box.top < view.top + 40 || box.bottom > view.bottom) this.scrollTop += box.top - view.top - this.clientHeight / 3;
    this.settle();
  }

  // Chosen lines.

  chosenByAddress() {
    const named = /^(\d+):(\d+)(?:-(\d+))?$/.exec(new URL(location.href).searchParams.get("l") ?? "");
    return named ? { step: Number(named[1]), from: Number(named[2]), to: Number(named[3] ?? named[2]) } : null;
  }

  /** @param {number} step @param {number} from @param {number} to */
  choose(step, from, to) {
    this.chosen = { step, from: Math.min(from, to), to: Math.max(from, to) };
    this.address("l", this.chosenName());
    this.mark();
    this.showChosen();
  }

  chosenName() {
    const { step, from, to } = this.chosen ?? { step: 0, from: 0, to: 0 };
    return from === to ? `${step}:${from}` : `${step}:${from}-${to}`;
  }

  /** What can be done with the chosen lines. */
  showChosen() {
    const box = byId("chosen");
    if (!box || !this.chosen) return;
    const { step, from, to } = this.chosen, words = box.querySelector("span"), link = box.querySelector("a");
    if (words) words.textContent = from === to ? `Line ${from} of step ${step}` : `Lines ${from} to ${to} of step ${step}`;
    if (link) { link.href = `${box.dataset.text}l=${this.chosenName()}`; link.hidden = false; }
    if (navigator.clipboard) for (const button of box.querySelectorAll("button")) button.hidden = false;
  }

  /** Copies the chosen lines as they are downloaded. @param {HTMLButtonElement} button */
  async copyChosen(button) {
    const box = byId("chosen"), answer = await fetch(`${box?.dataset.text}l=${this.chosenName()}`);
    if (!box || !answer.ok) return;
    const text = await answer.text();
    // A fence is longer than any in what it holds.
    const fence = "`".repeat(Math.max(2, ...[...text.matchAll(/`+/g)].map(([found]) => found.length)) + 1);
    const quoted = `[${box.dataset.what}, ${box.querySelector("span")?.textContent?.toLowerCase()}](${location.href})\n${fence}\n${text.trimEnd()}\n${fence}\n`;
    await navigator.clipboard.writeText(button.dataset.form === "markdown" ? quoted : text);
    tell(button, "Copied");
  }

  mark() {
    for (const row of this.querySelectorAll(".k")) row.classList.remove("k");
    const { step, from, to } = this.chosen ?? { step: 0, from: 1, to: 0 };
    for (let line = from; line <= Math.min(to, from + 10000); line += 1) this.row(step, line)?.classList.add("k");
  }

  /** Puts a place into the address, instead of the one before. @param {string} key @param {string} value */
  address(key, value) {
    const url = new URL(location.href);
    for (const place of ["l", "at", "hit", "step", "fold"]) if (place !== key) url.searchParams.delete(place);
    url.searchParams.set(key, value);
    url.hash = "";
    history.replaceState(null, "", url.href.replaceAll("%3A", ":"));
  }

  // Search.

  async search() {
    const query = new URLSearchParams(this.looks().filter(([key]) => key !== "t"));
    const answer = await fetch(`${this.dataset.href}/log/hits?${query}`);
    if (!answer.ok) return;
    const found = await answer.json();
    this.hits = found.lines;
    this.more = found.more;
  }

  /** @param {number} by */
  toHit(by) {
    const count = this.hits.length;
    if (!count) return;
    this.hit = (this.hit - 1 + by + count) % count + 1;
    const [step, line] = this.hits[this.hit - 1];
    this.chosen = { step, from: line, to: line };
    this.address("hit", String(this.hit));
    this.showChosen();
    const found = byId("found")?.firstChild;
    if (found) found.textContent = `${this.hit} of ${count}${this.more ? " or more" : ""}`;
    this.goTo(step, line).then(() => this.mark());
  }

  /** Goes to the next failure, or to the one before. @param {number} by */
  toFailure(by) {
    const links = /** @type {NodeListOf<SVGAElement>} */ (document.querySelectorAll(".ruler a.e"));
    const places = [...links].map((link) => /l=(\d+):(\d+)/.exec(link.href.baseVal)).map((found) => [Number(found?.[1]), Number(found?.[2])]);
    const here = this.place();
    const after = (/** @type {number[]} */ place) => place[0] - here[0] || place[1] - here[1];
    const next = by > 0 ? places.find((place) => after(place) > 0) : places.reverse().find((place) => after(place) < 0);
    if (next) this.goTo(next[0], next[1]).then(() => this.choose(next[0], next[1], next[1]));
  }

  /** Step and line of the chosen row, else of the first in view. */
  place() {
    if (this.chosen) return [this.chosen.step, this.chosen.to];
    const row = this.rowAt(this.getBoundingClientRect().top + 1);
    return (row?.id ?? "L0:0").slice(1).split(":").map(Number);
  }

  /** @param {number} by */
  toLine(by) {
    const [step, line] = this.place(), section = this.section(step) ?? this.sections[0];
    const next = Math.min(Math.max(1, line + by), section?.lines ?? 1);
    if (section) this.goTo(section.number, next).then(() => this.choose(section.number, next, next));
  }

  /** @param {number} by */
  toStep(by) {
    const at = this.sections.findIndex((section) => section.number === this.place()[0]);
    const next = this.sections[Math.min(Math.max(0, at + by), this.sections.length - 1)];
    if (!next) return;
    this.goTo(next.number, 1).then(() => { if (next.lines) this.choose(next.number, 1, 1); next.element.scrollIntoView({ block: "nearest" }); });
  }

  // The reader.

  listen() {
    // Where lines come faster than they are shown, where the view is says little: whoever goes up has left the end.
    this.addEventListener("wheel", (event) => { if (event.deltaY < 0) this.leaveEnd(); }, { passive: true });
    this.addEventListener("touchmove", () => this.leaveEnd(), { passive: true });
    this.addEventListener("pointerdown", (event) => { if (event.target === this && event.offsetX >= this.clientWidth) this.leaveEnd(); });
    this.addEventListener("keydown", (event) => { if (["ArrowUp", "PageUp", "Home"].includes(event.key)) this.leaveEnd(); });
    this.addEventListener("scroll", () => {
      const end = this.isAtEnd(), selects = !(document.getSelection()?.isCollapsed ?? true);
      if (!this.going && end !== this.follows && !(end && selects)) this.setFollow(end);
      this.settle();
    }, { passive: true });
    this.addEventListener("click", (event) => this.numberClicked(event));
    document.addEventListener("keydown", (event) => this.key(event), { capture: true });
    document.addEventListener("selectionchange", () => {
      const selection = document.getSelection();
      if (selection && !selection.isCollapsed && this.contains(selection.anchorNode)) this.setFollow(false);
    });
    byId("follow")?.addEventListener("click", () => this.setFollow(!this.follows));
    byId("chosen")?.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button) this.copyChosen(button);
    });
    byId("new")?.addEventListener("click", () => this.setFollow(true));
    for (const links of [byId("steps"), document.querySelector(".ruler")]) links?.addEventListener("click", (event) => this.linked(/** @type {MouseEvent} */ (event)));
  }

  /** @param {MouseEvent} event */
  numberClicked(event) {
    const link = event.target instanceof Element ? event.target.closest("a[data-n]") : null;
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [step, line] = (link.parentElement?.id ?? "").slice(1).split(":").map(Number);
    const from = event.shiftKey && this.chosen?.step === step ? this.chosen.from : line;
    this.choose(step, from, line);
  }

  /** A link to a place that is on this page, or can be. @param {MouseEvent} event */
  linked(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const named = /#(?:L(\d+):(\d+)|s(\d+))$/.exec(link.getAttribute("href") ?? "") ?? /step=(\d+)()()$/.exec(link.getAttribute("href") ?? "");
    if (!named) return;
    event.preventDefault();
    const step = Number(named[1] || named[3]), line = Number(named[2] || 1);
    this.goTo(step, line).then(() => { if (named[2]) this.choose(step, line, line); else this.address("step", String(step)); });
    this.section(step)?.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const inText = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
    if (!("keys" in document.body.dataset) || inText || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      j: () => this.toLine(1), k: () => this.toLine(-1), J: () => this.toStep(1), K: () => this.toStep(-1),
      e: () => this.toFailure(1), E: () => this.toFailure(-1), n: () => this.toHit(1), N: () => this.toHit(-1),
      g: () => { this.scrollTop = 0; }, G: () => { this.showEnd(); }, f: () => this.setFollow(!this.follows),
      w: () => this.wrap(), t: () => this.nextTime(), y: () => { navigator.clipboard?.writeText(location.href); say("The link was copied."); },
      "/": () => byId("find")?.focus(),
    };
    const act = keys[event.key];
    if (!act) return;
    // `g` begins a key of two as well.
    if (event.key !== "g") event.preventDefault();
    act();
  }

  wrap() {
    const on = this.classList.toggle("wrapped"), box = /** @type {HTMLInputElement | null} */ (document.querySelector("input[name=wrap]"));
    if (box) box.checked = on;
    const url = new URL(location.href);
    if (on) url.searchParams.set("wrap", "1"); else url.searchParams.delete("wrap");
    history.replaceState(null, "", url);
    this.settle();
  }

  nextTime() {
    const times = ["off", "clock", "start", "step", "delta"], url = new URL(location.href);
    url.searchParams.set("t", times[(times.indexOf(this.dataset.t ?? "start") + 1) % times.length]);
    location.assign(url);
  }
}

customElements.define("danube-log", DanubeLog);
