/** Keeps what a visitor has loaded for each model, while another model is shown. */

const NOTHING = { rows: null, results: null, selected: null, images: null, start: null };

/** @param {import("../state.js").Store} state */
export function makeVisits(state) {
  const kept = new Map(); // by name of the model
  let isAway = false; // whether the model that is left still shows

  return {
    /** Before another model, or another version, is loaded. */
    leave() {
      const { model, rows, results, selected, images } = state.get();
      if (model !== null && !isAway) kept.set(model.name, { version: model.version, rows, results, selected, images });
      isAway = true;
      state.set(NOTHING);
    },
    /** After a model was loaded, before its panels are mounted. Scores of another version are left out: rows are scored again. */
    enter() {
      const { model } = state.get();
      if (model === null || !isAway) return;
      isAway = false;
      const { version, ...found } = kept.get(model.name) ?? {};
      if (version === model.version) state.set({ ...NOTHING, ...found });
      else if (found.rows) state.set({ ...NOTHING, rows: found.rows });
    },
  };
}
