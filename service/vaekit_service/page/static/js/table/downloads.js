/** Files that the page gives to its visitor. */

import { download } from "../download.js";
import { recordOf } from "../rows/csv.js";
import { asWritten } from "../rows/dialect.js";

const APPENDED = ["elbo", "log_likelihood", "kl", "score", "p_value", "p_value_tail"]; // as vae score appends them

/**
 * Save a text as a file.
 *
 * @param {string} name
 * @param {string} text
 */
export function saveText(name, text) {
  download(name, new Blob([text], { type: "text/csv" }));
}

/**
 * The rows with the columns that vae score appends, in the order and the dialect of the file. is_anomaly is at alpha.
 *
 * @param {import("../rows/rows.js").Rows} rows
 * @param {import("../rows/results.js").Results} results
 * @param {number} alpha
 */
export function scoredCsv(rows, results, alpha) {
  const first = results.lines.find((line) => line && !line.error) ?? {};
  const more = ["group", "group_pooled", "tolerated", "novel", "observed_count"].filter((name) => name in first);
  const columns = [...APPENDED, "is_anomaly", ...more];
  if (results.invalid.length > 0) columns.push("error");
  const names = columns.map((name) => (rows.at.has(name) ? `vae_${name}` : name));
  const { dialect } = rows;
  const lines = [recordOf([...rows.names, ...names], dialect.delimiter)];
  for (let index = 0; index < results.done; index += 1) {
    const said = valuesOf(results, index, alpha);
    const appended = columns.map((name) => asWritten(said[name], dialect));
    lines.push(`${rows.record(index)}${dialect.delimiter}${recordOf(appended, dialect.delimiter)}`);
  }
  return `${lines.join("\n")}\n`;
}

function valuesOf(results, index, alpha) {
  const { error, novel, tolerated, ...said } = results.lines[index];
  if (error) return { error: `${error.column === null ? "" : `${error.column}: `}${error.reason}` };
  const hasVerdict = !Number.isNaN(results.pValue[index]);
  return {
    ...said,
    is_anomaly: hasVerdict ? results.isFlagged(index, alpha) : null,
    novel: novel?.join(", "),
    tolerated: tolerated?.join(", "),
  };
}
