// Moving: everything is drawn before Python hears of it. Methods of the viewer.

import { Comparison } from "./compare.js";
import { drawStrip } from "./lists.js";
import { partner, sign, signed } from "./model.js";

const DEBOUNCE = 180; // milliseconds that a reader stays before Python is told
const PATIENCE = 15_000; // milliseconds that keys wait for another group

export const moves = {
  goStep(step) {
    if (step < 0 || step >= this.length || step === this.at.step) return;
    this.at.step = step;
    this.showStep();
    this.tell();
  },

  goRollout(rollout, step = 0) {
    if (rollout < 0) return this.goGroup(this.g.groups.index - 1, true);
    if (rollout >= this.g.rollouts.id.length) return this.goGroup(this.g.groups.index + 1);
    if (rollout === this.beside) this.beside = this.at.rollout;
    this.at = { rollout, step };
    this.showRollout();
    return this.tell();
  },

  goGroup(group, last = false) {
    if (group < 0 || group >= this.g.groups.total) return this.say(last || group < 0 ? "this is the first group" : "this is the last group");
    return group === this.g.groups.index ? undefined : this.leave("group", { group, last });
  },

  /** Asks for another group. Keys that are pressed until it is here are meant for it, and wait. */
  leave(trigger, value) {
    clearTimeout(this.timer);
    this.waiting = setTimeout(() => this.arrived(), PATIENCE);
    this.app.setAttribute("aria-busy", "true");
    this.component.setTriggerValue(trigger, value);
  },

  arrived() {
    clearTimeout(this.timer);
    clearTimeout(this.waiting);
    this.waiting = null;
    this.app.removeAttribute("aria-busy");
  },

  replay() {
    while (this.waiting === null && this.pending.length) this.does(this.pending.shift());
  },

  /** The next or previous step of the list that one came from. */
  goListed(by) {
    if (!this.listed) return this.say("there is no list: set a filter, or come from Steps");
    const to = this.listAt === null ? this.listed.at : this.listAt + by;
    if (to < 0 || to >= this.listed.total) return this.say(`this is the ${by > 0 ? "last" : "first"} of the list`);
    const [id, step] = this.listed.steps[to - this.listed.first] ?? [];
    if (id === undefined) return this.say("the next part of the list is on its way");
    const rollout = this.g.rollouts.id.indexOf(id);
    this.listAt = to;
    if (rollout === this.at.rollout) return this.goStep(step);
    if (rollout >= 0) return this.goRollout(rollout, step);
    return this.leave("step", [id, step]);
  },

  jump(by, test, what) {
    for (let step = this.at.step + by; step >= 0 && step < this.length; step += by) if (test(this.row(step))) return this.goStep(step);
    return this.say(`no ${by > 0 ? "further" : "earlier"} step ${what}`);
  },

  jumpLarge(by) {
    const limit = this.g.sigma[this.lead];
    this.jump(by, (row) => Math.abs(this.advantage(this.lead, row) ?? 0) > limit, `with |A| above ${signed(limit).slice(1) || 0}`);
  },

  jumpFlip(by) {
    const differ = (row) => new Set(this.g.methods.map((_, m) => sign(this.advantage(m, row))).filter(Boolean)).size > 1;
    this.jump(by, differ, "on whose sign the methods differ");
  },

  setLead(m) {
    if (m >= this.g.methods.length || m === this.lead) return;
    this.lead = m;
    this.drawChips();
    this.rollouts.redrawAll();
    this.turns.redrawAll();
    drawStrip(this);
    this.tell();
  },

  tell() {
    clearTimeout(this.timer);
    if (this.waiting !== null) return; // the reader has left for another group
    const said = { trajectory: this.id(), step: this.at.step, lead: this.g.methods[this.lead] ?? null, beside: this.beside === null ? "" : this.id(this.beside) };
    this.timer = setTimeout(() => {
      this.component.setTriggerValue("at", said);
      if (this.showsColumns) this.askColumns();
    }, DEBOUNCE);
  },

  toggleBeside() {
    if (this.beside !== null) return this.setBeside(null);
    const other = partner(this.g.rollouts.outcome, this.g.rollouts.reward, this.at.rollout);
    return other < 0 ? this.say("this group has one rollout: there is nothing to compare it with") : this.setBeside(other);
  },

  nextBeside() {
    if (this.beside === null) return this.toggleBeside();
    const n = this.g.rollouts.id.length;
    let next = (this.beside + 1) % n;
    if (next === this.at.rollout) next = (next + 1) % n;
    return this.setBeside(next);
  },

  setBeside(rollout) {
    if (rollout === this.at.rollout) return;
    this.beside = rollout;
    this.comparison = rollout === null ? null : new Comparison(this, this.at.rollout, rollout);
    if (this.comparison && this.comparison.parting >= 0) this.at.step = this.comparison.parting;
    this.showRollout();
    this.tell();
  },

  unfold(k) {
    this.comparison.unfold(k);
    this.turns.reset(this.comparison.shown.length + 1, (i) => this.estimate(i), this.main.scrollTop);
  },
};
