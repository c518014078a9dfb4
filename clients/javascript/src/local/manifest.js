/** Checks the parts of a manifest that this reader uses. */

import { FormatError } from "../errors.js";

/**
 * @typedef {import("../../types/local.js").Manifest} Manifest
 * @typedef {import("../../types/local.js").Column} Column
 * @typedef {import("../../types/local.js").CalibrationEntry} CalibrationEntry
 */

const KINDS = new Set(["real", "positive", "count", "fraction", "binary", "category"]);
const PRIORS = new Set(["normal", "aggregate", "kernel"]);
const RULES = new Set(["first-k-centred-unit-moment", "first-k-whitened"]);
const FILE_NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;

/**
 * The manifest, if this reader can use it. Unknown fields are ignored.
 *
 * @param {any} found parsed JSON
 * @param {string} where the folder, for messages
 * @returns {Manifest}
 */
export function checkManifest(found, where) {
  const refuse = (/** @type {string} */ what) => new FormatError(`${where}: manifest.json: ${what}`);
  if (found === null || typeof found !== "object" || Array.isArray(found)) throw refuse("not an object");
  if (typeof found.format !== "string" || !/^1\.\d+$/.test(found.format)) {
    const given = JSON.stringify(found.format);
    throw refuse(`format: ${given}; this version reads formats 1.0 to 1.x: upgrade vaekit, or train the model again`);
  }
  const problem = firstProblem(found);
  if (problem) throw refuse(problem);
  return found;
}

/** What is wrong with a manifest of format 1; undefined: nothing. */
function firstProblem(/** @type {any} */ m) {
  if (!PRIORS.has(m.prior?.name)) return `prior.name: ${JSON.stringify(m.prior?.name)} is not known`;
  if (!isCount(m.latent_dim)) return "latent_dim: not a whole number above 0";
  for (const [name, value] of Object.entries({ members: m.members, width: m.width, components: m.prior.components })) {
    if (value !== undefined && value !== null && !isCount(value)) return `${name}: not a whole number above 0`;
  }
  if (!m.operations?.elbo) return "operations: no elbo";
  for (const signed of signedFiles(m)) {
    if (!FILE_NAME.test(signed?.file ?? "")) return `file name ${JSON.stringify(signed?.file)}`;
    if (!/^[0-9a-f]{64}$/.test(signed.sha256 ?? "")) return `${signed.file}: no sha256`;
  }
  if (!RULES.has(m.draws.rule ?? "first-k-centred-unit-moment")) {
    return `draws.rule: ${JSON.stringify(m.draws.rule)} is not known; scores would differ`;
  }
  if (!(m.draws.default >= 2 && m.draws.default <= m.draws.maximum)) return "draws: default is not 2 to maximum";
  if (m.input?.kind !== "vector") return imageProblem(m.input);
  return columnProblem(m.input.columns) ?? windowProblem(m.input);
}

function columnProblem(/** @type {any} */ columns) {
  if (!Array.isArray(columns) || columns.length === 0) return "input.columns: none";
  for (const column of columns) {
    if (typeof column?.name !== "string") return "input.columns: a column without a name";
    if (!KINDS.has(column.kind ?? "real")) return `column '${column.name}': kind ${JSON.stringify(column.kind)}`;
    if ((column.kind === "category") !== Array.isArray(column.levels)) {
      return `column '${column.name}': levels are required for kind 'category', and only allowed there`;
    }
  }
  const names = new Set(columns.map((column) => column.name));
  return names.size === columns.length ? undefined : "input.columns: duplicate names";
}

/** What is wrong with the windows of a model of series: its columns are `load[t-1]`, ..., the oldest step first. */
function windowProblem(/** @type {any} */ { window, columns }) {
  if (!window) return undefined;
  if (!isCount(window.steps) || window.steps < 2 || !Array.isArray(window.columns)) return "input.window: not known";
  const lags = Array.from({ length: window.steps }, (_, i) => window.steps - 1 - i);
  const names = lags.flatMap((lag) =>
    window.columns.map((/** @type {string} */ name) => `${name}[t${lag ? `-${lag}` : ""}]`),
  );
  return names.join("\n") === columns.map((/** @type {any} */ { name }) => name).join("\n")
    ? undefined
    : "input.columns: not those of input.window";
}

function imageProblem(/** @type {any} */ input) {
  const fits = input?.kind === "image" && [input.height, input.width, input.channels].every(isCount);
  return fits ? undefined : `input.kind: ${JSON.stringify(input?.kind)} is not known`;
}

function isCount(/** @type {unknown} */ value) {
  return Number.isInteger(value) && Number(value) > 0;
}

/** All files that a reader verifies. */
export function signedFiles(/** @type {any} */ m) {
  const half = m.half ? [...Object.values(m.half.operations), m.half.golden] : [];
  const others = [m.calibration, m.surprise, m.exemplars].filter(Boolean);
  return [...Object.values(m.operations), m.draws, m.golden, ...half, ...others];
}

/** Graphs by file name: float16 graphs too, because they are checked like all others. */
export function graphFiles(/** @type {any} */ m) {
  const half = m.half ? Object.values(m.half.operations) : [];
  return new Set([...Object.values(m.operations), ...half].map((graph) => graph.file));
}

/** D, the number of values of a row. */
export function dimensions(/** @type {Manifest["input"]} */ input) {
  return input.kind === "vector" ? input.columns.length : input.height * input.width * input.channels;
}

/** The most missing cells of a row that is not novel; before format 1.3 that of the calibration rows. */
export function mostMissing(/** @type {Manifest} */ m) {
  if (m.novelty) return m.novelty.most_missing;
  const counts = (m.calibration?.entries ?? []).flatMap((entry) =>
    entry.observed_counts ? [Math.min(...entry.observed_counts)] : [],
  );
  const all = dimensions(m.input);
  return all - (counts.length ? Math.min(...counts) : all);
}
