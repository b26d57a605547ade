// The log with scripts: the lines that the page leaves out come as they are scrolled to, new ones as they are written.
// Everything here is also a link: a block of lines, a search, a page of the log.
// @ts-check
import { Turn, entitle, parse } from "./live.js";
import { tell } from "./ui.js";

const BLOCK = 200;
/** To so many lines all of a log is on the page; of a longer one so many blocks are. */
const SMALL = 20000, MOUNTED = 15;
/** Browsers cut higher boxes. */
const HIGHEST = 8000000;
/** Blocks that one request brings. */
const AT_ONCE = 10;
const HIDDEN = 10000, SUMMARY = 30000, RETRY = 500, LONGEST = 30000, SAY = 3000;

/** @typedef {{ element: HTMLDetailsElement, body: HTMLElement, number: number, lines: number, over: boolean,
 *   blocks: Map<number, HTMLElement>, above: HTMLElement, below: HTMLElement, busy: boolean }} Section */

/** @param {string} name */
const byId = (name) => /** @type {HTMLElement | null} */ (document.getElementById(name));
/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

let spoken = 0;
/** Tells who does not see the page. @param {string} words */
function say(words) {
  const wait = Math.max(0, spoken + SAY - Date.now());
  spoken = Date.now() + wait;
  setTimeout(() => { const said = byId("said"); if (said) said.textContent = words; }, wait);
}

