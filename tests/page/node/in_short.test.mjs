/** The sentences that say what a file's scores mean. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { inShort, tooSmall, topOf, topSentence } from "../../../service/vaekit_service/page/static/js/scores/in_short.js";

const calibration = (rows) => ({ rows, smallest_alpha: 1 / (rows + 1), fold_rows: null });
const group = (rows, top, heldOut = 626) => ({ rows, top, calibration: calibration(heldOut) });
const EXPLAINED = { flagged: 23, expected: 15, high: 25 };
const TOO_MANY = { flagged: 40, expected: 15, high: 25 };

test("rows above every held-out row come first if chance does not explain them", () => {
  const [first, second] = inShort(EXPLAINED, [], topOf([group(300, 9)]), 0.05);
  assert.equal(first, "9 of 300 rows score above every held-out row; chance explains about 0.5.");
  assert.equal(second, "At alpha 0.05, false alarms could explain 23 flagged rows, but not the 9 that score above every held-out row.");
  const wide = { flagged: 110, expected: 105, high: 118 };
  assert.deepEqual(inShort(wide, [], topOf([group(150, 4, 400)]), 0.7), [
    "4 of 150 rows score above every held-out row; chance explains about 0.4.",
    "At alpha 0.7, false alarms could explain 110 flagged rows, but not the 4 that score above every held-out row.",
  ]);
  assert.match(inShort(EXPLAINED, [], topOf([group(2, 1, 400)]), 0.05)[1], /but not the one that scores above/);
  assert.match(inShort(TOO_MANY, [], topOf([group(300, 9)]), 0.05)[1], /^More than false alarms explain/);
});

test("without such rows the number of flagged ones decides", () => {
  assert.deepEqual(inShort(EXPLAINED, [], topOf([group(300, 2)]), 0.05), ["No more than false alarms explain."]);
  assert.deepEqual(inShort(TOO_MANY, [], topOf([group(300, 0)]), 0.05), ["More than false alarms explain: some of these rows are anomalies."]);
  assert.deepEqual(inShort(EXPLAINED, ["north"], topOf([group(300, 0)]), 0.05), ["More than false alarms explain in north."]);
});

test("images are called images", () => {
  assert.equal(inShort(EXPLAINED, [], topOf([group(300, 9)]), 0.05, "image")[0], "9 of 300 images score above every held-out image; chance explains about 0.5.");
  assert.match(inShort(TOO_MANY, [], topOf([group(300, 0)]), 0.05, "image")[0], /some of these images are anomalies/);
});

test("each group is compared with its own calibration", () => {
  const found = topOf([group(0, 0), group(300, 1, 400), group(100, 6, 200)]);
  assert.equal(found.isSurprising, true);
  assert.ok(Math.abs(found.expected - (300 / 401 + 100 / 201)) < 1e-12);
  assert.equal(topSentence(found), "7 of 400 rows score above every held-out row; chance explains about 1.2.");
  assert.equal(topOf([group(300, 2, 400), group(100, 2, 200)]).isSurprising, false);
  assert.equal(topSentence(topOf([group(1, 1)])).startsWith("1 of 1 row scores above"), true);
});

test("an alpha below the smallest one is said, with the groups that it concerns", () => {
  const named = (name, rows, heldOut) => ({ rows, top: 0, calibration: { ...calibration(heldOut), group: name } });
  const { sentences, isAll } = tooSmall([named("all", 150, 400)], 0.001);
  assert.deepEqual(sentences, ["No row can be flagged at alpha 0.001: the smallest alpha is 0.00249, 1 / (n + 1) with n = 400 held-out rows."]);
  assert.equal(isAll, true);
  const some = tooSmall([named("all", 0, 500), named("north", 100, 400), named("south", 50, 99)], 0.005);
  assert.equal(some.isAll, false);
  assert.match(some.sentences.join(), /^No row of south can be flagged at alpha 0.005: the smallest alpha is 0.01, 1/);
  assert.deepEqual(tooSmall([named("all", 150, 99)], 0.01), { sentences: [], isAll: false });
});

test("with folds there is a bound", () => {
  const folds = { rows: 300, smallest_alpha: 1 / 101, fold_rows: [100, 100, 100] };
  const bound = { flagged: 4, expected: 22, isBound: true };
  assert.deepEqual(inShort(bound, [], topOf([{ rows: 300, top: 5, calibration: folds }]), 0.05), ["Not many more than false alarms explain."]);
  assert.match(inShort(bound, [], topOf([{ rows: 300, top: 60, calibration: folds }]), 0.05)[0], /^60 of 300 rows score above/);
});

test("the labels of the histogram leave room for the last one", async () => {
  const { splitsOf } = await import("../../../service/vaekit_service/page/static/js/scores/histogram.js");
  const edges = Array.from({ length: 31 }, (_, index) => 5 * index);
  const bins = { edges, hasBelow: false, hasAbove: true, heldOut: Array(31).fill(1) };
  const pxOf = (width) => (width - 60) / bins.heldOut.length;
  for (const width of [330, 358, 800]) {
    const splits = splitsOf(bins, width);
    assert.ok((splits.at(-1) - splits.at(-2)) * pxOf(width) >= 48, `${width} px: ${splits}`);
    assert.ok(splits.length >= 3);
  }
});

test("held-out scores above the last edge are in no bin that the file's scores add", async () => {
  const { binsOf } = await import("../../../service/vaekit_service/page/static/js/scores/histogram.js");
  const calibration = { edges: [0, 1, 2], counts: [5, 4], above: 3 };
  assert.deepEqual(binsOf(calibration, [1, 3, 3.5]).heldOut, [5, 4, 3]);
  assert.deepEqual(binsOf({ ...calibration, above: 0 }, [1, 3, 3.5]).edges, [0, 1, 2, 3]);
});
