/** Scores images: score, p-value, reconstruction, and the surprise of each pixel. */

import { rowsPerCall, serviceOf } from "../latent/calls.js";
import { surpriseOf } from "./pixels.js";

const PER_CALL = 32; // images, fewer if they are large

/**
 * @typedef {object} ScoredImage
 * @property {string} name
 * @property {string | number[][][]} input
 * @property {number[][][] | null} pixels
 * @property {string | null} problem why the image cannot be read
 * @property {number | null} score
 * @property {number | null} pValue
 * @property {number[][] | null} surprise (H, W), in nats
 * @property {number[][][] | null} reconstruction (H, W, C), E[x|z] of its mean latent vector
 */

/**
 * @param {object} context
 * @param {object} model
 * @param {import("./read.js").ReadImage[]} images
 * @param {{ resize: boolean, signal?: AbortSignal }} options
 * @returns {Promise<{ list: ScoredImage[], reason: string | null }>} reason: why there are no p-values
 */
export async function scoreImages(context, model, images, { resize, signal }) {
  const list = [];
  let reason = null;
  const step = rowsPerCall(model, PER_CALL);
  for (let from = 0; from < images.length; from += step) {
    const found = await scorePart(serviceOf(context, model), images.slice(from, from + step), resize, signal);
    list.push(...found.list);
    reason ??= found.reason;
  }
  return { list, reason };
}

/** Scores of a part; if the service can read none of its images, it says why of the first. */
async function scorePart(service, images, resize, signal) {
  try {
    return await scoreReadable(service, images, resize, signal);
  } catch (error) {
    const [, reason] = /^none of the \d+ rows can be read; row 0: (.*?)\.?$/is.exec(error.message) ?? [];
    if (error.status !== 422 || reason === undefined) throw error;
    const problem = (i) => (i === 0 ? reason : "the service cannot read it either");
    const list = images.map(({ name, input, pixels }, i) => ({ name, input, pixels, problem: problem(i), score: null, pValue: null, surprise: null, reconstruction: null }));
    return { list, reason: null };
  }
}

async function scoreReadable(service, images, resize, signal) {
  const body = { inputs: images.map(({ input }) => input), ...(resize ? { resize: true } : {}) };
  const asked = { ...body, features: true, log_evidence: false, errors: "report" };
  const rows = { n: images.length, part: () => ({ body }) };
  const record = !images.some(({ isMade }) => isMade);
  const [scored, { mu }] = await Promise.all([service.elbo(asked, { signal, record }), service.encode(rows, { signal })]);
  const readable = images.map((_, i) => i).filter((i) => mu[i] !== null);
  const decoded = readable.length ? (await service.decode(readable.map((i) => mu[i]), { signal })).mean : [];
  const list = images.map(({ name, input, pixels }, i) => {
    const at = readable.indexOf(i);
    return {
      name,
      input,
      pixels,
      problem: at >= 0 ? null : (scored.errors?.find(({ row }) => row === i)?.reason ?? "it cannot be read"),
      score: scored.score[i],
      pValue: scored.p_value?.[i] ?? null,
      surprise: at >= 0 ? surpriseOf(scored.feature_log_likelihood[i]) : null,
      reconstruction: at >= 0 ? decoded[at] : null,
    };
  });
  return { list, reason: scored.p_value_reason };
}
