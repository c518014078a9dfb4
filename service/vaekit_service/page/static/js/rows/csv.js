/** Reads and writes CSV as the service does: UTF-8, commas, double quotes, a first line of column names. */

/**
 * The records of a text, without line ends. Empty lines are left out.
 *
 * @param {string} text
 */
export function recordsOf(text) {
  const body = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const lines = body.split(/\r?\n/);
  if (!body.includes('"')) return lines.filter((line) => line !== "");
  const records = [];
  let open = null; // the lines of a record with a line end within quotes
  for (const line of lines) {
    if (open === null && line === "") continue;
    const isOdd = line.split('"').length % 2 === 0;
    if (open === null) {
      if (isOdd) open = [line];
      else records.push(line);
    } else {
      open.push(line);
      if (isOdd) {
        records.push(open.join("\n"));
        open = null;
      }
    }
  }
  if (open !== null) records.push(open.join("\n"));
  return records;
}

/** The cells of a record. @param {string} record @returns {string[]} */
export function cellsOf(record) {
  if (!record.includes('"')) return record.split(",");
  const cells = [];
  for (let at = 0; at <= record.length; ) {
    const [cell, end] = record[at] === '"' ? quotedFrom(record, at) : plainFrom(record, at);
    cells.push(cell);
    at = end + 1; // beyond the comma
  }
  return cells;
}

/** The cell that begins at an index, and the index of the comma after it, or the end of the record. */
function plainFrom(record, at) {
  const comma = record.indexOf(",", at);
  const end = comma === -1 ? record.length : comma;
  return [record.slice(at, end), end];
}

function quotedFrom(record, at) {
  let end = record.indexOf('"', at + 1);
  while (end !== -1 && record[end + 1] === '"') end = record.indexOf('"', end + 2);
  const close = end === -1 ? record.length : end;
  const [rest, comma] = plainFrom(record, Math.min(record.length, close + 1)); // text after the quotes, if there is any
  return [record.slice(at + 1, close).replaceAll('""', '"') + rest, comma];
}

/** A record of cells; null and undefined are empty. @param {unknown[]} cells */
export const recordOf = (cells) => cells.map(quoted).join(",");

function quoted(cell) {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
