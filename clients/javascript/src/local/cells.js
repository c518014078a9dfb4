/** The rule for what one cell of a column means: a number, a level, missing, or invalid. */

import { levelIndex, notALevel, numberIn, stripped } from "./levels.js";

/**
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("./levels.js").Cell} Cell
 */

export const MISSING = "missing";
export const NOT_A_NUMBER = "not a number";
export const NOT_FINITE = "not finite";
const MISSING_TEXTS = new Set([
  "#N/A",
  "#N/A N/A",
  "#NA",
  "-1.#IND",
  "-1.#QNAN",
  "-NaN",
  "-nan",
  "1.#IND",
  "1.#QNAN",
  "N/A",
  "NA",
  "NULL",
  "NaN",
  "n/a",
  "nan",
  "null",
]);

/**
 * The value of a cell as the graphs take it, NaN if it is missing; if it is invalid, the reason as text.
 *
 * A category is the index of its level, and the index after the last one for any other level. Numbers need not be of
 * the column's kind. With `strict` both are refused, and so is a missing cell where none may be.
 *
 * @param {Cell} cell
 * @param {Column} column
 * @param {boolean} strict
 * @returns {number | string}
 */
export function readCell(cell, column, strict) {
  const known = typeof cell === "string" || typeof cell === "number" || typeof cell === "boolean";
  if (!known && typeof cell !== "bigint" && cell !== null && cell !== undefined) return NOT_A_NUMBER;
  return column.kind === "category" ? readLevel(cell, column, strict) : readNumber(cell, column, strict);
}

/** @param {Cell} cell @param {Column} column @param {boolean} strict @returns {number | string} */
function readNumber(cell, column, strict) {
  if (isEmpty(cell) || standsForMissing(cell, column)) return missing(column, strict);
  if (typeof cell === "string") return NOT_A_NUMBER;
  const number = Number(cell);
  if (!Number.isFinite(number)) return NOT_FINITE;
  return strict && isOutside(number, column) ? OUTSIDE[column.kind ?? "real"] : number;
}

/** @param {Cell} cell @param {Column} column @param {boolean} strict @returns {number | string} */
function readLevel(cell, column, strict) {
  const index = levelIndex(cell, column);
  if (index !== undefined) return index;
  const blank = typeof cell === "string" && stripped(cell) === "";
  if (blank || isEmpty(cell) || standsForMissing(cell, column)) return missing(column, strict);
  if (column.may_be_missing && typeof cell === "string" && spellsMissing(cell)) return NaN;
  return strict ? notALevel(column) : (column.levels ?? []).length;
}

function isEmpty(/** @type {Cell} */ cell) {
  return cell === null || cell === undefined || (typeof cell === "number" && Number.isNaN(cell));
}

function missing(/** @type {Column} */ column, /** @type {boolean} */ strict) {
  return column.may_be_missing || !strict ? NaN : MISSING;
}

function spellsMissing(/** @type {string} */ text) {
  const found = stripped(text);
  return MISSING_TEXTS.has(found) || ["nan", "+nan", "-nan"].includes(found.toLowerCase());
}

/**
 * Whether a cell is one of the column's `missing_values`. Text that is a number is compared as a number too.
 *
 * @param {Cell} cell @param {Column} column
 */
function standsForMissing(cell, column) {
  const values = column.missing_values ?? [];
  if (values.length === 0 || typeof cell === "boolean") return false;
  if (typeof cell === "string") {
    return values.includes(stripped(cell)) || missingNumbers(column).includes(numberIn(cell) ?? NaN);
  }
  return missingNumbers(column).includes(Number(cell)) && (typeof cell !== "bigint" || BigInt(Number(cell)) === cell);
}

/** The numbers among the column's `missing_values`, also as float32 rounds them; without NaN. */
function missingNumbers(/** @type {Column} */ column) {
  const numbers = (column.missing_values ?? []).filter((value) => typeof value === "number");
  return [...numbers, ...numbers.map(Math.fround).filter(Number.isFinite)];
}

/**
 * Whether a number of a typed array, in which a category is an index, stands for a missing cell.
 *
 * @param {number} number @param {Column} column
 */
export function numberStandsForMissing(number, column) {
  const isIndex = column.levels && Number.isInteger(number) && number >= 0 && number <= column.levels.length;
  return !isIndex && missingNumbers(column).includes(number);
}

/**
 * Whether a number is outside the column's support: not of its kind, or no level of it. NaN never is.
 *
 * @param {number} v @param {Column} column
 */
export function isOutside(v, column) {
  if (Number.isNaN(v)) return false;
  switch (column.kind ?? "real") {
    case "positive":
      return !(v > 0);
    case "count":
      return !(v >= 0 && Math.trunc(v) === v);
    case "fraction":
      return !(v >= 0 && v <= 1);
    case "binary":
      return v !== 0 && v !== 1;
    case "category":
      return !(v >= 0 && Math.trunc(v) === v && v < (column.levels ?? []).length);
    default:
      return false;
  }
}

/** The number of missing cells of a row; pixels are never missing. */
export function missingCells(/** @type {Float64Array | Uint8Array} */ row) {
  let count = 0;
  for (const v of row) count += Number(Number.isNaN(v));
  return count;
}

/** @type {Record<string, string>} */
export const OUTSIDE = {
  positive: "not above 0",
  count: "not a whole number of at least 0",
  fraction: "not between 0 and 1",
  binary: "not 0 or 1",
  category: "not the index of a level",
};
