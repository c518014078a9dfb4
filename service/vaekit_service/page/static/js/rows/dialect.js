/** How a CSV file separates cells and writes numbers: found in the file, said in words, and sent to the service. */

import { cellsOf } from "./csv.js";

/** @typedef {{ delimiter: "," | ";" | "\t" | "|", decimal: "." | "," }} Dialect */

/** @type {Dialect} */
export const PLAIN = { delimiter: ",", decimal: "." };
export const DELIMITERS = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars" };
export const DECIMALS = { ".": "point", ",": "comma" };

const LOOKED_AT = 1000; // rows, for decimal commas
const WITH_COMMA = /^\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*$/;
const WITH_POINT = /^\s*[-+]?\d*\.\d+(?:[eE][-+]?\d+)?\s*$/;
const NUMBER_WITH_COMMA = /^\s*[-+]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][-+]?\d+)?\s*$/; // as the service reads one

/**
 * The dialect of a file: the delimiter that makes most names of the model's columns of the header, or else most cells;
 * and decimal commas if more numbers of the model's columns have one than a point.
 *
 * @param {string} header the first record
 * @param {string[]} records the others
 * @param {object} [model]
 * @returns {Dialect}
 */
export function dialectOf(header, records, model) {
  const delimiter = delimiterOf(header, model === undefined ? new Set() : namesOf(model, () => true));
  return { delimiter, decimal: delimiter === "," ? "." : decimalOf(cellsOf(header, delimiter), records, delimiter, model) };
}

function delimiterOf(header, known) {
  const rank = (delimiter) => {
    const cells = cellsOf(header, delimiter);
    return [cells.filter((name) => known.has(name)).length, cells.length];
  };
  return Object.keys(DELIMITERS).reduce((best, one) => {
    const [[names, cells], [bestNames, bestCells]] = [rank(one), rank(best)];
    return names > bestNames || (names === bestNames && cells > bestCells) ? one : best;
  });
}

function decimalOf(names, records, delimiter, model) {
  const numeric = model === undefined ? new Set(names) : namesOf(model, ({ kind }) => kind !== "category");
  const at = names.map((_, index) => index).filter((index) => numeric.has(names[index]));
  let commas = 0;
  for (const record of records.slice(0, LOOKED_AT)) {
    const cells = cellsOf(record, delimiter);
    for (const index of at) commas += WITH_COMMA.test(cells[index]) - WITH_POINT.test(cells[index]);
  }
  return commas > 0 ? "," : ".";
}

function namesOf({ input: { columns, window } }, accepts) {
  return new Set([...columns.filter(accepts).map(({ name }) => name), ...(window?.columns ?? [])]);
}

/** What was understood, in words. @param {Dialect} dialect */
export function wordsOf({ delimiter, decimal }) {
  const separated = `cells separated by ${",\t".includes(delimiter) ? DELIMITERS[delimiter] : delimiter}`;
  return delimiter === "," ? separated : `${separated}, decimal ${DECIMALS[decimal]}`;
}

/** The parameters of a request that say how its body of CSV is written. @param {Dialect} dialect */
export function queryOf({ delimiter, decimal }) {
  return {
    ...(delimiter === "," ? {} : { delimiter: delimiter === "\t" ? "tab" : delimiter }),
    ...(decimal === "." ? {} : { decimal }),
  };
}

/** A number as JavaScript reads it; other text is unchanged. @param {string} text @param {Dialect} dialect */
export function withPoint(text, { decimal }) {
  return decimal === "," && NUMBER_WITH_COMMA.test(text) ? text.replace(",", ".") : text;
}

/** A number as the file writes it; other values are unchanged. @param {unknown} value @param {Dialect} dialect */
export function asWritten(value, { decimal }) {
  return decimal === "," && typeof value === "number" ? String(value).replace(".", ",") : value;
}
