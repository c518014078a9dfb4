/** Canvases that show images and heatmaps. */

import { paint, toRgba } from "./pixels.js";

/** A canvas with an image, drawn again in place. */
export function makeImage(label, className = "pixels") {
  const canvas = document.createElement("canvas");
  canvas.className = className;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return {
    canvas,
    /** @param {number[][][]} image (H, W, C) */
    show: (image) => paint(canvas, toRgba(image)),
    /** @param {string} text */
    label: (text) => canvas.setAttribute("aria-label", text),
  };
}
