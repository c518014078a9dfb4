/** Refuses ONNX files with external data or with operators outside the standard domain, before they are loaded. */

import { ForbiddenGraph } from "../errors.js";

/**
 * For each message of onnx.proto3, the field numbers that may contain tensors, domains of operators or nested graphs.
 *
 * @type {Record<string, Record<number, string>>}
 */
const CHILDREN = {
  model: { 7: "graph", 8: "opset", 25: "function" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  function: { 7: "node", 9: "opset", 11: "attribute" },
};
/** @type {Record<string, number>} */
const DOMAIN = { opset: 1, node: 7, function: 10 };
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const STANDARD_DOMAINS = new Set(["", "ai.onnx"]);
const DEEPEST = 32;

/**
 * @param {Uint8Array} bytes
 * @param {string} name of the file, for messages
 */
export function checkGraph(bytes, name) {
  check(bytes, "model", name, 0);
}

function check(/** @type {Uint8Array} */ bytes, /** @type {string} */ message, /** @type {string} */ name, depth = 0) {
  if (depth > DEEPEST) throw new ForbiddenGraph(`${name}: messages are nested more than ${DEEPEST} deep`);
  for (const { field, value } of fields(bytes, name)) {
    const isBytes = value instanceof Uint8Array;
    if (message === "tensor" && (field === EXTERNAL_DATA || (field === DATA_LOCATION && value !== 0))) {
      throw new ForbiddenGraph(`${name}: weights are in external data; they must be inside the file`);
    }
    if (!isBytes) continue;
    if (field === DOMAIN[message]) {
      const domain = new TextDecoder().decode(value);
      if (!STANDARD_DOMAINS.has(domain)) {
        throw new ForbiddenGraph(
          `${name}: operators of the domain '${domain}'; only standard ONNX operators are allowed`,
        );
      }
    }
    const child = CHILDREN[message]?.[field];
    if (child) check(value, child, name, depth + 1);
  }
}

/** (field number, integer or bytes) for each field of a protobuf message. */
function* fields(/** @type {Uint8Array} */ bytes, /** @type {string} */ name) {
  let at = 0;
  const varint = () => {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length || scale > 2 ** 63) throw new ForbiddenGraph(`${name}: not an ONNX model`);
      const byte = bytes[at++];
      number += (byte & 127) * scale; // rounded above 2^53, which no tag and no length of a file reaches
      if (byte < 128) return number;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [kind, field] = [key % 8, Math.floor(key / 8)];
    // a parser that keeps only 32 bits of a tag would read another field number
    if (key >= 2 ** 32) throw new ForbiddenGraph(`${name}: not an ONNX model: a tag longer than 32 bits`);
    if (kind === 0) {
      yield { field, value: varint() };
      continue;
    }
    const size = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : NaN;
    if (!(at + size <= bytes.length)) throw new ForbiddenGraph(`${name}: not an ONNX model`);
    yield { field, value: bytes.subarray(at, at + size) };
    at += size;
  }
}