class DanubeLog extends HTMLElement {
  connectedCallback() {
    this.classList.add("scripted");
    /** @type {Section[]} */
    this.sections = [];
    for (const element of this.querySelectorAll("details.step")) this.adopt(/** @type {HTMLDetailsElement} */ (element));
    // Of one that is not wrapped.
    this.rowHeight = parseFloat(getComputedStyle(this).lineHeight) || 20;
    this.going = false;
    this.missed = 0;
    /** @type {[number, number][]} */
    this.hits = [];
    this.hit = Number(this.dataset.hit ?? 1);
    this.chosen = this.chosenByAddress();
    this.last = this.dataset.after ?? "";
    for (const section of this.sections) this.space(section);
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

  get small() { return this.total() <= SMALL; }
  total() { return this.sections.reduce((sum, section) => sum + section.lines, 0); }

  /** @param {HTMLDetailsElement} element */
  adopt(element) {
    const body = /** @type {HTMLElement} */ (element.querySelector(".b"));
    const above = document.createElement("div"), below = document.createElement("div");
    above.className = below.className = "gap";
    const blocks = new Map([...body.children].map((block) => [Number(/** @type {HTMLElement} */ (block).dataset.b), /** @type {HTMLElement} */ (block)]));
    body.before(above);
    body.after(below);
    const section = { element, body, blocks, above, below, busy: false, number: Number(element.id.slice(1)),
      lines: Number(element.dataset.lines), over: "over" in element.dataset };
    this.sections.push(section);
    element.addEventListener("toggle", () => { this.space(section); this.settle(); });
    return section;
  }

  /** @param {number} number */
  section(number) { return this.sections.find((section) => section.number === number); }

  // Where lines are.

  /** How many pixels stand for a line that is not there. */
  scale() {
    const open = this.sections.filter((section) => section.element.open).reduce((sum, section) => sum + section.lines, 0);
    return this.rowHeight * Math.min(1, HIGHEST / Math.max(1, open * this.rowHeight));
  }

  /** The first block that is there, and the one after the last. @param {Section} section */
  range(section) {
    const numbers = [...section.blocks.keys()];
    return numbers.length ? [Math.min(...numbers), Math.max(...numbers) + 1] : [0, 0];
  }

  /** Whether a block is not there, or not with all of its lines. @param {Section} section @param {number} number */
  lacks(section, number) {
    const rows = section.blocks.get(number)?.childElementCount ?? 0;
    return rows < Math.min(BLOCK, section.lines - number * BLOCK);
  }

  /** Gives the lines that are not there their room. @param {Section} section */
  space(section) {
    const [first, end] = this.range(section), scale = this.scale();
    const rows = end ? (end - 1) * BLOCK + (section.blocks.get(end - 1)?.childElementCount ?? 0) : 0;
    section.above.style.height = `${first * BLOCK * scale}px`;
    section.below.style.height = `${Math.max(0, section.lines - rows) * scale}px`;
    for (const block of section.blocks.values()) {
      block.style.containIntrinsicBlockSize = `auto ${block.childElementCount * this.rowHeight}px`;
    }
    const count = section.element.querySelector("summary .n");
    if (count) count.textContent = String(section.lines);
  }

  /** Changes the page while the first row in view stays where it is. @param {() => void} change */
  still(change) {
    const top = this.getBoundingClientRect().top, row = this.rowAt(top + 1);
    const before = row?.getBoundingClientRect().top ?? 0;
    change();
    // Far down, less than a pixel is what floating point made of nothing: of a thousand such corrections pixels would come.
    const moved = row?.isConnected ? row.getBoundingClientRect().top - before : 0;
    if (Math.abs(moved) >= 1) this.scrollTop += moved;
  }

  /** The row at a height of the window. @param {number} y */
  rowAt(y) {
    const inside = (/** @type {Element} */ element) => {
      const box = element.getBoundingClientRect();
      return box.height > 0 && box.bottom > y;
    };
    for (const section of this.sections) {
      if (!section.element.open || !inside(section.body)) continue;
      const blocks = [...section.body.children];
      const block = blocks.find(inside);
      if (block) return [...block.children].find(inside) ?? block;
    }
    return null;
  }

  // Lines that come.

  /** @param {Section} section @param {number} first @param {number} count */
  async fetchBlocks(section, first, count) {
    const query = new URLSearchParams({ step: String(section.number), from: String(first * BLOCK + 1), count: String(count * BLOCK) });
    for (const [key, value] of this.looks()) query.set(key, value);
    const answer = await fetch(`${this.dataset.href}/log/lines?${query}`);
    if (!answer.ok) throw new Error(String(answer.status));
    return /** @type {HTMLElement[]} */ ([...parse(await answer.text()).querySelectorAll(".c")]);
  }

  /** What addresses of lines say about how they look. @returns {[string, string][]} */
  looks() {
    const { t, q, attempt } = this.dataset;
    const looks = [["t", t], ["q", q], ["re", "re" in this.dataset ? "1" : undefined], ["attempt", attempt]];
    return /** @type {[string, string][]} */ (looks.filter(([, value]) => value));
  }

  /** @param {Section} section @param {HTMLElement[]} blocks */
  mount(section, blocks) {
    for (const fresh of blocks) {
      const number = Number(fresh.dataset.b), old = section.blocks.get(number);
      // What came live meanwhile is newer.
      if (old && old.childElementCount >= fresh.childElementCount) continue;
      const block = /** @type {HTMLElement} */ (document.adoptNode(fresh));
      if (old) old.replaceWith(block);
      else {
        const next = [...section.body.children].find((other) => Number(/** @type {HTMLElement} */ (other).dataset.b) > number);
        section.body.insertBefore(block, next ?? null);
      }
      section.blocks.set(number, block);
      section.lines = Math.max(section.lines, number * BLOCK + block.childElementCount);
    }
    this.mark();
  }

  /** Takes blocks away that are far from what is in view. @param {Section} section @param {"first" | "last"} end */
  drop(section, end) {
    const selection = document.getSelection();
    while (section.blocks.size > MOUNTED) {
      const [first, after] = this.range(section), number = end === "first" ? first : after - 1;
      const block = /** @type {HTMLElement} */ (section.blocks.get(number));
      // Nothing is taken away under a selection.
      if (selection && !selection.isCollapsed && selection.containsNode(block, true)) return;
      block.remove();
      section.blocks.delete(number);
    }
  }

  /** Brings what is in view or near it; again and again, until all of it is there. */
  async settle() {
    if (this.settling) { this.again = true; return; }
    this.settling = true;
    do {
      this.again = false;
      for (const section of this.sections) {
        try {
          if (this.small) await this.bringAll(section);
          else if (section.element.open) await this.bringNear(section);
          this.failures = 0;
        } catch {
          this.failures = (this.failures ?? 0) + 1;
          await pause(Math.min(LONGEST, RETRY * 2 ** this.failures));
          this.again = true;
        }
      }
    } while (this.again && this.isConnected);
    this.settling = false;
    this.dataset.settled = "";
  }

  /** @param {Section} section */
  async bringAll(section) {
    const all = Math.ceil(section.lines / BLOCK);
    for (let first = 0; first < all; first += 1) {
      if (!this.lacks(section, first)) continue;
      let count = 1;
      while (count < AT_ONCE && first + count < all && this.lacks(section, first + count)) count += 1;
      await frame();
      const blocks = await this.fetchBlocks(section, first, count);
      const end = this.atFollowedEnd();
      this.still(() => { this.mount(section, blocks); this.space(section); });
      if (end) this.toEnd();
      if (blocks.length < count) return;
    }
  }

  /** @param {Section} section */
  async bringNear(section) {
    const view = this.getBoundingClientRect(), body = section.body.getBoundingClientRect();
    const all = Math.ceil(section.lines / BLOCK), [first, end] = this.range(section), near = view.height * 2;
    const box = section.element.getBoundingClientRect();
    if (box.bottom < view.top - near || box.top > view.bottom + near || !all) return;
    const next = end > 0 && this.lacks(section, end - 1) ? end - 1 : end;
    if (end === 0 || body.bottom < view.top || body.top > view.bottom) {
      const line = this.lineAt(section, view);
      if (line !== null) await this.jump(section, line, "top");
      this.again = line !== null;
    } else if (body.bottom < view.bottom + near && next < all) {
      const blocks = await this.fetchBlocks(section, next, 2);
      this.still(() => { this.mount(section, blocks); this.drop(section, "first"); this.space(section); });
      this.again = blocks.length > 0 && !this.lacks(section, next);
    } else if (body.top > view.top - near && first > 0) {
      const from = Math.max(0, first - 2), blocks = await this.fetchBlocks(section, from, first - from);
      this.still(() => { this.mount(section, blocks); this.drop(section, "last"); this.space(section); });
      this.again = true;
    }
  }

  /** The line that a place without lines stands for; its end is always the last line. @param {Section} section @param {DOMRect} view */
  lineAt(section, view) {
    const [first, end] = this.range(section);
    const above = section.above.getBoundingClientRect(), below = section.below.getBoundingClientRect();
    if (below.height && below.top < view.bottom && below.bottom <= view.bottom + 1) return section.lines;
    if (above.height && above.bottom > view.top && above.top < view.bottom) {
      return 1 + Math.floor(first * BLOCK * Math.min(1, Math.max(0, (view.top - above.top) / above.height)));
    }
    if (below.height && below.top < view.bottom && below.bottom > view.top) {
      const part = Math.min(1, Math.max(0, (view.top - below.top) / below.height));
      return Math.min(section.lines, end * BLOCK + 1 + Math.floor((section.lines - end * BLOCK) * part));
    }
    return end === 0 ? 1 : null;
  }

  /** Shows a line and those around it, and nothing else of its step. @param {Section} section @param {number} line @param {"top" | "middle"} place @param {() => boolean} wanted */
  async jump(section, line, place, wanted = () => true) {
    const block = Math.floor((line - 1) / BLOCK), scrolled = this.scrollTop;
    const all = Math.ceil(section.lines / BLOCK), from = Math.max(0, Math.min(block - 1, all - 3));
    const blocks = await this.fetchBlocks(section, from, 3);
    if (!wanted()) return;
    // Somebody went on scrolling: look again from there.
    if (place === "top" && Math.abs(this.scrollTop - scrolled) > this.clientHeight) return;
    const isLast = line >= section.lines && place === "top";
    for (const old of section.blocks.values()) old.remove();
    section.blocks.clear();
    this.mount(section, blocks);
    this.space(section);
    const row = this.row(section.number, line);
    if (!row) return;
    const offset = row.getBoundingClientRect().top - this.getBoundingClientRect().top;
    if (isLast) this.scrollTop += offset - this.clientHeight + this.rowHeight;
    else this.scrollTop += place === "top" ? offset : offset - this.clientHeight / 3;
  }

  /** @param {number} step @param {number} line */
  row(step, line) { return byId(`L${step}:${line}`); }

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

  // Follow.

  get follows() { return byId("follow")?.getAttribute("aria-pressed") === "true"; }
  isAtEnd() { return this.scrollHeight - this.scrollTop - this.clientHeight < this.rowHeight * 1.5; }

  /** Whether to stay at the end. Who has just left it is told so by an event that comes later. */
  atFollowedEnd() { return this.follows && (this.going || this.isAtEnd()); }
  toEnd() { this.scrollTop = this.scrollHeight; }

  /** @param {boolean} on */
  setFollow(on) {
    if (on === this.follows || !("after" in this.dataset)) return;
    byId("follow")?.setAttribute("aria-pressed", String(on));
    if (on) { this.missed = 0; this.showMissed(); this.showEnd(); }
    this.stream?.close();
    this.stream = undefined;
    this.connect();
  }

  leaveEnd() { if (this.scrollHeight > this.clientHeight) this.setFollow(false); }

  /** Mounts the newest lines. Who has gone up meanwhile stays there, unless they asked for it. @param {boolean} asked */
  async showEnd(asked = true) {
    const section = this.sections.findLast((other) => !other.over) ?? this.sections.at(-1);
    if (!section) return;
    const wanted = () => asked || this.follows;
    this.going = true;
    section.element.open = true;
    const all = Math.ceil(section.lines / BLOCK);
    try {
      if (!this.small && section.lines && !section.blocks.has(all - 1)) await this.jump(section, section.lines, "top", wanted);
    } finally {
      if (wanted()) this.toEnd();
      this.going = false;
    }
    this.settle();
  }

  showMissed() {
    const box = byId("new"), button = box?.querySelector("button");
    if (!box || !button) return;
    box.hidden = this.missed === 0;
    button.textContent = `↓ ${this.missed} new ${this.missed === 1 ? "line" : "lines"}`;
  }

  // The live stream.

  async keepLive() {
    const follow = byId("follow");
    if (follow) follow.hidden = false;
    this.tries = 0;
    this.turn = new Turn(() => { this.stream?.close(); this.stream = undefined; this.connect(); });
    this.connect();
    for (;;) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      if (!("after" in this.dataset)) return;
      if (!document.hidden) { clearTimeout(this.timer); this.connect(); continue; }
      this.timer = setTimeout(() => { this.stream?.close(); this.stream = undefined; this.turn?.give(); this.summarise(); }, HIDDEN);
    }
  }

