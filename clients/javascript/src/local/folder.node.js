/** Reads a file of a folder, in Node. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * @param {string | URL} folder
 * @param {string} name
 * @returns {Promise<Uint8Array>}
 */
export async function readFromFolder(folder, name) {
  const bytes = await readFile(join(folder instanceof URL ? fileURLToPath(folder) : folder, name));
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
