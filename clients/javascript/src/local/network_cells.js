/**
 * Finds the cell that an alarm is about, of models whose graphs do not predict each cell from the others.
 *
 * The cells with the largest excess (the candidates) are removed from the row one at a time. Let q be the posterior of
 * the row without cell d. Then
 *
 *     ELBO_-d(x) = E_q[ sum_{e != d} log p(x_e|z) ] - KL(q || p)
 *     relief_d   = ELBO_-d(x) - median_d - ELBO(x)          median_d: the median of held-out surprises of column d
 *
 * With an aggregate prior, both ELBOs have the KL to N(0, I) in place of that to the prior. n rows, D columns, Z latent
 * dimensions, M members, K draws.
 */

import { isOutside, missingCells } from "./cells.js";
import { CANDIDATES, inColumnOrder, largestFirst, toEven, WHOLE_NUMBERS } from "./first_cells.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("./first_cells.js").FirstCells} FirstCells
 * @typedef {import("./first_cells.js").HeldOutCells} HeldOutCells
 */

const MAX_LATENT = 1e6; // no encoder gives a larger |z|, and float32 would overflow in the decoder

export class NetworkCells {
  #manifest;
  #graphs;
  #scores;
  #eps;
  #heldOut;
  /** @type {Column[]} */
  #columns;

  /**
   * @param {Manifest} manifest of a model of columns
   * @param {import("./graphs.js").Graphs} graphs
   * @param {import("./scores.js").Scores} scores
   * @param {Float32Array} eps the default draws, (K, Z)
   * @param {HeldOutCells} heldOut
   */
  constructor(manifest, graphs, scores, eps, heldOut) {
    this.#manifest = manifest;
    this.#graphs = graphs;
    this.#scores = scores;
    this.#eps = eps;
    this.#heldOut = heldOut;
    this.#columns = manifest.input.kind === "vector" ? manifest.input.columns : [];
  }