  /** A hidden tab asks for one line, so that its title stays true. */
  async summarise() {
    while (document.hidden && !this.stream && "after" in this.dataset) {
      await pause(SUMMARY);
      const answer = await fetch(`${this.dataset.href}/summary`).catch(() => null);
      if (!answer?.ok) continue;
      const { state, icon, over } = await answer.json();
      entitle(state, icon);
      if (over) return;
    }
  }

  connect() {
    if (this.stream || document.hidden || !("after" in this.dataset)) return;
    if (this.turn && !this.turn.mine) { this.turn.take(() => this.connect()); return; }
    const query = new URLSearchParams(this.looks().filter(([key]) => key !== "attempt"));
    query.set("after", this.last);
    if (!this.follows) query.set("mode", "count");
    const stream = new EventSource(`${this.dataset.href}/events?${query}`);
    this.stream = stream;
    const on = (/** @type {string} */ name, /** @type {(data: any) => void} */ take) => stream.addEventListener(name, (event) => {
      if (stream !== this.stream) return;
      take(JSON.parse(event.data));
      this.last = event.lastEventId;
    });
    stream.onopen = () => { if (this.tries >= 3) say("Live again."); this.tries = 0; };
    stream.onerror = () => this.lost(stream);
    on("rows", (data) => this.addRows(data));
    on("last", (data) => this.addRows(data));
    on("gap", (data) => this.addGap(data));
    on("count", (data) => this.addCount(data));
    on("step", (data) => this.addStep(data));
    on("head", (data) => this.setHead(data));
    on("attempt", () => location.reload());
    on("end", (data) => { this.setHead(data); delete this.dataset.after; stream.close(); this.turn?.give(); byId("follow")?.setAttribute("hidden", ""); });
  }

