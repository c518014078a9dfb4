/** The rows that the visitor has loaded, as the latent panels use them. */

import { pathOf } from "../api.js";
import { loadedCloud } from "./cloud.js";

/**
 * What the visitor has loaded for this kind of model; null if nothing.
 *
 * @param {import("../state.js").PageState} state
 * @param {object} model
 * @returns {"rows" | "images" | null}
 */
export function visitorSource(state, model) {
  if (model.input.kind === "image") return state.images?.list.length ? "images" : null;
  return state.rows ? "rows" : null;
}

/** The cloud of the visitor's rows or images. */
export function cloudOfVisitor(context, model, options) {
  const state = context.state.get();
  return model.input.kind === "image" ? imageCloud(context, model, state, options) : rowCloud(context, model, state, options);
}

function rowCloud(context, model, { rows, results }, options) {
  const inputs = {
    n: rows.length,
    part: (from, to) => ({ body: rows.csvRange(from, to), type: "text/csv" }),
  };
  const at = columnsIn(rows, model);
  const known = (x) => (x === undefined || Number.isNaN(x) ? null : x);
  const pointOf = (i) => {
    const cells = rows.cells(i);
    return {
      value: at.map((column, d) => cellValue(model.input.columns[d], cells[column])),
      score: known(results?.score[i]),
      pValue: known(results?.pValue[i]),
      label: `Row ${i + 1}`,
    };
  };
  return loadedCloud(context, model, "rows", inputs, pointOf, options);
}

function imageCloud(context, model, { images }, options) {
  const inputs = {
    n: images.list.length,
    part: (from, to) => ({ body: { inputs: images.list.slice(from, to).map(({ input }) => input), ...(images.resize ? { resize: true } : {}) } }),
  };
  const pointOf = (i) => {
    const { pixels, score, pValue, name } = images.list[i];
    return { value: pixels ?? null, score, pValue, label: name };
  };
  return loadedCloud(context, model, "images", inputs, pointOf, options);
}

/** Where each column of the model is among the columns of the file. */
function columnsIn(rows, model) {
  return model.input.columns.map(({ name }) => rows.names.indexOf(name));
}

/** A cell as a number, or as the name of a level; null if it is missing or neither. */
function cellValue(column, text) {
  if (text === undefined || text === null || text === "") return null;
  if (column.kind === "category") return String(text);
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** The anomalous cells of a row, if its scores came with them. */
export function cellsOf({ results }, index) {
  return results?.explained.get(index) ?? null;
}

/** Ask for the most anomalous cells of one row. @returns {Promise<object[]>} */
export async function explainRow({ api }, model, values, cells) {
  const explain = Math.min(cells, model.input.columns.length);
  const { explanation } = await api.postJson(pathOf(model, "elbo"), { body: { inputs: [values], explain, log_evidence: false } });
  return explanation[0].map((cell) => ({ ...cell, feature: cell.feature }));
}
