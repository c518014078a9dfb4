// The tables of the bundle reader reference hold for this reader.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Calibration } from "../src/local/calibration.js";
import { readCell } from "../src/local/cells.js";
import { Groups } from "../src/local/groups.js";

const PAGE = readFileSync(new URL("../../../docs/reference/bundle-reader.md", import.meta.url), "utf8");

/** The rows of the table whose first heading is `first`. */
function table(first) {
  const lines = PAGE.slice(PAGE.indexOf(`| ${first} |`)).split("\n");
  const rows = lines.slice(
    2,
    lines.findIndex((line) => !line.startsWith("|")),
  );
  assert.ok(rows.length > 3);
  return rows.map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}

const code = (text) => JSON.parse(text.replaceAll("`", ""));
const numbers = (text) => (text ? text.split(",").map(Number) : []);
const array = (values) => ({ dtype: "float64", shape: [values.length], data: Float64Array.from(values) });

test("cells are the levels that the page says", () => {
  for (const [levels, cell, value] of table("levels")) {
    const column = { name: "a", kind: "category", levels: code(levels) };
    const found = readCell(code(cell), column, false);
    if (value === "missing") assert.ok(Number.isNaN(found));
    else assert.equal(found, Number(value.replace(", unseen", "")));
  }
});

test("p-values are those that the page says", () => {
  for (const [heldOut, novelHeldOut, score, novel, p] of table("held-out, not novel")) {
    const arrays = new Map([["a", array(numbers(heldOut))]]);
    if (novelHeldOut) arrays.set("a_novel", array(numbers(novelHeldOut)));
    const calibration = new Calibration({ array: "a", num_samples: 2, n: 4 }, arrays, "calibration.npz");
    const [up, down] = p.split("/").map(Number);
    assert.equal(calibration.pValues([Number(score)], novel === "yes", 0).p_value, up / down);
  }
});

const columns = [{ name: "site", kind: "category", levels: ["a", "b", "c"] }, { name: "x" }, { name: "y" }];

test("rows are compared with the groups that the page says", () => {
  for (const [by, listed, row, compared] of table("`by`")) {
    const groups = [...listed.matchAll(/`(\[.*?\])`( pooled)?/g)].map(([, values, pooled]) => {
      return { values: JSON.parse(values), n: 5, pooled: Boolean(pooled) };
    });
    const found = new Groups({ by: code(by), groups });
    const [, site, count] = /^site (\w), (\d) cells$/.exec(row);
    const cells = ["abc".indexOf(site), 0, 0].map((cell, d) => (d < Number(count) ? cell : NaN));
    const node = found.compared[found.node(Float64Array.from(cells), columns)];
    assert.deepEqual(node ? groups[node - 1].values : [], compared === "all rows" ? [] : code(compared));
  }
});

test("an unseen level is in no group, not in that of missing cells", () => {
  const groups = new Groups({ by: ["site"], groups: [{ values: [null], n: 5, pooled: false }] });
  const nodes = [NaN, 0, 3].map((cell) => groups.node(Float64Array.of(cell, 0, 0), columns));
  assert.deepEqual(nodes, [1, 0, 0]);
});
