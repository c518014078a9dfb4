/** The rows that a visitor gave, as text, as the file has them. */

import { cellsOf, recordOf, recordsOf } from "./csv.js";

/** N rows with named columns. */
export class Rows {
  #records;

  /**
   * @param {string[]} names of the columns of the file
   * @param {string[]} records of CSV, one per row
   * @param {string} source where they come from, for people: "from rows.csv"
   */
  constructor(names, records, source) {
    this.names = names;
    this.source = source;
    this.#records = records;
    this.at = new Map(names.map((name, index) => [name, index]));
  }

  /**
   * The rows of a CSV text.
   *
   * @param {string} text
   * @param {string} source
   * @throws {Error} it has no rows, or is separated by something else than commas
   */
  static ofCsv(text, source) {
    const [first, ...records] = recordsOf(text);
    if (first === undefined) throw new Error(`No rows in ${source}: it is empty. Expected a CSV file with a first line of column names.`);
    for (const [other, name] of [[";", "semicolons"], ["\t", "tabs"]]) {
      if (!first.includes(",") && first.includes(other)) {
        throw new Error(`The cells of ${source} seem to be separated by ${name}. Save it with commas: the service reads only these.`);
      }
    }
    if (records.length === 0) throw new Error(`No rows in ${source}: it has one line. Expected column names, and then one row per line.`);
    return new Rows(cellsOf(first), records, `from ${source}`);
  }

  get length() {
    return this.#records.length;
  }

  /** The cells of a row, as text. @param {number} index */
  cells(index) {
    return cellsOf(this.#records[index]);
  }

  /** A row as it is in the file. @param {number} index */
  record(index) {
    return this.#records[index];
  }

  /** Some rows as CSV with the column names. @param {number[]} indexes */
  csv(indexes) {
    return [recordOf(this.names), ...indexes.map((index) => this.#records[index]), ""].join("\n");
  }

  /** Rows from one index up to another as CSV with the column names. @param {number} from @param {number} to */
  csvRange(from, to) {
    return [recordOf(this.names), ...this.#records.slice(from, to), ""].join("\n");
  }

  /** A row as a JSON object for the columns of a model. @param {number} index @param {object} model */
  object(index, model) {
    const cells = this.cells(index);
    return objectOf(model, (name) => cells[this.at.get(name)]);
  }

  /** The name of the first column that could identify rows: unknown to the model, never empty, never twice the same. */
  idColumn(model) {
    const known = new Set(model.input.columns.map(({ name }) => name));
    const { window } = model.input;
    for (const name of window ? [...window.columns, window.series, window.time] : []) known.add(name);
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
 */
export function objectOf(model, cell) {
  return Object.fromEntries(model.input.columns.map(({ name, kind }) => [name, valueOf(cell(name), kind)]));
}

function valueOf(text, kind) {
  if (text === undefined || text.trim() === "") return null;
  if (kind === "category" || Number.isNaN(Number(text))) return text;
  return Number(text);
}

/** Whether rows are the time steps of a model of windows, and no windows. @param {Rows} rows @param {object} model */
export function areSteps(rows, model) {
  const { window } = model.input;
  return Boolean(window) && !model.input.columns.every(({ name }) => rows.at.has(name));
}
