/** Places the points of a cloud on a map, and colours them. */

import { principalAxes, project } from "./pca.js";
import { axisRange, mix, ranks } from "./scales.js";

/**
 * @typedef {{ kind: "pca" } | { kind: "pair", x: number, y: number }} Axes
 *
 * @typedef {object} Placed
 * @property {number[][]} points (N + B, 2), those of the cloud first, then those of the background
 * @property {[string, string]} axisNames
 * @property {[string[] | null, string[] | null]} axisLevels names of 0, 1, 2, ... on axes that stand for a category
 * @property {string} explained what the axes show, as a sentence
 */

/**
 * @param {number[][]} mu (N, Z)
 * @param {number[][]} background (B, Z), points to compare with
 * @param {Axes} axes
 * @param {import("../dimensions.js").Dimension[]} dimensions
 * @param {string} [thing] what the cloud is made of
 * @returns {Placed}
 */
export function place(mu, background, axes, dimensions, thing = "row") {
  const all = [...mu, ...background];
  return axes.kind === "pca" ? byPrincipalAxes(mu, all, dimensions, thing) : byPair(all, axes, dimensions);
}

function byPrincipalAxes(mu, all, dimensions, thing) {
  const few = mu.length < 3; // too few points to have axes of their own
  const expand = expander(dimensions);
  const basis = principalAxes(withoutFar((few ? all : mu).map(expand)), 2);
  if (basis.axes.length < 2) return byPair(all, { x: 0, y: 0 }, dimensions);
  const [first, second] = basis.explained;
  return {
    points: all.map((point) => project(expand(point), basis)),
    axisNames: ["first principal axis", "second principal axis"],
    axisLevels: [null, null],
    explained:
      `The two principal axes show ${share(first + second)} of the variance of ` +
      `${few ? "samples" : `these ${thing}s`} in latent space (${share(first)} and ${share(second)}).`,
  };
}

function byPair(all, { x, y }, dimensions) {
  const spread = dimensions.map((_, d) => varianceOf(all.map((point) => point[d])));
  const total = spread.reduce((sum, value) => sum + value, 0);
  const shown = x === y ? spread[x] : spread[x] + spread[y];
  const names = x === y ? `${dimensions[x].name} alone has` : `${dimensions[x].name} and ${dimensions[y].name} have`;
  return {
    points: all.map((point) => [point[x], point[y]]),
    axisNames: [axisName(dimensions[x]), axisName(dimensions[y])],
    axisLevels: [dimensions[x].levels, dimensions[y].levels],
    explained: `${names} ${share(total > 0 ? shown / total : 0)} of the variance in latent space.`,
  };
}

/** A dimension that stands for a column of numbers has them standardised. */
const axisName = ({ name, column, levels }) => (column !== null && levels === null ? `${name}, standardised` : name);

/** Points with far coordinates drawn in to the edge of the others, so that one far row does not decide the axes. */
function withoutFar(points) {
  const ranges = (points[0] ?? []).map((_, d) => axisRange(points.map((point) => point[d])));
  return points.map((point) => point.map((value, d) => Math.min(Math.max(value, ranges[d].low), ranges[d].high)));
}

/** Each level of a category gets an axis of its own, since the number of a level is no distance. */
function expander(dimensions) {
  return (point) =>
    dimensions.flatMap(({ levels }, d) =>
      levels === null || levels.length < 3 ? [point[d]] : levels.map((_, level) => (Math.round(point[d]) === level ? Math.SQRT1_2 : 0)),
    );
}

/**
 * The colour of each point of a cloud, and the layer it is drawn in.
 *
 * @param {import("../cloud.js").Cloud} cloud
 * @param {"verdict" | "score"} by
 * @param {number} alpha
 * @param {{ normal: string, alarm: string, other: string }} palette
 * @returns {{ colours: string[], layer: Uint8Array }} layer: 1, or 2 for points drawn above the others
 */
export function colour(cloud, by, alpha, palette) {
  if (by === "verdict") {
    const alarms = cloud.mu.map((_, point) => cloud.isAlarm(point, alpha));
    return {
      colours: alarms.map((alarm, point) => (cloud.pValue[point] === null ? palette.other : alarm ? palette.alarm : palette.normal)),
      layer: Uint8Array.from(alarms, (alarm) => (alarm ? 2 : 1)),
    };
  }
  const rank = ranks(cloud.score.map((score) => score ?? -Infinity));
  const steps = 12; // few colours, so that each is drawn at once
  const level = rank.map((value) => Math.round(value ** 3 * steps) / steps);
  return {
    colours: level.map((value, point) => (cloud.score[point] === null ? palette.other : mix(palette.normal, palette.alarm, value))),
    layer: Uint8Array.from(level, (value) => (value > 0.8 ? 2 : 1)),
  };
}

function varianceOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length || 1);
}

function share(value) {
  return `${Math.round(100 * value)} %`;
}
