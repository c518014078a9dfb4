/**
 * The state that the panels share: a small observable store.
 *
 * @typedef {object} PageState
 * @property {string | null} key the key of the service, if the visitor has entered one
 * @property {boolean} down whether the service does not answer at the moment
 * @property {{ text: string, label?: string, act?: () => void } | null} notice what has changed in the service
 * @property {boolean} needsKey whether the service has refused a request without a key, or with another scope
 * @property {object[]} models the models of the service, as GET /models lists them
 * @property {string | null} chosen the name of the model that is shown or being loaded
 * @property {object | null} model the manifest of the model that was chosen, as GET /models/{name} answers it
 * @property {import("./api.js").Problem | null} problem why there is no model
 * @property {import("./rows/rows.js").Rows | null} rows the rows of a table model
 * @property {import("./rows/results.js").Results | null} results the scores of these rows, or of images
 * @property {number | null} selected index of the selected row
 * @property {number} alpha the false-alarm rate
 * @property {{ list: import("./images/score.js").ScoredImage[], resize: boolean, areSamples: boolean } | null} images the
 *   scored images, and whether they are samples of the model
 * @property {{ model: object, z: number[], label: string, value: unknown } | null} start the latent vector from which
 *   sliders and interpolation start: of the row that was selected last
 *
 * @typedef {object} Store
 * @property {() => PageState} get the current values; do not change them
 * @property {(patch: Partial<PageState>) => void} set change some values and tell those who watch them
 * @property {(names: string[], listener: (state: PageState) => void) => () => void} watch call the listener after one
 *   of these values has changed; the result stops that
 */

/**
 * @param {Partial<PageState>} given values other than the defaults
 * @returns {Store}
 */
export function makeState(given = {}) {
  let current = {
    key: null,
    needsKey: false,
    down: false,
    notice: null,
    models: [],
    chosen: null,
    model: null,
    problem: null,
    rows: null,
    results: null,
    selected: null,
    alpha: 0.05,
    images: null,
    start: null,
    ...given,
  };
  const watchers = new Set();
  return {
    get: () => current,
    set(patch) {
      const changed = new Set(Object.keys(patch).filter((name) => !Object.is(patch[name], current[name])));
      if (changed.size === 0) return;
      current = { ...current, ...patch };
      for (const { names, listener } of [...watchers]) {
        if (names.some((name) => changed.has(name))) listener(current);
      }
    },
    watch(names, listener) {
      const watcher = { names, listener };
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}
