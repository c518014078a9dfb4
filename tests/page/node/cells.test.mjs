/** Which cells the page calls anomalous. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { mostSurprising } from "../../../service/vaekit_service/page/static/js/latent/map/surprises.js";
import { expectedText, isOdd } from "../../../service/vaekit_service/page/static/js/table/cells.js";

globalThis.document = { createComment: () => ({}), createTreeWalker: () => ({}) }; // that lit asks for when it is loaded
const { reasonsOf } = await import("../../../service/vaekit_service/page/static/js/table/reasons.js");

const SHARED = JSON.parse(readFileSync(new URL("odd_cells.json", import.meta.url), "utf-8")); // Python has the same rule

for (const [name, kind, changes, odd] of SHARED.cases) {
  test(`${name} is ${odd ? "" : "not "}anomalous`, () => assert.equal(isOdd({ ...SHARED[kind], ...changes }), odd));
}

test("what was expected is said as a range or as a level", () => {
  assert.equal(expectedText(SHARED.number), "expected 1 to 3");
  assert.equal(expectedText({ ...SHARED.level, probability: 0.45 }), "expected a (45 %)");
});

test("what was expected is written as the file writes numbers", () => {
  const far = { ...SHARED.number, low: 5.634, high: 1250.4 };
  assert.equal(expectedText(far, { delimiter: ";", decimal: "," }), "expected 5,63 to 1250");
  assert.equal(expectedText({ ...far, low: null, expected: "1.5" }, { delimiter: ";", decimal: "," }), "expected 1.5");
});

test("novel cells come first among the reasons, with what is novel about them", () => {
  const columns = [
    { name: "amount", kind: "real" },
    { name: "items", kind: "count" },
    { name: "country", kind: "category" },
    { name: "coupon", kind: "category" },
  ];
  const found = (cells, novel, explanation, most) => {
    const model = { input: { columns }, novelty: { most_missing: most } };
    return reasonsOf({ novel, explanation, cellOf: (name) => cells[name], model }).map(({ feature, text, why }) => `${feature} ${text} ${why}`);
  };
  const unlikely = { ...SHARED.level, ...SHARED.cases.find(([, kind, , odd]) => kind === "level" && odd)[2], feature: "coupon", probability: null };
  const usual = { ...SHARED.number, value: 2, feature: "items" };
  const expected = "coupon yes expected a";
  assert.deepEqual(found({ amount: "", coupon: "yes" }, ["amount"], [usual, unlikely], 0), ["amount missing, never so in training", expected]);
  assert.deepEqual(found({ amount: "" }, ["amount"], [usual], 0), ["amount missing, never so in training"]);
  assert.deepEqual(found({ amount: " " }, ["amount"], undefined, 1), ["amount missing, with more missing cells than any training row"]);
  const unseen = { ...SHARED.level, value: null, feature: "country" };
  assert.deepEqual(found({ country: "XX" }, ["country"], [unseen], 0), ["country XX, not seen in training"]);
  assert.deepEqual(found({ items: "-3" }, ["items"], [], 0), ["items -3, outside the range of a count"]);
});

test("surprising cells are those beyond what samples have, the furthest first", () => {
  const usually = [{ median: 1, high: 2 }, { median: 1, high: 5 }, { median: 0, high: 3 }];
  assert.deepEqual(mostSurprising([2.5, 4, 9], usually, 3), [2, 0]);
  assert.deepEqual(mostSurprising([1, 1, 1], usually, 3), []);
});
