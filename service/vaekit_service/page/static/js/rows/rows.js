/** The rows that a visitor gave, as text, as the file has them. */

import { cut } from "../format.js";
import { cellsOf, recordOf, recordsOf } from "./csv.js";
import { dialectOf, PLAIN, withPoint } from "./dialect.js";

/** N rows with named columns. */
export class Rows {
  #records;

  /**
   * @param {string[]} names of the columns of the file
   * @param {string[]} records of CSV, one per row
   * @param {string} source where they come from, for people: "from rows.csv"
   * @param {import("./dialect.js").Dialect} [dialect] of the records
   * @param {boolean} [areReal] whether they count in the health of the model; false: it made them itself
   */
  constructor(names, records, source, dialect = PLAIN, areReal = true) {
    this.areReal = areReal;
    this.names = names;
    this.dialect = dialect;
    this.source = source;
    this.#records = records;
    this.at = new Map(names.map((name, index) => [name, index]));
  }

  /**
   * The rows of a CSV text.
   *
   * @param {string} text
   * @param {string} source
   * @param {{ model?: object, dialect?: import("./dialect.js").Dialect }} [given] dialect: otherwise found in the text
   * @throws {Error} it has no rows, or no line of column names
   */
  static ofCsv(text, source, { model, dialect } = {}) {
    const [first, ...records] = recordsOf(text);
    if (first === undefined) throw new Error(`No rows in ${source}: it is empty. Expected a CSV file with a first line of column names.`);
    if (records.length === 0) throw new Error(`No rows in ${source}: it has one line. Expected column names, and then one row per line.`);
    const found = dialect ?? dialectOf(first, records, model);
    const names = cellsOf(first, found.delimiter);
    if (model !== undefined && areData(names, model)) {
      throw new Error(`The first line of ${source} must have the names of the columns, such as ${someNames(model)}. It has ${cut(first, 40)}.`);
    }
    return new Rows(names, records, `from ${source}`, found);
  }

  get length() {
    return this.#records.length;
  }

  /** The cells of a row, as text. @param {number} index */
  cells(index) {
    return cellsOf(this.#records[index], this.dialect.delimiter);
  }

  /** A row as it is in the file. @param {number} index */
  record(index) {
    return this.#records[index];
  }

  /** Some rows as CSV of the same dialect, with the column names. @param {number[]} indexes */
  csv(indexes) {
    return [recordOf(this.names, this.dialect.delimiter), ...indexes.map((index) => this.#records[index]), ""].join("\n");
  }

  /** Rows from one index up to another as CSV of the same dialect, with the column names. @param {number} from @param {number} to */
  csvRange(from, to) {
    return [recordOf(this.names, this.dialect.delimiter), ...this.#records.slice(from, to), ""].join("\n");
  }

  /** A row as a JSON object for the columns of a model. @param {number} index @param {object} model */
  object(index, model) {
    const cells = this.cells(index);
    return objectOf(model, (name) => cells[this.at.get(name)], this.dialect);
  }

  /** The name of the first column that could identify rows: unknown to the model, never empty, never twice the same. */
  idColumn(model) {
    const known = knownTo(model);
    return this.names.find((name) => name !== "" && !known.has(name) && this.#isUnique(name)) ?? null;
  }

  #isUnique(name) {
    const at = this.at.get(name);
    const seen = new Set();
    for (let index = 0; index < this.length; index += 1) {
      const cell = this.cells(index)[at] ?? "";
      if (cell === "" || cell.length > 128 || seen.has(cell)) return false;
      seen.add(cell);
    }
    return true;
  }
}

/**
 * The JSON of a row of text: numbers as numbers, empty cells as null.
 *
 * @param {object} model
 * @param {(name: string) => string | undefined} cell
 * @param {import("./dialect.js").Dialect} [dialect] of the text
 */
export function objectOf(model, cell, dialect = PLAIN) {
  return Object.fromEntries(model.input.columns.map(({ name, kind }) => [name, valueOf(cell(name), kind, dialect)]));
}

function valueOf(text, kind, dialect) {
  if (text === undefined || text.trim() === "") return null;
  const number = kind === "category" ? NaN : Number(withPoint(text, dialect));
  return Number.isNaN(number) ? text : number;
}

/** Names of columns that mean something to a model. */
function knownTo({ input: { columns, window } }) {
  return new Set([...columns.map(({ name }) => name), ...(window ? [...window.columns, window.series, window.time] : [])]);
}

/** Whether the first line has cells in place of names: the model knows none of them, and one is a number. */
function areData(names, model) {
  const known = knownTo(model);
  const isNumber = (name) => name.trim() !== "" && !Number.isNaN(Number(name.replace(",", ".")));
  return names.some(isNumber) && !names.some((name) => known.has(name));
}

const someNames = ({ input: { columns, window } }) => (window ? window.columns : columns.map(({ name }) => name)).slice(0, 3).join(", ");

/** Whether rows are the time steps of a model of windows, and no windows. @param {Rows} rows @param {object} model */
export function areSteps(rows, model) {
  const { window } = model.input;
  return Boolean(window) && !model.input.columns.every(({ name }) => rows.at.has(name));
}
