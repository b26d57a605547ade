// A log that is written while it is read: new lines as they come, and who is at its end stays there.
// @ts-check
import { Turn, entitle, parse } from "./live.js";
import { BLOCK, LONGEST, LogLines, RETRY, byId, frame, pause } from "./log-lines.js";

/** @import { Section } from "./log-lines.js" */

const HIDDEN = 10000, SUMMARY = 30000, SAY = 3000;

let spoken = 0;
/** Tells who does not see the page. @param {string} words */
export function say(words) {
  const wait = Math.max(0, spoken + SAY - Date.now());
  spoken = Date.now() + wait;
  setTimeout(() => { const said = byId("said"); if (said) said.textContent = words; }, wait);
}

export class LiveLog extends LogLines {
  /** Whether it is on its way to the end. */
  going = false;
  /** Lines that came while nobody followed. */
  missed = 0;
  /** The newest event that was seen. */
  last = "";
  tries = 0;
  /** @type {EventSource | undefined} */
  stream;
  /** @type {Turn | undefined} */
  turn;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;

  // Follow.

  get follows() { return byId("follow")?.getAttribute("aria-pressed") === "true"; }
  isAtEnd() { return this.scrollHeight - this.scrollTop - this.clientHeight < this.rowHeight * 1.5; }

  /** Whether to stay at the end. Who has just left it is told so by an event that comes later. */
  atFollowedEnd() { return this.follows && (this.going || this.isAtEnd()); }

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
    this.tries += 1;
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
}
