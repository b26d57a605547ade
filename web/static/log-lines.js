// The lines of a log: which of its blocks are on the page, and how others come and go while what is read stays where it is.
// @ts-check
import { parse } from "./live.js";

export const BLOCK = 200;
/** To so many lines all of a log is on the page; of a longer one so many blocks are. */
const SMALL = 20000, MOUNTED = 15;
/** Browsers cut higher boxes. */
const HIGHEST = 8000000;
/** Blocks that one request brings. */
const AT_ONCE = 10;
/** How long to wait before what failed is tried again: at first, and at most. */
export const RETRY = 500, LONGEST = 30000;

/** @typedef {{ element: HTMLDetailsElement, body: HTMLElement, number: number, lines: number, over: boolean,
 *   blocks: Map<number, HTMLElement>, above: HTMLElement, below: HTMLElement, busy: boolean }} Section */


/** @param {string} name */
export const byId = (name) => /** @type {HTMLElement | null} */ (document.getElementById(name));
/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

export class LogLines extends HTMLElement {
  /** @type {Section[]} */
  sections = [];
  rowHeight = 20;
  settling = false;
  again = false;
  failures = 0;
  /** The row that stays where it is. @type {{ row: Element, top: number, scrolled: number } | null} */
  kept = null;

  /** Takes up the steps that the page came with. */
  begin() {
    this.sections = [];
    for (const element of this.querySelectorAll("details.step")) this.adopt(/** @type {HTMLDetailsElement} */ (element));
    // Of one that is not wrapped.
    this.rowHeight = parseFloat(getComputedStyle(this).lineHeight) || this.rowHeight;
    for (const section of this.sections) this.space(section);
  }

  /** Whether to stay at the end: who follows does. */
  atFollowedEnd() { return false; }
  toEnd() { this.scrollTop = this.scrollHeight; }

  /** Rows came: those that are chosen are to look so. */
  mark() {}

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
    const top = this.getBoundingClientRect().top;
    const row = this.kept?.row.isConnected && this.kept.scrolled === this.scrollTop ? this.kept.row : this.rowAt(top + 1);
    const now = row?.getBoundingClientRect().top ?? 0;
    // As long as nobody scrolls or folds it is the same place: what moves by less than a pixel would add up.
    const before = this.kept?.row === row && Math.abs(this.kept.top - now) < 1 ? this.kept.top : now;
    change();
    // Far down, less than a pixel is what floating point made of nothing: of a thousand such corrections pixels would come.
    const moved = row?.isConnected ? row.getBoundingClientRect().top - before : 0;
    if (Math.abs(moved) >= 1) this.scrollTop += moved;
    this.kept = row ? { row, top: before, scrolled: this.scrollTop } : null;
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
          this.failures += 1;
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
}
