/** Builds requests: rows as JSON, matrices as npy. */

import { InputError } from "./errors.js";

/**
 * @typedef {object} HttpCall one HTTP request, without the address of the service and without the key
 * @property {string} method
 * @property {string} path
 * @property {Record<string, string>} headers
 * @property {string} [query]
 * @property {string | Uint8Array} [body]
 * @property {number} [rows] number of rows that the reply must have; undefined: any
 * @property {string[]} [fields] that the reply must have
 * @property {boolean} [logged] whether the request has ids, which the service writes to its score log
 */

const JSON_TYPE = "application/json";
const NPY_TYPE = "application/x-npy";
const MODEL_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** @type {Record<string, string>} */
const DTYPES = { Float64Array: "<f8", Float32Array: "<f4", Uint8Array: "|u1" };

/**
 * @param {string} operation encode, decode or elbo
 * @param {"inputs" | "latents"} name
 * @param {any} rows
 * @param {Record<string, unknown>} options
 * @param {string[]} fields
 * @returns {Promise<HttpCall>}
 */
export async function rowsCall(operation, name, rows, options, fields) {
  const { model, version, ...others } = options;
  const given = Object.entries(others).filter(([, value]) => value !== undefined && value !== null);
  const call = { method: "POST", path: operationPath(operation, model, version), fields };
  const logged = given.some(([key]) => key === "ids" || key === "id_column");
  if (isMatrix(rows)) {
    const query = new URLSearchParams(given.map(([key, value]) => [key, queryText(key, value)])).toString();
    const headers = { "content-type": NPY_TYPE, accept: JSON_TYPE };
    return { ...call, headers, query, body: npyBytes(name, rows), rows: rows.shape[0], logged };
  }
  const listed = await asList(name, rows);
  const inputs = `${JSON.stringify(name)}:[${listed.map(rowText).join(",")}]`;
  const body = `{${[inputs, ...given.map(optionMember)].join(",")}}`;
  return { ...call, headers: { "content-type": JSON_TYPE, accept: JSON_TYPE }, body, rows: listed.length, logged };
}

/** @param {number} n @param {Record<string, unknown>} options @returns {HttpCall} */
export function sampleCall(n, options) {
  const { model, version, ...others } = options;
  const given = Object.entries({ n, ...others }).filter(([, value]) => value !== undefined);
  return {
    method: "POST",
    path: operationPath("sample", model, version),
    headers: { "content-type": JSON_TYPE, accept: JSON_TYPE },
    body: `{${given.map(optionMember).join(",")}}`,
    rows: n,
    fields: ["seed", "latents", "samples"],
  };
}

/** @param {string} path @param {string[]} [fields] @returns {HttpCall} */
export function getCall(path, fields) {
  return { method: "GET", path, headers: { accept: JSON_TYPE }, fields };
}

/** The path of a model, or of one of its versions. */
export function modelPath(/** @type {unknown} */ name, /** @type {unknown} */ version) {
  if (typeof name !== "string" || !MODEL_NAME.test(name)) {
    throw new InputError(`model: ${JSON.stringify(name)} is not the name of a model`);
  }
  if (version === undefined || version === null) return `/models/${name}`;
  if (!Number.isInteger(version) || Number(version) < 1) throw new InputError(`version: ${version} is not 1, 2, ...`);
  return `/models/${name}/versions/${version}`;
}

function operationPath(/** @type {string} */ operation, /** @type {unknown} */ model, /** @type {unknown} */ version) {
  if (model !== undefined && model !== null) return `${modelPath(model, version)}/${operation}`;
  if (version !== undefined && version !== null) {
    throw new InputError(`version: ${version} was given without a model; give model as well`);
  }
  return `/${operation}`;
}

function isMatrix(/** @type {any} */ rows) {
  return ArrayBuffer.isView(rows?.data) && Array.isArray(rows?.shape);
}

