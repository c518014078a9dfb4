/** A map of points on two canvases: the points, and the mark of the current one above them. */

import { layOut } from "./layout.js";
import { axisTicks } from "./scales.js";

const FONT = "12px system-ui, sans-serif";

/**
 * @typedef {object} Drawing
 * @property {number[][]} points (N, 2)
 * @property {string[]} colours one per point, a palette of few colours
 * @property {Uint8Array} layer of each point: 0 behind the others, 2 above them and larger
 * @property {[string, string]} axisNames
 * @property {[string[] | null, string[] | null]} axisLevels names of 0, 1, 2, ... on axes that stand for a category
 */

export class MapCanvas {
  /**
   * @param {HTMLCanvasElement} base
   * @param {HTMLCanvasElement} overlay of the same size, above it
   */
  constructor(base, overlay) {
    this.base = base;
    this.overlay = overlay;
    this.layout = null;
    this.drawing = null;
    this.marks = { current: -1, selected: -1 };
  }

  /** @param {Drawing | null} drawing */
  show(drawing) {
    this.drawing = drawing;
    this.resize();
  }

  /** Fit the canvases to their box and to the pixels of the device, and draw again. */
  resize() {
    const { width, height } = this.overlay.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.layout = this.drawing && layOut(this.drawing.points, width, height, this.drawing.axisLevels);
    this.#drawBase(width, height);
    this.#drawMarks();
  }

  /** Mark the point under the pointer or the focus, and the selected row; -1 for none. */
  mark(current, selected) {
    this.marks = { current, selected };
    this.#drawMarks();
  }

  #drawBase(width, height) {
    const context = this.base.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!this.drawing || !this.layout) return;
    const colour = palette();
    drawAxes(context, this.layout, this.drawing, colour);
    const { colours, layer } = this.drawing;
    const many = colours.length > 3000;
    const radius = many ? 1.8 : colours.length > 1500 ? 2.4 : 3.2;
    for (const [which, opacity, size] of [[0, 0.4, 2], [1, many ? 0.55 : 0.75, radius], [2, 0.95, radius + 0.8]]) {
      context.globalAlpha = opacity;
      drawDots(context, this.layout, groups(colours, layer, which), size);
    }
    context.globalAlpha = 1;
  }

  #drawMarks() {
    const context = this.overlay.getContext("2d");
    const { width, height } = this.overlay;
    context.clearRect(0, 0, width, height);
    if (!this.layout) return;
    const colour = palette();
    const ring = (i, radius, line) => {
      if (i < 0 || i >= this.layout.px.length) return;
      context.lineWidth = line;
      context.strokeStyle = colour.page;
      circle(context, this.layout.px[i], this.layout.py[i], radius + 1.5);
      context.strokeStyle = colour.text;
      circle(context, this.layout.px[i], this.layout.py[i], radius);
    };
    ring(this.marks.selected, 8, 2.5);
    ring(this.marks.current, 6, 1.5);
  }
}

/** The colours of the page as they are now, in the light or the dark. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    page: read("page"), text: read("text"), quiet: read("quiet"), rule: read("rule"),
    normal: read("c1"), alarm: read("c2"), other: read("c5"),
  };
}

function groups(colours, layer, which) {
  const found = new Map();
  for (let i = 0; i < colours.length; i++) {
    if (layer[i] !== which) continue;
    if (!found.has(colours[i])) found.set(colours[i], []);
    found.get(colours[i]).push(i);
  }
  return found;
}

function drawDots(context, { px, py }, byColour, radius) {
  for (const [colour, indices] of byColour) {
    context.fillStyle = colour;
    context.beginPath();
    for (const i of indices) {
      context.moveTo(px[i] + radius, py[i]);
      context.arc(px[i], py[i], radius, 0, 2 * Math.PI);
    }
    context.fill();
  }
}

function drawAxes(context, layout, { axisNames: [xName, yName], axisLevels: [xLevels, yLevels] }, colour) {
  const { width, height, margin, x, y } = layout;
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const atX = (value) => margin.left + ((value - x.low) / (x.high - x.low)) * (right - margin.left);
  const atY = (value) => bottom - ((value - y.low) / (y.high - y.low)) * (bottom - margin.top);
  context.font = FONT;
  context.strokeStyle = colour.rule;
  context.fillStyle = colour.quiet;
  context.lineWidth = 1;
  context.beginPath();
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const { at: value, text } of axisTicks(x, xLevels, width / 90)) {
    const at = Math.round(atX(value)) + 0.5;
    context.moveTo(at, margin.top);
    context.lineTo(at, bottom);
    const isFree = xLevels !== null || at < right - context.measureText(xName).width - 14; // names of levels have the line alone
    if (isFree) context.fillText(text, at, bottom + 6);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const { at: value, text } of axisTicks(y, yLevels, height / (yLevels === null ? 70 : 24))) {
    const at = Math.round(atY(value)) + 0.5;
    context.moveTo(margin.left, at);
    context.lineTo(right, at);
    if (at > margin.top + 16) context.fillText(text, margin.left - 6, at);
  }
  context.stroke();
  context.fillStyle = colour.text;
  context.textBaseline = "top";
  context.fillText(xName, right, bottom + (xLevels === null ? 6 : 24));
  context.textAlign = "left";
  context.fillText(yName, 2, 0);
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}
