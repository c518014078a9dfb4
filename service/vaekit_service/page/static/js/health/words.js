/** What the figures of the model health say, in words. */

import { capitalised, counted, percent } from "../format.js";

/**
 * The rate of alarms as a sentence.
 *
 * @param {object} health reply of /models/{name}/health
 * @param {string} [thing] what the rows are called
 * @returns {string}
 */
export function alarmSentence(health, thing = "row") {
  const { rows, anomaly_rate: rate, anomaly_rate_low: low, anomaly_rate_high: high, alpha } = health;
  const alarms = Math.round(rate * rows);
  return (
    `${counted(alarms, "alarm")} in ${counted(rows, thing)} is ${percent(rate)} (95 % interval ${percent(low)} to ` +
    `${percent(high)}); normal ${thing}s alone would give about ${percent(alpha)}.`
  );
}

/** A p-value of one look. The verdict is that of the evidence, which counts all looks. */
export function pWords(p) {
  if (p === null || p === undefined) return "not known";
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(p < 0.1 ? 3 : 2)}`;
}

/** How strong the evidence of a change is; 3 is the limit of an alert. */
export function evidenceWords(log10) {
  if (log10 === null || log10 === undefined) return "not known";
  if (log10 >= 3) return "More than 1,000 to 1, the limit of an alert";
  if (log10 >= 1) return `About ${Math.round(10 ** log10)} to 1; an alert comes at 1,000 to 1`;
  return "None; an alert comes at 1,000 to 1";
}

/** The verdict in one sentence. @param {object} health reply of /models/{name}/health @param {string} [thing] */
export function verdictOf({ log10_evidence: log10, reading }, thing = "row") {
  if (log10 >= 3) return `The ${thing}s have changed: they are not like those of the calibration, and chance does not explain it.`;
  if (log10 >= 1) return "There are signs of a change, not enough for an alert.";
  return `${capitalised(named(reading, thing))}.`;
}

/** What the service says about rows, of the inputs of this model. @param {string} text @param {string} thing */
export const named = (text, thing) => text.replace(/\brow(s?)\b/g, `${thing}$1`);

/** What the rows that this page has scored do to the figures; "" if there are none. @param {number} rows @param {string} [thing] */
export function ownRows(rows, thing = "row") {
  if (rows === 0) return "";
  return `${counted(rows, thing)} since you opened this page ${rows === 1 ? "was" : "were"} scored by it and ${rows === 1 ? "counts" : "count"} here as any other; ${thing}s that you change on purpose look like a change of the data.`;
}

/** A span of seconds in the largest unit that fits. */
export function span(seconds) {
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= size * 1.5) return `${Math.round(seconds / size)} ${unit}s`;
  }
  return counted(Math.round(seconds), "second");
}
