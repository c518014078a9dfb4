/** Small histograms of the columns of sampled rows. */

import { number } from "../format.js";
import { quantile } from "../latent/dimensions.js";

const BINS = 16;

/**
 * @typedef {object} Histogram
 * @property {string} name
 * @property {{label: string, count: number}[]} bars
 * @property {string} summary what the bars say, in words
 */

/**
 * The histogram of one column: levels of a category, counts of few whole numbers, otherwise equal bins.
 *
 * @param {object} column of the manifest
 * @param {(number | string | null)[]} values
 * @returns {Histogram}
 */
export function histogram(column, values) {
  if (column.kind === "category") return ofLevels(column.name, column.levels, values);
  const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (column.kind === "binary") return ofLevels(column.name, ["0", "1"], numbers.map((value) => String(Math.round(value))));
  return ofNumbers(column.name, numbers);
}

function ofLevels(name, levels, values) {
  const bars = levels.map((label) => ({ label, count: values.filter((value) => value === label).length }));
  const most = bars.reduce((best, bar) => (bar.count > best.count ? bar : best), bars[0]);
  const share = values.length ? Math.round((100 * most.count) / values.length) : 0;
  return { name, bars, summary: `most often ${most.label} (${share} %)` };
}

function ofNumbers(name, numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (!sorted.length) return { name, bars: [], summary: "no values" };
  const [low, high] = [quantile(sorted, 0.005), quantile(sorted, 0.995)];
  const width = (high - low) / BINS || 1;
  const counts = new Array(BINS).fill(0);
  for (const value of sorted) {
    if (value >= low && value <= high) counts[Math.min(Math.floor((value - low) / width), BINS - 1)]++;
  }
  const bars = counts.map((count, i) => ({
    label: `${number(low + i * width)} to ${number(low + (i + 1) * width)}`,
    count,
  }));
  const [five, middle, most] = [0.05, 0.5, 0.95].map((share) => number(quantile(sorted, share)));
  return { name, bars, summary: `median ${middle}, 90 % from ${five} to ${most}` };
}
