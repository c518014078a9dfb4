/** Reads image files of the visitor: their bytes for the service, and their pixels as the page shows them. */

/**
 * @typedef {object} ReadImage
 * @property {string} name
 * @property {string | number[][][]} input as the service takes it: base64 of the file, or pixels (H, W, C)
 * @property {number[][][] | null} pixels (H, W, C) to show, scaled to the model's size; null if the browser cannot read it
 * @property {[number, number] | null} size width and height of the file
 */

/**
 * @param {File} file
 * @param {{ height: number, width: number, channels: number }} input of the model
 * @returns {Promise<ReadImage>}
 */
export async function readImage(file, input) {
  const base64 = toBase64(new Uint8Array(await file.arrayBuffer()));
  try {
    const bitmap = await createImageBitmap(file);
    const size = /** @type {[number, number]} */ ([bitmap.width, bitmap.height]);
    return { name: file.name, input: base64, pixels: pixelsOf(bitmap, input), size };
  } catch {
    return { name: file.name, input: base64, pixels: null, size: null }; // the service says why it is no image
  }
}

/** Pixels that the model made, as a readable image. @param {string} name @param {number[][][]} pixels */
export function madeImage(name, pixels) {
  return { name, input: pixels, pixels, size: null };
}

/** Whether a file has another size than the model's images. */
export function isOtherSize({ size }, input) {
  return size !== null && (size[0] !== input.width || size[1] !== input.height);
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
      return channels < 3 ? [data[at], 255].slice(0, channels) : [...data.subarray(at, at + channels)];
    }),
  );
}
