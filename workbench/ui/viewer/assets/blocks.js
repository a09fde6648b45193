// One step as a reader sees it: head with credit, then what was seen, thought and done.

import { el } from "./dom.js";
import { fresh, plain, pretty, sign, signed, visible } from "./model.js";

const LINE = 92;

/** Approximate number of lines of a text. */
function lines(text) {
  let count = 0;
  for (const line of text.slice(0, 6000).split("\n")) count += Math.max(1, Math.ceil(line.length / LINE));
  return count;
}

/** A hue for each agent of a group, far from those of the others. */
function hue(view, name) {
  return Math.round(210 + 137.5 * Math.max(view.agents.indexOf(name), 0)) % 360;
}

/** A text with what is searched for lit. */
export function lit(node, text, query) {
  if (!query) {
    node.append(text);
    return node;
  }
  const low = text.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(query), hits = 0; at >= 0 && hits < 500; at = low.indexOf(query, at + query.length), hits++) {
    node.append(text.slice(from, at), el("mark", {}, text.slice(at, at + query.length)));
    from = at + query.length;
  }
  node.append(text.slice(from));
  return node;
}

/** Drawing of an advantage next to its step: bars of the methods, stronger the larger |A|. */
function gutter(view, row) {
  const { methods, scale } = view.g;
  const bars = methods.map((_, m) => {
    const a = view.advantage(m, row);
    const strength = sign(a) === 0 ? 0 : 18 + 82 * Math.min(Math.abs(a) / scale[m], 1);
    return el("span", { "data-sign": sign(a), style: `--a:${strength.toFixed(0)}%` });
  });
  const own = view.g.steps.agent_id?.[row];
  const lanes = view.agents.length > 1 && view.agents.length <= 6
    ? view.agents.map((agent) => el("i", { class: agent === own ? "lane on" : "lane", style: `--h:${hue(view, agent)}` }))
    : [];
  return el("div", { class: "gutter", "aria-hidden": "true" }, bars, lanes);
}

function credits(view, row) {
  return view.g.methods.map((name, m) => {
    const a = view.advantage(m, row);
    const d = sign(a);
    const symbol = Number.isFinite(a) ? (d > 0 ? "▲" : d < 0 ? "▼" : "=") : "";
    return el("span", { class: m === view.lead ? "credit lead" : "credit", "data-sign": d, title: visible(name) },
      el("i", {}, symbol), signed(a) || "–");
  });
}

/** Line of a step: number, who acted, what is to be known, the credits. */
function head(view, step, row) {
  const s = view.g.steps;
  const flag = (text, kind = "") => el("span", { class: `flag ${kind}` }, text);
  const agent = s.agent_id?.[row] ?? s.role?.[row];
  const [reward, mark, note] = [s.reward[row], view.markOf(row), view.noteOf(row)];
  return el("div", { class: "head" },
    el("span", { class: "num" }, String(step + 1)),
    s.kept?.[row] ? el("span", { class: "kept", title: "in the filter" }, "◆") : null,
    agent ? el("span", { class: "agent", style: `--h:${hue(view, agent)}` }, visible(agent)) : null,
    s.role?.[row] && s.agent_id?.[row] && s.role[row] !== s.agent_id[row] ? flag(visible(s.role[row])) : null,
    Number.isFinite(s.round?.[row]) ? flag(`round ${s.round[row]}`) : null,
    mark ? el("span", { class: "pivotal", "data-sign": mark === "+" ? 1 : -1 }, mark === "+" ? "pivotal +" : "pivotal −") : null,
    s.valid_action?.[row] === false ? flag("not parsed", "bad") : null,
    s.gradient_mask?.[row] === false ? flag("not in the loss") : null,
    s.truncated?.[row] === true ? flag("cut by a limit here") : null,
    s.copies?.[row] > 1 ? flag(`stands for ${s.copies[row]} equal rows`) : null,
    reward === null ? flag("reward not logged") : reward ? flag(`reward ${plain(reward)}`, reward > 0 ? "good" : "bad") : null,
    note ? el("span", { class: "note", title: visible(note) }, visible(note)) : null,
    el("span", { class: "grow" }),
    el("span", { class: "credits" }, credits(view, row)));
}

function block(role, label, ...body) {
  return el("div", { class: "block", "data-role": role }, el("span", { class: "label", title: visible(label) }, visible(label)), el("div", {}, body));
}

/** A text that folds at some lines and asks for its whole where only its head was sent. */
function text(view, key, said, { limit, before = null, kind = "" }) {
  const whole = view.whole.has(key);
  const length = view.g.cut[key];
  const missing = length !== undefined && !whole;
  const shown = pretty(said, !missing);
  const open = view.open.has(key);
  const box = el("div", { class: `text ${kind}` });
  const marked = shown === said && before !== null ? fresh(said, before) : [[shown, false]];
  for (const [piece, isNew] of marked) lit(box.appendChild(el("span", isNew ? { class: "new" } : {})), visible(piece), view.query);
  if (!said) box.append(el("span", { class: "empty" }, "(empty)"));
  const long = lines(shown) > limit + 1;
  if (long && !open) {
    box.classList.add("fold");
    box.style.setProperty("--lines", limit);
  }
  if (!long && !missing && !open) return box;
  const name = view.asked.has(`text:${key}`) ? "loading …" : open && !missing ? "fold" : `all ${(length ?? said.length).toLocaleString("en-US")} characters`;
  return [box, el("button", { class: "more", type: "button", "aria-expanded": open, onclick: () => view.toggleText(key) }, name)];
}

