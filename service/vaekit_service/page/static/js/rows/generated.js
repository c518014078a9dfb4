/** Rows drawn from the model, a few of them disturbed, for visitors without data. */

import { pathOf } from "../api.js";
import { recordOf } from "./csv.js";
import { PLAIN } from "./dialect.js";
import { Rows } from "./rows.js";

const SEED = 7;
export const SAMPLES = 200;
const DISTURBED = [11, 42, 73, 104, 155]; // rows with one changed cell

/**
 * @param {import("../panels.js").Context} context
 * @returns {Promise<Rows>}
 */
export async function sampledRows({ api, state }) {
  const { model } = state.get();
  const body = { n: SAMPLES, seed: SEED, observe: true };
  const { samples } = await api.postJson(pathOf(model, "sample"), { body, slot: "samples" });
  const cells = samples.map((row) => row.flat()); // (N, D); windows are (N, W, D)
  const { columns } = model.input;
  DISTURBED.forEach((row, turn) => disturb(cells, row, (3 * turn + 1) % columns.length, columns));
  const records = cells.map((row) => recordOf(row.map((cell) => (Number.isInteger(cell) ? cell : rounded(cell)))));
  const source = `drawn from the model; in ${DISTURBED.length} of them one cell was changed`;
  return new Rows(columns.map(({ name }) => name), records, source, PLAIN, false);
}

function disturb(cells, row, column, columns) {
  const { kind, levels } = columns[column];
  const values = cells.map((one) => one[column]);
  if (kind === "category") {
    const rarest = [...levels].sort((a, b) => countOf(values, a) - countOf(values, b))[0];
    cells[row][column] = rarest;
  } else if (kind === "binary") {
    cells[row][column] = 1 - cells[row][column];
  } else if (kind === "fraction") {
    cells[row][column] = cells[row][column] < 0.5 ? 0.999 : 0.001;
  } else {
    const highest = Math.max(...values);
    const spread = highest - Math.min(...values) || 1;
    cells[row][column] = kind === "count" ? Math.round(highest + 2 * spread) : highest + 0.8 * spread;
  }
}

const countOf = (values, value) => values.filter((one) => one === value).length;

const rounded = (cell) => (typeof cell === "number" ? String(Number(cell.toPrecision(6))) : cell);