  /** @param {EventSource} stream */
  async lost(stream) {
    if (stream !== this.stream) return;
    stream.close();
    this.stream = undefined;
    this.tries = (this.tries ?? 0) + 1;
    if (this.tries === 3) say("Live update lost, retrying.");
    await pause(Math.min(LONGEST, RETRY * 2 ** this.tries) * (0.5 + Math.random() / 2));
    this.connect();
  }

  /** @param {{ step: number, from: number, lines: number, html: string }} data */
  addRows({ step, lines, html }) {
    const section = this.section(step);
    if (!section) return;
    const end = this.atFollowedEnd();
    for (const row of [...parse(html).querySelectorAll(".l")]) this.addRow(section, /** @type {HTMLElement} */ (document.adoptNode(row)));
    section.lines = Math.max(section.lines, lines);
    if (!this.small) this.drop(section, "first");
    this.space(section);
    if (end) this.toEnd();
  }

  /** @param {Section} section @param {HTMLElement} row */
  addRow(section, row) {
    const place = Number(row.id.split(":")[1]) - 1, number = Math.floor(place / BLOCK), [, end] = this.range(section);
    let block = section.blocks.get(number);
    if (!block && place % BLOCK === 0 && number === end) {
      block = document.createElement("div");
      block.className = "c";
      block.dataset.b = String(number);
      section.body.append(block);
      section.blocks.set(number, block);
    }
    const old = block?.children[place % BLOCK];
    if (old) old.replaceWith(row);
    else if (block && block.childElementCount === place % BLOCK) {
      block.append(row);
      // What is not drawn has the height that it had when it was: that is known after the next frame.
      if (block.childElementCount === BLOCK) frame().then(frame).then(() => block?.classList.add("f"));
    }
    else { section.lines = Math.max(section.lines, place + 1); this.settle(); }
  }

