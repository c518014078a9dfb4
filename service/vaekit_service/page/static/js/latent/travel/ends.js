/** The ends of an interpolation: a selected row, a sample, or the centre of latent space. */

import { listed, serviceOf } from "../calls.js";
import { asInputs } from "../reference.js";

/**
 * @typedef {object} End
 * @property {"selected" | "sample" | "centre"} kind
 * @property {number} seed of a sample
 * @property {{ z: number[], label: string } | null} kept the row that was selected when the visitor chose this end
 */

/**
 * The latent vector of an end.
 *
 * @param {object} context
 * @param {object} model
 * @param {End} end
 * @returns {Promise<number[]>}
 */
export async function vectorOf(context, model, end) {
  if (end.kind === "selected" && end.kept) return end.kept.z;
  if (end.kind === "centre") return new Array(model.latent_dim).fill(0);
  const service = serviceOf(context, model);
  const { latents, samples } = await service.sample({ n: 1, seed: end.seed, observe: true });
  return model.members > 1 ? (await service.encode(listed(asInputs(model, samples)))).mu[0] : latents[0];
}

/** What to call an end. @param {End} end */
export function nameOf(end) {
  if (end.kind === "selected" && end.kept) return end.kept.label;
  return end.kind === "centre" ? "the centre" : `sample of seed ${end.seed}`;
}
