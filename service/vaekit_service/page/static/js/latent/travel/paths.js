/** Straight lines between two latent vectors. */

/**
 * Latent vectors from `a` to `b`, both included. A discrete dimension changes half way.
 *
 * @param {number[]} a
 * @param {number[]} b
 * @param {number} steps at least 2
 * @param {import("../dimensions.js").Dimension[]} dimensions
 * @returns {number[][]}
 */
export function line(a, b, steps, dimensions) {
  return Array.from({ length: steps }, (_, i) => between(a, b, i / (steps - 1), dimensions));
}

/** The latent vector at `t`: `a` at 0 and `b` at 1. */
export function between(a, b, t, dimensions) {
  return a.map((from, d) => {
    if (t <= 0) return from;
    if (t >= 1) return b[d];
    return dimensions[d].discrete ? (t < 0.5 ? from : b[d]) : from + t * (b[d] - from);
  });
}

/**
 * Points of a line through values in a box, for an SVG polyline. Values that are no numbers interrupt nothing.
 *
 * @param {number[]} values
 * @param {{width: number, height: number, low: number, high: number}} box
 * @returns {string}
 */
export function polyline(values, { width, height, low, high }) {
  const span = high - low || 1;
  return values
    .map((value, i) => {
      const x = (i / Math.max(values.length - 1, 1)) * width;
      const y = height - (Math.min(Math.max((value - low) / span, 0), 1)) * height;
      return `${round(x)},${round(y)}`;
    })
    .join(" ");
}

function round(value) {
  return Math.round(value * 100) / 100;
}
