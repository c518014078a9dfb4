/**
 * Checks rows and converts them to the array that the graphs take. N rows, D columns.
 *
 * Rows are lists in column order, objects by column name, or a matrix {data, shape} of numbers.
 */

import { InputError } from "../errors.js";
import { isOutside, MISSING, missingCells, NOT_FINITE, numberStandsForMissing, OUTSIDE, readCell } from "./cells.js";
import { dimensions, mostMissing } from "./manifest.js";
import { encodeImages } from "./pixels.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {{ n: number, x: Float64Array | Uint8Array, ignored: string[], ends: null }} EncodedRows x is (N, D) row by
 *   row, with NaN for a missing cell and the index of the level for a category; or pixels
 */

const MOST_IGNORED = 1000; // names of columns that rows may have beside the model's
const INDEX_NAME = /^(?:|Unnamed: \d+(?:\.\d+)?|__index_level_\d+__)$/; // as pandas names a frame's index in a file

/**
 * @param {any} rows
 * @param {Manifest} manifest
 * @param {boolean} strict whether to refuse novel rows, and columns that the model does not have
 * @returns {EncodedRows}
 */
export function encodeRows(rows, manifest, strict) {
  const { input } = manifest;
  if (input.kind === "image") return { ...encodeImages(rows, input), ignored: [], ends: null };
  const found = encodeCells(rows, input.columns, strict);
  if (strict) refuseEmpty(found.x, input.columns.length);
  if (strict) refuseMoreMissing(found.x, manifest);
  return { ...found, ends: null };
}

/**
 * Rows (N, D) of these columns.
 *
 * @param {any} rows
 * @param {Column[]} columns
 * @param {boolean} strict
 * @param {(string | null | undefined)[]} [beside] other columns of rows by name, which are not ignored but taken
 *   elsewhere
 */
export function encodeCells(rows, columns, strict, beside = []) {
  return isMatrix(rows)
    ? { ...ofMatrix(rows, columns, strict), ignored: [] }
    : ofLists(rows, columns, strict, new Set(beside));
}

/** Whether rows are given as numbers and a shape. */
export function isMatrix(/** @type {any} */ rows) {
  return ArrayBuffer.isView(rows?.data) && !(rows.data instanceof DataView) && Array.isArray(rows?.shape);
}

/** @param {any} rows @param {Column[]} columns @param {boolean} strict @param {Set<unknown>} beside */
function ofLists(rows, columns, strict, beside) {
  if (!Array.isArray(rows)) throw new InputError(`inputs: expected rows, not ${show(rows)}`);
  if (rows.length === 0) throw new InputError("inputs: no rows, expected at least 1");
  const byName = isObject(rows[0]);
  const ignored = byName ? ignoredNames(rows, columns, strict, beside) : [];
  const x = new Float64Array(rows.length * columns.length);
  rows.forEach((row, i) => {
    checkRow(row, i, columns, byName);
    columns.forEach((column, d) => {
      const isGiven = byName ? Object.hasOwn(row, column.name) : row[d] !== undefined;
      if (!isGiven && !(byName && column.may_be_missing)) throw invalid(i, column, MISSING);
      const cell = isGiven ? row[byName ? column.name : d] : null;
      const value = readCell(cell, column, strict);
      if (typeof value === "string") throw invalid(i, column, value, value === MISSING ? undefined : show(cell));
      x[i * columns.length + d] = value;
    });
  });
  return { n: rows.length, x, ignored };
}

/** @param {any} row @param {number} i @param {Column[]} columns @param {boolean} byName */
function checkRow(row, i, columns, byName) {
  if (byName) {
    if (!isObject(row)) {
      throw new InputError(`row ${i}: expected an object with column names as keys, like row 0, not ${show(row)}`);
    }
    return;
  }
  if (!Array.isArray(row) && !(ArrayBuffer.isView(row) && !(row instanceof DataView))) {
    throw new InputError(`row ${i}: expected a list of ${columns.length} numbers, not ${show(row)}`);
  }
  const { length } = /** @type {{ length: number }} */ (/** @type {unknown} */ (row));
  if (length !== columns.length) throw new InputError(`row ${i}: ${length} values, expected ${columns.length}`);
}

