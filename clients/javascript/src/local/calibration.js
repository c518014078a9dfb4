/** Turns scores into p-values by comparing them with the scores of held-out rows. N rows, F folds, scores in nats. */

import { FormatError } from "../errors.js";
import { Groups } from "./groups.js";

/**
 * @typedef {import("./npy.js").NdArray} NdArray
 * @typedef {import("./manifest.js").CalibrationEntry} CalibrationEntry
 * @typedef {import("../../types/local.js").Tail} Tail
 * @typedef {{ p_value: number, p_value_tail: number | null }} PValues
 * @typedef {{ scores: Float64Array, novel: Float64Array, tail: Tail | null }} HeldOut ascending scores of the held-out
 *   rows of one fold that are not novel, and of those that are
 */

const TOLERANCE = 1e-5; // relative to scores above 1 nat, absolute below
const TINY = 1e-300; // replaces 0 as a divisor

/** s - 1e-5 max(1, |s|): the lowest held-out score that counts as at least s. It never falls with s. */
export function tieFloor(/** @type {number} */ s) {
  return Math.min(s * (1 - TOLERANCE), s * (1 + TOLERANCE), s - TOLERANCE);
}

/** The highest score s with tieFloor(s) <= held out, by bisection, because the last bits of tieFloor are rounded. */
function tieCeiling(/** @type {number} */ heldOut) {
  let [low, high] = [heldOut, heldOut + 2 * TOLERANCE * Math.max(1, Math.abs(heldOut))];
  for (let middle = low + (high - low) / 2; low < middle && middle < high; middle = low + (high - low) / 2) {
    if (tieFloor(middle) <= heldOut) low = middle;
    else high = middle;
  }
  return low;
}

/** How many of the ascending values are at least `least`; none if `least` is NaN. */
function countFrom(/** @type {Float64Array} */ ascending, /** @type {number} */ least) {
  let [low, high] = [0, ascending.length];
  if (Number.isNaN(least)) return 0;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < least) low = middle + 1;
    else high = middle;
  }
  return ascending.length - low;
}

/**
 * p_value(x) = (1 + #{held-out scores >= score(x)}) / (1 + n), and the same extrapolated by the tail.
 *
 * @param {HeldOut} own
 * @param {number} score NaN for a novel row that the model cannot score
 * @param {boolean} isNovel
 * @returns {PValues}
 */
function pValues(own, score, isNovel) {
  const n = own.scores.length + own.novel.length;
  const floor = tieFloor(score);
  const atLeast = isNovel ? countFrom(own.novel, floor) : countFrom(own.scores, floor) + own.novel.length;
  const p_value = (1 + atLeast) / (1 + n);
  if (own.tail === null) return { p_value, p_value_tail: null };
  const last = tieCeiling(own.scores[own.scores.length - 1]);
  if (isNovel || !(score > last)) return { p_value, p_value_tail: p_value };
  const extrapolated = Math.max(p_value * survival(own.tail, score, last), own.tail.floor);
  return { p_value, p_value_tail: Math.min(extrapolated, p_value) };
}

/** P(S > score | S > beyond) of a generalised Pareto tail above its threshold u <= beyond. */
function survival(/** @type {Tail} */ tail, /** @type {number} */ score, /** @type {number} */ beyond) {
  const scale = Math.max(tail.scale + tail.shape * (beyond - tail.threshold), TINY);
  const over = Math.max(score - beyond, 0) / scale;
  if (tail.shape === 0) return Math.exp(-over);
  return Math.exp(-Math.log1p(Math.max(tail.shape * over, -1)) / tail.shape);
}

/** The median of an odd number of values: exactly one of them. */
function median(/** @type {number[]} */ values) {
  return values.slice().sort((a, b) => a - b)[values.length >> 1];
}

/** The median over folds of each p-value; without folds the only one. The tail's is null if any fold has no tail. */
function overFolds(/** @type {PValues[]} */ each) {
  const tails = each.flatMap((one) => (one.p_value_tail === null ? [] : [one.p_value_tail]));
  return {
    p_value: median(each.map((one) => one.p_value)),
    p_value_tail: tails.length === each.length ? median(tails) : null,
  };
}

/** The held-out scores of one calibration entry, with its folds and groups. */
export class Calibration {
  /**
   * @param {CalibrationEntry} entry
   * @param {Map<string, NdArray>} arrays of calibration.npz
   * @param {string} file for messages
   */
  constructor(entry, arrays, file) {
    const folds = entry.folds ?? null;
    if (folds && folds.length % 2 === 0) throw new FormatError(`${file}: an even number of folds`);
    const names = folds ? folds.map((_, f) => `${entry.array}_fold${f}`) : [entry.array];
    const tails = folds ? folds.map((fold) => fold.tail ?? null) : [entry.tail ?? null];
    this.hasFolds = folds !== null;
    this.every = names.map((name, f) => heldOut(arrays, name, tails[f], file));
    this.groups = entry.groups ? new Groups(entry.groups) : null;
    /** @type {Map<number, HeldOut[]>} the held-out rows of each node that rows are compared with */
    this.each = new Map([[0, this.every]]);
    if (this.groups) this.#splitByGroup(this.groups, names, arrays, file);
    this.hasTail = [...this.each.values()].some((node) => node.every((fold) => fold.tail !== null));
  }

