/** Opens a bundle, and scores rows with it: ELBO, p-value and verdict, as the service gives them. */

import { InputError } from "../errors.js";
import { baseDraws, calibrationsOf, contentOf, heldOutCells } from "./contents.js";
import { defaultEps } from "./draws.js";
import { firstKernelCells } from "./first_cells.js";
import { fileReader, readManifest, readSigned } from "./files.js";
import { Graphs, installedRuntime } from "./graphs.js";
import { checkManifest, graphFiles, signedFiles } from "./manifest.js";
import { NetworkCells } from "./network_cells.js";
import { readNpz } from "./npy.js";
import { checkGraph } from "./onnxfile.js";
import { encodeRows } from "./rows.js";
import { Scores } from "./scores.js";
import { encodeWindows, spread } from "./series.js";
import { rulesInForce, tolerated } from "./tolerance.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./calibration.js").Calibration} Calibration
 * @typedef {import("../../types/local.js").OpenOptions} OpenOptions
 * @typedef {import("../../types/local.js").ScoreOptions} ScoreOptions
 * @typedef {import("../../types/local.js").Scored} Scored
 */

/** A verified bundle: one version of a model. */
export class Bundle {
  #graphs;
  #scores;
  #base;
  #heldOut;
  /** @type {Map<number, Calibration>} by K */
  #calibrations;
  /** @type {Map<number, Float32Array>} the default draws by K */
  #eps = new Map();

  /**
   * @param {Manifest} manifest
   * @param {{
   *   graphs: Graphs,
   *   base: Float64Array,
   *   calibrations: Map<number, Calibration>,
   *   heldOut: import("./first_cells.js").HeldOutCells | null,
   * }} parts
   */
  constructor(manifest, { graphs, base, calibrations, heldOut }) {
    this.manifest = manifest;
    this.#graphs = graphs;
    this.#scores = new Scores(manifest, graphs);
    this.#base = base;
    this.#calibrations = calibrations;
    this.#heldOut = heldOut;
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
      heldOut: await heldOutCells(manifest, files),
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
    const rules = alpha === null ? [] : rulesInForce(this.manifest, ignore);
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
    const firstCells = this.#firstCells(columns, this.#draws(draws.default));
    for (const [i, alarm] of alarms.entries()) {
      if (!alarm) continue;
      const row = x.slice(i * columns.length, (i + 1) * columns.length);
      const node = this.#node(row, 0, calibration);
      const isAnomaly = async (/** @type {Float64Array} */ changed) => {
        const terms = await this.#terms(changed, k, false);
        const verdict = this.#verdict(changed, 1, terms, this.#scores.novel(changed), k, [node]);
        return verdict !== null && verdict.p_value[0] <= alpha;
      };
      found[i] = await tolerated(row, rules, columns, firstCells, isAnomaly);
    }
    return found;
  }

  /**
   * How to find the cells that an alarm is about, and the values expected there.
   *
   * @param {import("./manifest.js").Column[]} columns
   * @param {Float32Array} eps (K, Z)
   * @returns {(row: Float64Array) => Promise<import("./first_cells.js").FirstCells>}
   */
  #firstCells(columns, eps) {
    const heldOut = /** @type {import("./first_cells.js").HeldOutCells} */ (this.#heldOut);
    if (!this.#graphs.gives("surprise", "feature_expected")) {
      const cells = new NetworkCells(this.manifest, this.#graphs, this.#scores, eps, heldOut);
      return (row) => cells.first(row);
    }
    const wanted = ["elbo", "feature_log_likelihood", "feature_expected"];
    return async (row) => {
      const terms = await this.#scores.terms("surprise", row, eps, wanted);
      return firstKernelCells(row, columns, heldOut.middle, terms);
    };
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
