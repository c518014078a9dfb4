/**
 * Cuts series of time steps into windows, and puts the results of windows in the place of their last step.
 *
 * T time steps of D columns, W steps in a window. A window ends at each step that has W - 1 earlier steps of its series
 * without a gap of time in between.
 */

import { InputError } from "../errors.js";
import { levelText, momentOf, numberIn, stripped } from "./levels.js";
import { encodeCells, isMatrix, isObject, refuseEmpty, refuseMoreMissing, show } from "./rows.js";

const TIMESTAMP = /^\d{4}-\d\d-\d\d(?:$|[ T](?!.*[-+](?:2[4-9]|[3-9]\d)(?::?\d\d)?$))/; // no zone of a day or more

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("../../types/local.js").SeriesWindow} SeriesWindow
 * @typedef {{ n: number, x: Float64Array, ignored: string[] }} Encoded
 * @typedef {{ total: number, at: number[], reason: string | null }} Ends at which of `total` steps a window ends, and
 *   why steps have no result
 */

/**
 * The windows of rows of any form, and the steps at which they end; `ends` is null for windows that are given as such.
 *
 * Rows of D cells, or objects with the columns of a time step, are the steps of series in order of time. Rows of W D
 * cells or of W lists of D cells, and objects with columns such as `load[t-1]`, are windows.
 *
 * @param {any} rows
 * @param {Manifest} manifest
 * @param {boolean} strict
 * @returns {Encoded & { ends: Ends | null }}
 */
export function encodeWindows(rows, manifest, strict) {
  const { columns, window } = /** @type {{ columns: Column[], window: SeriesWindow }} */ (manifest.input);
  const given = flattened(rows, window);
  if (!isOfSteps(given, columns, window)) {
    const found = encodeCells(given, columns, strict);
    if (strict) refuseEmpty(found.x, columns.length);
    if (strict) refuseMoreMissing(found.x, manifest);
    return { ...found, ends: null };
  }
  const steps = columns.slice(-window.columns.length).map((column, d) => ({ ...column, name: window.columns[d] }));
  const beside = isMatrix(given) || !isObject(given[0]) ? {} : besideColumns(given, window);
  const { x, n, ignored } = encodeCells(given, steps, strict, [window.series, window.time]);
  if (strict) refuseEmpty(x, steps.length);
  const cut = cutWindows(x, n, window, beside);
  if (strict) refuseMoreMissing(cut.x, manifest, cut.ends.at);
  return { n: cut.ends.at.length, x: cut.x, ignored, ends: cut.ends };
}

/** Windows (N, W, D) as rows of W D cells; other rows unchanged. */
function flattened(/** @type {any} */ rows, /** @type {SeriesWindow} */ window) {
  const [w, d] = [window.steps, window.columns.length];
  if (isMatrix(rows)) {
    const [n, ...shape] = rows.shape;
    if (shape.length === 1) return rows;
    if (shape.join() !== [w, d].join()) throw new InputError(`inputs: shape (${rows.shape}); ${accepted(window)}`);
    return { data: rows.data, shape: [n, w * d] };
  }
  if (!Array.isArray(rows) || !Array.isArray(rows[0]) || !Array.isArray(rows[0][0])) return rows;
  return rows.map((each, i) => {
    const fits = Array.isArray(each) && each.length === w && each.every((step) => step?.length === d);
    if (!fits) throw new InputError(`window ${i}: ${accepted(window)}`);
    return each.flat();
  });
}

function isOfSteps(/** @type {any} */ rows, /** @type {Column[]} */ columns, /** @type {SeriesWindow} */ window) {
  if (!isMatrix(rows) && Array.isArray(rows) && isObject(rows[0])) {
    const names = new Set(columns.map(({ name }) => name));
    return !rows.some((row) => Object.keys(row ?? {}).some((name) => names.has(name)));
  }
  const width = isMatrix(rows) ? rows.shape[1] : rows?.[0]?.length;
  if (width === undefined || width === columns.length) return false;
  if (width !== window.columns.length) throw new InputError(`inputs: rows of ${width} cells; ${accepted(window)}`);
  return true;
}

function accepted(/** @type {SeriesWindow} */ { steps, columns }) {
  const d = columns.length;
  return `expected time steps (T, ${d}) of ${columns.slice(0, 5)}, or windows (N, ${steps * d}) or (N, ${steps}, ${d})`;
}

/**
 * The series and the times of steps by name.
 *
 * @param {any[]} rows
 * @param {SeriesWindow} window
 * @returns {{ series?: string[], times?: number[] }}
 */
function besideColumns(rows, { series, time, time_is }) {
  for (const name of [series, time]) {
    const without = name ? rows.findIndex((row) => !isObject(row) || !Object.hasOwn(row, name)) : -1;
    if (without >= 0)
      throw new InputError(
        `row ${without}: the input lacks the column '${name}', of ${name === series ? "series" : "times"}`,
      );
  }
  return {
    series: series ? rows.map((row, i) => seriesName(row[series], i, series)) : undefined,
    times: time ? rows.map((row, i) => timeNumber(row[time], i, time, time_is ?? "number")) : undefined,
  };
}