  /** @param {Groups} groups @param {string[]} names @param {Map<string, NdArray>} arrays @param {string} file */
  #splitByGroup(groups, names, arrays, file) {
    const nodes = names.map((name, f) => ({
      scores: nodesOf(arrays, name, this.every[f].scores, file),
      novel: nodesOf(arrays, `${name}_novel`, this.every[f].novel, file),
    }));
    groups.entry.groups.forEach((group, i) => {
      if (group.pooled) return;
      const inside = groups.inside(i + 1);
      const own = this.every.map((fold, f) => ({
        scores: fold.scores.filter((_, at) => inside.has(nodes[f].scores[at])),
        novel: fold.novel.filter((_, at) => inside.has(nodes[f].novel[at])),
        tail: group.tails?.[f] ?? null,
      }));
      if (own.some((fold) => fold.scores.length + fold.novel.length === 0)) {
        throw new FormatError(`${file}: a group that is not pooled has no held-out rows`);
      }
      this.each.set(i + 1, own);
    });
  }

  /**
   * The p-values of one row.
   *
   * @param {number[]} scores by each fold model, or one score
   * @param {boolean} isNovel
   * @param {number} node of the row's group; 0 without groups
   * @returns {PValues}
   */
  pValues(scores, isNovel, node) {
    const compared = this.groups ? this.groups.compared[node] : 0;
    const own = /** @type {HeldOut[]} */ (this.each.get(compared));
    const found = overFolds(own.map((fold, f) => pValues(fold, scores[f], isNovel)));
    if (found.p_value_tail === null && this.hasTail) found.p_value_tail = found.p_value;
    return this.hasTail ? found : { ...found, p_value_tail: null };
  }

  /** The smallest possible p-value of a node's rows: the median over folds of 1 / (n + 1). */
  smallestAlpha(/** @type {number} */ node = 0) {
    const folds = /** @type {HeldOut[]} */ (this.each.get(node));
    return median(folds.map((fold) => 1 / (fold.scores.length + fold.novel.length + 1)));
  }

  /** Why no row of some groups can be an anomaly at alpha; null if rows of all groups can. */
  tooFew(/** @type {number} */ alpha) {
    const few = [...this.each.keys()].filter((node) => this.smallestAlpha(node) > alpha);
    if (few.length === 0) return null;
    const shown = (/** @type {number} */ p) => Number(p.toPrecision(3));
    const smallest = `alpha ${alpha} is below the smallest possible p-value`;
    if (few[0] === 0) return `${smallest}, ${shown(this.smallestAlpha())}, so no row can be an anomaly`;
    const names = few.slice(0, 3).map((node) => this.groups?.names[node]);
    return `${smallest} of ${names.join(", ")}, so no row there can be an anomaly`;
  }
}

/**
 * @param {Map<string, NdArray>} arrays
 * @param {string} name
 * @param {Tail | null} tail
 * @param {string} file
 * @returns {HeldOut}
 */
function heldOut(arrays, name, tail, file) {
  const scores = arrays.get(name);
  if (!scores) throw new FormatError(`${file}: no array ${name}`);
  const novel = arrays.get(`${name}_novel`);
  const found = { scores: ascending(scores, file), novel: novel ? ascending(novel, file) : new Float64Array(), tail };
  if (found.scores.length + found.novel.length === 0) throw new FormatError(`${file}: ${name} is empty`);
  return found;
}

function ascending(/** @type {NdArray} */ array, /** @type {string} */ file) {
  const found = Float64Array.from(/** @type {Float64Array} */ (array.data));
  if (!found.every(Number.isFinite)) throw new FormatError(`${file}: a held-out score is not finite`);
  return found.sort();
}

/** The nodes of held-out rows in the order of their ascending scores. */
function nodesOf(
  /** @type {Map<string, NdArray>} */ arrays,
  /** @type {string} */ name,
  /** @type {Float64Array} */ sorted,
  /** @type {string} */ file,
) {
  if (sorted.length === 0) return [];
  const nodes = arrays.get(`${name}_group`);
  const scores = /** @type {NdArray} */ (arrays.get(name)).data;
  if (!nodes || nodes.data.length !== sorted.length) throw new FormatError(`${file}: ${name}_group does not fit`);
  const order = Array.from(sorted, (_, i) => i).sort((a, b) => Number(scores[a]) - Number(scores[b]) || a - b);
  return order.map((at) => Number(nodes.data[at]));
}
