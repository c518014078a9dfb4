/** Fields of numbers say what is allowed, and use nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { numberField } from "../../../service/vaekit_service/page/static/js/input.js";

for (const [text, allowed, used, said] of [
  ["7", {}, 7, ""],
  ["-1", {}, null, "Enter a whole number of at least 0."],
  ["1.5", {}, null, "Enter a whole number of at least 0."],
  ["", {}, null, "Enter a whole number of at least 0."],
  ["0.5", { whole: false, least: 1, most: 5 }, null, "Enter a number from 1 to 5."],
  ["1.5", { whole: false, least: 1, most: 5 }, 1.5, ""],
]) {
  test(`the text ${JSON.stringify(text)} in a field of ${JSON.stringify(allowed)}`, () => {
    const found = { value: null, said: null, shown: false };
    const target = {
      value: text,
      setCustomValidity: (message) => (found.said = message),
      setAttribute: (_, value) => (found.invalid = value),
      reportValidity: () => (found.shown = true),
    };
    numberField(allowed, (value) => (found.value = value))({ target });
    assert.deepEqual(found, { value: used, said, shown: used === null, invalid: String(used === null) });
  });
}

test("a field may say elsewhere what is allowed", () => {
  const [used, said] = [[], []];
  const listen = numberField({ most: 9 }, (value) => used.push(value), (text) => said.push(text));
  for (const value of ["10", "9"]) listen({ target: { value } });
  assert.deepEqual([used, said], [[9], ["Enter a whole number from 0 to 9."]]);
});
