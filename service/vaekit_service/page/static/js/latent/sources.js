/** The rows or images that the visitor has loaded, as the latent map uses them. */

import { queryOf } from "../rows/dialect.js";
import { explainRows } from "../rows/scoring.js";
import { encoded, withScores } from "./cloud.js";

const MOST = 10_000; // rows on a map; more take seconds to encode and to draw

/**
 * What the visitor has loaded for this kind of model; null if nothing.
 *
 * @param {import("../state.js").PageState} state
 * @param {object} model
 * @returns {"rows" | "images" | null}
 */
export function visitorSource(state, model) {
  if (model.input.kind === "image") return state.images?.list.some(({ problem }) => problem === null) ? "images" : null;
  return state.rows?.length ? "rows" : null;
}

/** The visitor's rows or images; null if there are none. @returns {import("./cloud.js").Source | null} */
export function sourceOfVisitor(state, model) {
  const name = visitorSource(state, model);
  if (name === null) return null;
  return name === "rows" ? sourceOfRows(state.rows, model) : sourceOfImages(state.images);
}

/**
 * The latent vectors of the visitor's rows or images; of more than 10,000 rows, those of some: see `sampleOf`.
 *
 * @returns {Promise<import("./cloud.js").Cloud & { sampledOf?: number, isEarly?: boolean }>} sampledOf: number of all
 *   rows. isEarly: not all of them had scores, so flagged ones may be missing.
 */
export async function cloudOfVisitor(context, model, options) {
  const { rows, results, alpha } = context.state.get();
  const source = sourceOfVisitor(context.state.get(), model);
  if (source.name !== "rows" || rows.length <= MOST) return encoded(context, model, source, options);
  const isFlagged = (row) => results !== null && row < results.done && results.isFlagged(row, alpha);
  const chosen = sampleOf(rows.length, isFlagged);
  const whole = source.inputs.part(0, 0); // says how the CSV is read
  const inputs = { n: chosen.length, part: (from, to) => ({ ...whole, body: rows.csv(chosen.slice(from, to)) }) };
  const named = { label: (i) => source.label(chosen[i]), value: (i) => source.value(chosen[i]) };
  const cloud = await encoded(context, model, { ...source, ...named, inputs }, options);
  const isEarly = results === null || results.done < rows.length;
  return { ...cloud, index: cloud.index.map((i) => chosen[i]), sampledOf: rows.length, isEarly };
}

/**
 * At most 10,000 of N rows, ascending: all flagged ones, if they are not more, and the others at even distances.
 *
 * @param {number} n
 * @param {(row: number) => boolean} isFlagged
 * @param {number} [most]
 * @returns {number[]}
 */
export function sampleOf(n, isFlagged, most = MOST) {
  const [flagged, others] = [[], []];
  for (let row = 0; row < n; row++) (isFlagged(row) ? flagged : others).push(row);
  const first = evenly(flagged, most);
  return [...first, ...evenly(others, most - first.length)].sort((a, b) => a - b);
}

const evenly = (rows, most) => (rows.length <= most ? rows : Array.from({ length: most }, (_, i) => rows[Math.floor((i * rows.length) / most)]));

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
    isNovel: (row) => results.isNovel(row),
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
