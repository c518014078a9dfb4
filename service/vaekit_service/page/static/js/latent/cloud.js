/** Finds the latent vectors and scores of the rows that a map shows. */

import { asInputs } from "./reference.js";
import { listed, serviceOf } from "./calls.js";

/**
 * @typedef {object} Cloud rows with their latent vectors; one entry per row that could be read
 * @property {"rows" | "images" | "samples"} source
 * @property {number[][]} mu (N, Z)
 * @property {number[][]} sigma (N, Z)
 * @property {number[]} index of each point in the source
 * @property {(number | null)[]} score
 * @property {(number | null)[]} pValue
 * @property {string[]} label
 * @property {unknown[]} values each row as the service takes it: cells by column, or pixels; null if it is not known
 * @property {number} invalid rows that cannot be read
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
  const encoded = await service.encode(listed(values), { signal });
  const score = await scores(service, values, signal);
  const points = values.map((value, i) => ({ value, score: score[i], pValue: null, label: `Sample ${i + 1}` }));
  return assemble("samples", encoded, points);
}

/**
 * Rows of the visitor with the scores that they have already.
 *
 * @param {object} context
 * @param {object} model
 * @param {"rows" | "images"} source
 * @param {import("./calls.js").Inputs} inputs
 * @param {(i: number) => { value: unknown, score: number | null, pValue: number | null, label: string }} pointOf
 * @param {object} [options] signal, onProgress
 * @returns {Promise<Cloud>}
 */
export async function loadedCloud(context, model, source, inputs, pointOf, options = {}) {
  const encoded = await serviceOf(context, model).encode(inputs, options);
  return assemble(source, encoded, Array.from({ length: inputs.n }, (_, i) => pointOf(i)));
}

async function scores(service, values, signal) {
  const found = [];
  for (let from = 0; from < values.length; from += 2000) {
    const body = { inputs: values.slice(from, from + 2000), seed: 1, log_evidence: false };
    found.push(...(await service.elbo(body, { signal })).score);
  }
  return found;
}

function assemble(source, { mu, sigma, invalid }, points) {
  const index = points.map((_, i) => i).filter((i) => mu[i] !== null && mu[i] !== undefined);
  return {
    source,
    index,
    invalid,
    mu: index.map((i) => mu[i]),
    sigma: index.map((i) => sigma[i]),
    score: index.map((i) => points[i].score),
    pValue: index.map((i) => points[i].pValue),
    label: index.map((i) => points[i].label),
    values: index.map((i) => points[i].value),
  };
}
