/** Which cells the page calls anomalous. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { mostSurprising } from "../../../service/vaekit_service/page/static/js/latent/map/surprises.js";
import { expectedText, isOdd } from "../../../service/vaekit_service/page/static/js/table/cells.js";

const SHARED = JSON.parse(readFileSync(new URL("odd_cells.json", import.meta.url), "utf-8")); // Python has the same rule

for (const [name, kind, changes, odd] of SHARED.cases) {
  test(`${name} is ${odd ? "" : "not "}anomalous`, () => assert.equal(isOdd({ ...SHARED[kind], ...changes }), odd));
}

test("what was expected is said as a range or as a level", () => {
  assert.equal(expectedText(SHARED.number), "expected 1 to 3");
  assert.equal(expectedText({ ...SHARED.level, probability: 0.45 }), "expected a (45 %)");
});

test("surprising cells are those beyond what samples have, the furthest first", () => {
  const usually = [{ median: 1, high: 2 }, { median: 1, high: 5 }, { median: 0, high: 3 }];
  assert.deepEqual(mostSurprising([2.5, 4, 9], usually, 3), [2, 0]);
  assert.deepEqual(mostSurprising([1, 1, 1], usually, 3), []);
});
