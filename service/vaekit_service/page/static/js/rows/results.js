/** What the service said about rows: one line for each, and their order from the most anomalous on. */

/**
 * @typedef {object} InvalidRow
 * @property {number} index
 * @property {string | null} column
 * @property {string} reason
 * @property {string} value
 */

/** The scores of N rows, or of the first of them while scoring goes on. A changed copy replaces it in the state. */
export class Results {
  /** @param {number} length N */
  constructor(length) {
    this.length = length;
    this.done = 0; // rows that were answered
    this.lines = new Array(length); // the reply to each row
    this.score = new Float64Array(length).fill(NaN); // nats; NaN: the row has none
    this.pValue = new Float64Array(length).fill(NaN);
    /** @type {InvalidRow[]} */
    this.invalid = [];
    /** @type {{ id: string, from: number }[]} */
    this.requests = []; // the request id of each batch, and its first row
    this.alpha = null; // of the request
    this.reason = null; // why there are no p-values
    this.remarks = []; // of the service: columns that it ignored, warnings
    this.idColumn = null;
    /** @type {Map<number, object[]>} */
    this.explained = new Map(); // the most anomalous cells of the rows that were looked at
  }

  /** A copy, so that those who watch the state see that it has changed. */
  copy() {
    return Object.assign(Object.create(Results.prototype), this);
  }

  /**
   * Add the reply to a batch.
   *
   * @param {number} from the index of its first row
   * @param {object[]} lines
   * @param {Headers} headers
   */
  add(from, lines, headers) {
    lines.forEach((line, offset) => addLine(this, from + offset, line));
    this.done = from + lines.length;
    this.requests.push({ id: headers.get("x-request-id"), from });
    this.alpha ??= numberOf(headers.get("vae-alpha"));
    this.reason ??= headers.get("vae-p-value-reason");
    for (const remark of remarksOf(headers)) if (!this.remarks.includes(remark)) this.remarks.push(remark);
  }

  /** Whether the verdict of a row at alpha is anomaly. @param {number} index @param {number} alpha */
  isFlagged(index, alpha) {
    return this.pValue[index] <= alpha && !(this.lines[index].tolerated?.length > 0);
  }

  /** The group that a row was compared with. @param {number} index */
  groupOf(index) {
    return this.lines[index].group;
  }

  /** Whether a row is novel. @param {number} index */
  isNovel(index) {
    return (this.lines[index]?.novel?.length ?? 0) > 0;
  }

  /** The indexes of the rows that were answered, the most anomalous first, those without a score last. */
  order() {
    return [...Array(this.done).keys()].sort(byAnomaly({ ...this, isNovel: (index) => this.isNovel(index) }));
  }

  /** The request and the row in it that answered a row, as the score log names it. @param {number} index */
  requestOf(index) {
    const { id, from } = this.requests.findLast((request) => request.from <= index);
    return { requestId: id, row: index - from };
  }
}

/**
 * Compares rows by p-value, then novel ones before others, then by score: the most anomalous comes first.
 *
 * @param {{ pValue: ArrayLike<number | null>, score: ArrayLike<number | null>, isNovel: (index: number) => boolean }} given
 *   null or NaN: there is none
 * @returns {(a: number, b: number) => number}
 */
export function byAnomaly({ pValue, score, isNovel }) {
  const key = (x, otherwise) => (x === null || Number.isNaN(x) ? otherwise : x);
  return (a, b) =>
    key(pValue[a], 2) - key(pValue[b], 2) || isNovel(b) - isNovel(a) || key(score[b], -Infinity) - key(score[a], -Infinity) || a - b;
}

function addLine(results, index, line) {
  results.lines[index] = line;
  if (line.error) {
    const { column, reason, value } = line.error;
    results.invalid.push({ index, column, reason, value });
    return;
  }
  if (typeof line.score === "number") results.score[index] = line.score;
  if (typeof line.p_value === "number") results.pValue[index] = line.p_value;
}

const numberOf = (text) => (text === null ? null : Number(text));

function remarksOf(headers) {
  const ignored = listOf(headers.get("vae-ignored-columns"));
  const said = listOf(headers.get("vae-warnings"));
  if (ignored.length === 0) return said;
  const columns = ignored.length === 1 ? "column" : "columns";
  return [`The model does not use the ${columns} ${ignored.join(", ")}.`, ...said];
}

function listOf(text) {
  try {
    return JSON.parse(text ?? "[]");
  } catch {
    return []; // it was too long and cut off
  }
}
