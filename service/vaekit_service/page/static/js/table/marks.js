/** What people say about rows: normal or anomalous. They can be downloaded as labels for vae feedback. */

import { recordOf } from "../rows/csv.js";
import { saveText } from "./downloads.js";
import { count, counted, number } from "../format.js";
import { html } from "../lit.js";

const KINDS = { normal: "Normal", anomaly: "Anomaly" };

const kept = new WeakMap(); // the marks of rows, also while another model is shown

/** @param {() => void} changed called after a mark has changed */
export function makeMarks(changed) {
  let marks = new Map(); // by the index of a row
  const toggle = (index, kind) => () => {
    if (marks.get(index) === kind) marks.delete(index);
    else marks.set(index, kind);
    changed();
  };
  return {
    of: (index) => marks.get(index) ?? null,
    /** Go on with the marks of these rows. @param {import("../rows/rows.js").Rows | null} rows */
    show(rows) {
      marks = kept.get(rows) ?? new Map();
      if (rows !== null) kept.set(rows, marks);
    },
    get size() {
      return marks.size;
    },
    entries: () => [...marks.entries()].sort(([a], [b]) => a - b),
    /** Two buttons for a row. @param {number} index */
    buttons: (index) =>
      html`<span class="marks">${Object.entries(KINDS).map(
        ([kind, title]) =>
          html`<button class=${`mark ${kind}`} aria-pressed=${marks.get(index) === kind} aria-label=${`Mark row ${index} as ${kind}`} @click=${toggle(index, kind)}>${title}</button>`,
      )}</span>`,
  };
}

/**
 * The marks as labels in the form that vae feedback reads: by id, or by request and row in it.
 *
 * @param {ReturnType<typeof makeMarks>} marks
 * @param {import("../rows/rows.js").Rows} rows
 * @param {import("../rows/results.js").Results} results
 */
export function labelsCsv(marks, rows, results) {
  const { idColumn } = results;
  const head = idColumn === null ? ["request_id", "row", "label"] : [idColumn, "label"];
  const lines = marks.entries().map(([index, kind]) => {
    const { requestId, row } = results.requestOf(index);
    return idColumn === null ? [requestId, row, kind] : [rows.cells(index)[rows.at.get(idColumn)], kind];
  });
  return `${[head, ...lines].map((cells) => recordOf(cells)).join("\n")}\n`;
}

/**
 * How many of the marked rows are flagged at alpha, of each kind of mark; empty if no marked row has a verdict.
 *
 * @param {[number, string][]} entries index and mark of each marked row
 * @param {import("../rows/results.js").Results} results
 * @param {number} alpha
 */
export function comparison(entries, results, alpha) {
  const kinds = [["anomaly", "marked as anomalies"], ["normal", "marked as normal"]];
  const parts = kinds.flatMap(([kind, words]) => {
    const own = entries.filter(([index, mark]) => mark === kind && !Number.isNaN(results.pValue[index]));
    const flagged = own.filter(([index]) => results.isFlagged(index, alpha));
    return own.length === 0 ? [] : [`${count(flagged.length)} of ${counted(own.length, "row")} ${words}`];
  });
  return parts.length === 0 ? "" : `Flagged at alpha ${number(alpha, 2)}: ${parts.join("; ")}.`;
}

/** A word of a shell command. */
const quoted = (word) => (/^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The marks beside the verdicts, their download, and the command that reads them. */
export function marksBar({ state }, marks, rows, results) {
  if (marks.size === 0) return html`<p class="small quiet">Mark rows as normal or as anomalies to compare your judgement with the verdicts.</p>`;
  const { model, alpha } = state.get();
  const save = () => saveText(`marks-${model.name}.csv`, labelsCsv(marks, rows, results));
  const ids = results.idColumn === null ? "" : ` --id ${quoted(results.idColumn)}`;
  return html`<div class="box stack marks-bar">
    <div class="row"><strong>${counted(marks.size, "mark")}</strong><button @click=${save}>Download marks</button></div>
    <p data-comparison>${comparison(marks.entries(), results, alpha)}</p>
    <p class="small quiet">
      The command says the same with intervals. It needs a service that was started with VAE_SCORE_LOG before it scored
      these rows: SCORES is that folder.
    </p>
    <pre tabindex="0"><code>vae feedback marks-${model.name}.csv --scores SCORES${ids} --label label --anomaly anomaly</code></pre>
  </div>`;
}
