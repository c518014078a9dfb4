/** Draws the table of scored rows. */

import { number } from "../format.js";
import { html } from "../lit.js";
import { cellText } from "./cells.js";
import { reasonLines, reasonsOf } from "./reasons.js";

/** What makes a row novel. */
export const NOVEL = "a level that no training row has, a number that its column cannot have, or more missing cells than any training row";

/**
 * @typedef {object} Shown
 * @property {import("../rows/rows.js").Rows} rows
 * @property {import("../rows/results.js").Results} results
 * @property {object} model
 * @property {number} alpha
 * @property {number | null} selected
 * @property {number[]} indexes of the rows to draw, in order
 * @property {{ buttons: (index: number) => unknown }} marks
 * @property {(index: number) => void} choose
 */

/** The table. @param {Shown} shown */
export function rowsTable(shown) {
  const columns = columnsOf(shown);
  return html`<div class="scroll rows-scroll" tabindex="0" role="region" aria-label="Table of scored rows">
    <table class="rows">
      <thead>
        <tr>
          <th class="words" scope="col">Row</th>
          <th class="words" scope="col">Verdict</th>
          <th class="words" scope="col">Most anomalous cells</th>
          <th scope="col">p-value</th>
          <th scope="col">Score</th>
          <th class="words" scope="col">Your mark</th>
          ${columns.map(({ name, isOwn }) => html`<th scope="col" class=${isOwn ? "" : "quiet"}>${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${shown.indexes.map((index) => line(shown, columns, index))}
      </tbody>
    </table>
  </div>`;
}

/**
 * The columns as the file has them, but the one that identifies rows first.
 *
 * @param {{ rows: import("../rows/rows.js").Rows, results: { idColumn: string | null }, model: object }} shown
 * @returns {{ name: string, isOwn: boolean }[]} isOwn: the model uses the column
 */
export function columnsOf({ rows, results: { idColumn }, model }) {
  const own = new Set(model.input.columns.map(({ name }) => name));
  const names = [...rows.names].sort((a, b) => (b === idColumn) - (a === idColumn));
  return names.map((name) => ({ name, isOwn: own.has(name) }));
}

function line(shown, columns, index) {
  const { rows, results, alpha, selected, marks, choose } = shown;
  const said = results.lines[index];
  const cells = rows.cells(index);
  const cellOf = (name) => cells[rows.at.get(name)];
  const why = whyFlagged(shown, index, cellOf);
  const odd = new Set([...(why ?? []).map(({ feature }) => feature), ...(said.novel ?? [])]);
  return html`<tr class=${index === selected ? "selected" : ""} data-row=${index}>
    <td class="words"><button class="plain" aria-pressed=${index === selected} @click=${() => choose(index)}>${index}</button></td>
    <td class="words">${verdict(said, results.isFlagged(index, alpha))}</td>
    <td class="words reasons">${said.error ? reasonOfError(said.error) : why === null ? "" : reasonLines(why)}</td>
    <td>${number(said.p_value, 3)}</td>
    <td>${number(said.score, 4)}</td>
    <td class="words">${said.error ? "" : marks.buttons(index)}</td>
    ${columns.map(({ name, isOwn }) => html`<td class=${odd.has(name) ? "odd" : isOwn ? "" : "quiet"}>${cellText(cellOf(name))}</td>`)}
  </tr>`;
}

/** The reasons of a flagged row; null: not flagged, or not known. */
function whyFlagged({ rows, results, alpha, model }, index, cellOf) {
  if (!results.isFlagged(index, alpha)) return null;
  const explanation = results.explained.get(index);
  if (!results.isNovel(index) && !(explanation?.length > 0)) return null;
  return reasonsOf({ novel: results.lines[index].novel, explanation, cellOf, model, dialect: rows.dialect });
}

const reasonOfError = ({ column, reason, value }) =>
  html`<span>${column === null ? "" : html`<code>${column}</code>: `}${reason}${value === null || value === undefined ? "" : `, ${value}`}</span>`;

/** The verdict on a row as a badge. @param {object} said a line of the reply */
export function verdict(said, isFlagged) {
  if (said.error) return html`<span class="badge quiet">invalid</span>`;
  if (said.score === null && said.p_value === null) return html`<span class="badge quiet">no score</span>`;
  const novel = said.novel?.length > 0 ? html` <span class="badge novel" title=${`It has ${NOVEL}: ${said.novel.join(", ")}`}>novel</span>` : "";
  const tolerated = said.tolerated?.length > 0 ? html` <span class="badge quiet">tolerated</span>` : "";
  if (said.p_value === null) return html`<span class="badge quiet">no verdict</span>${novel}`;
  return html`<span class=${isFlagged ? "badge anomaly" : "badge normal"}>${isFlagged ? "anomaly" : "not flagged"}</span>${novel}${tolerated}`;
}
