/** What the figures of the model health say, in words. */

import { counted, percent } from "../format.js";

/**
 * The rate of alarms as a sentence.
 *
 * @param {object} health reply of /models/{name}/health
 * @returns {string}
 */
export function alarmSentence(health) {
  const { rows, anomaly_rate: rate, anomaly_rate_low: low, anomaly_rate_high: high, alpha } = health;
  const alarms = Math.round(rate * rows);
  return (
    `${counted(alarms, "alarm")} in ${counted(rows, "row")} is ${percent(rate)} (95 % interval ${percent(low)} to ` +
    `${percent(high)}); normal rows alone would give about ${percent(alpha)}.`
  );
}

/** What a p-value says about a difference. */
export function pWords(p) {
  if (p === null || p === undefined) return "not known";
  if (p < 0.001) return "p < 0.001, not by chance";
  const shown = p.toFixed(p < 0.1 ? 3 : 2);
  return p < 0.01 ? `p = ${shown}, hardly by chance` : p < 0.05 ? `p = ${shown}, perhaps by chance` : `p = ${shown}, as by chance`;
}

/** How strong the evidence of a change is; 3 is the limit of an alert. */
export function evidenceWords(log10) {
  if (log10 === null || log10 === undefined) return "not known";
  if (log10 >= 3) return `${Math.round(10 ** Math.min(log10, 15)).toLocaleString("en")} to 1: the rows have changed`;
  if (log10 >= 1) return `${Math.round(10 ** log10)} to 1: watch; an alert comes at 1,000 to 1`;
  return "none; an alert comes at 1,000 to 1";
}

/** A span of seconds in the largest unit that fits. */
export function span(seconds) {
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= size * 1.5) return `${Math.round(seconds / size)} ${unit}s`;
  }
  return counted(Math.round(seconds), "second");
}
