/** Cells of an explanation as text. */

import { cut, number, percent } from "../format.js";
import { PLAIN } from "../rows/dialect.js";

const ODD = 0.1; // largest p-value of an anomalous category, as in the training report
export const NO_CELL = "no single cell stands out";

/**
 * Whether a cell is a reason for a high score: a number outside its expected range, or an unlikely level in place of the
 * expected one; and the score would be lower without it.
 *
 * @param {{ value: unknown, expected: unknown, low: number | null, high: number | null, p_value: number | null,
 *   relief?: number | null, excess: number }} cell
 */
export function isOdd({ value, expected, low, high, p_value: pValue, relief, excess }) {
  if ((relief ?? excess) <= 0) return false;
  if (value === null) return true; // an unseen level
  if (typeof low === "number" && typeof high === "number") return value < low || value > high;
  return value !== expected && (pValue === null || pValue <= ODD);
}

/** A cell of the file; long text is cut. @param {string | undefined} text */
export function cellText(text) {
  if (text === undefined || text === "") return "missing";
  return cut(text, 40);
}

/** A number as the file may write it: with its decimal, without separators of thousands. */
export function numberText(x, digits, { decimal } = PLAIN) {
  const text = number(x, digits);
  return typeof x === "number" ? text.replaceAll(",", "").replace(".", decimal) : text;
}

/**
 * What was expected: a range, a value, or a level with its probability.
 *
 * @param {{ expected: unknown, low: number | null, high: number | null, probability: number | null }} cell
 * @param {import("../rows/dialect.js").Dialect} [dialect] of the file
 */
export function expectedText({ expected, low, high, probability }, dialect) {
  const written = (x) => numberText(x, 3, dialect);
  if (typeof low === "number" && typeof high === "number") return `expected ${written(low)} to ${written(high)}`;
  if (expected === null || expected === undefined) return "";
  const share = typeof probability === "number" ? ` (${percent(probability)})` : "";
  return `expected ${written(expected)}${share}`;
}
