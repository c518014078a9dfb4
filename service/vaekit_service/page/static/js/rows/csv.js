/** Reads and writes CSV as the service does: UTF-8, a delimiter, double quotes, a first line of column names. */

/**
 * The records of a text, without line ends. Empty lines are left out. Lines end with LF or CRLF, or all with CR.
 *
 * @param {string} text
 * @throws {Error} a quote is never closed
 */
export function recordsOf(text) {
  const body = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const lines = body.split(body.includes("\n") ? /\r?\n/ : "\r");
  if (!body.includes('"')) return lines.filter((line) => line !== "");
  const records = [];
  let open = null; // the lines of a record with a line end within quotes
  let opened = 0; // the number of its first line
  for (const [at, line] of lines.entries()) {
    if (open === null && line === "") continue;
    const isOdd = line.split('"').length % 2 === 0;
    if (open === null) {
      if (isOdd) [open, opened] = [[line], at + 1];
      else records.push(line);
    } else {
      open.push(line);
      if (isOdd) {
        records.push(open.join("\n"));
        open = null;
      }
    }
  }
  if (open !== null) throw new Error(`Line ${opened} has a quote (") that is never closed.`);
  return records;
}

/** The cells of a record. @param {string} record @param {string} [delimiter] @returns {string[]} */
export function cellsOf(record, delimiter = ",") {
  if (!record.includes('"')) return record.split(delimiter);
  const cells = [];
  for (let at = 0; at <= record.length; ) {
    const [cell, end] = record[at] === '"' ? quotedFrom(record, at, delimiter) : plainFrom(record, at, delimiter);
    cells.push(cell);
    at = end + 1; // beyond the delimiter
  }
  return cells;
}

/** The cell that begins at an index, and the index of the delimiter after it, or the end of the record. */
function plainFrom(record, at, delimiter) {
  const next = record.indexOf(delimiter, at);
  const end = next === -1 ? record.length : next;
  return [record.slice(at, end), end];
}

function quotedFrom(record, at, delimiter) {
  let end = record.indexOf('"', at + 1);
  while (end !== -1 && record[end + 1] === '"') end = record.indexOf('"', end + 2);
  const close = end === -1 ? record.length : end;
  const [rest, next] = plainFrom(record, Math.min(record.length, close + 1), delimiter); // text after the quotes, if there is any
  return [record.slice(at + 1, close).replaceAll('""', '"') + rest, next];
}

/** A record of cells; null and undefined are empty. @param {unknown[]} cells @param {string} [delimiter] */
export const recordOf = (cells, delimiter = ",") => cells.map((cell) => quoted(cell, delimiter)).join(delimiter);

function quoted(cell, delimiter) {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return text.includes(delimiter) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
