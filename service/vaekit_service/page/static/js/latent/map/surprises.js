/** Which cells of a row surprise the model most, without a request that counts in the model's health. */

import { serviceOf } from "../calls.js";
import { quantile } from "../dimensions.js";
import { asInputs, referenceOf } from "../reference.js";

const COMPARED = 200; // samples that say which surprise is usual
const SEED = 1; // own draws: rows with them have no p-value, and do not count in the model's health
const usual = new WeakMap(); // by manifest: the median surprise of each column

/**
 * The cells of a row whose surprise, -log p, exceeds the usual one of their column most.
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
  const [median, [surprise]] = await Promise.all([usual.get(model), surprises(context, model, [row])]);
  const excess = surprise.map((value, d) => value - median[d]);
  const order = excess.map((_, d) => d).sort((a, b) => excess[b] - excess[a]);
  return order.slice(0, most).map((d) => ({ feature: model.input.columns[d].name, value: row[d] }));
}

async function usualSurprise(context, model) {
  const { samples } = await referenceOf(context, model);
  const found = await surprises(context, model, asInputs(model, samples.slice(0, COMPARED)));
  return model.input.columns.map((_, d) => quantile(found.map((row) => row[d]).sort((a, b) => a - b), 0.5));
}

/** Surprise of each cell, (N, D), in nats. */
async function surprises(context, model, inputs) {
  const body = { inputs, features: true, seed: SEED, log_evidence: false };
  const found = await serviceOf(context, model).elbo(body);
  return found.feature_log_likelihood.map((row) => row.map((value) => -value));
}