/**
 * The names that the model does not have, once each, in the order of their first appearance.
 *
 * @param {any[]} rows @param {Column[]} columns @param {boolean} strict @param {Set<unknown>} beside
 */
function ignoredNames(rows, columns, strict, beside) {
  const known = new Set([...beside, ...columns.map((column) => column.name)]);
  /** @type {Set<string>} */
  const found = new Set();
  rows.forEach((row, i) => {
    for (const name of isObject(row) ? Object.keys(row) : []) {
      if (!known.has(name) && !INDEX_NAME.test(name.slice(0, 100))) found.add(name.slice(0, 100));
    }
    if (strict && found.size) {
      const [first] = found;
      throw new InputError(`row ${i}: unknown feature ${show(first)}; strict allows only the model's columns`);
    }
    if (found.size > MOST_IGNORED) {
      throw new InputError(`row ${i}: ${found.size} columns that the model does not have, at most 1,000 are ignored`);
    }
  });
  return [...found];
}

/** @param {{ data: any, shape: number[] }} rows @param {Column[]} columns @param {boolean} strict */
function ofMatrix({ data, shape }, columns, strict) {
  const [n, width] = shape;
  if (shape.length !== 2 || width !== columns.length || n * width !== data.length) {
    throw new InputError(
      `inputs: shape (${shape.join(", ")}) of ${data.length} values, expected (N, ${columns.length})`,
    );
  }
  if (n === 0) throw new InputError("inputs: no rows, expected at least 1");
  const x = new Float64Array(data.length);
  for (let at = 0; at < x.length; at++) {
    const [i, column] = [Math.floor(at / width), columns[at % width]];
    const value = Number(data[at]);
    x[at] = numberStandsForMissing(value, column) ? NaN : value;
    const fault = matrixFault(x[at], column, strict);
    if (fault) throw invalid(i, column, fault, String(value));
  }
  return { n, x };
}

/** What is wrong with a number of a matrix, in which a category is the index of its level; undefined: nothing. */
function matrixFault(/** @type {number} */ v, /** @type {Column} */ column, /** @type {boolean} */ strict) {
  if (Number.isNaN(v)) return strict && !column.may_be_missing ? MISSING : undefined;
  if (!Number.isFinite(v)) return NOT_FINITE;
  const isIndex = v >= 0 && Math.trunc(v) === v;
  if (column.kind === "category" && !isIndex) return OUTSIDE.category;
  return strict && isOutside(v, column) ? OUTSIDE[column.kind ?? "real"] : undefined;
}

/** Refuse rows (N, D) without any observed cell. */
export function refuseEmpty(/** @type {Float64Array} */ x, /** @type {number} */ width) {
  for (let i = 0; i * width < x.length; i++) {
    if (missingCells(x.subarray(i * width, (i + 1) * width)) === width) {
      throw new InputError(`row ${i}: every cell is missing`);
    }
  }
}

/**
 * Refuse rows with more missing cells than any training row.
 *
 * @param {Float64Array} x (N, D)
 * @param {Manifest} manifest
 * @param {number[]} [numbers] of the rows, for the message; default: from 0
 */
export function refuseMoreMissing(x, manifest, numbers) {
  const [width, most] = [dimensions(manifest.input), mostMissing(manifest)];
  for (let i = 0; i * width < x.length; i++) {
    if (missingCells(x.subarray(i * width, (i + 1) * width)) > most) {
      throw new InputError(
        `row ${numbers?.[i] ?? i}: more missing cells than any training row, which had at most ${most}`,
      );
    }
  }
}

/** @param {number} row @param {Column} column @param {string} what @param {string} [shown] */
function invalid(row, column, what, shown) {
  return new InputError(`row ${row}, feature '${column.name}': ${what}${shown === undefined ? "" : `: ${shown}`}`);
}

/** Whether a row is given by column name. */
export function isObject(/** @type {any} */ row) {
  return tag(row) === "Object"; // not a Map or a Date, whose entries are no columns
}

/** A value for messages, cut to 40 characters. */
export function show(/** @type {unknown} */ value) {
  const isNamed = typeof value === "object" && value !== null;
  const text = typeof value === "string" ? `'${value}'` : isNamed ? tag(value) : String(value);
  return text.length <= 40 ? text : `${text.slice(0, 37)}...`;
}

function tag(/** @type {unknown} */ value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}
