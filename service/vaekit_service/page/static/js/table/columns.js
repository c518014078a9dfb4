/** The order of the columns of the table of scored rows, and the cells that are named as reasons. */

import { isOdd } from "./cells.js";

/**
 * The columns of the file in the order in which they are shown: the one that identifies rows, those of the model, of
 * which the ones with anomalous cells in these rows come first, and the others.
 *
 * @param {import("./view.js").Shown} shown
 * @returns {{ name: string, isOwn: boolean }[]} isOwn: the model uses the column
 */
export function columnsOf(shown) {
  const { rows, results, model, indexes } = shown;
  const own = new Set(model.input.columns.map(({ name }) => name));
  const odd = new Map();
  for (const index of indexes) for (const { feature } of reasonsOf(shown, index) ?? []) odd.set(feature, (odd.get(feature) ?? 0) + 1);
  const rank = (name) => (name === results.idColumn ? Infinity : own.has(name) ? (odd.get(name) ?? 0) : -1);
  const names = [...rows.names].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a)));
  return names.map((name) => ({ name, isOwn: own.has(name) }));
}

/** The anomalous cells of a flagged row; undefined: not known, or not flagged. */
export function reasonsOf({ results, alpha }, index) {
  if (!results.isFlagged(index, alpha)) return undefined;
  const explained = results.explained.get(index);
  return explained?.length > 0 ? explained.filter(isOdd) : undefined;
}
