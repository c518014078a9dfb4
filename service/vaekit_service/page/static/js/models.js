/** Finds the models of the service and loads the one that was chosen. */

import { isSuperseded, Problem } from "./api.js";

const PAUSE_MS = 1500; // between two looks while a model loads or the service does not answer

/**
 * @param {ReturnType<import("./api.js").makeApi>} api
 * @param {import("./state.js").Store} state
 * @returns {{ load: (name?: string) => Promise<void> }} load: sets models and model, or problem; asks again while a
 *   model loads or the service does not answer
 */
export function makeLoader(api, state) {
  let timer;
  let hasAlpha = false; // the first model brings the service's; the visitor may change it
  let wanted; // the name that was asked for last: there may be no list to choose from yet, as without a key

  async function load(name) {
    clearTimeout(timer);
    wanted = name ?? wanted;
    try {
      const listed = await api.getJson("models", { slot: "models" });
      const chosen = choice(listed, wanted ?? state.get().chosen);
      state.set({ models: listed.models, chosen: chosen.name });
      checkLoaded(chosen);
      const model = await api.getJson(`models/${encodeURIComponent(chosen.name)}`, { slot: "model" });
      state.set({ problem: null, model, ...(hasAlpha || !model.default_alpha ? {} : { alpha: model.default_alpha }) });
      hasAlpha = true;
    } catch (error) {
      if (isSuperseded(error)) return;
      state.set({ problem: error, model: null });
      if (error.mayPass) timer = setTimeout(() => load(name), Math.max(PAUSE_MS, 1000 * (error.retryAfter ?? 0)));
    }
  }

  return { load };
}

/** The summary of the model to show. */
function choice({ models, default: preferred }, name) {
  if (models.length === 0) throw new Problem({ title: "No model", detail: NO_MODEL, retryAfter: 3 });
  const found =
    models.find((one) => one.name === name) ??
    models.find((one) => one.name === preferred) ??
    models.find((one) => one.state === "ready") ??
    models[0];
  return found;
}

/** Raise why a model cannot be shown yet, or at all. */
function checkLoaded(found) {
  if (found.state === "loading") {
    throw new Problem({ title: "Loading", detail: `The model ${found.name} is being loaded.`, retryAfter: 1 });
  }
  if (found.state === "failed") {
    throw new Problem({ title: "Not loaded", detail: `The model ${found.name} could not be loaded: ${found.reason}` });
  }
}

const NO_MODEL = "The service has no model yet. Train one with vae train, into the models folder of this service.";
