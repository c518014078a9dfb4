/** Scales of the drawn maps: ticks, colours, ranges that a few far points do not stretch. */

import { cut } from "../../format.js";
import { quantile } from "../dimensions.js";

export const LABEL = 12; // most letters of the name of a level

/**
 * Round numbers inside a range.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} [most] number of ticks, about
 * @returns {number[]}
 */
export function ticks(low, high, most = 6) {
  const rough = (high - low) / most;
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999) ?? 10 * power;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

/**
 * The labelled positions of an axis: the names of levels at whole numbers, or else round numbers.
 *
 * @param {{low: number, high: number}} range
 * @param {string[] | null} levels names of 0, 1, 2, ...
 * @param {number} most number of ticks, about
 * @returns {{ at: number, text: string }[]}
 */
export function axisTicks({ low, high }, levels, most) {
  if (levels === null) return ticks(low, high, most).map((at) => ({ at, text: String(at).replace("-", "−") }));
  const every = Math.ceil(levels.length / Math.max(most, 1));
  const named = levels.map((name, at) => ({ at, text: cut(name, LABEL) }));
  return named.filter(({ at }) => at % every === 0 && at >= low && at <= high);
}

/**
 * The range of an axis. Points far beyond the middle 90 % do not stretch it; they are drawn on its edge.
 *
 * @param {number[]} values
 * @returns {{low: number, high: number}}
 */
export function axisRange(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return { low: -1, high: 1 };
  const [inner, outer] = [quantile(sorted, 0.05), quantile(sorted, 0.95)];
  const reach = (outer - inner) * 1.5 || Infinity; // where nearly all values are equal, nothing is far
  const low = Math.max(sorted[0], inner - reach);
  const high = Math.min(sorted[sorted.length - 1], outer + reach);
  const margin = (high - low) * 0.06 || 1;
  return { low: low - margin, high: high + margin };
}

/**
 * Ranks of values from 0 (lowest) to 1 (highest). Equal values share the mean rank.
 *
 * @param {number[]} values
 * @returns {number[]}
 */
export function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to++;
    for (let i = from; i <= to; i++) found[order[i]] = order.length > 1 ? (from + to) / 2 / (order.length - 1) : 0;
    from = to + 1;
  }
  return found;
}

/** A colour between two colours "#rrggbb". */
export function mix(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  const mixed = a.map((value, i) => Math.round(value + Math.min(Math.max(share, 0), 1) * (b[i] - value)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Red, green and blue of "#rgb" or "#rrggbb". */
export function channels(colour) {
  const digits = colour.trim().replace("#", "");
  const long = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  return [0, 2, 4].map((at) => Number.parseInt(long.slice(at, at + 2), 16));
}

const HEAT = [
  [0, 0, 4], [51, 10, 95], [120, 28, 109], [187, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164],
];

/** The colour of a heatmap, as on the sheets of the service: black at 0, pale yellow at 1. */
export function heat(share) {
  const at = Math.min(Math.max(share, 0), 1) * (HEAT.length - 1);
  const below = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[below].map((value, i) => Math.round(value + (at - below) * (HEAT[below + 1][i] - value)));
}
