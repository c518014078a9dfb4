/** The rows or images that the visitor has loaded, as the latent map uses them. */

import { queryOf } from "../rows/dialect.js";
import { explainRows } from "../rows/scoring.js";
import { encoded, withScores } from "./cloud.js";

/**
 * What the visitor has loaded for this kind of model; null if nothing.
 *
 * @param {import("../state.js").PageState} state
 * @param {object} model
 * @returns {"rows" | "images" | null}
 */
export function visitorSource(state, model) {
  if (model.input.kind === "image") return state.images?.list.length ? "images" : null;
  return state.rows?.length ? "rows" : null;
}

/** The visitor's rows or images; null if there are none. @returns {import("./cloud.js").Source | null} */
export function sourceOfVisitor(state, model) {
  const name = visitorSource(state, model);
  if (name === null) return null;
  return name === "rows" ? sourceOfRows(state.rows, model) : sourceOfImages(state.images);
}

/** The latent vectors of the visitor's rows or images. @returns {Promise<import("./cloud.js").Cloud>} */
export function cloudOfVisitor(context, model, options) {
  return encoded(context, model, sourceOfVisitor(context.state.get(), model), options);
}

/** The cloud with the scores that the page knows now. @param {import("./cloud.js").Cloud} cloud */
export function scoredNow(cloud, { results, images }) {
  if (cloud.source === "samples") return cloud;
  if (cloud.source === "images") {
    const { list } = images ?? { list: [] };
    return withScores(cloud, {
      score: (row) => list[row]?.score ?? null,
      pValue: (row) => list[row]?.pValue ?? null,
      isAlarm: (row, alpha) => (list[row]?.pValue ?? 1) <= alpha,
    });
  }
  if (results === null) return cloud;
  const known = (values, row) => (row < results.done && !Number.isNaN(values[row]) ? values[row] : null);
  return withScores(cloud, {
    score: (row) => known(results.score, row),
    pValue: (row) => known(results.pValue, row),
    isAlarm: (row, alpha) => row < results.done && results.isFlagged(row, alpha),
  });
}

function sourceOfRows(rows, model) {
  return {
    name: "rows",
    inputs: { n: rows.length, part: (from, to) => ({ body: rows.csvRange(from, to), type: "text/csv", query: queryOf(rows.dialect) }) },
    label: (row) => `Row ${row}`,
    value: (row) => {
      const cells = rows.object(row, model);
      return model.input.columns.map(({ name }) => cells[name]);
    },
  };
}

function sourceOfImages({ list, resize }) {
  const body = (from, to) => ({ inputs: list.slice(from, to).map(({ input }) => input), ...(resize ? { resize } : {}) });
  return {
    name: "images",
    inputs: { n: list.length, part: (from, to) => ({ body: body(from, to) }) },
    label: (row) => list[row].name,
    value: (row) => list[row].pixels,
  };
}

/** The most anomalous cells of a row of the visitor. @returns {Promise<object[]>} */
export async function explainRow(context, row, cells) {
  const { rows } = context.state.get();
  const [line] = await explainRows(context, rows.csv([row]), { cells, slot: "map-cells", dialect: rows.dialect });
  return line.explanation ?? [];
}
