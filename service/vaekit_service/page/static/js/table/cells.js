/** Cells of an explanation as text. */

import { number, percent } from "../format.js";

const ODD = 0.05; // largest p-value of a cell that is highlighted

/** Whether a cell is unlike those of the held-out rows. @param {{ p_value: number | null, excess: number }} cell */
export const isOdd = ({ p_value: pValue, excess }) => pValue !== null && pValue <= ODD && excess > 0;

/** The cells to name as the reasons for an alarm: the odd ones, or the first one. @param {object[]} cells */
export function reasonsOf(cells) {
  const odd = cells.filter(isOdd);
  return odd.length > 0 ? odd : cells.filter(({ excess }) => excess > 0).slice(0, 1);
}

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
