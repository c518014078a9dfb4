/** Tests of the pure modules behind the latent panels. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { centreOf, dimensionsOf, importance, isRowItself, quantile, sliderRange } from "../../../service/vaekit_service/page/static/js/latent/dimensions.js";
import { latest } from "../../../service/vaekit_service/page/static/js/latent/latest.js";
import { layOut, nearest, neighbour } from "../../../service/vaekit_service/page/static/js/latent/map/layout.js";
import { place } from "../../../service/vaekit_service/page/static/js/latent/map/placement.js";
import { sampleOf } from "../../../service/vaekit_service/page/static/js/latent/sources.js";
import { evidenceWords, ownRows, verdictOf } from "../../../service/vaekit_service/page/static/js/health/words.js";
import { between, line, polyline } from "../../../service/vaekit_service/page/static/js/latent/travel/paths.js";
import { principalAxes, project } from "../../../service/vaekit_service/page/static/js/latent/map/pca.js";
import { axisRange, axisTicks, heat, mix, ranks, ticks } from "../../../service/vaekit_service/page/static/js/latent/map/scales.js";

globalThis.document = { createComment: () => ({}), createTreeWalker: () => ({}) }; // that lit asks for when it is loaded
const { columnNumber } = await import("../../../service/vaekit_service/page/static/js/latent/decoded.js");

const NORMAL = { latent_dim: 3, prior: { name: "normal" }, input: { kind: "vector", columns: [] } };
const MIXED = {
  latent_dim: 3,
  prior: { name: "kernel" },
  input: {
    kind: "vector",
    columns: [
      { name: "load", kind: "real", levels: null, constant: null },
      { name: "plant", kind: "real", levels: null, constant: 4 },
      { name: "on", kind: "binary", levels: null, constant: null },
      { name: "site", kind: "category", levels: ["north", "south", "west"], constant: null },
    ],
  },
};

/** Normal draws that are the same in every run. */
function normals(n, seed = 1) {
  let state = seed;
  const uniform = () => (state = (state * 48271) % 2147483647) / 2147483647;
  return Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

test("the principal axes are those of the covariance, and say how much they explain", () => {
  const draws = normals(6000);
  const points = Array.from({ length: 2000 }, (_, i) => {
    const [a, b, c] = [5 * draws[3 * i], 2 * draws[3 * i + 1], 0.5 * draws[3 * i + 2]];
    return [(a + b) / Math.SQRT2, (a - b) / Math.SQRT2, 7 + c];
  });
  const basis = principalAxes(points);
  assert.ok(Math.abs(basis.axes[0][0] - Math.SQRT1_2) < 0.03 && Math.abs(basis.axes[0][1] - Math.SQRT1_2) < 0.03);
  const sum = basis.axes[0].reduce((total, value, d) => total + value * basis.axes[1][d], 0);
  assert.ok(Math.abs(sum) < 1e-9);
  assert.ok(Math.abs(basis.explained[0] - 25 / 29.25) < 0.03);
  assert.ok(Math.abs(project(basis.mean, basis)[0]) < 1e-9);
});

for (const [name, points, explained] of [
  ["no points", [], []],
  ["one dimension", [[1], [3]], [1]],
  ["equal points", [[1, 1], [1, 1]], [0, 0]],
  ["points on a line", [[0, 0, 0], [1, 2, 3], [2, 4, 6]], [1, 0]],
]) {
  test(`the principal axes of ${name} are finite`, () => {
    const basis = principalAxes(points);
    assert.deepEqual(basis.explained.map((share) => Math.round(share * 1e6) / 1e6), explained);
    assert.ok(basis.axes.flat().every(Number.isFinite));
  });
}

test("a kernel prior's dimensions are the columns that vary", () => {
  assert.deepEqual(dimensionsOf(MIXED).map(({ name, levels }) => [name, levels]), [
    ["load", null],
    ["on", ["0", "1"]],
    ["site", ["north", "south", "west"]],
  ]);
  assert.deepEqual(dimensionsOf(MIXED).map(({ column }) => column), [0, 2, 3]);
  assert.ok(isRowItself(MIXED));
  assert.deepEqual(dimensionsOf(NORMAL).map(({ name }) => name), ["z1", "z2", "z3"]);
});

test("the centre has the level that most samples have", () => {
  const samples = [[0.5, 1, 2], [-1, 1, 2], [2, 0, 1], [1, 1, 0]];
  assert.deepEqual(centreOf(dimensionsOf(MIXED), samples), [0, 1, 2]);
  assert.deepEqual(centreOf(dimensionsOf(NORMAL), samples), [0, 0, 0]);
});

test("the dimensions with the largest KL come first under a normal prior, else those that spread most", () => {
  const mu = [[0, 2, 0.1], [0, -2, -0.1]];
  const sigma = [[1, 0.1, 0.9], [1, 0.1, 0.9]];
  const found = importance(mu, sigma, NORMAL);
  assert.deepEqual(found.order, [1, 2, 0]);
  assert.ok(Math.abs(found.value[0]) < 1e-12);
  assert.equal(found.unit, "nats of KL");
  assert.deepEqual(importance(mu, sigma, { ...NORMAL, prior: { name: "aggregate" } }).value[1], 2);
});

test("a slider reaches the value that it starts from, and a category has one step per level", () => {
  const [load, on, site] = dimensionsOf(MIXED);
  assert.deepEqual(sliderRange(load, [-1, 1], 5.2), { min: -3, max: 5.5, step: 0.01 });
  assert.deepEqual(sliderRange(on, [0, 1]), { min: 0, max: 1, step: 1 });
  assert.deepEqual(sliderRange(site, [0, 2]), { min: 0, max: 2, step: 1 });
  assert.equal(quantile([0, 1, 2], 0.75), 1.5);
});

test("a line begins at A and ends at B, and a category changes half way", () => {
  const dimensions = dimensionsOf(MIXED);
  const steps = line([0, 0, 2], [1, 1, 0], 5, dimensions);
  assert.deepEqual(steps[0], [0, 0, 2]);
  assert.deepEqual(steps[1], [0.25, 0, 2]);
  assert.deepEqual(steps[2], [0.5, 1, 0]);
  assert.deepEqual(steps[4], [1, 1, 0]);
  assert.deepEqual(between([0, 0, 0], [2, 0, 0], 0.5, dimensions), [1, 0, 0]);
  assert.equal(polyline([0, 5, 10], { width: 10, height: 4, low: 0, high: 10 }), "0,4 5,2 10,0");
});

test("of many changes while one request runs, only the last is sent after it", async () => {
  const sent = [];
  const releases = [];
  const { call } = latest(async (value) => {
    sent.push(value);
    await new Promise((resolve) => releases.push(resolve));
  });
  for (const value of [1, 2, 3, 4]) call(value);
  assert.deepEqual(sent, [1]);
  releases.shift()();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sent, [1, 4]);
});

