/** Cells of an explanation as text. */

import { number, percent } from "../format.js";

/** A cell of the file; long text is cut. @param {string | undefined} text */
export function cellText(text) {
  if (text === undefined || text === "") return "missing";
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/**
 * What was expected: a range, a value, or a level with its probability.
 *
 * @param {{ expected: unknown, low: number | null, high: number | null, probability: number | null }} cell
 */
export function expectedText({ expected, low, high, probability }) {
  if (typeof low === "number" && typeof high === "number") return `expected ${number(low, 3)} to ${number(high, 3)}`;
  if (expected === null || expected === undefined) return "";
  const share = typeof probability === "number" ? ` (${percent(probability)})` : "";
  return `expected ${number(expected, 3)}${share}`;
}
