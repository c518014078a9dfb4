/** The ends of an interpolation: a row or an image of the visitor, a sample, or the centre of latent space. */

import { listed, serviceOf } from "../calls.js";
import { centreOf, dimensionsOf } from "../dimensions.js";
import { asInputs, referenceOf } from "../reference.js";
import { sourceOfVisitor } from "../sources.js";

/**
 * @typedef {object} End
 * @property {"row" | "selected" | "sample" | "centre"} kind
 * @property {number} row index of a row or an image of the visitor
 * @property {number} seed of a sample
 * @property {{ z: number[], label: string } | null} kept what was selected when the visitor chose this end
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
  const service = serviceOf(context, model);
  if (end.kind === "selected" && end.kept) return end.kept.z;
  if (end.kind === "centre") return centreOf(dimensionsOf(model), (await referenceOf(context, model)).mu);
  if (end.kind === "row") {
    const source = sourceOfVisitor(context.state.get(), model);
    const { mu } = await service.encode({ n: 1, part: () => source.inputs.part(end.row, end.row + 1) });
    if (mu[0] === null) throw new Error(`${source.label(end.row)} cannot be read by the model. Choose another one.`);
    return mu[0];
  }
  const { latents, samples } = await service.sample({ n: 1, seed: end.seed, observe: true });
  return model.members > 1 ? (await service.encode(listed(asInputs(model, samples)))).mu[0] : latents[0];
}

/** What to call an end. @param {End} end @param {import("../cloud.js").Source | null} source of the visitor */
export function nameOf(end, source) {
  if (end.kind === "row" && source) return source.label(end.row);
  if (end.kind === "selected" && end.kept) return end.kept.label;
  return end.kind === "centre" ? "the centre" : `the sample of seed ${end.seed}`;
}

/**
 * The two rows to begin with: the least and the most anomalous one that have scores.
 *
 * @param {import("../../state.js").PageState} state
 * @param {number} n number of rows
 * @returns {[number, number]}
 */
export function firstEnds({ results, images }, n) {
  const scoreOf = (row) => (images ? images.list[row].score : results?.score[row]) ?? NaN;
  let [lowest, highest] = [-1, -1];
  for (let row = 0; row < n; row++) {
    const score = scoreOf(row);
    if (Number.isNaN(score)) continue;
    if (lowest < 0 || score < scoreOf(lowest)) lowest = row;
    if (highest < 0 || score > scoreOf(highest)) highest = row;
  }
  return [Math.max(lowest, 0), highest < 0 ? n - 1 : highest];
}
