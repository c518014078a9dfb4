/** Which cells of a row surprise the model most, without a request that counts in the model's health. */

import { serviceOf } from "../calls.js";
import { quantile } from "../dimensions.js";
import { asInputs, referenceOf } from "../reference.js";

const COMPARED = 200; // samples that say which surprise is usual
const SEED = 1; // own draws: rows with them have no p-value, and do not count in the model's health
const RARE = 0.05; // share of samples whose cell is called surprising
const usual = new WeakMap(); // by manifest: the usual surprise of each column

/**
 * The cells of a row with a higher surprise, -log p, than 95 % of samples have in their column, those whose surprise
 * exceeds the usual one most first.
 *
 * @param {object} context
 * @param {object} model of a table
 * @param {unknown[]} row (D)
 * @param {number} most
 * @returns {Promise<{ feature: string, value: unknown }[]>}
 */
export async function surprisingCells(context, model, row, most) {
  if (!usual.has(model)) {
    const asked = usualSurprise(context, model);
    usual.set(model, asked);
    asked.catch(() => usual.delete(model));
  }
  const [usually, [surprise]] = await Promise.all([usual.get(model), surprises(context, model, [row])]);
  return mostSurprising(surprise, usually, most).map((d) => ({ feature: model.input.columns[d].name, value: row[d] }));
}

/**
 * @param {number[]} surprise of each cell, (D,)
 * @param {{ median: number, high: number }[]} usually of each column, (D,)
 * @param {number} most
 * @returns {number[]} indices of cells
 */
export function mostSurprising(surprise, usually, most) {
  const excess = surprise.map((value, d) => value - usually[d].median);
  const found = surprise.map((_, d) => d).filter((d) => surprise[d] > usually[d].high);
  return found.sort((a, b) => excess[b] - excess[a]).slice(0, most);
}

async function usualSurprise(context, model) {
  const { samples } = await referenceOf(context, model);
  const found = await surprises(context, model, asInputs(model, samples.slice(0, COMPARED)));
  return model.input.columns.map((_, d) => {
    const sorted = found.map((row) => row[d]).sort((a, b) => a - b);
    return { median: quantile(sorted, 0.5), high: quantile(sorted, 1 - RARE) };
  });
}

/** Surprise of each cell, (N, D), in nats. */
async function surprises(context, model, inputs) {
  const body = { inputs, features: true, seed: SEED, log_evidence: false };
  const found = await serviceOf(context, model).elbo(body, { record: false });
  return found.feature_log_likelihood.map((row) => row.map((value) => -value));
}
