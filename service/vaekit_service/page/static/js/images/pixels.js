/** Draws arrays of pixels on a canvas. */

import { heat } from "../latent/map/scales.js";

/**
 * Colours of an image: one channel is grey, two are grey and opacity, three are red, green and blue.
 *
 * @param {number[][][]} image (H, W, C), 0..255
 * @returns {{width: number, height: number, data: Uint8ClampedArray}} RGBA
 */
export function toRgba(image) {
  const [height, width] = [image.length, image[0].length];
  const data = new Uint8ClampedArray(height * width * 4);
  let at = 0;
  for (const row of image) {
    for (const pixel of row) {
      const grey = pixel.length < 3;
      data[at] = pixel[0];
      data[at + 1] = grey ? pixel[0] : pixel[1];
      data[at + 2] = grey ? pixel[0] : pixel[2];
      data[at + 3] = pixel.length % 2 ? 255 : pixel[pixel.length - 1];
      at += 4;
    }
  }
  return { width, height, data };
}

/**
 * Surprise of each pixel, summed over its channels, in nats.
 *
 * @param {number[][][]} featureLogLikelihood (H, W, C)
 * @returns {number[][]} (H, W)
 */
export function surpriseOf(featureLogLikelihood) {
  return featureLogLikelihood.map((row) => row.map((pixel) => -pixel.reduce((sum, value) => sum + value, 0)));
}

/**
 * Colours of a heatmap.
 *
 * @param {number[][]} surprise (H, W)
 * @param {number} low drawn black
 * @param {number} high drawn pale yellow
 */
export function heatmap(surprise, low, high) {
  const span = high - low || 1;
  return toRgba(surprise.map((row) => row.map((value) => heat((value - low) / span))));
}

/** The lowest and the highest number in nested arrays. */
export function extremes(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values.flat(Infinity)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? { low, high } : { low: 0, high: 1 };
}

/**
 * Show colours on a canvas, one canvas pixel per pixel. The style sheet enlarges it without smoothing.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {{width: number, height: number, data: Uint8ClampedArray}} rgba
 */
export function paint(canvas, { width, height, data }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

/** Whole numbers 0..255, which /encode and /elbo take, of what /sample and /decode answer. */
export function toIntegers(image) {
  return image.map((row) => row.map((pixel) => pixel.map((value) => Math.round(Math.min(Math.max(value, 0), 255)))));
}
