// What the viewer computes: no document, no Streamlit. Tested with `node --test`.

const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** A text with the characters made visible by which a log could mislead: control, bidi, no width. */
export function visible(text) {
  return String(text ?? "").replace(/\r\n/g, "\n").replace(HIDDEN, "\u2420");
}

/** An advantage in three digits with its sign; empty where there is none. */
export function signed(value) {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size <= 1e-12) return "0";
  const text = size >= 100 ? size.toFixed(0) : size >= 1e-4 ? size.toPrecision(3) : size.toExponential(0);
  return (value > 0 ? "+" : "\u2212") + text;
}

/** -1, 0 or 1; 0 where there is no number, and for what rounding leaves. */
export function sign(value) {
  return Number.isFinite(value) && Math.abs(value) > 1e-12 ? Math.sign(value) : 0;
}

/** A reward or a count. */
export function plain(value) {
  if (value === null || value === undefined) return "\u2013";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(+value.toPrecision(3));
}

/** JSON with line breaks where a text is whole JSON and longer than a line, else the text. */
export function pretty(text, whole = true) {
  const head = text.trimStart();
  if (!whole || !/^[[{]/.test(head) || text.length < 90 || text.length > 200_000) return text;
  try {
    return JSON.stringify(JSON.parse(head), null, 2);
  } catch {
    return text;
  }
}

/** Lines of a text, or its sentences where it is one line. */
export function pieces(text) {
  const out = [];
  let start = 0;
  for (const match of text.matchAll(/\n|(?<=\[SEP\])\s|(?<=[.!?])\s/g)) {
    const end = match.index + match[0].length;
    out.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) out.push(text.slice(start));
  return out;
}

/**
 * A text as [piece, whether it is new] against the text before it. Nothing is marked where more
 * than six tenths are new: then nothing stands out.
 */
export function fresh(text, before) {
  if (before === null || before === undefined) return [[text, false]];
  const known = new Set(pieces(before).map((piece) => piece.trim()));
  const marked = pieces(text).map((piece) => [piece, piece.trim() !== "" && !known.has(piece.trim())]);
  const size = marked.reduce((sum, [piece, isNew]) => sum + (isNew ? piece.length : 0), 0);
  if (size === 0 || size > 0.6 * text.length) return [[text, false]];
  const merged = [];
  for (const [piece, isNew] of marked) {
    const last = merged.at(-1);
    if (last && last[1] === isNew) last[0] += piece;
    else merged.push([piece, isNew]);
  }
  return merged;
}

/** Names without the beginning and the end that all of them share, cut at separators. */
export function ownNames(names) {
  if (names.length < 2) return names.slice();
  const first = names[0];
  const least = names.reduce((most, name) => Math.min(most, name.length), Infinity);
  let head = 0;
  let tail = 0;
  while (head < least && names.every((name) => name[head] === first[head])) head++;
  while (tail < least - head && names.every((name) => name.at(-1 - tail) === first.at(-1 - tail))) tail++;
  while (head > 0 && !/[/:|\s]/.test(first[head - 1])) head--;
  while (tail > 0 && !/[/:|\s]/.test(first[first.length - tail])) tail--;
  const own = names.map((name) => name.slice(head, name.length - tail));
  return own.every((name) => name.trim()) ? own : names.slice();
}

/** A name cut in the middle. */
export function middle(name, most) {
  if (name.length <= most) return name;
  const end = Math.floor((most - 1) / 2);
  return `${name.slice(0, most - 1 - end)}\u2026${name.slice(name.length - end)}`;
}

const MOST_CELLS = 4e6;

/**
 * The steps of two rollouts side by side by equal state: their longest common subsequence.
 * Rows are [left, right, equal], -1 where there is nothing. Beyond 2,000 × 2,000 steps by position.
 */
export function align(a, b) {
  if (a.length * b.length > MOST_CELLS) {
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => [
      i < a.length ? i : -1,
      i < b.length ? i : -1,
      i < a.length && i < b.length && a[i] === b[i],
    ]);
  }
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const rows = [];
  let [left, right] = [[], []];
  const flush = () => {
    for (let k = 0; k < Math.max(left.length, right.length); k++) rows.push([left[k] ?? -1, right[k] ?? -1, false]);
    [left, right] = [[], []];
  };
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      flush();
      rows.push([i++, j++, true]);
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) left.push(i++);
    else right.push(j++);
  }
  while (i < a.length) left.push(i++);
  while (j < b.length) right.push(j++);
  flush();
  return rows;
}

/** Aligned rows with stretches of at least `least` equal ones, except the first, as {fold: [from, to]}. */
export function fold(rows, same, least = 3) {
  const out = [];
  for (let k = 0; k < rows.length; ) {
    let end = k;
    while (end < rows.length && rows[end][2] && same(rows[end][0], rows[end][1])) end++;
    if (end - k >= least) {
      out.push({ fold: [k, end] });
      k = end;
    } else out.push({ row: rows[k++] });
  }
  return out;
}

/** Rollout to compare with: another outcome first, then the largest gap of rewards. */
export function partner(outcome, reward, of) {
  const others = outcome.map((_, r) => r).filter((r) => r !== of);
  const gap = (r) => Math.abs((reward[r] ?? 0) - (reward[of] ?? 0));
  others.sort((x, y) => (outcome[x] === outcome[of]) - (outcome[y] === outcome[of]) || gap(y) - gap(x) || x - y);
  return others[0] ?? -1;
}

/** Heights of the rows of a long list, estimated until they are measured; sums by a Fenwick tree. */
export class Heights {
  constructor(count, estimate) {
    this.count = count;
    this.height = new Float64Array(count);
    this.sums = new Float64Array(count + 1);
    for (let i = 0; i < count; i++) this.set(i, estimate(i));
  }

  /** Sets a height; returns by how much it has changed. */
  set(i, value) {
    const by = value - this.height[i];
    if (Math.abs(by) < 0.01) return 0;
    this.height[i] = value;
    for (let k = i + 1; k <= this.count; k += k & -k) this.sums[k] += by;
    return by;
  }

  /** Where row i begins. */
  offset(i) {
    let sum = 0;
    for (let k = i; k > 0; k -= k & -k) sum += this.sums[k];
    return sum;
  }

  get total() {
    return this.offset(this.count);
  }

  /** The row at a height. */
  at(y) {
    let i = 0;
    let bit = 1;
    while (bit * 2 <= this.count) bit *= 2;
    for (let rest = y; bit > 0; bit >>= 1) {
      if (i + bit <= this.count && this.sums[i + bit] <= rest) {
        i += bit;
        rest -= this.sums[i];
      }
    }
    return Math.max(Math.min(i, this.count - 1), 0);
  }
}
