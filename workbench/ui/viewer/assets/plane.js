// What a map computes: no document, no Streamlit. Tested with `node --test`.

/** Bytes of base64 text, as numbers of a type. */
export function unpacked(text, type = Uint8Array) {
  const raw = atob(text ?? "");
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new type(bytes.buffer);
}

/** Whether bit i is set. */
export function bit(bits, i) {
  return (bits[i >> 3] >> (i & 7)) & 1;
}

/** A view of the plane: what of it is in sight. `scale` is pixels per unit at zoom 1. */
export class Sight {
  constructor(side) {
    Object.assign(this, { side, zoom: 1, x: 0, y: 0, width: 1, height: 1 });
  }

  resize(width, height) {
    Object.assign(this, { width, height });
  }

  // Each side of the plane fills its side of the canvas; y grows upwards.
  toPixel(x, y) {
    return [(x / this.side - this.x) * this.zoom * this.width, (1 - y / this.side - this.y) * this.zoom * this.height];
  }

  toPlane(px, py) {
    return [(px / (this.zoom * this.width) + this.x) * this.side, (1 - py / (this.zoom * this.height) - this.y) * this.side];
  }

  /** Zooms about a pixel, which stays where it is; never further out than the whole. */
  zoomAt(px, py, by) {
    const zoom = Math.min(Math.max(this.zoom * by, 1), 400);
    const move = (p, size) => p / size / this.zoom - p / size / zoom;
    this.x += move(px, this.width);
    this.y += move(py, this.height);
    this.zoom = zoom;
    this.hold();
  }

  pan(dx, dy) {
    this.x -= dx / this.width / this.zoom;
    this.y -= dy / this.height / this.zoom;
    this.hold();
  }

  hold() {
    const most = 1 - 1 / this.zoom;
    this.x = Math.min(Math.max(this.x, 0), most);
    this.y = Math.min(Math.max(this.y, 0), most);
  }
}

/** The point nearest to a pixel, at most `reach` pixels away; what the filter left out last. -1 for none. */
export function nearest(sight, xs, ys, kept, px, py, reach = 8) {
  const [x, y] = sight.toPlane(px, py);
  const [ux, uy] = [sight.zoom * sight.width / sight.side, sight.zoom * sight.height / sight.side];
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < xs.length; i++) {
    const dx = (xs[i] - x) * ux;
    if (dx > reach || dx < -reach) continue;
    const dy = (ys[i] - y) * uy;
    const far = dx * dx + dy * dy + (bit(kept, i) ? 0 : 1e4);
    if (dx * dx + dy * dy <= reach * reach && far < least) [least, best] = [far, i];
  }
  return best;
}

/**
 * A lasso with at most so many corners, in order: those that matter most for its form. Corners
 * that add less than `least` square units are left out in any case.
 */
export function simplified(points, most, least = 0) {
  const area = (a, b, c) => Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]));
  const left = points.slice();
  while (left.length > 3) {
    let [smallest, at] = [Infinity, 0];
    for (let i = 0; i < left.length; i++) {
      const size = area(left.at(i - 1), left[i], left[(i + 1) % left.length]);
      if (size < smallest) [smallest, at] = [size, i];
    }
    if (left.length <= most && smallest >= least) break;
    left.splice(at, 1);
  }
  return left;
}

/** Colours of a palette for bytes 0 to 254, between colours given as [r, g, b]. */
export function ramp(stops) {
  return Array.from({ length: 255 }, (_, k) => {
    const t = (k / 254) * (stops.length - 1);
    const at = Math.min(Math.floor(t), stops.length - 2);
    return stops[at].map((value, c) => Math.round(value + (stops[at + 1][c] - value) * (t - at)));
  });
}
