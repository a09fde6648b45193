// The viewer: what is shown, where the reader is, and what is said to Python.

import { asking } from "./asking.js";
import { turn } from "./blocks.js";
import { Comparison } from "./compare.js";
import { Outbox, VirtualList, el, fill, forPage, isDark } from "./dom.js";
import { finding } from "./finding.js";
import { actions, ANSWERED, HELP } from "./keys.js";
import { drawStrip, names, outcome, sideLines, sideRow } from "./lists.js";
import { middle, signed, visible } from "./model.js";
import { moves } from "./moves.js";

const viewers = new WeakMap();

/** Called by Streamlit when it mounts, and whenever data or theme change. */
export default function viewer(component) {
  const root = component.parentElement;
  const found = viewers.get(root) ?? new Viewer(root);
  viewers.set(root, found);
  found.update(component);
  return () => {
    found.destroy();
    viewers.delete(root);
  };
}

class Viewer {
  constructor(root) {
    this.app = root.querySelector(".viewer");
    Object.assign(this, { at: { rollout: 0, step: 0 }, lead: 0, beside: null, seq: 0, listAt: null });
    Object.assign(this, { whole: new Map(), columns: new Map(), open: new Set(), asked: new Set(), marks: new Map(), notes: new Map() });
    Object.assign(this, { query: "", hits: [], deep: null, openThoughts: false, showsColumns: false, writing: null, waiting: null, pending: [] });
    this.outbox = new Outbox();
    this.build();
    // In capture on the window: before Streamlit's own shortcuts, and without a click first.
    this.onKey = (event) => this.pressed(event);
    window.addEventListener("keydown", this.onKey, true);
    this.onSize = () => this.size();
    window.addEventListener("resize", this.onSize);
  }

