/** Checks images and converts them to the array (N, H, W, C) of bytes that a model takes. */

import { InputError } from "../errors.js";

/** @typedef {import("../../types/local.js").ImageInput} ImageInput */

/**
 * The pixels of images: a matrix {data, shape} of (N, H, W, C) or (N, H, W) integers 0..255, or a list of images, each
 * as H x W x C nested lists or as a flat list or typed array of H W C integers.
 *
 * @param {any} rows
 * @param {ImageInput} input
 * @returns {{ n: number, x: Uint8Array }}
 */
export function encodeImages(rows, input) {
  const { height, width, channels } = input;
  const size = height * width * channels;
  const shown = `(N, ${height}, ${width}, ${channels})`;
  /** @type {ArrayLike<number>[]} */
  let images;
  if (ArrayBuffer.isView(rows?.data) && Array.isArray(rows?.shape)) {
    /** @type {number[]} */
    const shape = rows.shape.length === 3 && channels === 1 ? [...rows.shape, 1] : rows.shape;
    const fits = shape.length === 4 && shape.slice(1).every((one, i) => one === [height, width, channels][i]);
    if (!fits || rows.data.length !== shape[0] * size) {
      throw new InputError(`inputs: shape (${rows.shape.join(", ")}), expected ${shown}`);
    }
    images = Array.from({ length: shape[0] }, (_, i) => rows.data.subarray(i * size, (i + 1) * size));
  } else {
    if (!Array.isArray(rows)) throw new InputError(`inputs: expected images ${shown}`);
    images = rows.map((image, i) => flat(image, i, input));
  }
  if (images.length === 0) throw new InputError("inputs: no rows, expected at least 1");
  const x = new Uint8Array(images.length * size);
  images.forEach((image, i) => {
    for (let at = 0; at < size; at++) x[i * size + at] = pixel(image[at], i, at, input);
  });
  return { n: images.length, x };
}

/** @param {any} image @param {number} i @param {ImageInput} input @returns {ArrayLike<number>} */
function flat(image, i, { height, width, channels }) {
  const size = height * width * channels;
  const refused = new InputError(`row ${i}: expected an image of ${height} x ${width} x ${channels} integers 0..255`);
  if (ArrayBuffer.isView(image) || (Array.isArray(image) && !Array.isArray(image[0]))) {
    const own = /** @type {any} */ (image);
    if (own.length !== size) throw refused;
    return own;
  }
  if (!Array.isArray(image) || image.length !== height) throw refused;
  return image.flatMap((line) => {
    if (!Array.isArray(line) || line.length !== width) throw refused;
    return line.flatMap((cell) => {
      const values = Array.isArray(cell) ? cell : [cell];
      if (values.length !== channels) throw refused;
      return values;
    });
  });
}

/** @param {unknown} value @param {number} row @param {number} at @param {ImageInput} input */
function pixel(value, row, at, { width, channels, two_valued }) {
  const fits = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255;
  const allowed = fits && (!two_valued || value === 0 || value === 255);
  if (allowed) return Number(value);
  const [h, w, c] = [Math.floor(at / channels / width), Math.floor(at / channels) % width, at % channels];
  const what = fits ? "not 0 or 255" : "not an integer 0..255";
  throw new InputError(`row ${row}, pixel (${h}, ${w}, ${c}): ${what}: ${String(value)}`);
}
