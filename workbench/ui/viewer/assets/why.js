// Why a step has its credit: the sum, the terms in words, the peers with what differs.

import { el, fill, isDark } from "./dom.js";
import { plain, sign, signed, visible } from "./model.js";

const OUTCOMES = { "✓": "ok", "✗": "failed", "?": "open" };

/** Called by Streamlit when it mounts, and whenever data or theme change. */
export default function why(component) {
  const app = component.parentElement.querySelector(".why");
  app.dataset.theme = isDark(app) ? "dark" : "light";
  const size = () => fill(app);
  const told = component.data;
  const go = (target) => component.setTriggerValue("step", target);
  const from = app.dataset.of === `${told.trajectory}:${told.step}:${told.method}` ? app.scrollTop : 0;
  app.dataset.of = `${told.trajectory}:${told.step}:${told.method}`;
  app.setAttribute("role", "complementary");
  app.setAttribute("aria-label", "Why this credit");
  app.replaceChildren(
    el("div", { class: "sum" }, el("b", { class: "signed", "data-sign": sign(told.advantage) }, amount(told.advantage)), el("span", { class: "muted" }, visible(`${told.method} · step ${told.step + 1}`))),
    waterfall(told.parts, told.advantage),
    ...told.terms.map((term) => el("p", { class: "term" }, el("b", {}, visible(term.name)), " ", el("span", { class: "signed", "data-sign": sign(term.value) }, amount(term.value)), visible(` · ${term.sentence}`))),
    ...told.notes.map((note) => el("p", { class: "fine" }, visible(note))),
    ...told.terms.flatMap((term) => peers(term, go)),
    facts(told.facts),
    ...nearest(told, component, go));
  app.scrollTop = from;
  size();
  window.addEventListener("resize", size);
  return () => window.removeEventListener("resize", size);
}

function amount(value) {
  const d = sign(value);
  return `${d > 0 ? "▲" : d < 0 ? "▼" : "="} ${signed(value) || "–"}`;
}

/** Scores and baselines one after the other, and the advantage that they sum to. */
function waterfall(parts, advantage) {
  let sum = 0;
  const bars = parts.map(({ label, value }) => {
    const from = sum;
    sum += value;
    return { label, value, from: Math.min(from, sum), to: Math.max(from, sum) };
  });
  bars.push({ label: "advantage", value: advantage, from: Math.min(0, advantage), to: Math.max(0, advantage), total: true });
  const low = Math.min(0, ...bars.map((bar) => bar.from));
  const high = Math.max(0, ...bars.map((bar) => bar.to));
  const share = (value) => (high > low ? (100 * (value - low)) / (high - low) : 0);
  const rows = bars.map((bar) => [
    el("span", { class: bar.total ? "name total" : "name", title: visible(bar.label) }, visible(bar.label)),
    el("span", { class: "track", style: `--zero:${share(0)}%`, "aria-hidden": "true" },
      el("i", { class: bar.total ? "total" : "", "data-sign": sign(bar.value), style: `left:${share(bar.from)}%;width:${share(bar.to) - share(bar.from)}%` })),
    el("span", { class: bar.total ? "amount total" : "amount" }, signed(bar.value))]);
  return el("div", { class: "fall", role: "img", "aria-label": `Parts: ${bars.map((bar) => `${bar.label} ${signed(bar.value)}`).join(", ")}` }, rows);
}

/** The members of a term's baseline. */
function peers(term, go) {
  const { count, rest, of, rows } = term.peers;
  const title = el("h2", {}, visible(`${term.name}: `), count ? `compared with ${count.toLocaleString("en-US")} ${of}${count === 1 ? "" : "s"}` : "nobody to compare with, there are no peers");
  if (!count) return [title];
  const heaviest = Math.max(...rows.map((row) => row.weight), 1e-12);
  const list = el("div", { class: "peers" }, rows.map((row) => peer(row, heaviest, go)));
  const more = count > rows.length ? el("p", { class: "fine" }, `${(count - rows.length).toLocaleString("en-US")} more weigh ${plain(rest)} together.`) : null;
  return [title, list, more].filter(Boolean);
}

function peer(row, heaviest, go) {
  const name = row.step === null ? row.rollout : `${row.rollout} · step ${row.step}`;
  const which = /\((this|own)\)$/.exec(row.rollout)?.[1];
  const short = [`#${row.number}`, which === "own" ? "this rollout" : which === "this" ? "this step" : "", row.step === null ? "" : `step ${row.step}`];
  const line = el("div", { class: "line" },
    el("span", { class: `outcome ${OUTCOMES[row.outcome]}` }, row.outcome),
    el("span", { class: "who", title: visible(name) }, short.filter(Boolean).join(" · ")),
    el("span", { class: "weight", title: `weight ${plain(row.weight)}` }, el("i", { style: `width:${(100 * row.weight) / heaviest}%` })),
    el("span", { class: "muted" }, `${plain(row.weight)} ×`), el("b", {}, plain(row.value)));
  const parts = [line];
  if (row.action !== undefined) {
    const near = row.similarity === null ? "" : `, similarity ${plain(row.similarity)}`;
    parts.push(el("div", { class: "did" }, el("span", {}, row.differs ? `other state${near} · ` : "same state · "), visible(row.action)));
  }
  if (row.differs?.length) parts.push(el("div", { class: "diff" }, row.differs.map(([kind, text]) => [el("span", { "data-kind": kind }, visible(text)), " "])));
  return el("button", { class: which ? "peer own" : "peer", type: "button", title: "Go there", onclick: () => go(row.target) }, parts);
}

function facts({ terms, rows }) {
  const head = el("tr", {}, el("th"), terms.map((term) => el("th", {}, visible(term))));
  const body = rows.map(([name, ...values]) => el("tr", {}, el("td", {}, visible(name)), values.map((value) => el("td", {}, visible(value)))));
  return el("details", {}, el("summary", {}, "All numbers of each term"), el("table", {}, head, body));
}

/** The nearest states of the log, once somebody asks. */
function nearest(told, component, go) {
  const found = told.nearest;
  if (!found) return [el("button", { class: "ask", type: "button", onclick: () => component.setTriggerValue("nearest", [told.trajectory, told.step]) }, "Nearest states anywhere in this log")];
  const title = el("h2", {}, "Nearest states anywhere in this log");
  if (found.problem) return [title, el("p", { class: "fine" }, visible(found.problem))];
  const rows = found.rows.map((row) => el("button", { class: "peer", type: "button", onclick: () => go(row.target) },
    el("div", { class: "line" }, el("span", { class: "who" }, visible(`${row.target[0]} · step ${row.target[1] + 1}`)), el("span", { class: "muted" }, `${plain(row.similarity)} · ${row.steps} steps, ${row.groups} groups · mean reward ${plain(row.reward)}`)),
    el("div", { class: "did" }, visible(row.text))));
  return [title, el("div", { class: "peers" }, rows), el("p", { class: "fine" }, visible(`Similarity of ${found.embedder}; its own state comes first.`))];
}
