/** Opens a bundle, and scores rows with it: ELBO, p-value and verdict, as the service gives them. */

import { FormatError, InputError } from "../errors.js";
import { Calibration } from "./calibration.js";
import { defaultEps } from "./draws.js";
import { fileReader, readManifest, readSigned } from "./files.js";
import { Graphs, installedRuntime } from "./graphs.js";
import { checkManifest, dimensions, graphFiles, signedFiles } from "./manifest.js";
import { readNpy, readNpz } from "./npy.js";
import { checkGraph } from "./onnxfile.js";
import { encodeRows } from "./rows.js";
import { Scores } from "./scores.js";
import { encodeWindows, spread } from "./series.js";
import { rulesInForce, tolerated } from "./tolerance.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./npy.js").NdArray} NdArray
 * @typedef {import("../../types/local.js").OpenOptions} OpenOptions
 * @typedef {import("../../types/local.js").ScoreOptions} ScoreOptions
 * @typedef {import("../../types/local.js").Scored} Scored
 */

/** A verified bundle: one version of a model. */
export class Bundle {
  #graphs;
  #scores;
  #base;
  #medians;
  /** @type {Map<number, Calibration>} by K */
  #calibrations;
  /** @type {Map<number, Float32Array>} the default draws by K */
  #eps = new Map();

  /**
   * @param {Manifest} manifest
   * @param {{ graphs: Graphs, base: Float64Array, calibrations: Map<number, Calibration>, medians: ArrayLike<number> |
   *   null }} parts
   */
  constructor(manifest, { graphs, base, calibrations, medians }) {
    this.manifest = manifest;
    this.#graphs = graphs;
    this.#scores = new Scores(manifest, graphs);
    this.#base = base;
    this.#calibrations = calibrations;
    this.#medians = medians;
  }

  /**
   * Read a version's folder, verify its files, and replay the golden rows of the graphs that score.
   *
   * @param {unknown} source a folder's path (Node), the URL of a folder, or an object with `read(name)`
   * @param {OpenOptions} [options]
   * @returns {Promise<Bundle>}
   */
  static async open(source, options = {}) {
    const reader = fileReader(source);
    const manifest = checkManifest(await readManifest(reader), reader.where);
    const signed = signedFiles(manifest);
    const contents = await Promise.all(signed.map((part) => readSigned(reader, part)));
    const files = new Map(signed.map((part, i) => [part.file, contents[i]]));
    for (const file of graphFiles(manifest)) checkGraph(contentOf(files, file), file);
    const golden = await readNpz(contentOf(files, manifest.golden.file), manifest.golden.file);
    const graphs = new Graphs(manifest, files, golden, options.onnxruntime ?? (await installedRuntime()));
    const bundle = new Bundle(manifest, {
      graphs,
      base: baseDraws(manifest, files),
      calibrations: await calibrationsOf(manifest, files, graphs),
      medians: await mediansOf(manifest, files),
    });
    try {
      await graphs.open(bundle.#operation(false));
      if (graphs.takesObserved("surprise")) await graphs.open("surprise");
    } catch (error) {
      await bundle.close();
      throw error;
    }
    return bundle;
  }

  /**
   * The ELBO of each row in nats, its p-value, and whether it is an anomaly at `alpha`.
   *
   * @param {any} rows
   * @param {ScoreOptions} [options]
   * @returns {Promise<Scored>}
   */
  async score(rows, options = {}) {
    const { alpha = null, num_samples, log_evidence = false, strict = false, ignore } = options;
    const k = this.#checkedOptions(alpha, num_samples);
    const rules = alpha === null ? [] : rulesInForce(this.manifest, ignore, this.#predictsCells);
    const { input, name, version } = this.manifest;
    const isSeries = input.kind === "vector" && Boolean(input.window);
    const { x, n, ignored, ends } = (isSeries ? encodeWindows : encodeRows)(rows, this.manifest, strict);
    const found = await this.#terms(x, k, log_evidence);
    const novel = this.#scores.novel(x);
    const verdict = this.#verdict(x, n, found, novel, k);
    const alarms = alpha === null || !verdict ? null : verdict.p_value.map((p) => p <= alpha);
    const removed = rules.length && alarms && alpha !== null ? await this.#tolerated(x, alarms, rules, alpha, k) : null;
    const scored = {
      model: name,
      version,
      elbo: listed(found.elbo),
      log_likelihood: listed(found.log_likelihood),
      kl: listed(found.kl),
      log_evidence: log_evidence ? listed(found.log_evidence) : null,
      score: listed(found.elbo.map((v) => -v)),
      novel,
      p_value: verdict?.p_value ?? null,
      p_value_tail: verdict?.p_value_tail ?? null,
      group: verdict?.group ?? null,
      group_pooled: verdict?.group_pooled ?? null,
      is_anomaly: alarms?.map((alarm, i) => alarm && !removed?.[i].length) ?? null,
      tolerated: rules.length ? (removed ?? Array.from({ length: n }, () => [])) : null,
      alpha: verdict ? alpha : null,
      p_value_reason: this.#reason(alpha, k),
      num_samples: k,
      ignored_columns: ignored,
    };
    return ends ? spread(scored, ends) : scored;
  }

  /** Replay the golden rows of all operations, also of those that `score` does not use. */
  async replay() {
    for (const operation of Object.keys(this.manifest.operations)) await this.#graphs.open(operation);
  }

  /** Release the memory of the graphs. */
  async close() {
    await this.#graphs.close();
  }

  get #predictsCells() {
    return this.#graphs.gives("surprise", "feature_expected");
  }

  /** The graph that scores: `bound` is faster where there is one, and has no log_evidence. */
  #operation(/** @type {boolean} */ logEvidence) {
    return this.#graphs.has("bound") && !logEvidence ? "bound" : "elbo";
  }

