/** The first principal axes of points, by power iteration. */

const ITERATIONS = 200;
const TOLERANCE = 1e-9; // change of an axis, squared, at which an iteration ends

/**
 * @typedef {object} Axes
 * @property {number[]} mean of the points, (Z)
 * @property {number[][]} axes unit vectors (k, Z), the one of the largest variance first
 * @property {number[]} explained share of the variance along each axis, (k)
 */

/**
 * The axes along which points vary most. The largest entry of an axis is positive, so that maps do not flip.
 *
 * @param {ArrayLike<number>[]} points (N, Z), finite
 * @param {number} [k] number of axes, at most Z
 * @returns {Axes}
 */
export function principalAxes(points, k = 2) {
  const size = points.length ? points[0].length : 0;
  const mean = meanOf(points, size);
  const centred = points.map((point) => Float64Array.from(point, (value, d) => value - mean[d]));
  const total = centred.reduce((sum, point) => sum + dot(point, point), 0);
  const axes = [];
  const explained = [];
  for (let found = 0; found < Math.min(k, size); found++) {
    const axis = orient(leadingAxis(centred, axes, size));
    const along = centred.reduce((sum, point) => sum + dot(point, axis) ** 2, 0);
    axes.push(axis);
    explained.push(total > 0 ? along / total : 0);
  }
  return { mean, axes, explained };
}

/**
 * Coordinates of a point on axes: axis . (point - mean).
 *
 * @param {ArrayLike<number>} point (Z)
 * @param {Axes} basis
 * @returns {number[]} (k)
 */
export function project(point, { mean, axes }) {
  return axes.map((axis) => axis.reduce((sum, weight, d) => sum + weight * (point[d] - mean[d]), 0));
}

function leadingAxis(centred, earlier, size) {
  let axis = removeParts(start(size, earlier.length), earlier);
  for (let step = 0; step < ITERATIONS; step++) {
    const next = new Array(size).fill(0);
    for (const point of centred) {
      const weight = dot(point, axis);
      for (let d = 0; d < size; d++) next[d] += weight * point[d]; // (X^T X) axis
    }
    const unit = removeParts(next, earlier);
    const change = unit.reduce((sum, value, d) => sum + (value - axis[d]) ** 2, 0);
    axis = unit;
    if (change < TOLERANCE) break;
  }
  return axis;
}

/** A start that is orthogonal to no axis that matters in practice. */
function start(size, which) {
  return Array.from({ length: size }, (_, d) => 1 + 0.5 * Math.sin(1 + d * (which + 1.7)));
}

/** Make a vector orthogonal to unit vectors, and of length 1. Without any length left, any such vector. */
function removeParts(vector, earlier) {
  const left = [...vector];
  for (const axis of earlier) {
    const part = dot(left, axis);
    for (let d = 0; d < left.length; d++) left[d] -= part * axis[d];
  }
  const length = Math.sqrt(dot(left, left));
  if (length > 1e-150) return left.map((value) => value / length);
  const free = left.findIndex((_, d) => earlier.every((axis) => Math.abs(axis[d]) < 0.9));
  const unit = left.map((_, d) => (d === Math.max(free, 0) ? 1 : 0));
  return earlier.length && free >= 0 ? removeParts(unit, earlier) : unit;
}

function orient(axis) {
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? axis.map((value) => -value) : axis;
}

function meanOf(points, size) {
  const mean = new Array(size).fill(0);
  for (const point of points) for (let d = 0; d < size; d++) mean[d] += point[d] / points.length;
  return mean;
}

function dot(a, b) {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d] * b[d];
  return sum;
}
