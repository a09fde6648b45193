// A map of states: every step a point, or cells where they are too many; box and lasso are the filter.

import { el, fill, forPage, isDark } from "./dom.js";
import { plain, signed, visible } from "./model.js";
import { bit, nearest, ramp, Sight, simplified, unpacked } from "./plane.js";

const PAUSE = 120; // milliseconds that the pointer rests before a step is asked for
const CORNERS = 40;
const LEAST = 2000; // square units of a corner of a lasso
const maps = new WeakMap();

/** Called by Streamlit when it mounts, and whenever data or theme change. */
export default function map(component) {
  const root = component.parentElement;
  const found = maps.get(root) ?? new StateMap(root);
  maps.set(root, found);
  found.update(component);
  return () => {
    found.destroy();
    maps.delete(root);
  };
}

class StateMap {
  constructor(root) {
    this.app = root.querySelector(".map");
    Object.assign(this, { mode: "box", drawn: null, hover: -1, dragging: null, colours: new Map() });
    const tool = (name, key, action) => el("button", { class: "tool", type: "button", title: `${name} (${key})`, "aria-keyshortcuts": key, onclick: action }, name, el("kbd", {}, key));
    this.modes = new Map([["box", "b"], ["lasso", "l"], ["move", "p"]].map(([name, key]) => [name, tool(name[0].toUpperCase() + name.slice(1), key, () => this.choose(name))]));
    this.clear = tool("Clear", "Esc", () => this.component.setTriggerValue("select", { corners: [] }));
    this.legend = el("div", { class: "legend" });
    this.status = el("span", { class: "muted count", role: "status" });
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.over = el("canvas", { class: "over", "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.app.replaceChildren(
      el("header", { class: "bar" }, el("div", { class: "tools", role: "toolbar", "aria-label": "Selecting" }, [...this.modes.values()], tool("Whole", "0", () => this.whole()), this.clear), this.status, this.legend),
      el("div", { class: "plane" }, this.canvas, this.over, this.tip));
    this.onKey = (event) => this.pressed(event);
    window.addEventListener("keydown", this.onKey, true);
    this.onSize = () => (fill(this.app), this.draw());
    window.addEventListener("resize", this.onSize);
    this.over.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.over.addEventListener("pointerdown", (event) => this.down(event));
    this.over.addEventListener("pointermove", (event) => this.move(event));
    this.over.addEventListener("pointerleave", () => this.leave());
    this.choose("box");
  }

  update(component) {
    this.component = component;
    const { plane, peek, selected } = component.data;
    const theme = isDark(this.app) ? "dark" : "light";
    const recoloured = this.app.dataset.theme !== theme;
    this.app.dataset.theme = theme;
    fill(this.app);
    this.selected = selected;
    if (this.key !== plane.key) this.take(plane);
    if (this.drawnKey !== plane.key || recoloured) this.draw();
    else this.drawOver();
    this.drawnKey = plane.key;
    this.peek(peek);
    this.clear.disabled = !selected.length;
  }

  take(plane) {
    const fresh = !this.sight || this.plane?.count !== plane.count;
    this.plane = plane;
    this.key = plane.key;
    if (fresh) this.sight = new Sight(plane.side);
    this.value = unpacked(plane.value);
    this.kept = unpacked(plane.kept);
    this.xs = plane.cells ? null : unpacked(plane.x, Uint16Array);
    this.ys = plane.cells ? null : unpacked(plane.y, Uint16Array);
    this.density = plane.cells ? unpacked(plane.density) : null;
    const number = (n) => n.toLocaleString("en-US");
    this.status.textContent = plane.filtered ? `${number(plane.left)} of ${number(plane.count)} steps` : `${number(plane.count)} steps`;
    this.canvas.setAttribute("aria-label", visible(`Map of ${number(plane.count)} steps by ${plane.name}. ${plane.says} Box: b, lasso: l; the filter bar can be typed into instead.`));
  }

  /** A colour of the theme as [r, g, b]; looked up once, since each look lays the page out. */
  colour(name) {
    const key = `${this.app.dataset.theme} ${name}`;
    if (!this.colours.has(key)) this.colours.set(key, this.looked(name));
    return this.colours.get(key);
  }

  looked(name) {
    const probe = el("i", { style: `color:var(${name})` });
    this.app.append(probe);
    const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    const srgb = getComputedStyle(probe).color.startsWith("color(");
    probe.remove();
    return srgb ? found.map((part) => Math.round(255 * part)) : found;
  }

  palette() {
    const names = { credit: ["--neg", "--mid", "--pos"], outcome: ["--failed", "--failed", "--won"], amount: ["--little", "--much"] }[this.plane.palette];
    const stops = names.map((name) => this.colour(name));
    this.drawLegend(stops);
    return ramp(stops);
  }

  drawLegend(stops) {
    const { palette, limits, name } = this.plane;
    const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
    const said = palette === "credit" ? signed : plain;
    const scale = palette === "outcome"
      ? [el("i", { class: "swatch", style: `background:${css(stops.at(-1))}` }), "succeeded", el("i", { class: "swatch cross", style: `color:${css(stops[0])}` }, "+"), "failed"]
      : [said(limits[0]) || "0", el("i", { class: "scale", style: `background:linear-gradient(90deg,${stops.map(css).join(",")})` }), said(limits[1]) || "0"];
    this.legend.replaceChildren(el("b", {}, visible(name)), ...scale);
  }

  draw() {
    if (!this.plane) return;
    const by = window.devicePixelRatio || 1;
    const box = this.over.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * by), Math.round(box.height * by)];
    if (!width || !height) return;
    for (const canvas of [this.canvas, this.over]) [canvas.width, canvas.height] = [width, height];
    this.by = by;
    this.sight.resize(width, height);
    const began = performance.now();
    const drawing = this.canvas.getContext("2d");
    const image = drawing.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const pack = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    const colours = [...this.palette().map(pack), pack(this.colour("--none"))];
    const grey = pack(this.colour("--out"));
    if (this.plane.cells) this.drawCells(pixels, colours, grey);
    else this.drawPoints(pixels, colours, grey);
    drawing.putImageData(image, 0, 0);
    this.app.dataset.ms = (performance.now() - began).toFixed(1);
    this.drawOver();
  }

  /** Points left out first, so that none covers one that is in; then those that are in. */
  drawPoints(pixels, colours, grey) {
    const { xs, ys, value, kept, sight } = this;
    const { width, height, zoom, side } = sight;
    const [kx, ky] = [(zoom * width) / side, (zoom * height) / side];
    const [ox, oy] = [sight.x * zoom * width, sight.y * zoom * height];
    const size = Math.round((xs.length > 60_000 ? 2 : xs.length > 8_000 ? 3 : 4) * this.by * Math.min(1 + Math.log2(zoom) / 3, 3));
    const crosses = this.plane.palette === "outcome" && size > 2;
    const half = size >> 1;
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < xs.length; i++) {
        if (bit(kept, i) !== pass) continue;
        const left = Math.round(xs[i] * kx - ox) - half;
        const top = Math.round(height * zoom - ys[i] * ky - oy) - half;
        if (left < 0 || top < 0 || left + size > width || top + size > height) continue;
        const colour = pass ? colours[value[i]] : grey;
        const cross = crosses && value[i] < 128;
        for (let y = 0; y < size; y++) {
          const row = (top + y) * width + left;
          for (let x = 0; x < size; x++) if (!cross || x === half || y === half) pixels[row + x] = colour;
        }
      }
    }
  }

  /** Cells by how many steps are in them: the fuller, the stronger. */
  drawCells(pixels, colours, grey) {
    const { sight, density, value, kept } = this;
    const { cells, side } = this.plane;
    const { width, height } = sight;
    const paper = this.colour("--paper");
    const part = (colour, shift) => (colour >>> shift) & 255;
    const mixed = (colour, share) => {
      const mix = (shift, c) => Math.round(paper[c] + (part(colour, shift) - paper[c]) * share) << shift;
      return ((255 << 24) | mix(16, 2) | mix(8, 1) | mix(0, 0)) >>> 0;
    };
    const shown = Uint32Array.from(density, (full, cell) => (full ? mixed(bit(kept, cell) ? colours[value[cell]] : grey, 0.25 + (0.75 * full) / 255) : 0));
    const of = (place) => Math.min(Math.max(Math.floor((place * cells) / side), 0), cells - 1);
    const columns = Int32Array.from({ length: width }, (_, px) => of(sight.toPlane(px + 0.5, 0)[0]));
    for (let py = 0; py < height; py++) {
      const row = of(sight.toPlane(0, py + 0.5)[1]) * cells;
      for (let px = 0; px < width; px++) pixels[py * width + px] = shown[row + columns[px]];
    }
  }

  /** The selection, what is being drawn, and the step under the pointer. */
  drawOver() {
    const drawing = this.over.getContext("2d");
    drawing.clearRect(0, 0, this.over.width, this.over.height);
    const ink = `rgb(${this.colour("--ink").join(" ")})`;
    const outline = (points, dashed) => {
      drawing.beginPath();
      points.forEach(([x, y], k) => drawing[k ? "lineTo" : "moveTo"](x, y));
      drawing.closePath();
      drawing.setLineDash(dashed ? [5 * this.by, 4 * this.by] : []);
      drawing.lineWidth = 1.5 * this.by;
      drawing.strokeStyle = ink;
      drawing.stroke();
      drawing.globalAlpha = 0.06;
      drawing.fillStyle = ink;
      drawing.fill();
      drawing.globalAlpha = 1;
    };
    if (this.selected?.length) outline(this.selected.map(([x, y]) => this.sight.toPixel(x, y)), false);
    if (this.drawn?.length > 1) outline(this.drawn, true);
    if (this.hover >= 0 && this.xs) {
      const [x, y] = this.sight.toPixel(this.xs[this.hover], this.ys[this.hover]);
      drawing.beginPath();
      drawing.setLineDash([]);
      drawing.arc(x, y, 6 * this.by, 0, 2 * Math.PI);
      drawing.lineWidth = 2 * this.by;
      drawing.strokeStyle = ink;
      drawing.stroke();
    }
  }

  at(event) {
    const box = this.over.getBoundingClientRect();
    return [(event.clientX - box.left) * this.by, (event.clientY - box.top) * this.by];
  }

  choose(mode) {
    this.mode = mode;
    for (const [name, button] of this.modes) button.setAttribute("aria-pressed", name === mode);
    this.over.style.cursor = mode === "move" ? "grab" : "crosshair";
  }

  whole() {
    this.sight = new Sight(this.plane.side);
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    this.sight.zoomAt(...this.at(event), event.deltaY < 0 ? 1.25 : 0.8);
    this.draw();
  }

  down(event) {
    if (event.button !== 0) return;
    this.over.setPointerCapture(event.pointerId);
    const from = this.at(event);
    this.dragging = { from, last: from, moved: false };
    this.tip.hidden = true;
    const stop = new AbortController();
    this.over.addEventListener("pointerup", (end) => (stop.abort(), this.up(end)), { signal: stop.signal });
    this.over.addEventListener("pointercancel", () => (stop.abort(), this.drop()), { signal: stop.signal });
  }

  move(event) {
    const here = this.at(event);
    const drag = this.dragging;
    if (!drag) return this.point(here);
    drag.moved ||= Math.hypot(here[0] - drag.from[0], here[1] - drag.from[1]) > 4 * this.by;
    if (!drag.moved) return undefined;
    if (this.mode === "move") {
      this.sight.pan(here[0] - drag.last[0], here[1] - drag.last[1]);
      drag.last = here;
      return this.draw();
    }
    const [[x0, y0], [x1, y1]] = [drag.from, here];
    if (this.mode === "box") this.drawn = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
    else (this.drawn ??= [drag.from]).push(here);
    return this.drawOver();
  }

  up(event) {
    const { moved } = this.dragging;
    const drawn = this.drawn;
    this.drop();
    if (!moved) return this.click(this.at(event));
    if (this.mode === "move" || !drawn) return undefined;
    const side = this.plane.side;
    const whole = (value) => Math.min(Math.max(Math.round(value), 0), side);
    const corners = simplified(drawn.map(([x, y]) => this.sight.toPlane(x, y).map(whole)), CORNERS, LEAST);
    // A box is two corners, a lasso all of its points.
    const xs = corners.map(([x]) => x);
    const ys = corners.map(([, y]) => y);
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    return this.component.setTriggerValue("select", { corners: this.mode === "box" ? box : corners.flat() });
  }

  drop() {
    this.dragging = null;
    this.drawn = null;
    this.drawOver();
  }

  click(here) {
    if (!this.xs) {
      this.sight.zoomAt(...here, 2);
      return this.draw();
    }
    const found = nearest(this.sight, this.xs, this.ys, this.kept, ...here, 9 * this.by);
    return found >= 0 ? this.component.setTriggerValue("open", found) : undefined;
  }

  point(here) {
    if (!this.xs) return;
    const found = nearest(this.sight, this.xs, this.ys, this.kept, ...here, 9 * this.by);
    if (found === this.hover) return;
    this.hover = found;
    clearTimeout(this.waiting);
    this.tip.hidden = true;
    this.drawOver();
    if (found >= 0) this.waiting = setTimeout(() => this.component.setTriggerValue("hover", found), PAUSE);
  }

  leave() {
    clearTimeout(this.waiting);
    if (this.dragging) return;
    this.hover = -1;
    this.tip.hidden = true;
    this.drawOver();
  }

  /** What Python says of the step under the pointer. */
  peek(peek) {
    if (!peek || peek.point !== this.hover || !this.xs) return;
    const part = (label, text) => (text ? [el("h2", {}, label), el("p", { class: "text" }, visible(text))] : []);
    this.tip.replaceChildren(
      el("p", { class: "muted" }, visible(peek.where)), el("p", {}, el("b", {}, visible(peek.value)), " ", el("span", { class: "muted" }, visible(this.plane.name))),
      ...part("Seen", peek.seen), ...part("Done", peek.done), el("p", { class: "muted" }, "Click to read it in its rollout"));
    const [x, y] = this.sight.toPixel(this.xs[peek.point], this.ys[peek.point]).map((value) => value / this.by);
    const [width, height] = [this.over.clientWidth, this.over.clientHeight];
    this.tip.hidden = false;
    this.tip.style.left = `${x > width / 2 ? Math.max(x - this.tip.offsetWidth - 14, 4) : x + 14}px`;
    this.tip.style.top = `${Math.max(Math.min(y - 20, height - this.tip.offsetHeight - 4), 4)}px`;
  }

  pressed(event) {
    if (!this.plane || !forPage(event, this.app)) return;
    const actions = {
      b: () => this.choose("box"),
      l: () => this.choose("lasso"),
      p: () => this.choose("move"),
      0: () => this.whole(),
      "+": () => (this.sight.zoomAt(this.sight.width / 2, this.sight.height / 2, 1.5), this.draw()),
      "-": () => (this.sight.zoomAt(this.sight.width / 2, this.sight.height / 2, 1 / 1.5), this.draw()),
      Escape: () => (this.selected.length ? this.component.setTriggerValue("select", { corners: [] }) : undefined),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    actions[event.key]();
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  destroy() {
    clearTimeout(this.waiting);
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("resize", this.onSize);
  }
}