/** The rows as a list; images as base64. @param {string} name @param {any} rows @returns {Promise<any[]>} */
async function asList(name, rows) {
  if (!Array.isArray(rows)) throw new InputError(`${name}: expected a list of rows, or a matrix {data, shape}`);
  if (name !== "inputs" || !rows.some(isBytes)) return rows;
  return Promise.all(
    rows.map((row, i) => {
      if (!isBytes(row)) throw new InputError(`row ${i}: expected the bytes of an image, as in other rows`);
      return base64(row);
    }),
  );
}

function isBytes(/** @type {unknown} */ row) {
  return row instanceof Uint8Array || row instanceof ArrayBuffer || row instanceof Blob;
}

/** @param {Uint8Array | ArrayBuffer | Blob} image */
async function base64(image) {
  const bytes = new Uint8Array(image instanceof Blob ? await image.arrayBuffer() : image);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** The JSON text of a row, in which NaN is null and a bigint keeps all its digits. */
function rowText(/** @type {any} */ row, /** @type {number} */ i) {
  if (typeof row === "string") return JSON.stringify(row);
  if (Array.isArray(row) || ArrayBuffer.isView(row)) {
    const cells = Array.from(/** @type {ArrayLike<any>} */ (/** @type {unknown} */ (row)));
    return `[${cells.map((cell, d) => cellText(cell, `row ${i}, value ${d}`)).join(",")}]`;
  }
  if (Object.prototype.toString.call(row) !== "[object Object]") {
    throw new InputError(`row ${i}: expected a list or an object`); // the entries of a Map are no columns
  }
  const cells = Object.entries(row).filter(([, cell]) => cell !== undefined);
  const members = cells.map(([key, cell]) => `${JSON.stringify(key)}:${cellText(cell, `row ${i}, feature '${key}'`)}`);
  return `{${members.join(",")}}`;
}

function cellText(/** @type {unknown} */ cell, /** @type {string} */ where) {
  if (cell === undefined || cell === null) return "null";
  if (typeof cell === "bigint") return String(cell);
  if (typeof cell === "number") {
    if (Number.isNaN(cell)) return "null";
    if (!Number.isFinite(cell)) throw new InputError(`${where}: not finite: ${cell}`);
  }
  return jsonText(cell, where);
}

/** A member of a JSON object. */
function optionMember(/** @type {[string, unknown]} */ [key, value]) {
  return `${JSON.stringify(key)}:${optionText(key, value)}`;
}

/** The JSON text of an option. A number that JSON does not have would be sent as null, which means the default. */
function optionText(/** @type {string} */ key, /** @type {any} */ value) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new InputError(`${key}: not finite: ${value}`);
  if (key !== "ids") return jsonText(value, key);
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) throw new InputError("ids: expected a list, one id per row");
  return `[${Array.from(/** @type {ArrayLike<unknown>} */ (value), idText).join(",")}]`;
}

function idText(/** @type {unknown} */ id, /** @type {number} */ i) {
  return typeof id === "bigint" ? String(id) : jsonText(id ?? null, `ids, row ${i}`);
}

function jsonText(/** @type {unknown} */ value, /** @type {string} */ where) {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return text;
  } catch {
    // the message below names the place
  }
  throw new InputError(`${where}: ${typeof value} cannot be sent as JSON`);
}

function queryText(/** @type {string} */ key, /** @type {unknown} */ value) {
  return typeof value === "string" && key !== "ids" ? value : optionText(key, value);
}

/**
 * An npy file of version 1.0.
 *
 * @param {string} name
 * @param {{ data: any, shape: number[] }} matrix
 */
function npyBytes(name, { data, shape }) {
  const dtype = DTYPES[data.constructor.name];
  if (!dtype)
    throw new InputError(`${name}: ${data.constructor.name}, expected a Float64Array, Float32Array or Uint8Array`);
  const isShape = shape.length >= 2 && shape.every((size) => Number.isInteger(size) && size >= 0);
  if (!isShape || shape.reduce((product, size) => product * size, 1) !== data.length) {
    throw new InputError(`${name}: shape (${shape.join(", ")}) of ${data.length} values`);
  }
  const text = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const header = new TextEncoder().encode(text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n");
  const found = new Uint8Array(10 + header.length + data.byteLength);
  found.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length % 256, header.length >> 8]); // \x93NUMPY 1.0
  found.set(header, 10);
  found.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return found;
}
