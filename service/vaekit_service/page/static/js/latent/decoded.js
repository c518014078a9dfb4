/** Shows what the decoder makes of a latent vector: the cells of a row, or an image. */

import { number } from "../format.js";
import { html, svg } from "../lit.js";

/**
 * @typedef {object} Shown
 * @property {object} model manifest
 * @property {unknown} mean one row (D) or one image (H, W, C)
 * @property {Record<string, number[]>} [probabilities] of the levels of each category
 * @property {(import("./reference.js").ColumnRange | null)[]} [ranges] of the columns
 * @property {unknown[]} [before] values to compare with, (D)
 * @property {number[]} [columns] indices of the columns to show; all by default
 */

/** The decoded row. @param {Shown} shown */
export function decodedRow({ model, mean, probabilities = {}, ranges = [], before, columns }) {
  const all = model.input.columns;
  const chosen = columns ?? all.map((_, d) => d);
  return html`<ul class="decoded-cells">
    ${chosen.map((d) => {
      const column = all[d];
      const mark = column.kind === "category" ? levelBar(column, probabilities[column.name], mean[d]) : valueBar(ranges[d], mean[d], before?.[d]);
      return html`<li>
        <span class="name">${column.name}</span> <span class="value">${columnNumber(mean[d], ranges[d])}</span>
        ${mark}
      </li>`;
    })}
  </ul>`;
}

/**
 * A value of a column, without digits that are far below the spread of the column.
 *
 * @param {unknown} value
 * @param {import("./reference.js").ColumnRange | null} [range]
 */
export function columnNumber(value, range) {
  const spread = range ? range.high - range.low : 0;
  if (!(spread > 0) || typeof value !== "number") return number(value);
  const step = 10 ** (Math.floor(Math.log10(spread)) - 4);
  return number(Math.round(value / step) * step + 0); // + 0: no negative zero
}

/**
 * The columns in which two rows differ most, in units of the usual range.
 *
 * @param {object} model
 * @param {unknown[]} a (D)
 * @param {unknown[]} b (D)
 * @param {(import("./reference.js").ColumnRange | null)[]} ranges
 * @param {number} most
 * @returns {number[]} indices, the largest difference first
 */
export function largestDifferences(model, a, b, ranges, most) {
  const size = model.input.columns.map((column, d) => {
    if (column.kind === "category") return a[d] === b[d] ? 0 : 1;
    const range = ranges[d];
    const span = range ? range.usualHigh - range.usualLow : 0;
    return Number.isFinite(a[d]) && Number.isFinite(b[d]) ? Math.abs(a[d] - b[d]) / (span || 1) : 0;
  });
  const order = size.map((_, d) => d).sort((i, j) => size[j] - size[i]);
  return order.slice(0, most);
}

/** Where a value is within the usual values of its column; positions are per cent of the width. */
function valueBar(range, value, before) {
  if (!range || !Number.isFinite(value)) return "";
  const at = placer(range);
  const usual = [at(range.usualLow), at(range.usualHigh)];
  const out = value < range.low || value > range.high;
  return html`<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" x="0" y="4" width="100" height="2"></rect>
    <rect class="usual" x=${usual[0]} y="4" width=${Math.max(usual[1] - usual[0], 0.5)} height="2"></rect>
    <rect class="before" x=${Number.isFinite(before) ? at(before) - 0.4 : -9} y="1" width="0.8" height="8"></rect>
    <rect class=${out ? "now out" : "now"} x=${at(value) - 0.7} y="0" width="1.4" height="10"></rect>
  </svg>`;
}

/** Position in 0..100 of a value: the usual range fills the middle half, with room for as much on both sides. */
function placer({ usualLow, usualHigh }) {
  const span = usualHigh - usualLow || Math.abs(usualHigh) || 1;
  return (value) => Math.min(Math.max(25 + (50 * (value - usualLow)) / span, 1), 99);
}

function levelBar({ levels }, probabilities, level) {
  const share = probabilities ?? levels.map((name) => (name === level ? 1 : 0));
  const width = 100 / levels.length;
  return html`<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    ${levels.map((_, i) => levelMark(i * width, width, share[i]))}
  </svg>`;
}

const levelMark = (x, width, share) =>
  svg`<rect class="track" x=${x} y="4" width=${width - 1} height="2"></rect>
    <rect class="now" x=${x} y=${5 - 5 * share} width=${width - 1} height=${10 * share}></rect>`;