test("a failed run does not stop later ones", async () => {
  const sent = [];
  const { call, stop } = latest(async (value) => {
    sent.push(value);
    throw new Error("the service failed");
  }, () => undefined);
  call(1);
  await new Promise((resolve) => setImmediate(resolve));
  call(2);
  await new Promise((resolve) => setImmediate(resolve));
  stop();
  call(3);
  assert.deepEqual(sent, [1, 2]);
});

test("far points do not stretch an axis", () => {
  const values = [...normals(1000), 1e15];
  const { low, high } = axisRange(values);
  assert.ok(low > -6 && high < 12);
  assert.ok(Number.isFinite(axisRange([3]).low) && axisRange([3]).low < 3 && axisRange([3]).high > 3);
  assert.deepEqual(axisRange([]), { low: -1, high: 1 });
});

test("axes of categories have the names of levels as ticks", () => {
  const levels = ["half", "open", "a level with a long name"];
  const layout = layOut([[0, 1], [0, 2], [0, 0]], 400, 400, [null, levels]);
  assert.deepEqual(layout.y, { low: -0.5, high: 2.5 });
  assert.ok(layout.margin.left > 80);
  assert.deepEqual(axisTicks(layout.y, levels, 6), [{ at: 0, text: "half" }, { at: 1, text: "open" }, { at: 2, text: "a level wit…" }]);
  assert.deepEqual(axisTicks({ low: -0.5, high: 9.5 }, [..."abcdefghij"], 4).map(({ text }) => text), ["a", "d", "g", "j"]);
  assert.deepEqual(axisTicks({ low: -1, high: 1 }, null, 2).map(({ text }) => text), ["−1", "0", "1"]);
});

