// Two rollouts side by side, aligned by state, equal stretches folded.

import { el } from "./dom.js";
import { turn } from "./blocks.js";
import { outcome } from "./lists.js";
import { align, fold, plain, visible } from "./model.js";

/** Rows of the comparison of two rollouts of a group. */
export class Comparison {
  constructor(view, left, right) {
    Object.assign(this, { view, left, right });
    const states = (r) => Array.from({ length: view.g.rollouts.length[r] }, (_, k) => view.g.steps.state[view.row(k, r)]);
    this.rows = align(states(left), states(right));
    this.same = (i, j) => this.done(i, left) === this.done(j, right);
    this.split = this.rows.findIndex(([i, j, equal]) => !equal || !this.same(i, j));
    this.shown = fold(this.rows, this.same);
  }

  /** What was done in a step, as one text. */
  done(step, rollout) {
    const blocks = this.view.blocksOf(this.view.row(step, rollout)) ?? [];
    return JSON.stringify(blocks.filter((one) => one.role === "action").map((one) => [one.label, one.args ?? one.text]));
  }

  /** The shown row in which a step of the left rollout is; -1 where it has none. */
  at(step) {
    return this.shown.findIndex(({ fold: folded, row }) =>
      folded ? this.rows.slice(...folded).some(([i]) => i === step) : row[0] === step);
  }

  /** Opens the folded stretch at a shown row. */
  unfold(k) {
    this.shown.splice(k, 1, ...this.rows.slice(...this.shown[k].fold).map((row) => ({ row })));
  }

  /** The step of the left rollout at which they part; -1 where they never do. */
  get parting() {
    for (let k = this.split; k >= 0; k--) if (this.rows[k][0] >= 0) return this.rows[k][0];
    return -1;
  }

  head() {
    const { view } = this;
    const one = (r) => el("div", { class: "cmp-head" }, outcome(view.g.rollouts.outcome[r]), el("b", {}, `#${view.number(r)}`),
      el("span", { class: "own", title: visible(view.g.rollouts.id[r]) }, visible(view.names.rollouts[r])),
      el("span", { class: "muted" }, `reward ${plain(view.g.rollouts.reward[r])} · ${view.g.rollouts.length[r].toLocaleString("en-US")} steps`));
    const by = view.g.byState ? "aligned by equal states" : "hardly any state comes back here: aligned by who spoke and what was called";
    return el("div", { class: "pair head" }, one(this.left), one(this.right), el("div", { class: "aligned" }, by));
  }

  render(k, id) {
    const { view } = this;
    const { fold: folded, row } = this.shown[k];
    if (folded) {
      const rows = this.rows.slice(...folded);
      return el("button", { class: "folded", type: "button", id, onclick: () => view.unfold(k) }, `${rows.length} equal steps (${rows[0][0] + 1}–${rows.at(-1)[0] + 1})`);
    }
    const [i, j, equal] = row;
    const differs = i >= 0 && j >= 0 && !this.same(i, j);
    const parting = this.rows[this.split] === row;
    const words = this.split === 0 && !equal ? "different from the start" : equal ? `same ${view.g.byState ? "state" : "kind of step"}, other action: here they part` : "here they part";
    const half = (step, r) => (step < 0 ? el("div", { class: "half none" }) : el("div", { class: "half turn", onclick: () => (r === this.left ? view.goStep(step) : null) }, turn(view, step, r, true)));
    const here = i === view.at.step;
    return el("div", { class: `pair${here ? " here" : ""}${differs && equal ? " differs" : ""}`, id, role: "listitem", "aria-current": here ? "step" : null },
      parting ? el("div", { class: "diverge" }, words) : null, half(i, this.left), half(j, this.right));
  }
}
