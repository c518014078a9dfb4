/** The operations of a model, as the latent panels call them. */

import { pathOf } from "../api.js";

const ROWS = 2000; // of one call
const CELLS = 300_000; // of one call: some megabytes of JSON

/**
 * @typedef {object} Service
 * @property {(rows: Inputs, options?: object) => Promise<Encoded>} encode
 * @property {(latents: number[][], options?: object) => Promise<object>} decode
 * @property {(body: object, options?: object) => Promise<object>} sample
 * @property {(body: object, options?: object) => Promise<object>} elbo
 *
 * @typedef {object} Inputs rows to send, a part at a time
 * @property {number} n
 * @property {(from: number, to: number) => { body: unknown, type?: string, query?: object }} part
 *
 * @typedef {object} Encoded one entry per row, null for a row that cannot be read
 * @property {(number[] | null)[]} mu (N, Z)
 * @property {(number[] | null)[]} sigma (N, Z)
 * @property {number} invalid number of rows that cannot be read
 */

/**
 * The member of a model whose latent vectors the panels show. Latent vectors of two members have nothing in common.
 */
export const MEMBER = 0;

/**
 * @param {{ api: object }} context
 * @param {object} model manifest
 * @returns {Service}
 */
export function serviceOf({ api }, model) {
  const post = (operation, options) => api.postJson(pathOf(model, operation), options);
  const several = model.members > 1;
  return {
    async encode(rows, options = {}) {
      const found = { mu: [], sigma: [], invalid: 0 };
      const step = rowsPerCall(model);
      for (let from = 0; from < rows.n; from += step) {
        const part = rows.part(from, Math.min(from + step, rows.n));
        const { signal } = options;
        append(found, await encodePart(api, model, { ...part, signal }), several);
        options.onProgress?.(Math.min(from + step, rows.n), rows.n);
      }
      return found;
    },
    decode: (latents, options) => post("decode", { body: decodeBody(latents, several), ...options }),
    sample: (body, options) => post("sample", { body, ...options }),
    elbo: (body, options) => post("elbo", { body, ...options }),
  };
}

/** Number of cells of a row, D. @param {object} model */
export function cellsOf({ input }) {
  return input.kind === "image" ? input.height * input.width * input.channels : input.columns.length;
}

/** How many rows of a model one call should have, at most `most`. @param {object} model @param {number} [most] */
export function rowsPerCall(model, most = ROWS) {
  return Math.max(1, Math.min(most, Math.floor(CELLS / cellsOf(model))));
}

/** The body of /decode. @param {number[][]} latents @param {boolean} several whether the model has several members */
export function decodeBody(latents, several) {
  return several ? { latents, members: MEMBER } : { latents };
}

/** Rows of lists, as Inputs. @param {unknown[]} rows */
export function listed(rows) {
  return { n: rows.length, part: (from, to) => ({ body: { inputs: rows.slice(from, to) } }) };
}

async function encodePart(api, model, { body, type, query, signal }) {
  const path = pathOf(model, "encode");
  if (type === undefined) {
    const { mu, sigma } = await api.postJson(path, { body: { ...body, errors: "report" }, signal });
    return mu.map((one, i) => ({ mu: one, sigma: sigma[i] }));
  }
  const { lines } = await api.postLines(path, { body, type, query: { errors: "report", ...query }, signal });
  return lines;
}

function append(found, lines, several) {
  for (const { mu, sigma } of lines) {
    const readable = Array.isArray(mu);
    found.mu.push(readable ? (several ? mu[MEMBER] : mu) : null);
    found.sigma.push(readable ? (several ? sigma[MEMBER] : sigma) : null);
    if (!readable) found.invalid++;
  }
}
