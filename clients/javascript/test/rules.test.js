// Cells and draws have the values that Python gives them (see tests/javascript/read_cells.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { readCell } from "../src/local/cells.js";
import { defaultEps } from "../src/local/draws.js";

const folder = process.env.VAEKIT_CASES;
const skip = !folder && "VAEKIT_CASES is not set; make test-js sets it";
const read = (file) => JSON.parse(readFileSync(join(folder, file), "utf8"));
const SPECIAL = { nan: NaN, inf: Infinity, "-inf": -Infinity };

function cellOf(written) {
  if (written?.bigint) return BigInt(written.bigint);
  return written?.number ? SPECIAL[written.number] : written;
}

test("a cell is the number, the level, missing or refused as in Python", { skip }, () => {
  const { cells, cases } = read("cells.json");
  assert.ok(cells.length > 100 && cases.length >= 48);
  for (const { column, strict, read: expected } of cases) {
    cells.forEach((written, i) => {
      const found = readCell(cellOf(written), column, strict);
      const got = typeof found === "string" ? "refused" : Number.isNaN(found) ? null : found + 0; // -0 is 0
      const where = `${JSON.stringify(written)} in ${column.kind}, strict ${strict}, ${JSON.stringify(column)}`;
      assert.equal(
        got,
        expected[i] === null ? null : typeof expected[i] === "number" ? expected[i] + 0 : expected[i],
        where,
      );
    });
  }
});

test("the default draws are those of Python to the rounding of float32", { skip }, () => {
  for (const { rule, k, z, base, eps } of read("draws.json")) {
    const found = defaultEps(Float64Array.from(base), k, z, rule);
    assert.equal(found.length, eps.length);
    eps.forEach((want, i) => assert.ok(Math.abs(found[i] - want) <= 1e-6, `${rule}, K ${k}, Z ${z}, ${i}`));
  }
});

test("a level may have the name of a member that all objects have", () => {
  const column = { name: "a", kind: "category", levels: ["x", "constructor", "__proto__"] };
  assert.deepEqual(
    ["constructor", "__proto__", "toString"].map((cell) => readCell(cell, column, false)),
    [1, 2, 3],
  );
});
