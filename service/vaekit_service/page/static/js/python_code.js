/** Writes parts of Python programs. */

import { PLAIN } from "./rows/dialect.js";

/**
 * Python that reads rows.csv with the standard library: the import, a function, and lines that set `rows`, a list of
 * dicts of numbers and levels.
 *
 * @param {object} model
 * @param {import("./rows/dialect.js").Dialect} [dialect] of the file
 */
export function csvInPython(model, { delimiter, decimal } = PLAIN) {
  const isLevel = ({ kind }) => kind === "category";
  const levels = model.input.columns.filter(isLevel).map(({ name }) => name);
  const number = decimal === "," ? 'float(text.replace(",", "."))' : "float(text)";
  const rest = "ValueError:  # such as an id, or None for an empty cell\n        return text or None\n";
  const define =
    levels.length === 0
      ? `def cell(text):\n    try:\n        return ${number}\n    except ${rest}`
      : `LEVELS = ${JSON.stringify(levels)}  # columns of text\n\n\ndef cell(name, text):\n    try:\n        return text or None if name in LEVELS else ${number}\n    except ${rest}`;
  const separated = delimiter === "," ? "" : `, delimiter=${JSON.stringify(delimiter)}`;
  const given = levels.length === 0 ? "text" : "name, text";
  return {
    pythonImports: "import csv\n",
    define,
    rows: `with open("rows.csv", newline="", encoding="utf-8-sig") as file:
    rows = [{name: cell(${given}) for name, text in row.items()} for row in csv.DictReader(file${separated})]`,
  };
}

/** The literal of a dict in Python. @param {Record<string, string | number | null>} values */
export function pythonDict(values) {
  const literal = (value) => (value === null ? "None" : JSON.stringify(value));
  return `{${Object.entries(values).map(([name, value]) => `${literal(name)}: ${literal(value)}`).join(", ")}}`;
}
