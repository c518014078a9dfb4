/** Reads image files of the visitor: their bytes for the service, and their pixels as the page shows them. */

/**
 * @typedef {object} ReadImage
 * @property {string} name
 * @property {string | number[][][]} input as the service takes it: base64 of the file, or pixels (H, W, C)
 * @property {number[][][] | null} pixels (H, W, C) to show, scaled to the model's size; null if the browser cannot read it
 * @property {[number, number] | null} size width and height of the file; null: the page made it, or cannot read it
 * @property {boolean} isColour whether the file is stored in colour
 */

/**
 * @param {File} file
 * @param {{ height: number, width: number, channels: number }} input of the model
 * @returns {Promise<ReadImage>}
 */
export async function readImage(file, input) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const base64 = toBase64(bytes);
  try {
    const bitmap = await createImageBitmap(file);
    const size = /** @type {[number, number]} */ ([bitmap.width, bitmap.height]);
    return { name: file.name, input: base64, pixels: pixelsOf(bitmap, input), size, isColour: isColour(bytes) };
  } catch {
    return { name: file.name, input: base64, pixels: null, size: null, isColour: false };
  }
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
  return { name, input: pixels, pixels, size: null, isColour: false };
}

/** Whether a file has another size than the model's images. */
export function isOtherSize({ size }, input) {
  return size !== null && (size[0] !== input.width || size[1] !== input.height);
}

/** Whether a file is in colour and the model's images are grey. */
export const isOtherColour = (image, { channels }) => image.isColour && channels < 3;

/** Why the service would refuse a file as it is; null if nothing is known against it. @param {ReadImage} image */
export function obstacleOf(image, input) {
  if (image.pixels === null) return "not a readable PNG or JPEG image";
  const size = isOtherSize(image, input) ? `${image.size.join(" × ")} pixels, the model's images have ${input.width} × ${input.height}` : null;
  const colour = isOtherColour(image, input) ? "in colour, the model's images are grey" : null;
  return [size, colour].filter((part) => part !== null).join("; ") || null;
}

/** Whether a PNG or JPEG file is stored in colour. @param {Uint8Array} bytes */
export function isColour(bytes) {
  if (bytes[0] === 0x89) return (bytes[25] & 2) !== 0 && bytes[25] !== 3; // of a palette, the service decides
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + 256 * bytes[at + 2] + bytes[at + 3]) {
    const marker = bytes[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9] >= 3;
  }
  return false;
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
