/** Looks at decoded pixels: whether some are in colour, and whether some are transparent. */

const AT_ONCE = 2 ** 20; // pixels that are drawn together

/**
 * @typedef {object} Inspected
 * @property {boolean} isColour whether red, green and blue differ in a pixel; not looked for beyond a transparent pixel
 * @property {boolean} isTransparent whether a pixel has an alpha below 255
 */

/** @param {ImageBitmap} bitmap at its own size, since scaling hides single pixels @returns {Inspected} */
export function inspect(bitmap) {
  const { width, height } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(AT_ONCE / width)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, rows];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.globalCompositeOperation = "copy";
  let isColour = false;
  for (let top = 0; top < height; top += rows) {
    context.drawImage(bitmap, 0, -top);
    const found = inspectPixels(context.getImageData(0, 0, width, Math.min(rows, height - top)).data);
    if (found.isTransparent) return found;
    isColour ||= found.isColour;
  }
  return { isColour, isTransparent: false };
}

/** @param {Uint8ClampedArray} data red, green, blue and alpha of each pixel @returns {Inspected} */
export function inspectPixels(data) {
  let isColour = false;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 255) return { isColour, isTransparent: true };
    isColour ||= data[at] !== data[at + 1] || data[at] !== data[at + 2];
  }
  return { isColour, isTransparent: false };
}
