/** Reads the arrays of a bundle's verified files. */

import { FormatError } from "../errors.js";
import { Calibration } from "./calibration.js";
import { dimensions } from "./manifest.js";
import { readNpy, readNpz } from "./npy.js";

/**
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("./graphs.js").Graphs} Graphs
 */

/** @param {Map<string, Uint8Array>} files @param {string} file */
export function contentOf(files, file) {
  return /** @type {Uint8Array} */ (files.get(file));
}

/** @param {Manifest} manifest @param {Map<string, Uint8Array>} files */
export function baseDraws({ draws, latent_dim }, files) {
  const { shape, data } = readNpy(contentOf(files, draws.file), draws.file);
  if (shape.join() !== [draws.maximum, latent_dim].join()) {
    throw new FormatError(`${draws.file}: shape (${shape.join(", ")}), expected (${draws.maximum}, ${latent_dim})`);
  }
  const base = Float64Array.from(/** @type {Float64Array} */ (data));
  if (!base.every(Number.isFinite)) throw new FormatError(`${draws.file}: a draw is not finite`);
  return base;
}

/**
 * The calibrations of the float32 graphs by K.
 *
 * @param {Manifest} manifest
 * @param {Map<string, Uint8Array>} files
 * @param {Graphs} graphs
 */
export async function calibrationsOf(manifest, files, graphs) {
  /** @type {Map<number, Calibration>} */
  const found = new Map();
  if (!manifest.calibration) return found;
  const { file, entries } = manifest.calibration;
  const arrays = await readNpz(contentOf(files, file), file);
  for (const entry of entries) {
    if ((entry.precision ?? "float32") !== "float32") continue;
    if (entry.folds && !graphs.gives("elbo", "fold_elbo")) {
      throw new FormatError(`${file}: ${entry.array} has folds, but the graph of elbo gives no fold_elbo`);
    }
    found.set(entry.num_samples, new Calibration(entry, arrays, file));
  }
  return found;
}

/**
 * Medians of the surprises of held-out cells, and usual values; null without such a file.
 *
 * @param {Manifest} manifest
 * @param {Map<string, Uint8Array>} files
 */
export async function heldOutCells(manifest, files) {
  if (!manifest.surprise) return null;
  const { file } = manifest.surprise;
  const arrays = await readNpz(contentOf(files, file), file);
  const [middle, usual] = ["features.middle", "usual"].map((name) => {
    const found = arrays.get(name);
    if (found?.data.length === dimensions(manifest.input)) return Array.from(/** @type {Float64Array} */ (found.data));
    throw new FormatError(`${file}: no array ${name} of the model's columns`);
  });
  return { middle, usual };
}
