import assert from "node:assert/strict";
import { test } from "node:test";

import { bit, nearest, ramp, Sight, simplified, unpacked } from "../../../workbench/ui/viewer/assets/plane.js";

function sight(side = 1000, width = 200, height = 100) {
  const made = new Sight(side);
  made.resize(width, height);
  return made;
}

test("a pixel of a place is the place of that pixel, at every zoom", () => {
  const view = sight();
  assert.deepEqual(view.toPixel(0, 0), [0, 100]);
  assert.deepEqual(view.toPixel(500, 1000), [100, 0]);
  view.zoomAt(150, 20, 4);
  view.pan(-13, 7);
  const [x, y] = view.toPlane(...view.toPixel(640, 720));
  assert.ok(Math.abs(x - 640) < 1e-9 && Math.abs(y - 720) < 1e-9);
});

test("what is under the pointer stays there when one zooms, and out goes no further than the whole", () => {
  const view = sight();
  const before = view.toPlane(150, 20);
  view.zoomAt(150, 20, 4);
  view.toPlane(150, 20).forEach((value, k) => assert.ok(Math.abs(value - before[k]) < 1e-9));
  view.zoomAt(3, 90, 1e-9);
  assert.deepEqual([view.zoom, view.x, view.y], [1, 0, 0]);
  view.pan(50, 50);
  assert.deepEqual([view.x, view.y], [0, 0]);
});

test("the nearest point is one in reach, first of those that the filter leaves", () => {
  const xs = Uint16Array.from([500, 510, 900]);
  const ys = Uint16Array.from([500, 500, 900]);
  // 10 units are 2 pixels across.
  assert.equal(nearest(sight(), xs, ys, Uint8Array.from([0b111]), 100, 50), 0);
  assert.equal(nearest(sight(), xs, ys, Uint8Array.from([0b110]), 100, 50), 1);
  assert.equal(nearest(sight(), xs, ys, Uint8Array.from([0b111]), 140, 50), -1);
});

test("bytes come as they were sent", () => {
  assert.deepEqual([...unpacked("AQD/fw==", Uint16Array)], [1, 32767]);
  assert.deepEqual([0, 1, 2, 9].map((i) => bit(Uint8Array.from([0b101, 0b10]), i)), [1, 0, 1, 1]);
});

test("a lasso keeps the corners that make its form", () => {
  const square = [[0, 0], [5, 0], [10, 0], [10, 10], [5, 10], [0, 10], [0, 5]];
  assert.deepEqual(simplified(square, 4), [[0, 0], [10, 0], [10, 10], [0, 10]]);
  assert.deepEqual(simplified(square, 9), square);
  // What lies on a side adds nothing; a triangle stays one.
  assert.deepEqual(simplified(square, 9, 1), [[0, 0], [10, 0], [10, 10], [0, 10]]);
  assert.equal(simplified(square, 9, 1e9).length, 3);
});

test("a palette goes from its first colour to its last", () => {
  const colours = ramp([[0, 0, 0], [100, 100, 100], [200, 0, 0]]);
  assert.deepEqual([colours[0], colours[127], colours[254]], [[0, 0, 0], [100, 100, 100], [200, 0, 0]]);
});
