// Elements and long lists.

import { Heights } from "./model.js";

/** An element. Strings become text nodes: nothing of a log is ever read as HTML. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-") || name.startsWith("data-")) node.setAttribute(name, String(value));
    else if (value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** A canvas cleared for drawing in CSS pixels; null while it has no size. */
export function context(canvas) {
  const [width, height, by] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  if (!width || !height) return null;
  canvas.width = Math.round(width * by);
  canvas.height = Math.round(height * by);
  const drawing = canvas.getContext("2d");
  drawing.setTransform(by, 0, 0, by, 0, 0);
  return drawing;
}

/** Whether the theme that Streamlit gives an element is dark. */
export function isDark(node) {
  const colour = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  const hex = /^#(..)(..)(..)/.exec(colour);
  const [r, g, b] = hex ? hex.slice(1).map((part) => parseInt(part, 16)) : (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return 0.3 * r + 0.59 * g + 0.11 * b < 128;
}

/** Makes a node as high as the window leaves room for. */
export function fill(node, least = 320) {
  const scrolled = document.querySelector('[data-testid="stMain"]')?.scrollTop ?? 0;
  const top = node.getBoundingClientRect().top + scrolled;
  node.style.height = `${Math.max(window.innerHeight - top - 12, least)}px`;
}

/** Whether a key press belongs to the page: not while someone types, nor in a list, menu or dialog. */
export function forPage(event, app) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  if (!app.isConnected || !app.offsetParent) return false;
  const [target] = event.composedPath();
  if (!(target instanceof Element) || target === document.body) return true;
  if (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return false;
  if (app.contains(target)) return true;
  return !target.closest("[role=dialog],[role=listbox],[role=menu],[role=grid],[data-testid=stPopoverBody]");
}

const UNHEARD = "workbench.unheard";

/**
 * What is said to Python and must not be lost. A message that is sent while the app runs takes the
 * place of one that waits; so all that Python has not yet heard of is said again each time, and by
 * the next page of this tab where somebody leaves before it was heard.
 */
export class Outbox {
  constructor() {
    this.waiting = JSON.parse(sessionStorage.getItem(UNHEARD) ?? "[]");
    this.last = this.waiting.at(-1)?.n ?? 0;
    this.left = this.waiting.length > 0;
  }

  say(component, entry) {
    // Numbers grow over reloads as well: the time is larger than any number before it.
    this.last = Math.max(this.last + 1, Date.now());
    this.waiting.push({ n: this.last, ...entry });
    this.send(component);
  }

  send(component) {
    sessionStorage.setItem(UNHEARD, JSON.stringify(this.waiting));
    component.setStateValue("said", this.waiting.slice());
  }

  /** Python has heard everything up to a number; what another page left behind is said again. */
  heard(component, n) {
    this.waiting = this.waiting.filter((entry) => entry.n > n);
    sessionStorage.setItem(UNHEARD, JSON.stringify(this.waiting));
    if (this.left && this.waiting.length) this.send(component);
    this.left = false;
  }
}

/** Rows of unlike heights, of which only those in sight are in the document. */
export class VirtualList {
  constructor(scroller, render, onScroll = () => {}) {
    Object.assign(this, { scroller, render, nodes: new Map(), heights: new Heights(0, () => 0) });
    this.inner = el("div", { class: "inner", role: "presentation" });
    scroller.append(this.inner);
    this.measuring = new ResizeObserver((entries) => this.measured(entries));
    this.sizing = new ResizeObserver(() => this.draw());
    this.sizing.observe(scroller);
    scroller.addEventListener("scroll", () => (this.draw(), onScroll()), { passive: true });
  }

  /** Another list. */
  reset(count, estimate, top = 0) {
    for (const i of [...this.nodes.keys()]) this.drop(i);
    this.heights = new Heights(count, estimate);
    this.stretch();
    this.scroller.scrollTop = top;
    this.draw();
  }

  drop(i) {
    const node = this.nodes.get(i);
    this.measuring.unobserve(node);
    node.remove();
    this.nodes.delete(i);
  }

  stretch() {
    this.inner.style.height = `${this.heights.total}px`;
  }

  measured(entries) {
    let changed = false;
    let shift = 0;
    for (const { target } of entries) {
      if (this.nodes.get(target.index) !== target) continue;
      const above = this.heights.offset(target.index) < this.scroller.scrollTop;
      const by = this.heights.set(target.index, target.offsetHeight);
      changed ||= by !== 0;
      if (above) shift += by;
    }
    if (!changed) return;
    this.stretch();
    if (shift) this.scroller.scrollTop += shift;
    this.draw();
  }

  draw() {
    const { scroller, heights, nodes } = this;
    if (!heights.count) return;
    const from = heights.at(Math.max(scroller.scrollTop - 300, 0));
    const to = heights.at(scroller.scrollTop + scroller.clientHeight + 300);
    for (const i of [...nodes.keys()]) if (i < from || i > to) this.drop(i);
    for (let i = from; i <= to; i++) {
      if (!nodes.has(i)) this.put(i, this.following(i, to));
      nodes.get(i).style.transform = `translateY(${heights.offset(i)}px)`;
    }
  }

  /** The node of the next row that is there: reading and tab order are those of the list. */
  following(i, to) {
    for (let k = i + 1; k <= to; k++) if (this.nodes.has(k)) return this.nodes.get(k);
    return null;
  }

  put(i, before) {
    const node = this.render(i);
    node.index = i;
    this.nodes.set(i, node);
    this.inner.insertBefore(node, before);
    this.measuring.observe(node);
    return node;
  }

  redraw(i) {
    const old = this.nodes.get(i);
    if (!old) return;
    const next = old.nextSibling;
    this.drop(i);
    this.put(i, next).style.transform = old.style.transform;
  }

  redrawAll() {
    for (const i of [...this.nodes.keys()]) this.redraw(i);
  }

  /** Brings a row into sight; measures it on the way, so that one call is enough. */
  show(i, lead = 64) {
    const { scroller, heights } = this;
    for (let again = 0; again < 3; again++) {
      const top = heights.offset(i);
      const bottom = top + heights.height[i];
      const view = scroller.clientHeight;
      const tall = bottom - top > view - lead;
      const seen = top - 8 >= scroller.scrollTop && (bottom <= scroller.scrollTop + view || (tall && top < scroller.scrollTop + 2 * lead));
      if (seen && this.nodes.has(i)) break;
      const up = top < scroller.scrollTop || tall;
      scroller.scrollTop = Math.max(up ? top - lead : Math.min(top - lead, bottom - view + lead), 0);
      this.draw();
      const node = this.nodes.get(i);
      if (!node || !heights.set(i, node.offsetHeight)) break;
      this.stretch();
      this.draw();
    }
  }

  destroy() {
    this.measuring.disconnect();
    this.sizing.disconnect();
  }
}
