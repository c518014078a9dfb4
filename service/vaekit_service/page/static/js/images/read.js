/** Reads image files of the visitor: their bytes for the service, and their pixels as the page shows them. */

import { inspect } from "./inspect.js";

const AS_STORED = { colorSpaceConversion: "none" }; // as the service reads them, which ignores colour profiles
const PNG_BITS_AT = 24; // the byte of a PNG with the bits per channel

/**
 * @typedef {object} ReadImage
 * @property {string} name
 * @property {string | number[][][] | null} input as the service takes it: base64 of the file, or pixels (H, W, C)
 * @property {number[][][] | null} pixels (H, W, C) to show, scaled to the model's size; null if there is a fault
 * @property {[number, number] | null} size width and height of the file; null: the page made it, or there is a fault
 * @property {boolean} isColour whether red, green and blue differ in a pixel
 * @property {string | null} fault why the service refuses the file, whatever this page changes
 * @property {boolean} [isMade] whether the model made it
 */

/**
 * @param {File} file
 * @param {{ height: number, width: number, channels: number }} input of the model
 * @returns {Promise<ReadImage>}
 */
export async function readImage(file, input) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const bits = bitsOf(bytes);
  if (bits > 8) return unusable(file.name, `${bits} bits per channel: save it with 8`);
  if (isAnimated(bytes)) return unusable(file.name, "has several frames: save one of them");
  const bitmap = bits === null ? null : await createImageBitmap(file, AS_STORED).catch(() => null);
  if (bitmap === null) return unusable(file.name, "not a readable PNG or JPEG image");
  try {
    const { isColour, isTransparent } = inspect(bitmap);
    if (isTransparent && input.channels < 4) return unusable(file.name, "has transparent pixels: save it on a background");
    return { name: file.name, input: toBase64(bytes), pixels: pixelsOf(bitmap, input), size: [bitmap.width, bitmap.height], isColour, fault: null };
  } finally {
    bitmap.close();
  }
}

const unusable = (name, fault) => ({ name, input: null, pixels: null, size: null, isColour: false, fault });

/** Bits per channel of a PNG or JPEG file; null: it is neither. @param {Uint8Array} bytes */
export function bitsOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 8;
  const isPng = bytes.length > PNG_BITS_AT && [0x89, 0x50, 0x4e, 0x47].every((byte, at) => bytes[at] === byte);
  return isPng ? bytes[PNG_BITS_AT] : null;
}

/** Whether a PNG has several frames: a chunk acTL before its pixels. @param {Uint8Array} bytes */
export function isAnimated(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; bytes[0] === 0x89 && at + 8 <= bytes.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === "acTL" || type === "IDAT") return type === "acTL";
  }
  return false;
}

/** Images with a number after names that came before, as files of two folders may have one. @param {ReadImage[]} images */
export function withOwnNames(images) {
  const taken = new Map(); // how often a name came before
  return images.map((image) => {
    const { name } = image;
    const count = (taken.get(name) ?? 0) + 1;
    taken.set(name, count);
    return count === 1 ? image : { ...image, name: `${name} (${count})` };
  });
}

/** Pixels that the model made, as a readable image. @param {string} name @param {number[][][]} pixels */
export function madeImage(name, pixels) {
  return { name, input: pixels, pixels, size: null, isColour: false, fault: null, isMade: true };
}

/** Whether a file has another size than the model's images. */
export function isOtherSize({ size }, input) {
  return size !== null && (size[0] !== input.width || size[1] !== input.height);
}

/** Whether a file is in colour and the model's images are grey. */
export const isOtherColour = (image, { channels }) => image.isColour && channels < 3;

/** Why the service would refuse a file as it is; null if nothing is known against it. @param {ReadImage} image */
export function obstacleOf(image, input) {
  if (image.fault !== null) return image.fault;
  const size = isOtherSize(image, input) ? `${image.size.join(" × ")} pixels, the model's images have ${input.width} × ${input.height}` : null;
  const colour = isOtherColour(image, input) ? "in colour, the model's images are grey" : null;
  return [size, colour].filter((part) => part !== null).join("; ") || null;
}

/** An image with its pixels shuffled by a fixed rule: unlike anything that the model has seen. */
export function shuffled(image) {
  const flat = image.flat();
  let state = 7;
  for (let i = flat.length - 1; i > 0; i--) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1);
    [flat[i], flat[j]] = [flat[j], flat[i]];
  }
  const width = image[0].length;
  return image.map((_, row) => flat.slice(row * width, (row + 1) * width));
}

/** Base64 of bytes. @param {Uint8Array} bytes */
export function toBase64(bytes) {
  const parts = [];
  for (let from = 0; from < bytes.length; from += 32768) parts.push(String.fromCharCode(...bytes.subarray(from, from + 32768)));
  return btoa(parts.join(""));
}

/** Luma of a pixel, as ITU-R 601 weighs its colours. */
const grey = (data, at) => Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);

function pixelsOf(bitmap, { width, height, channels }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (_, column) => {
      const at = 4 * (row * width + column);
      return channels < 3 ? [grey(data, at), 255].slice(0, channels) : [...data.subarray(at, at + channels)];
    }),
  );
}
