// Charts of a report, of elements alone: bars, distributions, tables. No canvas, nothing to load.

import { el } from "./dom.js";
import { plain, sign, signed, visible } from "./model.js";

/** A bar for each row, as long as its number is of the largest. */
export function bars(rows) {
  const largest = Math.max(...rows.map((row) => row.value), 1e-12);
  return el("div", { class: "bars" }, rows.map(({ label, value, says, meaning }) => [
    el("span", { class: "name", title: visible(meaning ?? "") }, visible(label)),
    el("span", { class: "track", "aria-hidden": "true" }, el("i", { style: `width:${(100 * value) / largest}%` })),
    el("span", { class: "amount" }, visible(says ?? plain(value)))]));
}

/** A distribution of advantages around 0, on the method's own scale: orange above, purple below. */
export function distribution({ name, counts, limit, beyond, zero, mean, deviation }) {
  const most = Math.max(...counts, 1);
  const middle = (counts.length - 1) / 2;
  const columns = counts.map((count, k) => {
    const from = ((2 * k) / counts.length - 1) * limit;
    const to = ((2 * k + 2) / counts.length - 1) * limit;
    return el("i", { "data-sign": Math.sign(k - middle), style: count ? `height:max(1px, ${(100 * count) / most}%)` : "height:0", title: `${signed(from) || "0"} to ${signed(to) || "0"}: ${count.toLocaleString("en-US")} steps` });
  });
  const said = [`mean ${signed(mean)}`, `deviation ${plain(deviation)}`, `${(100 * zero).toFixed(0)} % are 0`, beyond ? `${beyond.toLocaleString("en-US")} steps lie beyond ±${plain(limit)} and are in the last bars` : ""];
  return el("figure", {},
    el("figcaption", {}, el("b", {}, visible(name)), el("span", { class: "muted" }, said.filter(Boolean).join(" · "))),
    el("div", { class: "columns", role: "img", "aria-label": visible(`Advantages of ${name}: ${said[0]}, ${said[1]}`) }, columns),
    el("div", { class: "axis" }, el("span", {}, signed(-limit)), el("span", {}, "0"), el("span", {}, signed(limit))));
}

/** Lengths of rollouts, stacked by how they ended. */
export function lengths(rows) {
  const parts = ["succeeded", "failed", "unknown"];
  const most = Math.max(...rows.map((row) => parts.reduce((sum, part) => sum + row[part], 0)), 1);
  const label = (row) => (row.shortest === row.longest ? `${row.shortest}` : `${row.shortest}\u2013${row.longest}`);
  const columns = rows.map((row) => el("div", { class: "stack", title: `${label(row)} steps: ${parts.filter((part) => row[part]).map((part) => `${row[part]} ${part === "unknown" ? "not known" : part}`).join(", ")}` },
    parts.map((part) => el("i", { class: part, style: `height:${(100 * row[part]) / most}%` }))));
  const shown = parts.filter((part) => rows.some((row) => row[part]));
  return el("figure", {},
    el("figcaption", {}, shown.map((part) => el("span", { class: `key ${part}` }, part === "unknown" ? "not known or not scored" : part))),
    el("div", { class: "columns", role: "img", "aria-label": "How many steps the rollouts have, by outcome" }, columns),
    el("div", { class: "axis" }, el("span", {}, label(rows[0])), el("span", {}, "steps of a rollout"), el("span", {}, label(rows.at(-1)))));
}

/** A table of numbers; cells that are objects carry a sign or a title. */
export function table(heads, rows) {
  const cell = (value, tag = "td") => {
    const { text, title, credit } = value !== null && typeof value === "object" ? value : { text: value };
    return el(tag, { title: title ? visible(title) : null, class: credit === undefined ? null : "signed", "data-sign": credit === undefined ? null : sign(credit) }, visible(text ?? "\u2013"));
  };
  return el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => cell(head, "th")))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, k) => cell(value, k ? "td" : "th")))))));
}