  /** @param {number | null} alpha @param {number | undefined} given @returns {number} K */
  #checkedOptions(alpha, given) {
    if (alpha !== null && !(typeof alpha === "number" && alpha > 0 && alpha < 1)) {
      throw new InputError(`alpha: ${String(alpha)} is not between 0 and 1`);
    }
    const { default: usual, maximum } = this.manifest.draws;
    const k = given ?? usual;
    if (!Number.isInteger(k) || k < 2 || k > maximum) {
      throw new InputError(`num_samples: ${String(given)} is not between 2 and ${maximum}`);
    }
    return k;
  }

  #draws(/** @type {number} */ k) {
    const { draws, latent_dim } = this.manifest;
    let eps = this.#eps.get(k);
    if (!eps) {
      eps = defaultEps(this.#base, k, latent_dim, draws.rule ?? "first-k-centred-unit-moment");
      this.#eps.set(k, eps);
    }
    return eps;
  }

  /** @param {Float64Array | Uint8Array} x @param {number} k @param {boolean} logEvidence */
  #terms(x, k, logEvidence) {
    const wanted = ["elbo", "log_likelihood", "kl", ...(logEvidence ? ["log_evidence"] : [])];
    if (this.#calibrations.get(k)?.hasFolds) wanted.push("fold_elbo");
    return this.#scores.terms(this.#operation(logEvidence), x, this.#draws(k), wanted);
  }

  /**
   * The p-values of N scored rows; null without a calibration for K.
   *
   * @param {Float64Array | Uint8Array} x @param {number} n @param {Record<string, Float64Array>} found
   * @param {string[][] | null} novel @param {number} k @param {number[]} [given] nodes of the rows' groups
   */
  #verdict(x, n, found, novel, k, given) {
    const calibration = this.#calibrations.get(k);
    if (!calibration) return null;
    const { groups } = calibration;
    const scores = calibration.hasFolds ? found.fold_elbo : found.elbo;
    const folds = scores.length / n;
    const nodes = given ?? Array.from({ length: n }, (_, i) => this.#node(x, i, calibration));
    const each = nodes.map((node, i) => {
      const own = Array.from(scores.subarray(i * folds, (i + 1) * folds), (v) => -v);
      return calibration.pValues(own, (novel?.[i].length ?? 0) > 0, node);
    });
    return {
      p_value: each.map((one) => one.p_value),
      p_value_tail: calibration.hasTail ? each.map((one) => Number(one.p_value_tail)) : null,
      group: groups ? nodes.map((node) => groups.names[groups.compared[node]]) : null,
      group_pooled: groups ? nodes.map((node) => groups.isLarger[groups.compared[node]]) : null,
    };
  }

  /** The node of the group of row i. */
  #node(/** @type {Float64Array | Uint8Array} */ x, /** @type {number} */ i, /** @type {Calibration} */ calibration) {
    const { input } = this.manifest;
    if (!calibration.groups || input.kind !== "vector" || x instanceof Uint8Array) return 0;
    const d = input.columns.length;
    return calibration.groups.node(x.subarray(i * d, (i + 1) * d), input.columns);
  }

  /**
   * The columns of the rules that remove each alarm, N lists.
   *
   * @param {Float64Array | Uint8Array} x @param {boolean[]} alarms @param {import("./tolerance.js").Rule[]} rules
   * @param {number} alpha @param {number} k
   */
  async #tolerated(x, alarms, rules, alpha, k) {
    const { input, draws } = this.manifest;
    const calibration = this.#calibrations.get(k);
    const found = alarms.map(() => /** @type {string[]} */ ([]));
    if (input.kind !== "vector" || x instanceof Uint8Array || !calibration) return found;
    const { columns } = input;
    const medians = this.#medians ?? [];
    const wanted = ["elbo", "feature_log_likelihood", "feature_expected"];
    const cellsOf = async (/** @type {Float64Array} */ row) => {
      const terms = await this.#scores.terms("surprise", row, this.#draws(draws.default), wanted);
      return { elbo: terms.elbo[0], logLikelihood: terms.feature_log_likelihood, expected: terms.feature_expected };
    };
    for (const [i, alarm] of alarms.entries()) {
      if (!alarm) continue;
      const row = x.slice(i * columns.length, (i + 1) * columns.length);
      const node = this.#node(row, 0, calibration);
      const isAnomaly = async (/** @type {Float64Array} */ changed) => {
        const terms = await this.#terms(changed, k, false);
        const verdict = this.#verdict(changed, 1, terms, this.#scores.novel(changed), k, [node]);
        return verdict !== null && verdict.p_value[0] <= alpha;
      };
      found[i] = await tolerated(row, rules, columns, medians, cellsOf, isAnomaly);
    }
    return found;
  }

  /** Why there are no p-values, or why no row can be an anomaly at alpha; null: nothing. */
  #reason(/** @type {number | null} */ alpha, /** @type {number} */ k) {
    const calibration = this.#calibrations.get(k);
    if (calibration) return alpha === null ? null : calibration.tooFew(alpha);
    if (this.#calibrations.size === 0) return "the model has no calibration; vae calibrate makes one";
    return `num_samples ${k} has no calibration; calibrated: ${[...this.#calibrations.keys()].join(", ")}`;
  }
}