  /** Lines that the wire had no room for: they are on the page when they are scrolled to. @param {{ step: number, to: number }} data */
  async addGap({ step, to }) {
    const section = this.section(step);
    if (!section) return;
    section.lines = Math.max(section.lines, to);
    this.space(section);
    if (this.follows) await this.showEnd(false);
  }

  /** @param {{ step: number, lines: number }} data */
  addCount({ step, lines }) {
    const section = this.section(step);
    if (!section) return;
    this.missed += Math.max(0, lines - section.lines);
    section.lines = Math.max(section.lines, lines);
    this.still(() => this.space(section));
    this.showMissed();
    if (this.small) this.settle();
  }

  /** @param {any} data */
  addStep(data) {
    const end = this.atFollowedEnd();
    const known = this.section(data.number);
    const list = document.querySelector("#steps ol"), item = [...list?.querySelectorAll("a") ?? []].find((link) => link.href.includes(`#s${data.number}`) && link.hash === `#s${data.number}`);
    if (!known) {
      const page = parse(`<details class="step" id="s${Number(data.number)}" data-lines="0" open><summary>${data.summary}</summary><div class="b" dir="ltr"></div></details><ul><li><a>${data.item}</a> <span class="quiet">0</span></li></ul>`);
      const element = /** @type {HTMLDetailsElement} */ (document.adoptNode(/** @type {Element} */ (page.querySelector("details"))));
      const entry = /** @type {HTMLElement} */ (document.adoptNode(/** @type {Element} */ (page.querySelector("li"))));
      /** @type {HTMLAnchorElement} */ (entry.firstElementChild).href = data.href;
      this.querySelector(".empty")?.remove();
      this.append(element);
      list?.append(entry);
      this.adopt(element);
      say(`Step ${data.number} runs: ${data.name}`);
    } else {
      known.over = data.over;
      known.lines = Math.max(known.lines, data.lines);
      known.element.querySelector(":scope > .empty")?.remove();
      known.element.querySelector("summary")?.replaceChildren(...parse(data.summary).body.childNodes);
      item?.replaceChildren(...parse(data.item).body.childNodes);
      this.space(known);
      say(`Step ${data.number} ${data.name}: ${data.word}`);
    }
    if (end) this.toEnd();
  }

  /** @param {{ badge: string, word: string, icon: string, over: boolean }} data */
  setHead({ badge, word, icon, over }) {
    entitle(word, icon);
    const old = document.querySelector("#head .s");
    old?.replaceWith(...parse(badge).body.childNodes);
    if (over) say(`The run has ended: ${word}`);
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
    this.addEventListener("click", (event) => this.click(event));
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
  click(event) {
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
