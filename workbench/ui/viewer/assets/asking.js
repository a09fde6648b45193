// What Python is asked for, and said: whole texts, columns, marks, notes. Methods of the viewer.

export const asking = {
  ask(kind, more) {
    this.outbox.say(this.component, { kind, group: this.g.id, ...more });
  },

  /** Marks and notes that Python has not yet heard of. */
  showUnheard() {
    this.marks.clear();
    this.notes.clear();
    for (const { kind, trajectory, step, mark, note } of this.outbox.waiting) {
      const rollout = this.g.rollouts.id.indexOf(trajectory);
      if (rollout >= 0 && kind === "mark") this.marks.set(this.row(step, rollout), mark);
      if (rollout >= 0 && kind === "note") this.notes.set(this.row(step, rollout), note);
    }
  },

  /** Answers to what was asked for; returns whether one is new. */
  hear(answers) {
    if (answers.group !== this.g.id) return false;
    let isNew = false;
    for (const [key, value] of Object.entries(answers)) {
      const [kind, row, block] = key.split(":");
      if (kind === "find" && value.text === this.query && this.deep?.text !== value.text) {
        this.deep = value;
        this.collect();
        isNew = true;
      } else if (this.asked.delete(key) || this.isOther(kind, row, value)) {
        if (kind === "text") this.whole.set(`${row}:${block}`, value);
        else this.columns.set(Number(row), value);
        isNew = true;
      }
    }
    return isNew;
  },

  /** True if shown columns were sent again, since the tokenizer is another. */
  isOther(kind, row, value) {
    return kind === "columns" && this.columns.has(Number(row)) && this.columns.get(Number(row)).say !== value.say;
  },

  toggleText(key) {
    if (this.g.cut[key] !== undefined && !this.whole.has(key)) {
      if (this.asked.has(`text:${key}`)) return;
      const [row, block] = key.split(":").map(Number);
      this.asked.add(`text:${key}`);
      this.open.add(key);
      this.ask("text", { row, block });
    } else if (!this.open.delete(key)) this.open.add(key);
    this.turns.redrawAll();
  },

  toggleTask() {
    if (!this.open.delete("task")) this.open.add("task");
    this.turns.redraw(0);
  },

  toggleThoughts() {
    this.openThoughts = !this.openThoughts;
    this.thoughtTool.setAttribute("aria-pressed", this.openThoughts);
    this.turns.redrawAll();
    this.turns.show(this.rowOf(this.at.step));
  },

  toggleStep() {
    const keys = (this.g.steps.blocks[this.here] ?? []).map((_, k) => `${this.here}:${k}`);
    const opens = keys.some((key) => !this.open.has(key));
    for (const key of keys) if (this.open.has(key) !== opens) this.toggleText(key);
  },

  toggleColumns() {
    this.showsColumns = !this.showsColumns;
    if (this.showsColumns) this.askColumns();
    this.turns.redrawAll();
  },

  askColumns() {
    const key = `columns:${this.here}`;
    if (this.columns.has(this.here) || this.asked.has(key)) return;
    this.asked.add(key);
    this.ask("columns", { row: this.here });
  },

  mark() {
    const next = { "+": "-", "-": "" }[this.markOf(this.here) || ""] ?? "+";
    this.marks.set(this.here, next);
    this.turns.redraw(this.rowOf(this.at.step));
    this.outbox.say(this.component, { kind: "mark", trajectory: this.id(), step: this.at.step, mark: next });
  },

  write() {
    Object.assign(this, { writing: this.here, draft: this.noteOf(this.here) ?? "" });
    this.turns.redraw(this.rowOf(this.at.step));
  },

  keepNote(row, text) {
    this.writing = null;
    if (text !== null) {
      this.notes.set(row, text.trim());
      const rollout = this.start.findLastIndex((first) => first <= row);
      this.outbox.say(this.component, { kind: "note", trajectory: this.id(rollout), step: row - this.start[rollout], note: text.trim() });
    }
    this.turns.redrawAll();
    this.main.focus({ preventScroll: true });
  },
};
