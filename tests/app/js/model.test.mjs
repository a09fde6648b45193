// The viewer's model; `pytest tests/app/test_assets.py` runs this with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Heights, align, fold, fresh, middle, ownNames, partner, plain, pretty, sign, signed, visible } from "../../../workbench/ui/viewer/assets/model.js";

test("control, bidi and invisible characters are shown, line ends are not", () => {
  assert.equal(visible("a\u202eb\u0007c\u200bd\r\ne\tf"), "a\u2420b\u2420c\u2420d\ne\tf");
  assert.equal(visible("x\u{e0041}y"), "x\u2420y");
  assert.equal(visible(null), "");
});

test("advantages have three digits and their sign", () => {
  assert.equal(signed(0.4633), "+0.463");
  assert.equal(signed(-2.475), "\u22122.48");
  assert.equal(signed(123.4), "+123");
  assert.equal(signed(0.000971), "+0.000971");
  assert.equal(signed(-1e-13), "0");
  assert.equal(signed(null), "");
  assert.deepEqual([sign(-1), sign(1e-13), sign(NaN), sign(2)], [-1, 0, 0, 1]);
});

test("rewards are plain numbers", () => {
  assert.deepEqual([plain(null), plain(0.12345), plain(1234.5), plain(-1)], ["\u2013", "0.123", "1,235", "-1"]);
});

test("JSON is broken into lines only where it is whole", () => {
  const long = `{"a":"${"x".repeat(90)}"}`;
  assert.equal(pretty(long), `{\n  "a": "${"x".repeat(90)}"\n}`);
  assert.equal(pretty(long, false), long);
  assert.equal(pretty('{"a":1}'), '{"a":1}');
  assert.equal(pretty('{"a":'), '{"a":');
});

test("what is new is marked, unless nearly all is", () => {
  assert.deepEqual(fresh("a long first line\nnew", "a long first line"), [["a long first line\n", false], ["new", true]]);
  assert.deepEqual(fresh("x", null), [["x", false]]);
  assert.deepEqual(fresh("all of it is new", "old"), [["all of it is new", false]]);
});

test("names are cut where they differ, at separators", () => {
  assert.deepEqual(ownNames(["s0/task-00/r", "s0/task-01/r"]), ["task-00", "task-01"]);
  assert.deepEqual(ownNames(["task-1", "task-2"]), ["task-1", "task-2"]);
  assert.deepEqual(ownNames(["same", "same"]), ["same", "same"]);
  assert.deepEqual(ownNames(["one"]), ["one"]);
  assert.equal(middle("abcdefghij", 5), "ab\u2026ij");
});

test("alignment keeps the order and has every step once", () => {
  const rows = align([1, 2, 3, 5], [1, 9, 3, 4, 5]);
  assert.deepEqual(rows.filter((row) => row[2]), [[0, 0, true], [2, 2, true], [3, 4, true]]);
  assert.deepEqual(rows.map((row) => row[0]).filter((i) => i >= 0), [0, 1, 2, 3]);
  assert.deepEqual(rows.map((row) => row[1]).filter((i) => i >= 0), [0, 1, 2, 3, 4]);
  assert.deepEqual(align([], [7]), [[-1, 0, false]]);
});

test("rollouts beyond 2,000 by 2,000 steps stand side by side by position", () => {
  const long = Array.from({ length: 2_001 }, (_, i) => i);
  const rows = align(long, long.slice(1));
  assert.deepEqual([rows.length, rows[0], rows.at(-1)], [2_001, [0, 0, false], [2_000, -1, false]]);
});

test("equal stretches fold, and short ones do not", () => {
  const rows = [[0, 0, true], [1, 1, true], [2, 2, true], [3, 3, false], [4, 4, true]];
  assert.deepEqual(fold(rows, () => true), [{ fold: [0, 3] }, { row: [3, 3, false] }, { row: [4, 4, true] }]);
  assert.equal(fold(rows, () => false).length, 5);
});

test("the partner ended otherwise, with the largest gap of rewards", () => {
  assert.equal(partner([true, true, false, false], [1, 0.2, 0.5, 0], 0), 3);
  assert.equal(partner([true, true], [1, 1], 1), 0);
  assert.equal(partner([null], [null], 0), -1);
});

test("heights sum, change and are found again", () => {
  const heights = new Heights(5, () => 10);
  assert.equal(heights.set(1, 30), 20);
  assert.equal(heights.set(1, 30), 0);
  assert.deepEqual([heights.total, heights.offset(2), heights.at(39), heights.at(40), heights.at(999), heights.at(-5)], [70, 40, 1, 2, 4, 0]);
});

test("heights of a million rows are quick", () => {
  const heights = new Heights(1_000_000, () => 30);
  const began = performance.now();
  for (let i = 0; i < 1_000; i++) heights.set(heights.at(i * 29_000), 60);
  assert.ok(performance.now() - began < 500);
});