  build() {
    const tool = (label, key, action) => el("button", { class: "tool", type: "button", title: `${label} (${key})`, "aria-keyshortcuts": key, onclick: action }, label, el("kbd", {}, key));
    this.title = el("div", { class: "title" });
    this.chips = el("div", { class: "chips", role: "radiogroup", "aria-label": "Method that leads" });
    this.finder = el("input", { class: "find", type: "search", placeholder: "Find in this group", "aria-label": "Find in this group", hidden: true,
      oninput: () => this.search(this.finder.value),
      onkeydown: (event) => {
        if (event.key === "Enter") this.nextHit(event.shiftKey ? -1 : 1);
        if (event.key === "Escape") this.closeFind();
        event.stopPropagation();
      } });
    this.found = el("span", { class: "hits", "aria-live": "polite" });
    this.thoughtTool = tool("Thoughts", "t", () => this.toggleThoughts());
    this.besideTool = tool("Compare", "c", () => this.toggleBeside());
    const tools = el("div", { class: "tools", role: "toolbar", "aria-label": "Reading" }, this.finder, this.found, tool("Find", "/", () => this.openFind()), this.thoughtTool, this.besideTool, tool("Keys", "?", () => this.toggleHelp()));
    this.side = el("nav", { class: "side", tabindex: "0", role: "listbox", "aria-label": "Groups and rollouts" });
    this.main = el("div", { class: "main", tabindex: "0", role: "list", "aria-label": "Steps of the rollout" });
    this.strip = el("canvas", { class: "strip", "aria-hidden": "true" });
    this.status = el("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.readonly = "readonly" in this.app.dataset;
    const keys = HELP.filter(([key]) => !this.readonly || !ANSWERED.includes(key)).map(([key, does]) => [el("dt", {}, key.split(" ").map((one) => el("kbd", {}, one))), el("dd", {}, does)]);
    this.help = el("div", { class: "help", role: "dialog", "aria-label": "Keys", hidden: true, tabindex: "-1", onclick: () => this.toggleHelp(false) }, el("div", { class: "card" }, el("h2", {}, "Keys"), el("dl", {}, keys)));
    this.app.replaceChildren(el("header", { class: "bar" }, this.title, this.chips, tools), el("div", { class: "body" }, this.side, this.main, this.strip), this.help, this.status);
    this.rollouts = new VirtualList(this.side, (i) => sideRow(this, this.lines[i]));
    this.turns = new VirtualList(this.main, (i) => this.turnRow(i), () => drawStrip(this));
    this.strip.addEventListener("pointerdown", (event) => this.drag(event));
  }

  drag(down) {
    const go = (event) => {
      const share = (event.clientY - this.strip.getBoundingClientRect().top) / this.strip.clientHeight;
      this.goStep(Math.min(Math.max(Math.floor(share * this.length), 0), this.length - 1));
    };
    go(down);
    const stop = new AbortController();
    window.addEventListener("pointermove", go, { signal: stop.signal });
    window.addEventListener("pointerup", () => stop.abort(), { signal: stop.signal });
  }

  update(component) {
    this.component = component;
    const { group, listed, order } = component.data;
    this.outbox.heard(component, order.heard);
    const dark = isDark(this.app) ? "dark" : "light";
    const recoloured = this.app.dataset.theme !== dark;
    this.app.dataset.theme = dark;
    this.listed = listed.total ? listed : null;
    const old = this.g;
    const renewed = group.key !== old?.key;
    if (renewed) this.take(group);
    // The same rollouts with other marks or methods stay where they are on the screen.
    const moved = order.seq !== this.seq || old?.id !== group.id || (renewed && group.partly);
    if (order.seq !== this.seq) this.obey(order);
    const answered = this.hear(order.answers);
    this.size();
    if (moved) this.showRollout();
    else if (renewed) this.renew();
    else if (answered || recoloured) this.turns.redrawAll();
    if (recoloured) this.rollouts.redrawAll();
    this.place();
    this.replay();
  }

  /** A group, or the same one with other methods, marks or texts. */
  take(group) {
    const same = this.g?.id === group.id;
    this.g = group;
    if (!same) {
      for (const kept of [this.whole, this.columns, this.open, this.asked]) kept.clear();
      Object.assign(this, { at: { rollout: 0, step: 0 }, beside: null, deep: null, writing: null });
    }
    this.start = [];
    let sum = 0;
    for (const length of group.rollouts.length) {
      this.start.push(sum);
      sum += length;
    }
    this.showUnheard();
    this.longest = group.rollouts.length.reduce((most, length) => Math.max(most, length), 1);
    this.agents = [...new Set(group.steps.agent_id ?? group.steps.role ?? [])].filter(Boolean).sort();
    this.names = names(group);
    this.lead = Math.min(Math.max(this.lead, 0), group.methods.length - 1);
    this.lines = sideLines(group);
    if (same) this.rollouts.redrawAll();
    else this.rollouts.reset(this.lines.length, (i) => (this.lines[i].rollout === undefined ? 34 : 46));
    this.drawChips();
  }

  /** An order of Python: something else than the reader's keys has moved the view. */
  obey(order) {
    this.seq = order.seq;
    this.arrived();
    const lead = this.g.methods.indexOf(order.lead);
    if (lead >= 0) this.lead = lead;
    const rollout = this.g.rollouts.id.indexOf(order.goto[0]);
    if (rollout >= 0) this.at = { rollout, step: Math.min(order.goto[1], this.g.rollouts.length[rollout] - 1) };
    const beside = this.g.rollouts.id.indexOf(order.beside);
    this.beside = beside >= 0 && beside !== rollout ? beside : null;
    this.drawChips();
  }

  size() {
    fill(this.app);
    drawStrip(this);
  }

  // What there is.
  get length() {
    return this.g.rollouts.length[this.at.rollout];
  }
  row(step, rollout = this.at.rollout) {
    return this.start[rollout] + step;
  }
  get here() {
    return this.row(this.at.step);
  }
  /** The number of a rollout in its group, of which a report may hold only some. */
  number(rollout) {
    return this.g.rollouts.number[rollout];
  }
  id(rollout = this.at.rollout) {
    return this.g.rollouts.id[rollout];
  }
  advantage(method, row) {
    return this.g.advantage[method]?.[row];
  }
  blocksOf(row) {
    const blocks = this.g.steps.blocks[row];
    return blocks?.map((one, k) => this.whole.get(`${row}:${k}`) ?? one) ?? null;
  }
  markOf(row) {
    return this.marks.has(row) ? this.marks.get(row) : this.g.steps.mark?.[row];
  }
  noteOf(row) {
    return this.notes.has(row) ? this.notes.get(row) : this.g.steps.note?.[row];
  }

  // Drawing.
  drawChips() {
    this.chips.replaceChildren(...this.g.methods.map((name, m) =>
      el("button", { class: "chip", type: "button", role: "radio", "aria-checked": m === this.lead, title: `${visible(name)} leads (${m + 1})`, onclick: () => this.setLead(m) }, el("i", {}, String(m + 1)), visible(name))));
  }

  drawTitle() {
    const { g, at } = this;
    const group = g.groups.index - g.groups.first;
    const listed = this.listAt !== null && this.listed;
    this.title.replaceChildren(
      el("span", { class: "crumb", title: visible(g.id) }, visible(middle(this.names.groups[group], 26))),
      el("span", { class: "muted" }, "›"), outcome(g.rollouts.outcome[at.rollout]),
      el("b", { title: visible(this.id()) }, `#${this.number(at.rollout)}`), el("span", { class: "muted" }, `of ${g.groups.n[group]}`),
      el("span", { class: "pos" }, `step ${at.step + 1} of ${this.length.toLocaleString("en-US")}`),
      listed ? el("span", { class: "pos list", title: "Place in the list that you came from; . and , go through it" }, `${this.listAt + 1} of ${this.listed.total.toLocaleString("en-US")} in the list`) : "");
  }

  showRollout() {
    this.comparison = this.beside === null ? null : new Comparison(this, this.at.rollout, this.beside);
    this.besideTool.setAttribute("aria-pressed", this.beside !== null);
    const count = this.comparison ? this.comparison.shown.length : this.length;
    this.turns.reset(count + 1, (i) => this.estimate(i));
    this.rollouts.redrawAll();
    const line = this.lines.findIndex((one) => one.rollout === this.at.rollout);
    // The group stands at the top of its list, so that its rollouts are in sight.
    const group = this.lines.findIndex((one) => one.group === this.g.groups.index);
    if (this.atGroup !== this.g.id) this.side.scrollTop = this.rollouts.heights.offset(group);
    this.atGroup = this.g.id;
    this.rollouts.show(Math.max(line, 0), 80);
    this.showStep(this.at.step === 0);
  }

  /** Draws what is on the screen with what is new of it. */
  renew() {
    if (this.beside !== null) this.comparison = new Comparison(this, this.at.rollout, this.beside);
    this.turns.redrawAll();
    drawStrip(this);
  }

  estimate(i) {
    if (i === 0) return this.comparison ? 60 : this.g.task ? 58 : 8;
    if (this.comparison) return this.comparison.shown[i - 1].fold ? 30 : 150;
    const blocks = this.g.steps.blocks[this.row(i - 1)] ?? [];
    return blocks.reduce((sum, one) => sum + 26 + 19 * Math.min(Math.floor((one.text?.length ?? 80) / 90), 10), 44);
  }

  rowOf(step) {
    return this.comparison ? 1 + this.comparison.at(step) : step + 1;
  }

  showStep(fromTop = false) {
    this.place();
    const i = this.rowOf(this.at.step);
    if (fromTop) {
      this.main.scrollTop = 0;
      this.turns.draw();
    } else this.turns.show(i);
    for (const node of this.turns.nodes.values()) {
      const here = node.index === i;
      node.classList.toggle("here", here);
      if (here) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
    }
    drawStrip(this);
    const said = this.g.methods.map((name, m) => `${name} ${signed(this.advantage(m, this.here)) || "not scored"}`);
    this.status.textContent = `Step ${this.at.step + 1} of ${this.length}. ${said.join(", ")}`;
  }

  /** Where the step is in the list that one came from, and the title that says so. */
  place() {
    if (this.listed) {
      const at = this.listed.steps.findIndex(([id, step]) => id === this.id() && step === this.at.step);
      if (at >= 0) this.listAt = this.listed.first + at;
    } else this.listAt = null;
    this.drawTitle();
  }

  turnRow(i) {
    if (i === 0) return this.comparison ? this.comparison.head() : this.taskRow();
    if (this.comparison) return this.comparison.render(i - 1, `step-${i}`);
    const step = i - 1;
    const here = step === this.at.step;
    const open = (event) => {
      if (!event.target.closest("button,a,input") && !String(getSelection())) this.goStep(step);
    };
    return el("article", { class: here ? "turn here" : "turn", id: `step-${step}`, role: "listitem", "aria-setsize": this.length, "aria-posinset": step + 1, "aria-current": here ? "step" : null, onclick: open }, turn(this, step, this.at.rollout));
  }

  taskRow() {
    const { task, tools } = this.g;
    if (!task && !tools) return el("div", { class: "task empty-task" });
    const text = el("div", { class: this.open.has("task") ? "task-text open" : "task-text" }, visible(task ?? ""), tools && this.open.has("task") ? el("pre", {}, visible(`\nTools offered:\n${tools}`)) : null);
    return el("div", { class: "task" }, el("button", { class: "label link", type: "button", "aria-expanded": this.open.has("task"), title: "The whole task", onclick: () => this.toggleTask() }, tools ? "task, tools" : "task"), text);
  }

  toggleHelp(show = this.help.hidden) {
    this.help.hidden = !show;
    (show ? this.help : this.main).focus({ preventScroll: true });
  }

  pressed(event) {
    if (!this.g || !forPage(event, this.app)) return;
    if (!this.help.hidden && event.key !== "?") {
      if (event.key === "Escape") this.toggleHelp(false);
    } else if (this.waiting !== null && Object.hasOwn(actions(this, event), event.key)) this.pending.push(event);
    else if (!this.does(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Does what a key means; returns whether it means anything. */
  does(event) {
    const action = actions(this, event)[event.key];
    return action !== undefined && action() !== false;
  }

  /** Says something for a moment. */
  say(text) {
    this.status.textContent = text;
    this.app.dataset.say = text;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => delete this.app.dataset.say, 1800);
  }

  destroy() {
    for (const timer of [this.timer, this.saying, this.searching, this.waiting]) clearTimeout(timer);
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("resize", this.onSize);
    this.rollouts.destroy();
    this.turns.destroy();
  }
}

Object.assign(Viewer.prototype, moves, asking, finding);
