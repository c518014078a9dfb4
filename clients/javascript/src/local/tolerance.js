/** Removes alarms that tolerance rules explain. D columns; deviations in raw units. */

import { InputError } from "../errors.js";
import { toEven, WHOLE_NUMBERS } from "./first_cells.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("../../types/local.js").ToleranceRules} ToleranceRules
 * @typedef {{ d: number, name: string, above: number, below: number }} Rule
 */

const MOST_CELLS = 8; // of a row that are replaced; an alarm that needs more of them stays

/**
 * The rules in force, in the order of the columns: the given ones, or else those of the bundle.
 *
 * @param {Manifest} manifest
 * @param {ToleranceRules | undefined} given
 * @returns {Rule[]}
 */
export function rulesInForce(manifest, given) {
  const rules = given ?? manifest.ignore ?? {};
  const names = Object.keys(rules);
  if (names.length === 0) return [];
  const columns = manifest.input.kind === "vector" ? manifest.input.columns : [];
  for (const name of names) {
    const column = columns.find((each) => each.name === name);
    if (!column) throw new InputError(`ignore: column '${name}' is not a column of the model`);
    if (column.kind === "category") {
      throw new InputError(`ignore: column '${name}' is a category; rules are for columns of numbers`);
    }
  }
  if (!manifest.surprise) throw new InputError(`ignore: ${manifest.name} has no surprises of held-out rows`);
  return columns.flatMap(({ name }, d) =>
    Object.hasOwn(rules, name) ? [{ d, name, ...sizes(name, rules[name]) }] : [],
  );
}

/** @param {string} name @param {any} rule */
function sizes(name, rule) {
  for (const key of Object.keys(rule ?? {})) {
    if (key !== "above" && key !== "below") {
      throw new InputError(`ignore: column '${name}': ${key}: no such key; the keys are above and below`);
    }
  }
  const size = (/** @type {unknown} */ value) => {
    if (value === "any") return Infinity;
    if (typeof value === "number" && value >= 0 && value < Infinity) return value;
    throw new InputError(`ignore: column '${name}': expected a number of at least 0, in the column's unit, or 'any'`);
  };
  const found = { above: size(rule?.above ?? 0), below: size(rule?.below ?? 0) };
  if (found.above === 0 && found.below === 0) {
    throw new InputError(`ignore: column '${name}': the rule tolerates nothing: give above, below or both`);
  }
  return found;
}

/**
 * The columns of the rules that remove the alarm of a row; none if its alarm stays.
 *
 * @param {Float64Array} row a checked row (D,), which is an anomaly
 * @param {Rule[]} rules
 * @param {Column[]} columns
 * @param {(row: Float64Array) => Promise<import("./first_cells.js").FirstCells>} firstCells
 * @param {(row: Float64Array) => Promise<boolean>} isAnomaly in the calibration group of the row as it was
 */
export async function tolerated(row, rules, columns, firstCells, isAnomaly) {
  if (rules.every(({ d }) => Number.isNaN(row[d]))) return [];
  const x = row.slice();
  /** @type {Set<Rule>} */
  const applied = new Set();
  for (let step = 0; step < MOST_CELLS; step++) {
    const { which, expected } = await firstCells(x);
    const found = which.map((d) => rules.find((rule) => rule.d === d));
    const explained = found.every((rule, i) => {
      const deviation = row[which[i]] - expected[i];
      return rule && !applied.has(rule) && -rule.below <= deviation && deviation <= rule.above;
    });
    if (which.length === 0 || !explained) return [];
    applied.add(/** @type {Rule} */ (found[0]));
    x[which[0]] = WHOLE_NUMBERS.has(columns[which[0]].kind ?? "real") ? toEven(expected[0]) : expected[0];
    if (!(await isAnomaly(x))) return rules.filter((rule) => applied.has(rule)).map(({ name }) => name);
  }
  return [];
}
