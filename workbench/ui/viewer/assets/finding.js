// Finding a text in a group. Methods of the viewer.

const PAUSE = 360; // milliseconds without a key before Python searches too

export const finding = {
  openFind() {
    this.finder.hidden = false;
    this.finder.focus();
    this.finder.select();
  },

  closeFind() {
    this.finder.hidden = true;
    this.finder.value = "";
    this.search("");
    this.main.focus({ preventScroll: true });
  },

  search(text) {
    this.query = text.trim().toLowerCase();
    this.deep = null;
    clearTimeout(this.searching);
    this.collect();
    const first = this.hits.findIndex((row) => row >= this.here);
    if (this.hits.length) this.goHit(Math.max(first, 0));
    else this.turns.redrawAll();
    // What was sent only in part is searched by Python.
    const partly = Object.keys(this.g.cut).length > 0 || this.g.partly;
    if (this.query && partly) this.searching = setTimeout(() => this.ask("find", { text: this.query }), PAUSE);
  },

  /** Rows in which the text stands, in those that are here or in those that Python found. */
  collect() {
    if (!this.query) {
      this.hits = [];
      this.found.textContent = "";
      return;
    }
    const has = (one) => [one.label, one.text ?? "", ...(one.args ?? []).flat()].some((text) => text.toLowerCase().includes(this.query));
    const here = this.g.steps.blocks.flatMap((_, row) => ((this.blocksOf(row) ?? []).some(has) ? [row] : []));
    this.hits = [...new Set([...here, ...(this.deep?.steps ?? [])])].sort((a, b) => a - b);
    const waits = (Object.keys(this.g.cut).length > 0 || this.g.partly) && !this.deep;
    this.found.textContent = `${this.hits.length} steps${waits ? " …" : ""}`;
  },

  nextHit(by) {
    if (!this.query) return this.say("nothing is searched: / begins");
    const at = by > 0 ? this.hits.findIndex((row) => row > this.here) : this.hits.findLastIndex((row) => row < this.here);
    if (!this.hits.length) return this.say("it is nowhere in this group");
    return this.goHit(at >= 0 ? at : by > 0 ? 0 : this.hits.length - 1);
  },

  goHit(at) {
    const row = this.hits[at];
    this.found.textContent = `${at + 1} of ${this.hits.length}`;
    const rollout = this.start.findLastIndex((first) => first <= row);
    this.turns.redrawAll();
    if (rollout !== this.at.rollout) this.goRollout(rollout, row - this.start[rollout]);
    else if (row === this.here) this.turns.show(this.rowOf(this.at.step));
    else this.goStep(row - this.start[rollout]);
  },
};
