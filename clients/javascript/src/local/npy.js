/** Reads the arrays of .npy and .npz files. */

import { FormatError } from "../errors.js";

/**
 * @typedef {Float64Array | Float32Array | BigInt64Array | Int32Array | Uint8Array} Values
 * @typedef {{ dtype: string, shape: number[], data: Values }} NdArray
 */

/** @type {Record<string, [string, number, (buffer: ArrayBuffer) => Values]>} */
const DTYPES = {
  "<f8": ["float64", 8, (buffer) => new Float64Array(buffer)],
  "<f4": ["float32", 4, (buffer) => new Float32Array(buffer)],
  "<i8": ["int64", 8, (buffer) => new BigInt64Array(buffer)],
  "<i4": ["int32", 4, (buffer) => new Int32Array(buffer)],
  "|u1": ["uint8", 1, (buffer) => new Uint8Array(buffer)],
  "|b1": ["bool", 1, (buffer) => new Uint8Array(buffer)],
};
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const HEADER = /^\{'descr': '([^']+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \}\s*$/;

/**
 * The array of a .npy file (versions 1 to 3).
 *
 * @param {Uint8Array} bytes
 * @param {string} name of the file, for messages
 * @returns {NdArray}
 */
export function readNpy(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new FormatError(`${name}: not an npy file`);
  }
  const wide = bytes[6] > 1;
  const start = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const match = HEADER.exec(header);
  const known = match && DTYPES[match[1]];
  if (!match || !known) throw new FormatError(`${name}: not an array of numbers: ${header.trim().slice(0, 80)}`);
  const [dtype, size, asValues] = known;
  const shape = match[3]
    .split(",")
    .filter((one) => one.trim() !== "")
    .map(Number);
  const count = shape.reduce((product, one) => product * one, 1);
  const body = bytes.slice(start + length, start + length + count * size); // a copy, so that it is aligned
  if (body.length !== count * size) throw new FormatError(`${name}: truncated`);
  const data = asValues(body.buffer);
  return { dtype, shape, data: match[2] === "True" ? inRowOrder(data, shape) : data };
}

/** Values that are stored with the first index fastest, with the last index fastest. */
function inRowOrder(/** @type {Values} */ data, /** @type {number[]} */ shape) {
  const found = /** @type {any} */ (data.slice());
  const index = shape.map(() => 0);
  for (let to = 0; to < data.length; to++) {
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) from = from * shape[axis] + index[axis];
    found[to] = data[from];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
  return /** @type {Values} */ (found);
}

/**
 * The arrays of a .npz file by name: a ZIP archive of .npy files, stored or deflated.
 *
 * @param {Uint8Array} bytes
 * @param {string} name of the file, for messages
 * @returns {Promise<Map<string, NdArray>>}
 */
export async function readNpz(bytes, name) {
  const found = new Map();
  for (const entry of entries(bytes, name)) {
    const content = entry.deflated ? await inflated(entry.content, name) : entry.content;
    if (!entry.file.endsWith(".npy")) throw new FormatError(`${name}: ${entry.file} is not an npy file`);
    found.set(entry.file.slice(0, -4), readNpy(content, `${name}: ${entry.file}`));
  }
  return found;
}

/** The files of a ZIP archive, by its central directory. */
function* entries(/** @type {Uint8Array} */ bytes, /** @type {string} */ name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new FormatError(`${name}: not an npz file`);
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) {
      throw new FormatError(`${name}: not an npz file`);
    }
    const method = view.getUint16(at + 10, true);
    const size = view.getUint32(at + 20, true);
    const [nameLength, extraLength, noteLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const local = view.getUint32(at + 42, true);
    if (size === 0xffffffff || local === 0xffffffff || (method !== 0 && method !== 8)) {
      throw new FormatError(`${name}: ZIP64, or a compression other than deflate`);
    }
    const file = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    yield { file, deflated: method === 8, content: bytes.subarray(start, start + size) };
    at += 46 + nameLength + extraLength + noteLength;
  }
}

async function inflated(/** @type {Uint8Array} */ content, /** @type {string} */ name) {
  const stream = new Blob([/** @type {BlobPart} */ (content)]).stream();
  try {
    const unpacked = stream.pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  } catch (cause) {
    throw new FormatError(`${name}: cannot be decompressed`, { cause });
  }
}
