/** Which cells the page calls anomalous. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { mostSurprising } from "../../../service/vaekit_service/page/static/js/latent/map/surprises.js";
import { expectedText, isOdd } from "../../../service/vaekit_service/page/static/js/table/cells.js";

const NUMBER = { value: 9, expected: 2, low: 1, high: 3, p_value: 0.01, relief: 4, excess: 4, probability: null };
const LEVEL = { value: "b", expected: "a", low: null, high: null, p_value: 0.01, relief: 4, excess: 4, probability: 0.45 };

for (const [name, cell, odd] of [
  ["a number above its range", NUMBER, true],
  ["a number below its range", { ...NUMBER, value: 0.5 }, true],
  ["a number inside its range", { ...NUMBER, value: 3 }, false],
  ["a number without which the score would be no lower", { ...NUMBER, relief: 0 }, false],
  ["another level than the expected one", LEVEL, true],
  ["the expected level, however unlikely", { ...LEVEL, value: "a" }, false],
  ["another level that is usual", { ...LEVEL, p_value: 0.18 }, false],
  ["a level without which the score would be higher", { ...LEVEL, relief: -1 }, false],
  ["an unseen level", { ...LEVEL, value: null }, true],
]) {
  test(`${name} is ${odd ? "" : "not "}anomalous`, () => assert.equal(isOdd(cell), odd));
}

test("what was expected is said as a range or as a level", () => {
  assert.equal(expectedText(NUMBER), "expected 1 to 3");
  assert.equal(expectedText(LEVEL), "expected a (45 %)");
});

test("surprising cells are those beyond what samples have, the furthest first", () => {
  const usually = [{ median: 1, high: 2 }, { median: 1, high: 5 }, { median: 0, high: 3 }];
  assert.deepEqual(mostSurprising([2.5, 4, 9], usually, 3), [2, 0]);
  assert.deepEqual(mostSurprising([1, 1, 1], usually, 3), []);
});
