// Beside the steps: the groups and rollouts, their sparklines, and the strip that scrolls.

import { context, el } from "./dom.js";
import { middle, ownNames, plain, sign, visible } from "./model.js";

const OUTCOME = { true: ["✓", "ok", "succeeded"], false: ["✗", "failed", "failed"], null: ["?", "open", "outcome not known"] };

/** How a rollout ended, as a sign. */
export function outcome(ok) {
  const [text, name] = OUTCOME[ok ?? null];
  return el("span", { class: `outcome ${name}` }, text);
}

/** The colours that a canvas draws with. */
export function colours(node, ...names) {
  const style = getComputedStyle(node);
  return names.map((name) => style.getPropertyValue(name).trim());
}

/** Lines of the list: groups near this one, and below this one its rollouts. */
export function sideLines(g) {
  const found = [];
  if (g.groups.first > 0) found.push({ more: g.groups.first, to: g.groups.first - 1 });
  g.groups.id.forEach((_, k) => {
    const group = g.groups.first + k;
    found.push({ group, k });
    if (group === g.groups.index) g.rollouts.id.forEach((__, rollout) => found.push({ rollout }));
  });
  const behind = g.groups.total - g.groups.first - g.groups.id.length;
  if (behind > 0) found.push({ more: behind, to: g.groups.first + g.groups.id.length });
  return found;
}

/** Names of groups and rollouts where they differ. */
export function names(g) {
  return { groups: ownNames(g.groups.id), rollouts: ownNames(g.rollouts.id) };
}

/** A line of the list. */
export function sideRow(view, line) {
  const g = view.g;
  if (line.more) {
    return el("button", { class: "group more-groups", type: "button", onclick: () => view.goGroup(line.to) }, `${line.more.toLocaleString("en-US")} more groups`);
  }
  if (line.group !== undefined) {
    const [won, n, here] = [g.groups.won[line.k], g.groups.n[line.k], line.group === g.groups.index];
    return el("div", { class: here ? "group here" : "group", role: "option", "aria-selected": here, "aria-setsize": g.groups.total, "aria-posinset": line.group + 1, title: visible(g.groups.id[line.k]), onclick: () => view.goGroup(line.group) },
      el("span", { class: "gname" }, visible(middle(view.names.groups[line.k], 19))),
      el("span", { class: won === 0 || won === n ? "won dead" : "won" }, won === null ? String(n) : `${won}/${n}`));
  }
  const r = line.rollout;
  const [ok, here] = [g.rollouts.outcome[r], r === view.at.rollout];
  const canvas = el("canvas", { class: "spark", "aria-hidden": "true" });
  // A name that is only a number says no more than the number in front of it.
  const own = /^\D*\d+$/.test(view.names.rollouts[r]) ? null : el("span", { class: "own" }, visible(middle(view.names.rollouts[r], 16)));
  requestAnimationFrame(() => spark(view, canvas, r));
  return el("div", { class: `roll${here ? " here" : ""}${view.beside === r ? " other" : ""}`, role: "option", "aria-selected": here,
    "aria-label": `Rollout ${view.number(r)}, ${OUTCOME[ok ?? null][2]}, reward ${plain(g.rollouts.reward[r])}, ${g.rollouts.length[r]} steps`, title: visible(g.rollouts.id[r]),
    onclick: (event) => (event.shiftKey || event.altKey ? view.setBeside(r) : view.goRollout(r)) },
    outcome(ok),
    el("span", { class: "rname" }, el("b", {}, `#${view.number(r)}`), own),
    el("span", { class: "rnum" }, g.rollouts.excluded[r] ? "not scored" : plain(g.rollouts.reward[r])),
    el("span", { class: "rlen" }, g.rollouts.length[r] === 1 ? "1 step" : `${g.rollouts.length[r].toLocaleString("en-US")} steps`),
    canvas);
}

/** The leading method's advantages of a rollout, on the scale of the log. */
function spark(view, canvas, r) {
  const drawing = context(canvas);
  if (!drawing || view.lead < 0) return;
  const [n, longest] = [view.g.rollouts.length[r], view.longest];
  const [width, half] = [canvas.clientWidth, canvas.clientHeight / 2];
  const [pos, neg, axis] = colours(view.app, "--pos", "--neg", "--hair");
  drawing.fillStyle = axis;
  drawing.fillRect(0, half - 0.25, width, 0.5);
  const step = width / longest;
  for (let s = 0; s < n; s++) {
    const a = view.advantage(view.lead, view.row(s, r));
    if (!sign(a)) continue;
    const size = Math.max(Math.min(Math.abs(a) / view.g.scale[view.lead], 1) * half, 0.75);
    drawing.fillStyle = a > 0 ? pos : neg;
    drawing.fillRect(s * step, a > 0 ? half - size : half, Math.max(step - (step > 3 ? 0.75 : 0), 0.5), size);
  }
}

/** The strip: every step of the rollout under every method, and which of them are in sight. */
export function drawStrip(view) {
  const drawing = context(view.strip);
  if (!drawing || !view.g) return;
  const { g, length, strip } = view;
  const [width, height] = [strip.clientWidth, strip.clientHeight];
  const [pos, neg, ink, kept] = colours(view.app, "--pos", "--neg", "--ink", "--accent");
  const [lane, each] = [(width - 8) / Math.max(g.methods.length, 1), height / length];
  // One line of pixels is enough: of steps that share it the strongest is drawn.
  const stride = Math.max(1, Math.floor(length / Math.max(height, 1)));
  for (let m = 0; m < g.methods.length; m++) {
    for (let s = 0; s < length; s += stride) {
      let a = null;
      for (let k = s; k < Math.min(s + stride, length); k++) {
        const here = view.advantage(m, view.row(k));
        if (Number.isFinite(here) && (a === null || Math.abs(here) > Math.abs(a))) a = here;
      }
      if (!sign(a)) continue;
      drawing.globalAlpha = 0.18 + 0.82 * Math.min(Math.abs(a) / g.scale[m], 1);
      drawing.fillStyle = a > 0 ? pos : neg;
      drawing.fillRect(4 + m * lane, s * each, lane - 1, Math.max(stride * each - (each > 4 ? 1 : 0), 0.5));
    }
  }
  drawing.globalAlpha = 1;
  if (g.steps.kept) {
    drawing.fillStyle = kept;
    for (let s = 0; s < length; s++) if (g.steps.kept[view.row(s)]) drawing.fillRect(width - 3, s * each, 3, Math.max(each - 0.5, 1));
  }
  drawing.fillStyle = ink;
  const y = (view.at.step + 0.5) * each;
  drawing.beginPath();
  drawing.moveTo(0, y - 4);
  drawing.lineTo(4, y);
  drawing.lineTo(0, y + 4);
  drawing.fill();
  if (view.beside !== null || !view.turns.heights.count) return;
  const first = Math.max(view.turns.heights.at(view.main.scrollTop) - 1, 0);
  const last = view.turns.heights.at(view.main.scrollTop + view.main.clientHeight);
  drawing.strokeStyle = ink;
  drawing.globalAlpha = 0.45;
  drawing.strokeRect(0.5, first * each + 0.5, width - 1, Math.max((last - first) * each - 1, 3));
}