test("axes of columns of numbers say that these are standardised", () => {
  const numbers = { name: "weight_kg", levels: null, column: 0 };
  const level = { name: "country", levels: ["DE", "FR"], column: 1 };
  const latent = { name: "z3", levels: null, column: null };
  const placed = (x, y) => place([[0, 0, 1], [1, 1, 2]], [], { kind: "pair", x, y }, [numbers, level, latent]);
  assert.deepEqual(placed(0, 1).axisNames, ["weight_kg, standardised", "country"]);
  assert.deepEqual(placed(0, 1).axisLevels, [null, ["DE", "FR"]]);
  assert.deepEqual(placed(2, 0).axisNames, ["z3", "weight_kg, standardised"]);
});

test("decoded numbers have no digits far below the spread of their column", () => {
  const range = { low: -1, high: 30, usualLow: 0, usualHigh: 25 };
  assert.deepEqual([-1.42e-7, 12.34567, 3.0000001].map((value) => columnNumber(value, range)), ["0", "12.35", "3"]);
  assert.equal(columnNumber(2e-7, { ...range, low: 1e-7, high: 5e-7 }), "2.00e-7");
  assert.equal(columnNumber("open", null), "open");
});

test("ticks are round numbers inside the range", () => {
  assert.deepEqual(ticks(-1, 1, 4), [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(ticks(0.1, 0.32, 2), [0.2]);
  assert.deepEqual(ticks(1, 1), []);
});

test("colours mix, and ranks run from 0 to 1 with ties shared", () => {
  assert.equal(mix("#000000", "#ffffff", 0.5), "#808080");
  assert.equal(mix("#fff", "#000", 0), "#ffffff");
  assert.deepEqual(ranks([5, 1, 9]), [0.5, 0, 1]);
  assert.deepEqual(ranks([1, 1, 1]), [0.5, 0.5, 0.5]);
  assert.deepEqual(heat(0), [0, 0, 4]);
  assert.deepEqual(heat(2), [252, 255, 164]);
});

test("the nearest point and the neighbour in a direction are found", () => {
  const layout = layOut([[0, 0], [1, 0], [1, 1], [0, 1]], 400, 400);
  assert.equal(nearest(layout, layout.px[2] + 5, layout.py[2] - 5), 2);
  assert.equal(nearest(layout, 200, 200), -1);
  assert.equal(neighbour(layout, 0, [1, 0]), 1);
  assert.equal(neighbour(layout, 0, [0, -1]), 3);
  assert.equal(neighbour(layout, 1, [1, 0]), 1);
});

test("a map of many rows shows all flagged ones and others at even distances", () => {
  const chosen = sampleOf(1000, (row) => row % 333 === 1, 10);
  assert.deepEqual(chosen.length, 10);
  for (const row of [1, 334, 667]) assert.ok(chosen.includes(row));
  assert.deepEqual(chosen, [...chosen].sort((a, b) => a - b));
  assert.deepEqual(sampleOf(5, () => false, 10), [0, 1, 2, 3, 4]);
  assert.equal(sampleOf(1000, () => true, 10).length, 10);
});

test("the evidence of a change is said without huge numbers, after one verdict", () => {
  assert.equal(evidenceWords(12), "More than 1,000 to 1, the limit of an alert");
  assert.match(verdictOf({ log10_evidence: 7.7, reading: "the rows have changed" }), /^The rows have changed:/);
  assert.equal(verdictOf({ log10_evidence: 0, reading: "no drift" }), "No drift.");
  assert.equal(ownRows(0), "");
  assert.match(ownRows(1), /^1 row since you opened this page was scored by it and counts here/);
});
