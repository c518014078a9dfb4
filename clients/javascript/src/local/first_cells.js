/** Finds the cell that an alarm is about, of models with a kernel prior; what is common to all models. D columns. */

import { isOutside } from "./cells.js";

/**
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {{ which: number[], expected: number[] }} FirstCells the cells with the highest relief in column order,
 *   several if their relief is equal up to rounding, and the values expected there
 * @typedef {{ middle: ArrayLike<number>, usual: ArrayLike<number> }} HeldOutCells medians of the surprises of held-out
 *   cells, and usual values of cells, (D,) each
 */

export const CANDIDATES = 8; // cells of a row, by excess, that are compared
export const WHOLE_NUMBERS = new Set(["count", "binary", "category"]);
const TIE = 1e-5;

/**
 * The same as NetworkCells.first from the outputs of one graph, which predicts each cell from the others. Relief is
 * then the excess.
 *
 * @param {Float64Array} x a row (D,)
 * @param {Column[]} columns
 * @param {ArrayLike<number>} middle
 * @param {Record<string, Float64Array>} terms elbo, and of each cell log p(x_d | the other cells) and the expected
 *   value
 * @returns {FirstCells}
 */
export function firstKernelCells(x, columns, middle, { elbo, feature_log_likelihood, feature_expected }) {
  const rank = columns.map((column, d) => {
    if (Number.isNaN(x[d])) return -Infinity;
    return isOutside(x[d], column) ? Infinity : -feature_log_likelihood[d] - middle[d];
  });
  const which = inColumnOrder(largestFirst(rank).slice(0, CANDIDATES), rank, elbo[0]);
  return { which, expected: which.map((d) => feature_expected[d]) };
}

/** The indices of values, those of the largest first. */
export function largestFirst(/** @type {number[]} */ values) {
  return values.map((_, i) => i).sort((a, b) => (values[b] === values[a] ? a - b : values[b] - values[a]));
}

/**
 * The candidates whose rank is the highest, up to rounding; none if the row has no observed cell.
 *
 * @param {number[]} candidates
 * @param {number[]} rank by column
 * @param {number} elbo of the row, nats
 */
export function inColumnOrder(candidates, rank, elbo) {
  const best = Math.max(...candidates.map((d) => rank[d])) - TIE * Math.max(1, Math.abs(elbo));
  return candidates.filter((d) => rank[d] > -Infinity && rank[d] >= best).sort((a, b) => a - b);
}

/** The nearest whole number; of two the even one. */
export function toEven(/** @type {number} */ v) {
  const near = Math.round(v);
  return Math.abs(v % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}
