/**
 * Scores checked rows with the graphs of a bundle, and leaves missing and novel cells out. N rows, D columns, K draws.
 */

import { isOutside, missingCells } from "./cells.js";
import { dimensions, mostMissing } from "./manifest.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./graphs.js").Graphs} Graphs
 * @typedef {Record<string, Float64Array>} Terms outputs by name, (N,), or (N, F) and (N, D) row by row
 */

const MAX_ELEMENTS = 2 ** 19; // limit of N * K * (width of the widest layer) in one call: bounds memory
const MASKED = "surprise"; // its graph takes `observed` in every vector model of format 1.3
const OF_THE_ROW = ["elbo", "log_likelihood", "log_evidence"];

export class Scores {
  #manifest;
  #graphs;
  #usual;

  /**
   * @param {Manifest} manifest
   * @param {Graphs} graphs
   */
  constructor(manifest, graphs) {
    this.#manifest = manifest;
    this.#graphs = graphs;
    const novelty = manifest.novelty;
    this.#usual = novelty ? -Math.log1p(novelty.rows) : NaN; // log 1 / (n + 1), nats
  }

  /**
   * The terms of the bound of rows.
   *
   * @param {string} operation bound, elbo or surprise
   * @param {Float64Array | Uint8Array} x (N, D) checked, or pixels
   * @param {Float32Array} eps (K, Z)
   * @param {string[]} wanted names of the outputs
   * @returns {Promise<Terms>}
   */
  async terms(operation, x, eps, wanted) {
    const width = dimensions(this.#manifest.input);
    const n = x.length / width;
    const most = this.#rowsAtOnce(operation, eps.length / this.#manifest.latent_dim);
    /** @type {Terms} */
    const found = {};
    for (let start = 0; start < n; start += most) {
      const part = x.subarray(start * width, Math.min(start + most, n) * width);
      for (const [name, values] of Object.entries(await this.#chunk(operation, part, eps, wanted))) {
        found[name] ??= new Float64Array((values.length / (part.length / width)) * n);
        found[name].set(values, (start * values.length) / (part.length / width));
      }
    }
    return found;
  }

  /**
   * @param {string} operation
   * @param {Float64Array | Uint8Array} x
   * @param {Float32Array} eps
   * @param {string[]} wanted
   */
  async #chunk(operation, x, eps, wanted) {
    const { input } = this.#manifest;
    const d = dimensions(input);
    const n = x.length / d;
    const every = Array.from({ length: n }, (_, i) => i);
    if (input.kind === "image" || x instanceof Uint8Array) {
      const shape = input.kind === "image" ? [n, input.height, input.width, input.channels] : [n, d];
      return this.#call(operation, { x: { shape, data: x } }, n, eps, wanted);
    }
    const observed = Uint8Array.from(x, (v, at) => Number(!Number.isNaN(v) && !isOutside(v, input.columns[at % d])));
    const isWhole = every.map((i) => observed.subarray(i * d, (i + 1) * d).every(Boolean));
    if (this.#graphs.takesObserved(operation) || isWhole.every(Boolean)) {
      const terms = await this.#rows(operation, x, observed, every, eps, wanted);
      return this.#withOutside(terms, x);
    }
    /** @type {Terms} */
    const found = {};
    for (const [rows, through] of /** @type {[number[], string][]} */ ([
      [every.filter((i) => isWhole[i]), operation],
      [every.filter((i) => !isWhole[i]), MASKED],
    ])) {
      if (rows.length === 0 || !(through === operation || this.#graphs.takesObserved(MASKED))) continue;
      const terms = await this.#rows(through, x, observed, rows, eps, wanted);
      for (const [name, values] of Object.entries(terms)) scatter(found, name, values, rows, n);
    }
    for (const name of wanted) found[name] ??= new Float64Array(n).fill(NaN);
    return this.#withOutside(found, x);
  }

  /**
   * The terms of some rows through one graph.
   *
   * @param {string} operation @param {Float64Array} x @param {Uint8Array} observed @param {number[]} rows
   * @param {Float32Array} eps @param {string[]} wanted
   */
  #rows(operation, x, observed, rows, eps, wanted) {
    const d = dimensions(this.#manifest.input);
    const [own, mask] = [new Float64Array(rows.length * d), new Uint8Array(rows.length * d)];
    rows.forEach((i, to) => {
      for (let j = 0; j < d; j++) {
        mask[to * d + j] = observed[i * d + j];
        own[to * d + j] = observed[i * d + j] ? x[i * d + j] : 0;
      }
    });
    const shape = [rows.length, d];
    const masked = this.#graphs.takesObserved(operation) ? { observed: { shape, data: mask } } : {};
    return this.#call(operation, { x: { shape, data: own }, ...masked }, rows.length, eps, wanted);
  }

  /**
   * @param {string} operation
   * @param {Record<string, any>} feeds
   * @param {number} n
   * @param {Float32Array} eps
   * @param {string[]} wanted
   */
  async #call(operation, feeds, n, eps, wanted) {
    const z = this.#manifest.latent_dim;
    const data = new Float32Array(n * eps.length); // every row has the same draws
    for (let i = 0; i < n; i++) data.set(eps, i * eps.length);
    const outputs = await this.#graphs.run(operation, { ...feeds, eps: { shape: [n, eps.length / z, z], data } });
    /** @type {Terms} */
    const found = {};
    for (const name of wanted) if (outputs[name]) found[name] = Float64Array.from(outputs[name].data);
    return found;
  }

  /**
   * mu and sigma of q(z|x) of rows (n, D) of columns, (n, M, Z) each, and with members their weights (n, M).
   *
   * @param {Float64Array} rows
   * @param {Float32Array} eps (K, Z)
   * @param {ArrayLike<number>} usual values of the columns, for graphs that cannot leave cells out, (D,)
   * @returns {Promise<{ mu: Float32Array, sigma: Float32Array, weights: Float32Array | null }>}
   */
  async encode(rows, eps, usual) {
    const { columns } = /** @type {import("../../types/local.js").VectorInput} */ (this.#manifest.input);
    const shape = [rows.length / columns.length, columns.length];
    const observed = rows.map((v, at) => Number(!Number.isNaN(v) && !isOutside(v, columns[at % columns.length])));
    const takesObserved = this.#graphs.takesObserved("encode");
    const standIn = columns.map(({ kind }, d) => (Number.isFinite(usual[d]) ? usual[d] : Number(kind === "positive")));
    const x = rows.map((v, at) => (observed[at] ? v : takesObserved ? 0 : standIn[at % columns.length]));
    const draws = new Float32Array(shape[0] * eps.length).map((_, at) => eps[at % eps.length]);
    const z = this.#manifest.latent_dim;
    const { mu, sigma, weights } = await this.#graphs.run("encode", {
      x: { shape, data: x },
      observed: { shape, data: Uint8Array.from(observed) },
      eps: { shape: [shape[0], eps.length / z, z], data: draws },
    });
    return { mu: mu.data, sigma: sigma.data, weights: weights?.data ?? null };
  }

  /** The terms with log 1 / (n + 1) added for each cell that is outside. */
  #withOutside(/** @type {Terms} */ terms, /** @type {Float64Array} */ x) {
    const { input } = this.#manifest;
    if (input.kind !== "vector") return terms;
    const d = input.columns.length;
    x.forEach((v, at) => {
      if (!isOutside(v, input.columns[at % d])) return;
      const i = Math.floor(at / d);
      for (const name of OF_THE_ROW) if (terms[name]) terms[name][i] += this.#usual;
      if (terms.fold_elbo) {
        const folds = terms.fold_elbo.length / (x.length / d);
        for (let f = 0; f < folds; f++) terms.fold_elbo[i * folds + f] += this.#usual;
      }
      if (terms.feature_log_likelihood) terms.feature_log_likelihood[at] = this.#usual;
    });
    return terms;
  }

