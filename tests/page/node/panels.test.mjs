/** Tests of the pure modules behind the panels of samples, images and model health. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { alarmSentence, evidenceWords, pWords, span, verdictOf } from "../../../service/vaekit_service/page/static/js/health/words.js";
import { extremes, heatmap, surpriseOf, toIntegers, toRgba } from "../../../service/vaekit_service/page/static/js/images/pixels.js";
import { inspectPixels } from "../../../service/vaekit_service/page/static/js/images/inspect.js";
import { bitsOf, isAnimated, isOtherSize, obstacleOf, shuffled, toBase64, withOwnNames } from "../../../service/vaekit_service/page/static/js/images/read.js";
import { scoreImages } from "../../../service/vaekit_service/page/static/js/images/score.js";
import { colour, place } from "../../../service/vaekit_service/page/static/js/latent/map/placement.js";
import { rangesOf } from "../../../service/vaekit_service/page/static/js/latent/reference.js";
import { firstEnds } from "../../../service/vaekit_service/page/static/js/latent/travel/ends.js";
import { histogram } from "../../../service/vaekit_service/page/static/js/samples/histograms.js";

const REAL = { kind: "real", name: "load", levels: null };
const SITE = { kind: "category", name: "site", levels: ["north", "south"] };

test("a grey image has equal channels, and an image of four channels keeps its opacity", () => {
  assert.deepEqual([...toRgba([[[7]]]).data], [7, 7, 7, 255]);
  assert.deepEqual([...toRgba([[[7, 9]]]).data], [7, 7, 7, 9]);
  assert.deepEqual([...toRgba([[[1, 2, 3]]]).data], [1, 2, 3, 255]);
  assert.deepEqual([...toRgba([[[1, 2, 3, 4]]]).data], [1, 2, 3, 4]);
});

test("the surprise of a pixel is the sum over its channels, black at the lowest and pale at the highest", () => {
  const surprise = surpriseOf([[[-1, -2], [-0.5, 0]]]);
  assert.deepEqual(surprise, [[3, 0.5]]);
  assert.deepEqual(extremes(surprise), { low: 0.5, high: 3 });
  assert.deepEqual(extremes([]), { low: 0, high: 1 });
  assert.deepEqual([...heatmap(surprise, 0.5, 3).data], [252, 255, 164, 255, 0, 0, 4, 255]);
});

test("sampled pixels become whole numbers that the service takes", () => {
  assert.deepEqual(toIntegers([[[-3.2], [12.6], [300]]]), [[[0], [13], [255]]]);
});

test("a shuffled image has the same pixels in another order, the same every time", () => {
  const image = Array.from({ length: 4 }, (_, row) => Array.from({ length: 4 }, (_, column) => [4 * row + column]));
  const found = shuffled(image);
  assert.notDeepEqual(found, image);
  assert.deepEqual(shuffled(image), found);
  assert.deepEqual(found.flat(2).sort((a, b) => a - b), image.flat(2));
});

test("files are sent as base64, and one of another size is known as such", () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256);
  assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
  assert.ok(isOtherSize({ size: [8, 9] }, { width: 8, height: 8 }));
  assert.ok(!isOtherSize({ size: null }, { width: 8, height: 8 }));
});

test("equal channels are grey, and a transparent pixel is seen", () => {
  const inspected = (...pixels) => inspectPixels(Uint8ClampedArray.from(pixels.flat()));
  assert.deepEqual(inspected([7, 7, 7, 255], [9, 9, 9, 255]), { isColour: false, isTransparent: false });
  assert.deepEqual(inspected([7, 7, 7, 255], [9, 9, 8, 255]), { isColour: true, isTransparent: false });
  assert.deepEqual(inspected([7, 8, 7, 255], [9, 9, 9, 255]), { isColour: true, isTransparent: false });
  assert.equal(inspected([7, 7, 7, 255], [9, 9, 9, 254]).isTransparent, true);
});

test("the bits per channel are read from a PNG, a JPEG has 8, and other files are neither", () => {
  const header = [0x89, 0x50, 0x4e, 0x47, ...Array(20).fill(0)];
  assert.equal(bitsOf(Uint8Array.from([...header, 16])), 16);
  assert.equal(bitsOf(Uint8Array.from(header)), null);
  assert.equal(bitsOf(Uint8Array.from([0xff, 0xd8, 0xff])), 8);
  assert.equal(bitsOf(Uint8Array.from([0x47, 0x49, 0x46])), null);
});

test("a PNG with several frames has a chunk that says so before its pixels", () => {
  const chunk = (type, size = 0) => [0, 0, 0, size, ...Buffer.from(type), ...Array(size + 4).fill(7)];
  const png = (...chunks) => Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, ...chunk("IHDR", 13), ...chunks.flat()]);
  assert.equal(isAnimated(png(chunk("acTL", 8), chunk("IDAT", 3))), true);
  assert.equal(isAnimated(png(chunk("IDAT", 3), chunk("acTL", 8))), false);
  assert.equal(isAnimated(png()), false);
  assert.equal(isAnimated(Uint8Array.from([0xff, 0xd8, 0xff])), false);
});

test("the fault of a file that no change mends is its only obstacle", () => {
  const grey = { height: 8, width: 8, channels: 1 };
  assert.equal(obstacleOf({ size: null, isColour: false, fault: "has transparent pixels" }, grey), "has transparent pixels");
  assert.match(obstacleOf({ size: [9, 8], isColour: true, fault: null }, grey), /^9 × 8 pixels.*; in colour/);
  assert.equal(obstacleOf({ size: [8, 8], isColour: false, fault: null }, grey), null);
});

test("files of which the service can read none are named with its reason, and other errors are thrown", async () => {
  const failing = (message, status = 422) => ({ api: { postJson: () => Promise.reject(Object.assign(new Error(message), { status })) } });
  const model = { name: "m", version: 1, members: 1, input: { kind: "image", height: 8, width: 8, channels: 1 } };
  const images = ["a.png", "b.png"].map((name) => ({ name, input: "", pixels: [[[0]]] }));
  const { list } = await scoreImages(failing("None of the 2 rows can be read; row 0: damaged image file."), model, images, { resize: false });
  assert.deepEqual(list.map(({ name, problem }) => [name, problem]), [["a.png", "damaged image file"], ["b.png", "the service cannot read it either"]]);
  await assert.rejects(scoreImages(failing("broken", 500), model, images, { resize: false }), /broken/);
});

test("a histogram has a bar per level or per bin, and says what it shows", () => {
  const site = histogram(SITE, ["north", "north", "south", null]);
  assert.deepEqual(site.bars.map(({ count }) => count), [2, 1]);
  assert.match(site.summary, /most often north/);
  const load = histogram(REAL, [...Array(1000).keys()]);
  assert.equal(load.bars.length, 16);
  assert.match(load.summary, /median 499.5/);
  assert.equal(histogram(REAL, []).summary, "no values");
  assert.ok(histogram(REAL, [3, 3]).bars.some(({ count }) => count === 2));
});

test("the usual range of a column holds the middle 90 % of the samples", () => {
  const model = { input: { columns: [REAL, SITE] } };
  const [load, site] = rangesOf(model, Array.from({ length: 101 }, (_, i) => [i, "north"]));
  assert.deepEqual([load.usualLow, load.usualHigh], [5, 95]);
  assert.equal(site, null);
});

const cloud = (pValue, score) => ({
  mu: pValue.map((_, i) => [i, -i]),
  pValue,
  score,
  isAlarm: (point, alpha) => pValue[point] !== null && pValue[point] <= alpha,
});
const PALETTE = { normal: "#0000ff", alarm: "#ff0000", other: "#808080" };

test("points take the colour of their verdict, and rows without one are grey", () => {
  const found = colour(cloud([0.01, 0.5, null], [9, 1, null]), "verdict", 0.05, PALETTE);
  assert.deepEqual(found.colours, ["#ff0000", "#0000ff", "#808080"]);
  assert.deepEqual([...found.layer], [2, 1, 1]);
  assert.deepEqual(colour(cloud([0.01, 0.5, null], [9, 1, null]), "score", 0.05, PALETTE).colours[2], "#808080");
});

test("a map says how much of the variance it shows, also with one dimension", () => {
  const dimensions = [{ index: 0, name: "z1", discrete: false, levels: null }];
  assert.match(place([[1], [2], [3]], [], { kind: "pca" }, dimensions).explained, /^z1 alone has 100 %/);
  const two = [...dimensions, { index: 1, name: "z2", discrete: false, levels: null }];
  assert.match(place([[1, 0], [2, 0], [3, 0]], [], { kind: "pca" }, two).explained, /100 % of the variance .*\(100 % and 0 %\)/);
  assert.match(place([[1, 0]], [[2, 0], [5, 1]], { kind: "pca" }, two).explained, /of samples/);
});

test("one far row does not decide the principal axes", () => {
  const dimensions = [0, 1].map((index) => ({ index, name: `z${index}`, discrete: false, levels: null }));
  const rows = Array.from({ length: 50 }, (_, i) => [Math.sin(i), 10 * Math.cos(3 * i)]);
  const { explained } = place([...rows, [1e6, 0]], [], { kind: "pca" }, dimensions);
  assert.match(explained, /\(9\d % and \d %\)/);
});

test("the levels of a category lie at equal distances on the principal axes", () => {
  const dimensions = [
    { index: 0, name: "load", discrete: false, levels: null },
    { index: 1, name: "site", discrete: true, levels: ["a", "b", "c"] },
  ];
  const { points } = place([[0, 0], [0, 1], [0, 2]], [], { kind: "pca" }, dimensions);
  const distance = (i, j) => Math.hypot(points[i][0] - points[j][0], points[i][1] - points[j][1]);
  assert.ok(Math.abs(distance(0, 1) - distance(0, 2)) < 1e-6 && Math.abs(distance(1, 2) - 1) < 1e-6);
});

test("a walk begins with the least and the most anomalous row", () => {
  assert.deepEqual(firstEnds({ results: { score: [3, NaN, -1, 9] }, images: null }, 4), [2, 3]);
  assert.deepEqual(firstEnds({ results: null, images: null }, 4), [0, 3]);
  assert.deepEqual(firstEnds({ results: null, images: { list: [{ score: 2 }, { score: 1 }, { score: null }] } }, 3), [1, 0]);
});

test("the health of a model is said in words", () => {
  const health = { rows: 200, anomaly_rate: 0.06, anomaly_rate_low: 0.0347, anomaly_rate_high: 0.1018, alpha: 0.05 };
  assert.match(alarmSentence(health), /^12 alarms in 200 rows is 6.0 %/);
  assert.match(alarmSentence(health, "image"), /^12 alarms in 200 images.*normal images alone/);
  assert.equal(verdictOf({ log10_evidence: 0, reading: "no drift beyond chance for this number of rows" }, "image"), "No drift beyond chance for this number of images.");
  assert.equal(pWords(0.0001), "p < 0.001");
  assert.equal(pWords(0.3), "p = 0.30");
  assert.match(evidenceWords(3.2), /^More than 1,000 to 1/);
  assert.match(evidenceWords(1.5), /^About 32 to 1/);
  assert.match(evidenceWords(0), /^None/);
  assert.equal(span(7200), "2 hours");
  assert.equal(span(1), "1 second");
});

test("images of one name are told apart", () => {
  const names = (images) => images.map(({ name }) => name);
  assert.deepEqual(names(withOwnNames(["a", "b", "a", "a"].map((name) => ({ name })))), ["a", "b", "a (2)", "a (3)"]);
});
