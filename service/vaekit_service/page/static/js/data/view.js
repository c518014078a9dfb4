/** Draws what the panel of rows says: how the file was read, how far scoring is, and which rows cannot be read. */

import { choice } from "../choice.js";
import { count, counted } from "../format.js";
import { problemBox } from "../latent/problem_box.js";
import { html } from "../lit.js";
import { DECIMALS, DELIMITERS, wordsOf } from "../rows/dialect.js";

const LARGE = 50_000; // rows
const SHOWN = 50; // invalid rows that are listed

/**
 * How far scoring is, or what went wrong.
 *
 * @param {{ busy: string | null | { done: number, of: number }, problem: Error | null, idColumn: string | null }} shown
 * @param {import("../rows/rows.js").Rows | null} rows
 * @param {import("../rows/results.js").Results | null} results
 * @param {{ again: () => void, stop: () => void }} actions
 */
export function statusOf({ busy, problem, idColumn }, rows, results, actions) {
  const again = () => actions.again();
  const part = results?.done > 0 && results.done < results.length;
  if (problem !== null) {
    const of = results === null ? "" : ` ${rows.source}`;
    const kept = part || of ? html`<p class="small">${part ? `The first ${counted(results.done, "row")}${of} were scored.` : `Below are still the rows${of}.`}</p>` : "";
    return html`${problemBox(problem, problem.mayPass || problem.status >= 500 ? again : undefined)}${kept}`;
  }
  if (typeof busy === "string") return html`<p class="quiet">${busy}</p>`;
  if (busy !== null) return progress(busy, () => actions.stop());
  if (rows === null) return "";
  const id = results?.idColumn ?? idColumn;
  const ids = id === null ? "" : html` The column <code>${id}</code> identifies them.`;
  const stopped = part ? html`<div class="row"><span class="small">Stopped: the first ${count(results.done)} are scored.</span><button @click=${again}>Score all rows</button></div>` : "";
  return html`<p class="small"><strong>${counted(rows.length, "row")}</strong> ${rows.source}.${ids}</p>${stopped}`;
}

function progress({ done, of }, stop) {
  return html`<div class="row">
      <label class="small quiet">${count(done)} of ${counted(of, "row")} scored <progress max=${of} value=${done}></progress></label>
      <button @click=${stop}>Stop</button>
    </div>
    ${of > LARGE ? html`<p class="small quiet">For files of this size, <code>vae score</code> is faster.</p>` : ""}`;
}

/**
 * How the file was understood, and a way to change that.
 *
 * @param {import("../rows/dialect.js").Dialect} dialect
 * @param {(dialect: import("../rows/dialect.js").Dialect) => void} change
 */
export function dialectLine(dialect, change) {
  const { delimiter, decimal } = dialect;
  const separated = (value) => change({ delimiter: value, decimal: value === "," ? "." : decimal });
  const decimals = (value) => change({ delimiter, decimal: value });
  const words = wordsOf(dialect);
  return html`<details class="small dialect">
    <summary>${words[0].toUpperCase()}${words.slice(1)}</summary>
    <div class="row">
      ${choice("Cells separated by", DELIMITERS, delimiter, separated)}
      ${delimiter === "," ? "" : choice("Decimal", DECIMALS, decimal, decimals)}
    </div>
  </details>`;
}

/** What the service remarks. @param {import("../rows/results.js").Results} results */
export function remarks({ remarks: said, reason }) {
  const all = reason === null ? said : [...said, reason];
  return all.map((text) => html`<p class="message plain small">${text}</p>`);
}

/** The rows that cannot be read. @param {import("../rows/results.js").Results} results */
export function invalidRows({ invalid }) {
  if (invalid.length === 0) return "";
  const rest = invalid.length - SHOWN;
  return html`<div class="message">
    <h3>${counted(invalid.length, "row")} could not be read</h3>
    <ul class="plain-list small">
      ${invalid.slice(0, SHOWN).map(
        ({ index, column, reason, value }) =>
          html`<li>Row ${index}${column === null ? "" : html`, column <code>${column}</code>`}: ${reason}${value === null || value === undefined ? "" : html`, <code>${String(value)}</code>`}</li>`,
      )}
    </ul>
    ${rest > 0 ? html`<p class="small">and ${counted(rest, "more row")}</p>` : ""}
  </div>`;
}