  /**
   * The names of the columns that make each row novel, N lists; null for images.
   *
   * @param {Float64Array | Uint8Array} x
   */
  novel(x) {
    const { input } = this.#manifest;
    if (input.kind !== "vector") return null;
    const [d, most] = [input.columns.length, mostMissing(this.#manifest)];
    return Array.from({ length: x.length / d }, (_, i) => {
      const row = x.subarray(i * d, (i + 1) * d);
      const hasMoreMissing = missingCells(row) > most;
      const cells = input.columns.filter(
        (column, j) => isOutside(row[j], column) || (hasMoreMissing && Number.isNaN(row[j])),
      );
      return cells.map((column) => column.name);
    });
  }

  #rowsAtOnce(/** @type {string} */ operation, /** @type {number} */ k) {
    const m = this.#manifest;
    const widest = k * Math.max(dimensions(m.input), m.latent_dim, m.width ?? 1);
    let densities = operation === "bound" ? 1 : k; // evaluations of the prior per row
    if (operation === "surprise" && this.#graphs.gives("surprise", "feature_expected")) densities += m.latent_dim;
    const components = (m.members ?? 1) * (m.prior.components ?? 0);
    return Math.max(1, Math.floor(MAX_ELEMENTS / Math.max(widest, densities * components)));
  }
}

/** @param {Terms} found @param {string} name @param {Float64Array} values @param {number[]} rows @param {number} n */
function scatter(found, name, values, rows, n) {
  const each = values.length / rows.length;
  found[name] ??= new Float64Array(n * each).fill(NaN);
  rows.forEach((i, at) => found[name].set(values.subarray(at * each, (at + 1) * each), i * each));
}
