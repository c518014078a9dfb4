/** Scores rows in batches of CSV, in order, and keeps the state up to date while it goes on. */

import { isSuperseded, pathOf } from "../api.js";
import { PLAIN, queryOf } from "./dialect.js";
import { Results } from "./results.js";
import { areSteps } from "./rows.js";

const FIRST_BATCH = 200; // rows; small, so that there is something to see at once
const BATCH = 2000; // rows; the reply stays far below the 4 MiB that the service keeps for a caller that sends first
const MAX_STEPS = 10_000; // rows of a series, which are scored in one request, since windows overlap
const REDRAW_MS = 300;
const MOST_PAUSES = 20; // retries of a batch

/**
 * Score the rows of the state. A later call ends an earlier one.
 *
 * @param {import("../panels.js").Context} context
 * @param {import("./rows.js").Rows} rows
 * @param {{ idColumn: string | null, onProgress: (done: number) => void, signal: AbortSignal }} given
 * @throws {import("../api.js").Problem | Error} some rows have no scores; those that have stay in the state
 */
export async function scoreRows(context, rows, { idColumn, onProgress, signal }) {
  const { state } = context;
  const { model, alpha } = state.get();
  const isSeries = areSteps(rows, model);
  if (isSeries && rows.length > MAX_STEPS) {
    throw new Error(`The page scores up to ${MAX_STEPS} time steps. Use vae score for longer series.`);
  }
  let results = new Results(rows.length);
  results.idColumn = idColumn;
  const errors = isSeries ? null : "report"; // without an invalid time step, the windows around it would be others
  const query = { log_evidence: false, errors, alpha, id_column: idColumn, ...queryOf(rows.dialect) };
  let [shown, drawn] = [0, 0]; // rows, time
  const draw = () => {
    if (results.done === shown || state.get().rows !== rows) return; // or other rows are shown now
    results = results.copy();
    state.set({ results });
    [shown, drawn] = [results.done, performance.now()];
  };
  try {
    for (let from = 0; from < rows.length; ) {
      const to = isSeries ? rows.length : Math.min(rows.length, from + (from === 0 ? FIRST_BATCH : BATCH));
      const sent = { body: rows.csvRange(from, to), type: "text/csv", query, slot: "score", record: rows.areReal, signal };
      const { headers, lines } = await scoreBatch(context, pathOf(model, "elbo"), sent);
      if (from === 0) state.set({ rows, results, selected: null }); // until now, what was there stays
      if (lines.length !== to - from) throw new Error(`The service answered ${lines.length} of ${to - from} rows.`);
      results.add(from, lines, headers);
      from = to;
      onProgress(from);
      if (performance.now() - drawn > REDRAW_MS) draw();
    }
  } finally {
    draw();
  }
}

async function scoreBatch({ api }, path, sent) {
  for (let pauses = 0; ; pauses += 1) {
    try {
      return await api.postLines(path, sent);
    } catch (error) {
      if (isSuperseded(error) || error.status !== 429 || pauses >= MOST_PAUSES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter || 1)));
    }
  }
}

/**
 * The most anomalous cells of some rows, which count nowhere: they were scored before, or are being edited.
 *
 * @param {import("../panels.js").Context} context
 * @param {string} csv the rows
 * @param {{ cells: number | null, slot: string, alpha?: number, dialect?: import("./dialect.js").Dialect }} given cells:
 *   how many of each row; null: none. dialect: of the CSV
 * @returns {Promise<object[]>} the lines of the reply
 */
export async function explainRows({ api, state }, csv, { cells, slot, alpha, dialect = PLAIN }) {
  const { model } = state.get();
  const explain = cells === null ? null : Math.min(cells, model.input.columns.length, 64);
  const query = { explain, errors: "report", log_evidence: false, alpha, ...queryOf(dialect) };
  return (await api.postLines(pathOf(model, "elbo"), { body: csv, type: "text/csv", query, slot, record: false })).lines;
}
