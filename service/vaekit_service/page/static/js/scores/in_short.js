/** Says in short what a file's scores mean: whether chance explains the rows at the top, and the number of flagged rows. */

import { count, counted, number } from "../format.js";
import { aboveAll } from "./beta_binomial.js";

const SURPRISE = 0.025; // largest probability, for normal rows, of as many at the top as are called surprising

/**
 * The rows that score above every held-out row, over all groups.
 *
 * @param {{ rows: number, top: number, calibration: object }[]} groups of each group of the calibration: the rows of the
 *   file that are compared with it, those of them at its smallest p-value, and the calibration
 * @returns {{ rows: number, top: number, expected: number, isSurprising: boolean }}
 */
export function topOf(groups) {
  const compared = groups.filter(({ rows }) => rows > 0);
  const laws = compared.map(({ rows, calibration }) => aboveAll(rows, calibration, SURPRISE / compared.length));
  return {
    rows: compared.reduce((sum, { rows }) => sum + rows, 0),
    top: compared.reduce((sum, { top }) => sum + top, 0),
    expected: laws.reduce((sum, { expected }) => sum + expected, 0),
    isSurprising: compared.some(({ top }, at) => top > laws[at].high),
  };
}

/**
 * How many rows score above every held-out row, and how many chance explains.
 *
 * @param {ReturnType<typeof topOf>} found
 * @param {string} [thing] what the rows are called
 */
export function topSentence({ rows, top, expected }, thing = "row") {
  const score = rows === 1 ? "scores" : "score";
  return `${count(top)} of ${counted(rows, thing)} ${score} above every held-out ${thing}; chance explains about ${number(expected, expected < 1 ? 1 : 2)}.`;
}

/**
 * The verdict on a file.
 *
 * @param {{ flagged: number, expected: number, high?: number, isBound?: boolean }} all the flagged rows of all groups
 * @param {string[]} beyond groups with more flagged rows than false alarms explain
 * @param {ReturnType<typeof topOf>} top
 * @param {number} alpha
 * @param {string} [thing] what the rows are called
 * @returns {string[]} sentences, the most important first
 */
export function inShort(all, beyond, top, alpha, thing = "row") {
  const isMore = isMoreThanChance(all, beyond);
  if (!top.isSurprising) return [countSentence(all, beyond, isMore, thing)];
  return [topSentence(top, thing), isMore ? countSentence(all, beyond, true, thing) : butTopSentence(all, top, alpha, thing)];
}

/**
 * What no row can be flagged for: an alpha below the smallest p-value of its group.
 *
 * @param {{ rows: number, calibration: { group: string, rows: number, smallest_alpha: number, fold_rows: number[] | null } }[]} groups
 *   as for `topOf`
 * @param {number} alpha
 * @param {string} [thing] what the rows are called
 * @returns {{ sentences: string[], isAll: boolean }} isAll: it holds for all rows of the file
 */
export function tooSmall(groups, alpha, thing = "row") {
  const compared = groups.filter(({ rows }) => rows > 0);
  const unreachable = compared.filter(({ calibration }) => alpha < calibration.smallest_alpha);
  const isAll = unreachable.length > 0 && unreachable.length === compared.length;
  const sentences = unreachable.map(({ calibration }) => {
    const where = compared.length === 1 ? "" : ` of ${calibration.group}`;
    return `No ${thing}${where} can be flagged at alpha ${number(alpha, 2)}: the smallest alpha is ${smallestOf(calibration, thing)}.`;
  });
  return { sentences, isAll };
}

function smallestOf({ rows, smallest_alpha: smallest, fold_rows: folds }, thing) {
  const heldOut = counted(rows, `held-out ${thing}`);
  return folds ? `${number(smallest, 3)}, with ${heldOut} in ${folds.length} folds` : `${number(smallest, 3)}, 1 / (n + 1) with n = ${heldOut}`;
}

function butTopSentence({ flagged }, { top }, alpha, thing) {
  const those = top === 1 ? "the one that scores" : `the ${count(top)} that score`;
  return `At alpha ${number(alpha, 2)}, false alarms could explain ${counted(flagged, `flagged ${thing}`)}, but not ${those} above every held-out ${thing}.`;
}

function isMoreThanChance({ flagged, expected, high, isBound }, beyond) {
  if (beyond.length > 0) return true;
  return isBound ? flagged > 2 * expected : high !== undefined && flagged > high;
}

function countSentence({ isBound }, beyond, isMore, thing) {
  if (beyond.length > 0) return `More than false alarms explain in ${beyond.join(" and ")}.`;
  if (isBound) return isMore ? "Many more than false alarms explain." : "Not many more than false alarms explain.";
  return isMore ? `More than false alarms explain: some of these ${thing}s are anomalies.` : "No more than false alarms explain.";
}
