// Rows of a batch as the trainer sees them: what is trained by its advantage, what is masked grey.

import { el, isDark } from "./dom.js";
import { plain, sign, signed, visible } from "./model.js";

/** Called by Streamlit when it mounts, and whenever data or theme change. */
export default function preview(component) {
  const app = component.parentElement.querySelector(".preview");
  app.dataset.theme = isDark(app) ? "dark" : "light";
  const { rows, say } = component.data;
  app.replaceChildren(...rows.map((row) => drawn(row, component.data)), el("p", { class: "empty" }, visible(say)));
}

function drawn(row, { scale }) {
  const unit = row.of === "tokens" ? ["token", "trained"] : ["message", "trained"];
  const many = (n, noun) => `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
  const facts = [`row ${row.row + 1}`, `${row.trained.toLocaleString("en-US")} of ${many(row.size, unit[0])} trained`, `weight ${plain(row.weight)}`, `reward ${plain(row.reward)}`];
  const gap = (n, where) => (n ? el("span", { class: "gap" }, `${many(n, unit[0])} ${where} not shown`) : null);
  const [before, behind] = row.skipped;
  const pieces = row.of === "tokens"
    ? el("div", { class: "tokens" }, gap(before, "before"), row.pieces.map((piece) => token(piece, scale)), gap(behind, "behind"))
    : el("div", { class: "messages" }, row.pieces.map((piece) => message(piece, scale)), gap(behind, "behind"));
  return el("article", { class: "row" },
    el("p", { class: "facts" }, el("b", { title: visible(row.trajectory) }, visible(row.name)), el("span", { class: "muted" }, facts.join(" \u00b7 "))), pieces);
}

function strength(advantage, scale) {
  return `--a:${(70 * Math.min(Math.abs(advantage ?? 0) / scale, 1)).toFixed(0)}%`;
}

function token({ token: id, text, trained, advantage }, scale) {
  const title = [`id ${id}`, trained ? `A ${signed(advantage) || "0"}` : "masked: not trained"].join(" \u00b7 ");
  return el("span", { class: trained ? "token" : "token off", "data-sign": sign(advantage), style: strength(advantage, scale), title }, visible(text ?? String(id)));
}

function message({ role, text, trained, advantage }, scale) {
  const credit = trained ? el("span", { class: "signed", "data-sign": sign(advantage) }, sign(advantage) > 0 ? "\u25b2 " : sign(advantage) < 0 ? "\u25bc " : "= ", signed(advantage) || "0") : el("span", { class: "muted" }, role === "assistant" ? "masked" : "");
  return el("div", { class: trained ? "message" : "message off", "data-sign": trained ? sign(advantage) : null, style: strength(advantage, scale) },
    el("span", { class: "who" }, visible(role)), el("span", { class: "text" }, visible(text)), credit);
}
