// A report: what was found, charts, and the viewer on the rollouts that were chosen. No server.

import { bars, distribution, lengths, table } from "./charts.js";
import { el } from "./dom.js";
import { visible } from "./model.js";
import viewer from "./viewer.js";

const report = JSON.parse(document.getElementById("data").textContent);
const panes = new Map();
const tabs = new Map();

/** What Streamlit is to the viewer in the app: it gives groups and hears what the reader does. */
const host = {
  parentElement: null,
  data: null,
  seq: 0,
  answers: {},

  open(index, goto, lead = null) {
    const group = report.groups[index];
    const [id, step] = goto ?? [group.rollouts.id[0], 0];
    this.answers = { group: group.id };
    this.seq += 1;
    this.data = { group, listed: {}, order: { seq: this.seq, goto: [id, step], lead, beside: "", answers: this.answers, heard: Number.MAX_SAFE_INTEGER } };
    viewer(this);
  },

  setTriggerValue(name, value) {
    if (name !== "group") return;
    const ids = report.groups[value.group].rollouts.id;
    this.open(value.group, [value.last ? ids.at(-1) : ids[0], 0]);
  },

  /** A text that the report has only in part says so; a search has looked at all that is here. */
  setStateValue(_, said) {
    for (const one of said) {
      if (one.kind === "text") {
        const block = this.data.group.steps.blocks[one.row][one.block];
        this.answers[`text:${one.row}:${one.block}`] = { ...block, text: `${block.text ?? ""}\n\u2026 the rest is not in this report` };
      }
      if (one.kind === "find") this.answers.find = { text: one.text, steps: [] };
    }
    this.data = { ...this.data, order: { ...this.data.order, answers: this.answers } };
    queueMicrotask(() => viewer(this));
  },
};

function section(title, ...children) {
  return el("section", {}, el("h2", {}, title), children);
}

function findings() {
  const { findings: found, audit } = report;
  const list = found.length
    ? found.map((one) => el("article", { class: "finding" }, el("p", {}, el("b", {}, visible(one.of)), " ", el("span", { class: "muted" }, visible(one.name))), el("p", {}, visible(one.text)), el("p", { class: "muted" }, "\u2192 ", visible(one.action))))
    : [el("p", {}, "None of the known defects was found.")];
  return [
    section("What is wrong?", list),
    section("How do the credits compare?", el("p", { class: "muted" }, visible(audit.says)), table(audit.heads, audit.rows)),
    audit.left_out.length ? section("Left out", audit.left_out.map((line) => el("p", { class: "muted" }, visible(line)))) : null,
  ];
}

function charts() {
  const { charts: drawn } = report;
  return [
    section("What can the groups teach?", bars(drawn.kinds)),
    section("How is the credit spread?", el("p", { class: "muted" }, "Steps by their advantage, each method on its own scale: orange is above 0, purple below."), el("div", { class: "figures" }, drawn.advantages.map(distribution))),
    drawn.pairs.length ? section("Do the methods agree?", table(drawn.pair_heads, drawn.pairs)) : null,
    section("How long are the rollouts?", lengths(drawn.lengths)),
  ];
}

function show(name) {
  for (const [key, pane] of panes) pane.hidden = key !== name;
  for (const [key, tab] of tabs) tab.setAttribute("aria-selected", key === name);
  if (name === "Rollouts" && host.data) viewer(host);
  else if (name === "Rollouts") host.open(0, report.first, report.lead);
}

function dress(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.querySelector(".report").dataset.theme = dark ? "dark" : "light";
  if (host.data && !panes.get("Rollouts").hidden) viewer(host);
}

function build() {
  const root = document.querySelector(".report");
  host.parentElement = el("div", { class: "reader" }, el("p", { class: "muted" }, visible(report.chosen)), el("div", { class: "wb viewer", "data-readonly": true }));
  panes.set("Findings", el("div", { class: "pane" }, findings()));
  panes.set("Charts", el("div", { class: "pane" }, charts()));
  panes.set("Rollouts", el("div", { class: "pane whole" }, host.parentElement));
  for (const name of panes.keys()) tabs.set(name, el("button", { type: "button", role: "tab", onclick: () => show(name) }, name));
  const media = matchMedia("(prefers-color-scheme: dark)");
  let dark = media.matches;
  const toggle = el("button", { type: "button", class: "toggle", onclick: () => dress((dark = !dark)) }, "Light / dark");
  const notes = [report.sentence, report.redaction, report.made].filter(Boolean);
  root.replaceChildren(
    el("header", {}, el("h1", {}, visible(report.name)), el("div", { role: "tablist", "aria-label": "Parts of the report" }, [...tabs.values()]), toggle),
    el("p", { class: "about" }, visible(notes.join(" "))),
    ...panes.values());
  media.addEventListener("change", (event) => dress((dark = event.matches)));
  dress(dark);
  show("Findings");
}

build();