/** Values with null for NaN, as in JSON. */
function listed(/** @type {Float64Array} */ values) {
  return Array.from(values, (v) => (Number.isNaN(v) ? null : v));
}

/** @param {Map<string, Uint8Array>} files @param {string} file */
function contentOf(files, file) {
  return /** @type {Uint8Array} */ (files.get(file));
}

/** @param {Manifest} manifest @param {Map<string, Uint8Array>} files */
function baseDraws({ draws, latent_dim }, files) {
  const { shape, data } = readNpy(contentOf(files, draws.file), draws.file);
  if (shape.join() !== [draws.maximum, latent_dim].join()) {
    throw new FormatError(`${draws.file}: shape (${shape.join(", ")}), expected (${draws.maximum}, ${latent_dim})`);
  }
  const base = Float64Array.from(/** @type {Float64Array} */ (data));
  if (!base.every(Number.isFinite)) throw new FormatError(`${draws.file}: a draw is not finite`);
  return base;
}

/**
 * The calibrations of the float32 graphs by K.
 *
 * @param {Manifest} manifest
 * @param {Map<string, Uint8Array>} files
 * @param {Graphs} graphs
 */
async function calibrationsOf(manifest, files, graphs) {
  /** @type {Map<number, Calibration>} */
  const found = new Map();
  if (!manifest.calibration) return found;
  const { file, entries } = manifest.calibration;
  const arrays = await readNpz(contentOf(files, file), file);
  for (const entry of entries) {
    if ((entry.precision ?? "float32") !== "float32") continue;
    if (entry.folds && !graphs.gives("elbo", "fold_elbo")) {
      throw new FormatError(`${file}: ${entry.array} has folds, but the graph of elbo gives no fold_elbo`);
    }
    found.set(entry.num_samples, new Calibration(entry, arrays, file));
  }
  return found;
}

/**
 * The held-out medians of the surprises of columns, (D,); null without such a file.
 *
 * @param {Manifest} manifest
 * @param {Map<string, Uint8Array>} files
 */
async function mediansOf(manifest, files) {
  if (!manifest.surprise) return null;
  const { file } = manifest.surprise;
  const middle = (await readNpz(contentOf(files, file), file)).get("features.middle");
  if (!middle || middle.data.length !== dimensions(manifest.input)) {
    throw new FormatError(`${file}: no array features.middle of the model's columns`);
  }
  return Array.from(/** @type {Float32Array} */ (middle.data));
}
