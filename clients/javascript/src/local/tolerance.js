/** Removes alarms that tolerance rules explain, of models with a kernel prior. D columns; deviations in raw units. */

import { InputError, NotSupported } from "../errors.js";
import { isOutside } from "./cells.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("../../types/local.js").ToleranceRules} ToleranceRules
 * @typedef {{ d: number, name: string, above: number, below: number }} Rule
 * @typedef {{ elbo: number, logLikelihood: Float64Array, expected: Float64Array }} Cells of a row: its ELBO, and of
 *   each cell log p(x_d | the other cells) and the value expected there, (D,) each
 */

const MOST_CELLS = 8; // of a row that are replaced; an alarm that needs more of them stays
const CANDIDATES = 8; // cells of a row, by excess, that are compared
const TIE = 1e-5;
const WHOLE_NUMBERS = new Set(["count", "binary", "category"]);

/**
 * The rules in force, in the order of the columns: the given ones, or else those of the bundle.
 *
 * @param {Manifest} manifest
 * @param {ToleranceRules | undefined} given
 * @param {boolean} predictsCells whether the graphs predict each cell from the others
 * @returns {Rule[]}
 */
export function rulesInForce(manifest, given, predictsCells) {
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
  if (!predictsCells) {
    throw new NotSupported(
      `${manifest.name} has tolerance rules, which this package applies to models with a kernel prior only; score ` +
        "with ignore: {} for verdicts without rules, or use the service",
    );
  }
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
 * @param {ArrayLike<number>} medians held-out medians of the surprises, (D,)
 * @param {(row: Float64Array) => Promise<Cells>} cellsOf
 * @param {(row: Float64Array) => Promise<boolean>} isAnomaly in the calibration group of the row as it was
 */
export async function tolerated(row, rules, columns, medians, cellsOf, isAnomaly) {
  if (rules.every(({ d }) => Number.isNaN(row[d]))) return [];
  const x = row.slice();
  /** @type {Set<Rule>} */
  const applied = new Set();
  for (let step = 0; step < MOST_CELLS; step++) {
    const cells = await cellsOf(x);
    const which = firstCells(x, cells, columns, medians);
    const found = which.map((d) => rules.find((rule) => rule.d === d));
    const explained = found.every((rule, i) => {
      const deviation = row[which[i]] - cells.expected[which[i]];
      return rule && !applied.has(rule) && -rule.below <= deviation && deviation <= rule.above;
    });
    if (which.length === 0 || !explained) return [];
    applied.add(/** @type {Rule} */ (found[0]));
    const expected = cells.expected[which[0]];
    x[which[0]] = WHOLE_NUMBERS.has(columns[which[0]].kind ?? "real") ? toEven(expected) : expected;
    if (!(await isAnomaly(x))) return rules.filter((rule) => applied.has(rule)).map(({ name }) => name);
  }
  return [];
}

/**
 * The cells with the highest relief, in column order; several if their relief is equal up to rounding.
 *
 * Relief is the surprise minus its held-out median; a cell that makes the row novel comes first, a missing one never.
 *
 * @param {Float64Array} x @param {Cells} cells @param {Column[]} columns @param {ArrayLike<number>} medians
 */
function firstCells(x, cells, columns, medians) {
  const rank = columns.map((column, d) => {
    if (Number.isNaN(x[d])) return -Infinity;
    return isOutside(x[d], column) ? Infinity : -cells.logLikelihood[d] - medians[d];
  });
  const candidates = rank.map((_, d) => d).sort((a, b) => (rank[b] === rank[a] ? a - b : rank[b] - rank[a]));
  const best = rank[candidates[0]] - TIE * Math.max(1, Math.abs(cells.elbo));
  const first = candidates.slice(0, CANDIDATES).filter((d) => rank[d] > -Infinity && rank[d] >= best);
  return first.sort((a, b) => a - b);
}

/** The nearest whole number; of two the even one. */
function toEven(/** @type {number} */ v) {
  const near = Math.round(v);
  return Math.abs(v % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}
