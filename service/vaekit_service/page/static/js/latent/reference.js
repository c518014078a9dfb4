/** Samples of the model: where its latent vectors usually are, and which values its columns usually have. */

import { toIntegers } from "../images/pixels.js";
import { listed, rowsPerCall, serviceOf } from "./calls.js";
import { quantile } from "./dimensions.js";

const N = 400; // fewer if rows are wide
const SEED = 1;
const kept = new WeakMap(); // by manifest

/**
 * @typedef {object} Reference
 * @property {unknown[]} samples (N, D) or (N, H, W, C)
 * @property {number[][]} latents (N, Z), drawn from the prior
 * @property {number[][]} mu (N, Z), of the samples
 * @property {number[][]} sigma (N, Z)
 * @property {(ColumnRange | null)[]} ranges of the columns; null for a category
 *
 * @typedef {{ low: number, high: number, usualLow: number, usualHigh: number }} ColumnRange
 */

/**
 * Samples with a fixed seed, asked for once per model.
 *
 * @param {{ api: object }} context
 * @param {object} model manifest
 * @returns {Promise<Reference>}
 */
export function referenceOf(context, model) {
  if (!kept.has(model)) {
    const asked = ask(context, model);
    kept.set(model, asked);
    asked.catch(() => kept.delete(model)); // so that the next panel asks again
  }
  return kept.get(model);
}

/** Samples as /encode and /elbo take them. @param {object} model @param {unknown[]} samples */
export function asInputs(model, samples) {
  return model.input.kind === "image" ? samples.map(toIntegers) : samples;
}

async function ask(context, model) {
  const service = serviceOf(context, model);
  const { samples, latents } = await service.sample({ n: rowsPerCall(model, N), seed: SEED, observe: true });
  const { mu, sigma } = await service.encode(listed(asInputs(model, samples)));
  return { samples, latents, mu, sigma, ranges: rangesOf(model, samples) };
}

/**
 * Of each column, the middle 90 % and the middle 99 % of the samples.
 *
 * @param {object} model
 * @param {unknown[][]} samples (N, D)
 * @returns {(ColumnRange | null)[]}
 */
export function rangesOf(model, samples) {
  return (model.input.columns ?? []).map((column, d) => {
    if (column.kind === "category") return null;
    const sorted = samples.map((row) => row[d]).filter(Number.isFinite).sort((a, b) => a - b);
    if (!sorted.length) return null;
    const [low, usualLow, usualHigh, high] = [0.005, 0.05, 0.95, 0.995].map((share) => quantile(sorted, share));
    return { low, high, usualLow, usualHigh };
  });
}