function call(view, said) {
  return el("div", { class: "call" }, el("span", { class: "fn" }, lit(el("span"), visible(said.label), view.query)),
    said.args.map(([name, value]) => el("span", { class: "arg" },
      name ? el("span", { class: "k" }, visible(name)) : null,
      lit(el("span", { class: "v" }), visible(value), view.query))));
}

const LIMITS = { system: 2, thought: 2, user: 14, tool: 10, environment: 12, action: 14 };

/** One block of a step. */
function said(view, key, which, before, slim) {
  if (which.args) {
    const missing = view.g.cut[key] !== undefined && !view.whole.has(key);
    const more = missing ? el("button", { class: "more", type: "button", onclick: () => view.toggleText(key) }, view.asked.has(`text:${key}`) ? "loading …" : `all ${view.g.cut[key].toLocaleString("en-US")} characters`) : null;
    return block("action", "call", call(view, which), more);
  }
  const open = which.role === "thought" && view.openThoughts;
  const limit = open ? Infinity : slim ? Math.min(LIMITS[which.role], 6) : LIMITS[which.role];
  const compared = ["environment", "tool", "user"].includes(which.role) ? before : null;
  return block(which.role, which.label, text(view, key, which.text, { limit, before: compared, kind: which.role }));
}

/** What the step before saw, to tell what is new. */
function seenBefore(view, step, rollout) {
  if (step === 0) return null;
  const blocks = view.blocksOf(view.row(step - 1, rollout)) ?? [];
  return blocks.filter((one) => !one.args && one.role !== "action" && one.role !== "thought").map((one) => one.text).join("\n");
}

/** The parts of a step of a rollout; `slim` where two stand side by side. */
export function turn(view, step, rollout, slim = false) {
  const row = view.row(step, rollout);
  const blocks = view.blocksOf(row);
  const body = el("div", { class: "blocks" });
  if (!blocks) body.append(el("p", { class: "empty" }, "The text of this rollout is on its way …"));
  else {
    const before = seenBefore(view, step, rollout);
    blocks.forEach((one, k) => body.append(said(view, `${row}:${k}`, one, before, slim)));
  }
  const answer = step + 1 === view.g.rollouts.length[rollout] ? view.g.last[rollout] : null;
  if (answer) body.append(block(answer.role, "answer", el("div", { class: "text environment" }, lit(el("span"), visible(answer.text), view.query))));
  if (!slim) body.append(...editor(view, row), ...columns(view, row));
  return [gutter(view, row), head(view, step, row), body];
}

/** Where a note is written. */
function editor(view, row) {
  if (view.writing !== row) return [];
  const input = el("input", { class: "write", type: "text", maxlength: "2000", "aria-label": "Note", placeholder: "A note on this step; Enter keeps it", value: view.draft,
    oninput: () => (view.draft = input.value),
    onkeydown: (event) => {
      if (event.key === "Enter") view.keepNote(row, input.value);
      if (event.key === "Escape") view.keepNote(row, null);
      event.stopPropagation();
    } });
  queueMicrotask(() => input.focus({ preventScroll: true }));
  return [block("action", "note", input)];
}

/** Every other column of the step, and its tokens, once they have been asked for. */
function columns(view, row) {
  const told = view.columns.get(row);
  if (!told || !view.showsColumns) return [];
  const names = told.columns.map(([name, value]) => [el("dt", {}, visible(name)), el("dd", {}, visible(value))]);
  const parts = [block("environment", "columns", names.length ? el("dl", { class: "columns" }, names) : el("span", { class: "empty" }, "no other column says anything"))];
  if (told.tokens.response_ids) parts.push(block("environment", "tokens", tokens(view, row, told)));
  return parts;
}

/** Tokens coloured by what pulls at them: the advantage where the mask lets it through. */
function tokens(view, row, told) {
  const { response_ids: ids, response_mask: mask, response_logprobs: logprobs, advantage, texts } = told.tokens;
  const scale = view.g.scale[view.lead] ?? 1;
  const chips = ids.map((id, k) => {
    const sampled = mask ? mask[k] : 1;
    const a = (advantage ? advantage[k] : view.advantage(view.lead, row) ?? 0) * sampled;
    const title = [`id ${id}`, sampled ? `A ${signed(a) || "–"}` : "not sampled by the policy", logprobs ? `log p ${logprobs[k]?.toFixed(3)}` : ""].filter(Boolean).join(" · ");
    return el("span", { class: sampled ? "token" : "token off", "data-sign": sign(a), style: `--a:${(70 * Math.min(Math.abs(a) / scale, 1)).toFixed(0)}%`, title },
      visible(texts ? texts[k] : id), logprobs ? el("i", { style: `--p:${Math.exp(logprobs[k] ?? 0).toFixed(3)}` }) : null);
  });
  const whose = advantage ? "the trainer's own advantage" : `the advantage under ${view.g.methods[view.lead] ?? "no method"}`;
  const more = told.count > ids.length ? ` The first ${ids.length.toLocaleString("en-US")} of ${told.count.toLocaleString("en-US")}.` : "";
  return [el("div", { class: "tokens" }, chips), el("p", { class: "empty" }, visible(`Coloured by ${whose} × mask; the line below a token is its probability. ${told.say}${more}`))];
}
