/** Where the points of a map are drawn, and which one is under the pointer. */

import { axisRange, LABEL } from "./scales.js";

const LETTER = 7; // CSS pixels, about
const CELL = 20; // CSS pixels of the grid that finds neighbours

/**
 * @typedef {object} Layout
 * @property {number} width
 * @property {number} height
 * @property {{left: number, right: number, top: number, bottom: number}} margin around the points
 * @property {{low: number, high: number}} x range of the horizontal axis
 * @property {{low: number, high: number}} y
 * @property {Float32Array} px horizontal position of each point, in CSS pixels
 * @property {Float32Array} py
 * @property {number} outside number of points beyond the ranges, which are drawn on the edge
 * @property {Map<number, number[]>} grid indices of the points in each cell
 */

/**
 * Lay points out in a box.
 *
 * @param {number[][]} points (N, 2)
 * @param {number} width
 * @param {number} height
 * @param {[string[] | null, string[] | null]} [levels] of axes that stand for a category
 * @returns {Layout}
 */
export function layOut(points, width, height, levels = [null, null]) {
  const margin = marginOf(levels);
  const [x, y] = levels.map((names, axis) => (names === null ? axisRange(points.map((point) => point[axis])) : { low: -0.5, high: names.length - 0.5 }));
  const px = new Float32Array(points.length);
  const py = new Float32Array(points.length);
  const grid = new Map();
  let outside = 0;
  points.forEach(([a, b], i) => {
    if (a < x.low || a > x.high || b < y.low || b > y.high) outside++;
    px[i] = toX({ width, margin, x }, a);
    py[i] = toY({ height, margin, y }, b);
    const key = cell(px[i], py[i]);
    if (!grid.has(key)) grid.set(key, []);
    grid.get(key).push(i);
  });
  return { width, height, margin, x, y, px, py, outside, grid };
}

/** Room for the labels: names of levels to the left, and the name of a horizontal axis of levels below them. */
function marginOf([across, up]) {
  const longest = Math.min(LABEL, Math.max(0, ...(up ?? []).map((name) => name.length)));
  return { left: Math.max(40, 12 + LETTER * longest), right: 12, top: 12, bottom: across === null ? 28 : 46 };
}

/** Horizontal position of a value; values outside are on the edge. */
export function toX({ width, margin, x }, value) {
  return margin.left + inside((value - x.low) / (x.high - x.low)) * (width - margin.left - margin.right);
}

/** Vertical position of a value, higher values further up. */
export function toY({ height, margin, y }, value) {
  return height - margin.bottom - inside((value - y.low) / (y.high - y.low)) * (height - margin.top - margin.bottom);
}

/**
 * The point nearest to a position, or -1 if none is within `reach` pixels.
 *
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 * @param {number} [reach] at most 20
 * @param {number} [n] number of points to consider, from the first
 * @returns {number}
 */
export function nearest(layout, x, y, reach = 14, n = layout.px.length) {
  let best = -1;
  let least = reach * reach;
  for (const dx of [-CELL, 0, CELL]) {
    for (const dy of [-CELL, 0, CELL]) {
      for (const i of layout.grid.get(cell(x + dx, y + dy)) ?? []) {
        if (i >= n) continue;
        const distance = (layout.px[i] - x) ** 2 + (layout.py[i] - y) ** 2;
        if (distance <= least) [best, least] = [i, distance];
      }
    }
  }
  return best;
}

/**
 * The nearest other point in a direction, for the arrow keys; the point itself if there is none.
 *
 * @param {Layout} layout
 * @param {number} from index of a point
 * @param {[number, number]} direction such as [1, 0], to the right
 * @param {number} [n] number of points to consider, from the first
 * @returns {number}
 */
export function neighbour(layout, from, [dx, dy], n = layout.px.length) {
  let best = from;
  let least = Infinity;
  for (let i = 0; i < n; i++) {
    const [x, y] = [layout.px[i] - layout.px[from], layout.py[i] - layout.py[from]];
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy) + Math.abs(y * dx);
    if (along <= 0.5 || across > along * 1.2) continue; // within about 50 degrees
    const distance = along + 1.5 * across;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

function cell(x, y) {
  return Math.floor(x / CELL) * 65536 + Math.floor(y / CELL);
}

function inside(share) {
  return Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0.5;
}
