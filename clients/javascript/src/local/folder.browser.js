/** Stands in for folder.node.js where there are no folders. */

import { InputError } from "../errors.js";

/**
 * @param {string | URL} folder
 * @returns {Promise<Uint8Array>}
 */
export async function readFromFolder(folder) {
  throw new InputError(
    `bundle: '${folder}': expected the http or https URL of a version's folder; there are no folders here`,
  );
}