  /**
   * The cells with the highest relief, and the values expected there.
   *
   * @param {Float64Array} x a row (D,)
   * @returns {Promise<FirstCells>}
   */
  async first(x) {
    const { middle } = this.#heldOut;
    const own = await this.#bound(x);
    const isOut = this.#columns.map((column, d) => isOutside(x[d], column));
    const excess = this.#columns.map((_, d) => {
      if (Number.isNaN(x[d])) return -Infinity;
      return isOut[d] ? Infinity : -own.logLikelihoods[d] - middle[d];
    });
    const candidates = largestFirst(excess).slice(0, CANDIDATES);
    const without = await this.#rowsWithout(x, candidates);
    const removed = await this.#bound(without);
    const rank = new Array(x.length).fill(-Infinity);
    candidates.forEach((d, c) => {
      const cell = removed.logLikelihoods[c * x.length + d];
      const stays = Number.isNaN(without[c * x.length + d]) ? 0 : -cell; // a value in its place does not count
      const relief = removed.relief[c] + stays - middle[d] - own.relief[0];
      rank[d] = Number.isFinite(excess[d]) ? relief : excess[d];
    });
    const which = inColumnOrder(candidates, rank, own.elbo);
    const rows = new Float64Array(which.length * x.length);
    which.forEach((d, i) => {
      const c = candidates.indexOf(d);
      rows.set(without.subarray(c * x.length, (c + 1) * x.length), i * x.length);
    });
    return { which, expected: which.length ? await this.#predict(rows, which) : [] };
  }

  /** The ELBO of rows (n, D) that relief is computed from, log p of their cells, and the ELBO of the first row. */
  async #bound(/** @type {Float64Array} */ rows) {
    const wanted = ["elbo", "log_likelihood", "feature_log_likelihood"];
    const terms = await this.#scores.terms("surprise", rows, this.#eps, wanted);
    const relief = this.#manifest.prior.name === "aggregate" ? await this.#toNormalPrior(rows, terms) : terms.elbo;
    return { elbo: terms.elbo[0], relief, logLikelihoods: terms.feature_log_likelihood };
  }

  /**
   * E_q[log p(x|z)] - sum_m q(m|x) KL(q_m(z|x) || N(0, I)) of rows (n, D).
   *
   * @param {Float64Array} rows
   * @param {Record<string, Float64Array>} terms
   */
  async #toNormalPrior(rows, terms) {
    const { latent_dim: z, members = 1 } = this.#manifest;
    const { mu, sigma, weights } = await this.#scores.encode(rows, this.#eps, this.#heldOut.usual);
    return terms.log_likelihood.map((logLikelihood, i) => {
      let kl = 0;
      for (let at = i * members * z; at < (i + 1) * members * z; at++) {
        const weight = weights ? weights[Math.floor(at / z)] : 1;
        kl += weight * (0.5 * (mu[at] * mu[at] + sigma[at] * sigma[at] - 1) - Math.log(sigma[at]));
      }
      return logLikelihood - kl;
    });
  }

  /**
   * Copies of a row, each without one cell: it is missing if it may be, otherwise the value predicted from a row in
   * which it has the column's usual value.
   *
   * @param {Float64Array} x (D,)
   * @param {number[]} which the cells, (n,)
   * @returns {Promise<Float64Array>} (n, D)
   */
  async #rowsWithout(x, which) {
    const found = new Float64Array(which.length * x.length);
    which.forEach((_, i) => found.set(x, i * x.length));
    const usual = which.map((d) => this.#heldOut.usual[d]);
    this.#put(found, which, usual);
    this.#put(found, which, await this.#predict(found, which));
    return found;
  }

  /**
   * Write one value into each of n rows (n, D), or NaN if the cell may be missing and another one is observed.
   *
   * @param {Float64Array} rows @param {number[]} which @param {ArrayLike<number>} values
   */
  #put(rows, which, values) {
    const width = this.#columns.length;
    which.forEach((d, i) => {
      const row = rows.subarray(i * width, (i + 1) * width);
      const others = width - missingCells(row) - Number(!Number.isNaN(row[d]));
      const value = WHOLE_NUMBERS.has(this.#columns[d].kind ?? "real") ? toEven(values[i]) : values[i];
      row[d] = this.#columns[d].may_be_missing && others > 0 ? NaN : value;
    });
  }

  /**
   * The expected value of one cell of each of n rows (n, D): the mean of the decoder's mean over draws of z ~ q(z|x),
   * for a category its most probable level.
   *
   * @param {Float64Array} rows
   * @param {number[]} which the cells, (n,)
   */
  async #predict(rows, which) {
    const { latent_dim: z, members = 1 } = this.#manifest;
    const { mu, sigma, weights } = await this.#scores.encode(rows, this.#eps, this.#heldOut.usual);
    const draws = members * (this.#eps.length / z); // M K of each row, K of each member
    const latents = new Float32Array(which.length * draws * z);
    for (let at = 0; at < latents.length; at++) {
      const posterior = Math.floor(at / this.#eps.length) * z + (at % z); // of the row and the member of this draw
      const value = mu[posterior] + Math.fround(sigma[posterior] * this.#eps[at % this.#eps.length]);
      latents[at] = Math.min(Math.max(value, -MAX_LATENT), MAX_LATENT);
    }
    const decoded = await this.#decode(latents, draws);
    return which.map((d, i) => {
      const shares = Array.from({ length: members }, (_, m) => (weights ? weights[i * members + m] : 1));
      const total = shares.reduce((sum, share) => sum + share, 0);
      const weight = (/** @type {number} */ n) => shares[Math.floor(n / (draws / members))] / total / (draws / members);
      return expectedOf(decoded, this.#columns, d, i * draws, draws, weight);
    });
  }

  async #decode(/** @type {Float32Array} */ latents, /** @type {number} */ draws) {
    const { latent_dim: z, members = 1 } = this.#manifest;
    const n = latents.length / z;
    const member = BigInt64Array.from({ length: n }, (_, at) => BigInt(Math.floor((at % draws) / (draws / members))));
    return this.#graphs.run("decode", {
      z: { shape: [n, z], data: latents },
      member: { shape: [n], data: member }, // taken by graphs with members
    });
  }
}

/**
 * The weighted mean of a column over the draws of a row, or the most probable level.
 *
 * @param {Record<string, { shape: number[], data: any }>} decoded
 * @param {Column[]} columns
 * @param {number} d
 * @param {number} start the first draw of the row
 * @param {number} draws
 * @param {(draw: number) => number} weight
 */
function expectedOf({ mean, probabilities }, columns, d, start, draws, weight) {
  const over = (/** @type {any} */ { shape, data }, /** @type {number} */ at) => {
    let sum = 0;
    for (let n = 0; n < draws; n++) sum += weight(n) * data[(start + n) * shape[1] + at];
    return sum;
  };
  const { levels } = columns[d];
  if (!levels) return over(mean, d);
  const first = columns.slice(0, d).reduce((sum, column) => sum + (column.levels?.length ?? 0), 0);
  const shares = levels.map((_, level) => over(probabilities, first + level));
  return shares.indexOf(Math.max(...shares));
}