/** The name of a series as text: 7, 7.0 and '7' are one series. */
function seriesName(/** @type {any} */ cell, /** @type {number} */ row, /** @type {string} */ name) {
  const isMissing = cell === null || cell === undefined || Number.isNaN(cell);
  if (isMissing || (typeof cell === "string" && stripped(cell) === "")) {
    throw new InputError(`row ${row}, column '${name}': missing value in the column of series`);
  }
  return levelText(cell);
}

/**
 * A time as a number: that of the cell, or the seconds since 1970 of a Date or an ISO 8601 text, in UTC without a zone.
 *
 * @param {any} cell @param {number} row @param {string} name @param {"number" | "timestamp"} is
 */
function timeNumber(cell, row, name, is) {
  const number = typeof cell === "string" ? numberIn(cell) : typeof cell === "number" ? cell : undefined;
  const found = is === "number" ? number : cell instanceof Date ? cell.getTime() / 1000 : seconds(cell);
  if (found !== undefined && Number.isFinite(found)) return found;
  const what = is === "number" ? "a number" : "a date or an ISO 8601 time";
  throw new InputError(`row ${row}, column '${name}': ${show(cell)}: not ${what}, as in training`);
}

function seconds(/** @type {unknown} */ cell) {
  const moment = typeof cell === "string" && TIMESTAMP.test(cell) ? momentOf(cell) : undefined;
  if (moment === undefined) return undefined;
  const microseconds = moment.slice(20, 26); // as many digits as Python reads
  const whole = new Date(`${moment.slice(0, 19)}Z`);
  // the 30th of February would be the 1st of March
  const exists = whole.getUTCFullYear() >= 1 && whole.toISOString().startsWith(moment.slice(0, 19));
  return exists ? whole.getTime() / 1000 + Number(`0.${microseconds}`) : undefined;
}

/**
 * The windows (n, W D) of steps x (T, D).
 *
 * @param {Float64Array} x
 * @param {number} total T
 * @param {SeriesWindow} window
 * @param {{ series?: string[], times?: number[] }} beside
 * @returns {{ x: Float64Array, ends: Ends }}
 */
function cutWindows(x, total, window, { series, times }) {
  const [w, d] = [window.steps, window.columns.length];
  /** @type {Map<string, number[]>} the last steps of each series since its last gap, at most W */
  const recent = new Map();
  /** @type {number[][]} */
  const found = [];
  for (let i = 0; i < total; i++) {
    const name = series?.[i] ?? "";
    let before = recent.get(name) ?? [];
    if (times && before.length && hasGap(times[i] - times[before[before.length - 1]], i, window)) before = [];
    before = [...before, i].slice(-w);
    recent.set(name, before);
    if (before.length === w) found.push(before);
  }
  const needs = `a window needs ${w} consecutive time steps of one series`;
  if (found.length === 0) throw new InputError(`inputs: ${total} time steps, none of which can be scored: ${needs}`);
  const windows = new Float64Array(found.length * w * d);
  found.forEach((steps, n) => {
    steps.forEach((step, at) => windows.set(x.subarray(step * d, (step + 1) * d), (n * w + at) * d));
  });
  const without = total - found.length;
  const reason = without ? `${without} of ${total} time steps have no score: ${needs}` : null;
  return { x: windows, ends: { total, at: found.map((steps) => steps[w - 1]), reason } };
}

/** Whether there is a gap before a step, at which `passed` has passed since the step before in its series. */
function hasGap(/** @type {number} */ passed, /** @type {number} */ row, /** @type {SeriesWindow} */ { time, gap }) {
  if (passed === 0)
    throw new InputError(`row ${row}, column '${time}': the same time as the row before; keep one of them`);
  if (passed < 0)
    throw new InputError(`row ${row}, column '${time}': an earlier time than the row before; sort the rows`);
  return passed > (gap ?? Infinity);
}

/**
 * The results of windows as results of time steps, with null, or an empty list, where no window ends.
 *
 * @template {Record<string, any>} T
 * @param {T} scored
 * @param {Ends} ends
 * @returns {T}
 */
export function spread(scored, { total, at, reason }) {
  const found = Object.entries(scored).map(([name, values]) => {
    if (!Array.isArray(values) || name === "ignored_columns") return [name, values];
    const isList = name === "novel" || name === "tolerated";
    const all = Array.from({ length: total }, () => (isList ? [] : null));
    at.forEach((step, n) => (all[step] = values[n]));
    return [name, all];
  });
  const reasons = [scored.p_value_reason, reason].filter((each) => each !== null);
  return { ...Object.fromEntries(found), p_value_reason: reasons.length ? reasons.join("; ") : null };
}
