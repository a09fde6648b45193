// The steps that the filter leaves: a table to walk through, the chosen one in full next to it.

import { Outbox, VirtualList, el, fill, forPage, isDark } from "./dom.js";
import { middle, ownNames, plain, sign, signed, visible } from "./model.js";

const OUTCOMES = { won: ["✓", "ok"], failed: ["✗", "failed"], unknown: ["?", "open"] };
const HEIGHT = 30;
const NAME = 16; // letters of a group, cut in the middle; 7 px each

const tables = new WeakMap();

/** Called by Streamlit when it mounts, and whenever data or theme change. */
export default function steps(component) {
  const root = component.parentElement;
  const found = tables.get(root) ?? new Steps(root);
  tables.set(root, found);
  found.update(component);
  return () => {
    found.destroy();
    tables.delete(root);
  };
}

class Steps {
  constructor(root) {
    this.app = root.querySelector(".steps");
    this.chosen = 0;
    this.outbox = new Outbox();
    this.head = el("div", { class: "columns", role: "row" });
    this.main = el("div", { class: "main", tabindex: "0", role: "listbox", "aria-label": "Steps" });
    this.peek = el("aside", { class: "peek", "aria-label": "The chosen step" });
    this.status = el("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.app.replaceChildren(el("div", { class: "table" }, this.head, this.main), this.peek, this.status);
    this.list = new VirtualList(this.main, (i) => this.row(i));
    this.onKey = (event) => this.pressed(event);
    window.addEventListener("keydown", this.onKey, true);
    this.onSize = () => fill(this.app);
    window.addEventListener("resize", this.onSize);
  }

  update(component) {
    this.component = component;
    const told = component.data;
    this.app.dataset.theme = isDark(this.app) ? "dark" : "light";
    fill(this.app);
    this.outbox.heard(component, told.heard);
    if (this.told?.key === told.key) return this.list.redrawAll();
    const [before, top] = [this.told?.rows[this.chosen], this.main.scrollTop];
    const same = before ? told.rows.findIndex((row) => row.trajectory === before.trajectory && row.step === before.step) : -1;
    this.told = told;
    for (const { trajectory, step, mark } of this.outbox.waiting) {
      const row = told.rows.find((one) => one.trajectory === trajectory && one.step === step);
      if (row) row.mark = mark;
    }
    this.groups = ownNames(told.rows.map((row) => row.group));
    this.chosen = same >= 0 ? same : Math.min(Math.max(told.at, 0), Math.max(told.rows.length - 1, 0));
    const longest = this.groups.reduce((most, name) => Math.max(most, name.length), 0);
    const group = Math.max(44, 7 * Math.min(longest, NAME) + 4);
    this.template = `18px minmax(${group}px, 1fr) 58px 52px ${told.methods.map(() => "90px").join(" ")} 52px minmax(180px, 4fr)`;
    this.drawHead();
    this.list.reset(told.rows.length + (told.total > told.rows.length ? 1 : 0), () => HEIGHT, same >= 0 ? top : 0);
    if (this.chosen) this.list.show(this.chosen);
    this.drawPeek();
    return undefined;
  }

  drawHead() {
    const { sort, methods } = this.told;
    const by = (label, column) => {
      if (!column) return el("span", {}, label);
      const [up, down] = [sort === column, sort === `-${column}`];
      const next = down ? column : up ? "" : `-${column}`;
      return el("button", { type: "button", "aria-label": `Sort by ${visible(column)}`, "aria-pressed": up || down, onclick: () => this.component.setTriggerValue("sort", next) }, visible(label), up ? " ↑" : down ? " ↓" : "");
    };
    const size = (name) => el("span", { class: "method" }, by(name, name), by("|A|", `|${name}|`));
    this.head.style.gridTemplateColumns = this.template;
    this.head.replaceChildren(el("span"), by("group"), by("rollout"), by("step", "depth"), ...methods.map(size), by("reward", "reward"), by("what was done"));
  }

  row(i) {
    const row = this.told.rows[i];
    if (!row) {
      const rest = this.told.total - this.told.rows.length;
      return el("button", { class: "more", type: "button", onclick: () => this.component.setTriggerValue("more", true) }, `${rest.toLocaleString("en-US")} more steps: show the next ones`);
    }
    const here = i === this.chosen;
    const [mark, kind] = OUTCOMES[row.outcome];
    const node = el("div", { class: here ? "step here" : "step", role: "option", "aria-selected": here, "aria-setsize": this.told.total, "aria-posinset": i + 1,
      onclick: () => this.choose(i), ondblclick: () => this.open() },
      el("span", { class: `outcome ${kind}` }, mark),
      el("span", { class: "cut", title: visible(row.group) }, visible(middle(this.groups[i], NAME))),
      el("span", { class: "digits", title: visible(row.trajectory) }, `#${row.number[0]}`, el("span", { class: "muted" }, ` of ${row.number[1]}`)),
      el("span", { class: "digits" }, String(row.step + 1), el("span", { class: "muted" }, `/${row.length}`)),
      this.told.methods.map((_, m) => this.credit(row.advantage[m], m)),
      el("span", { class: "digits" }, row.reward === null ? "–" : row.reward ? plain(row.reward) : ""),
      el("span", { class: "cut" }, row.mark ? el("b", { class: "signed", "data-sign": row.mark === "+" ? 1 : -1 }, `${row.mark === "+" ? "+" : "−"} `) : null, row.note ? el("span", { class: "note" }, visible(row.note)) : null, visible(row.done.replace(/\s+/g, " "))));
    node.style.gridTemplateColumns = this.template;
    return node;
  }

  /** A bar around 0 and the number, on the scale of the log. */
  credit(a, m) {
    const d = sign(a);
    const size = Math.min(Math.abs(a ?? 0) / this.told.scale[m], 1) * 50;
    const bar = el("i", { "data-sign": d, style: d > 0 ? `left:50%;width:${size}%` : `right:50%;width:${size}%` });
    return el("span", { class: "credit" }, el("span", { class: "bar", "aria-hidden": "true" }, bar), el("span", {}, signed(a) || "–"));
  }

  drawPeek() {
    const row = this.told.rows[this.chosen];
    if (!row) {
      this.peek.replaceChildren(el("p", { class: "empty" }, "No step of this log passes the filter."));
      return;
    }
    const part = (label, text, name) => (text ? [el("h2", {}, label), el("div", { class: `text ${name}` }, visible(text))] : []);
    const credits = this.told.methods.map((name, m) => el("span", { class: "signed", "data-sign": sign(row.advantage[m]) }, visible(name), " ", signed(row.advantage[m]) || "–"));
    this.peek.replaceChildren(
      el("p", { class: "muted digits" }, `${this.chosen + 1} of ${this.told.total.toLocaleString("en-US")}`),
      el("p", { title: visible(row.trajectory) }, el("span", { class: "muted" }, `${visible(middle(this.groups[this.chosen], 60))} › `), el("b", {}, `#${row.number[0]}`), el("span", { class: "muted" }, ` of ${row.number[1]}`), ` · step ${row.step + 1} of ${row.length}`),
      el("p", { class: "credits" }, credits),
      el("button", { class: "open", type: "button", onclick: () => this.open() }, "Read it in its rollout", el("kbd", {}, "Enter")),
      ...part("Note", row.note, "note"), ...part("Seen", row.observation, "environment"), ...part("Thought", row.thought, "thought"), ...part("Done", row.action, "action"));
    this.peek.scrollTop = 0;
    this.status.textContent = `${this.chosen + 1} of ${this.told.total}: rollout ${row.number[0]}, step ${row.step + 1}`;
  }

  choose(i) {
    if (i < 0 || i >= this.told.rows.length || i === this.chosen) return;
    const old = this.chosen;
    this.chosen = i;
    this.list.redraw(old);
    this.list.redraw(i);
    this.list.show(i, 2 * HEIGHT);
    this.drawPeek();
  }

  /** Pivotal +, pivotal −, none; seen at once, kept by Python. */
  mark() {
    const row = this.told.rows[this.chosen];
    if (!row) return;
    row.mark = { "+": "-", "-": "" }[row.mark || ""] ?? "+";
    this.list.redraw(this.chosen);
    this.outbox.say(this.component, { kind: "mark", trajectory: row.trajectory, step: row.step, mark: row.mark });
  }

  open() {
    const row = this.told.rows[this.chosen];
    if (row) this.component.setTriggerValue("open", [row.trajectory, row.step]);
  }

  pressed(event) {
    if (!this.told || !forPage(event, this.app)) return;
    const page = Math.max(Math.floor(this.main.clientHeight / HEIGHT) - 1, 1);
    const last = this.told.rows.length - 1;
    const to = { j: 1, ".": 1, ArrowDown: 1, k: -1, ",": -1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -last, End: last }[event.key];
    if (to !== undefined) this.choose(Math.min(Math.max(this.chosen + to, 0), last));
    else if (event.key === "m") this.mark();
    else if (event.key === "/") document.querySelector('input[aria-label="Filter"]')?.focus();
    else if (event.key !== "Enter" || event.target.closest?.("button,a")) return;
    else this.open();
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  destroy() {
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("resize", this.onSize);
    this.list.destroy();
  }
}
