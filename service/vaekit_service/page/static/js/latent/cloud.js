/** Finds the latent vectors and scores of the rows that a map shows. */

import { listed, rowsPerCall, serviceOf } from "./calls.js";
import { asInputs } from "./reference.js";

/**
 * @typedef {object} Cloud rows with their latent vectors; one entry per row that could be read
 * @property {"rows" | "images" | "samples"} source
 * @property {number[][]} mu (N, Z)
 * @property {number[][]} sigma (N, Z)
 * @property {number[]} index of each point in the source
 * @property {number} invalid rows that cannot be read
 * @property {(point: number) => string} label
 * @property {(point: number) => unknown} value the row as the service takes it: cells by column, or pixels, or null
 * @property {(number | null)[]} score null: not scored yet
 * @property {(number | null)[]} pValue
 * @property {(point: number, alpha: number) => boolean} isAlarm
 * @property {(point: number) => boolean} isNovel
 *
 * @typedef {object} Source
 * @property {"rows" | "images" | "samples"} name
 * @property {import("./calls.js").Inputs} inputs
 * @property {(row: number) => string} label
 * @property {(row: number) => unknown} value
 */

/**
 * Samples of the model, encoded and scored. Their draws have a seed, so these rows do not count in the model's health;
 * they have no p-value for the same reason.
 *
 * @param {object} context
 * @param {object} model
 * @param {{ n: number, seed: number, signal?: AbortSignal }} options
 * @returns {Promise<Cloud>}
 */
export async function sampleCloud(context, model, { n, seed, signal }) {
  const service = serviceOf(context, model);
  const { samples } = await service.sample({ n, seed, observe: true }, { signal });
  const values = asInputs(model, samples);
  const source = { name: "samples", inputs: listed(values), label: (row) => `Sample ${row}`, value: (row) => values[row] };
  const [cloud, score] = await Promise.all([encoded(context, model, source, { signal }), scores(service, values, rowsPerCall(model), signal)]);
  return withScores(cloud, { score: (row) => score[row], pValue: () => null, isAlarm: () => false });
}

/**
 * The latent vectors of rows, without scores.
 *
 * @param {object} context
 * @param {object} model
 * @param {Source} source
 * @param {object} [options] signal, onProgress
 * @returns {Promise<Cloud>}
 */
export async function encoded(context, model, source, options = {}) {
  const { mu, sigma, invalid } = await serviceOf(context, model).encode(source.inputs, options);
  const index = mu.map((_, row) => row).filter((row) => mu[row] !== null);
  return {
    source: source.name,
    index,
    invalid,
    mu: index.map((row) => mu[row]),
    sigma: index.map((row) => sigma[row]),
    label: (point) => source.label(index[point]),
    value: (point) => source.value(index[point]),
    score: index.map(() => null),
    pValue: index.map(() => null),
    isAlarm: () => false,
    isNovel: () => false,
  };
}

/**
 * A cloud with the scores of its rows.
 *
 * @param {Cloud} cloud
 * @param {{ score: (row: number) => number | null, pValue: (row: number) => number | null,
 *   isAlarm: (row: number, alpha: number) => boolean, isNovel?: (row: number) => boolean }} scored
 * @returns {Cloud}
 */
export function withScores(cloud, { score, pValue, isAlarm, isNovel = () => false }) {
  const { index } = cloud;
  return {
    ...cloud,
    score: index.map((row) => score(row)),
    pValue: index.map((row) => pValue(row)),
    isAlarm: (point, alpha) => isAlarm(index[point], alpha),
    isNovel: (point) => isNovel(index[point]),
  };
}

async function scores(service, values, step, signal) {
  const found = [];
  for (let from = 0; from < values.length; from += step) {
    const body = { inputs: values.slice(from, from + step), seed: 1, log_evidence: false };
    found.push(...(await service.elbo(body, { signal })).score);
  }
  return found;
}
