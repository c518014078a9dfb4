/** Why a row is flagged: its novel cells, then its most anomalous ones. */

import { html } from "../lit.js";
import { cellText, expectedText, isOdd, NO_CELL } from "./cells.js";

export const REASONS = 3; // cells of each row that are explained

/**
 * @typedef {object} Reason
 * @property {string} feature the name of the column
 * @property {string} text the cell
 * @property {string} why in words
 */

/**
 * The reasons of a row: novel cells first, then those of the most anomalous ones that are odd.
 *
 * @param {object} given
 * @param {string[]} [given.novel] columns, as the service names them
 * @param {object[]} [given.explanation] cells, the most anomalous first
 * @param {(name: string) => string | undefined} given.cellOf the text of the file
 * @param {object} given.model
 * @param {import("../rows/dialect.js").Dialect} [given.dialect] of the file
 * @returns {Reason[]}
 */
export function reasonsOf({ novel = [], explanation = [], cellOf, model, dialect }) {
  const kinds = new Map(model.input.columns.map(({ name, kind }) => [name, kind]));
  const unseen = novel.map((feature) => ({ feature, ...novelCell(cellOf(feature), kinds.get(feature), model) }));
  const odd = explanation.slice(0, REASONS).filter((cell) => isOdd(cell) && !novel.includes(cell.feature));
  return [...unseen, ...odd.map((cell) => ({ feature: cell.feature, text: cellText(cellOf(cell.feature)), why: expectedText(cell, dialect) }))];
}

/** What is novel about a cell: it is missing, a level unseen in training, or a number that its column cannot have. */
function novelCell(text, kind, { novelty }) {
  if ((text ?? "").trim() === "" || kind === "real") {
    return { text: "missing,", why: novelty?.most_missing === 0 ? "never so in training" : "with more missing cells than any training row" };
  }
  return { text: `${cellText(text)},`, why: kind === "category" ? "not seen in training" : `outside the range of a ${kind}` };
}

/** Reasons as lines, or that there is none. @param {Reason[]} reasons */
export function reasonLines(reasons) {
  if (reasons.length === 0) return html`<span class="quiet">${NO_CELL}</span>`;
  return reasons.map(reasonLine);
}

/** One reason. @param {Reason} reason */
export const reasonLine = ({ feature, text, why }) => html`<span><b>${feature}</b> ${text} <span class="quiet">${why}</span></span>`;
