/** Knows whether the service answers and which models it has: looks often while it is gone, now and then otherwise. */

const WHILE_DOWN_MS = 2000;
const WHILE_UP_MS = 10_000;
const GONE = new Set([0, 502, 503, 504]); // statuses after which to look; 0: no reply

/**
 * @param {object} api
 * @param {import("../state.js").Store} state
 * @param {{ show: (name?: string) => void, hidden?: () => boolean }} given show: load the newest version of a model
 * @returns {{ failed: (problem: import("../problems.js").Problem) => void, watch: () => void,
 *   end: () => void }} failed: tell it of a
 *   request that failed; watch: begin to look;
 *   end: stop
 */
export function makeConnection(api, state, { show, hidden = () => document.hidden }) {
  let timer;
  let looking = false;
  let isOver = false;

  async function look() {
    clearTimeout(timer);
    const before = state.get();
    if (!looking && before.model !== null && (before.down || !hidden())) {
      looking = true;
      try {
        const { models } = await api.getJson("models", { slot: "connection", timeoutMs: 10_000, quiet: true });
        changed(state, models, show);
      } catch (problem) {
        if (GONE.has(problem.status)) state.set({ down: true });
      }
      looking = false;
    }
    if (!isOver) timer = setTimeout(look, state.get().down ? WHILE_DOWN_MS : WHILE_UP_MS);
  }

  return {
    failed: (problem) => {
      if (GONE.has(problem.status) && !state.get().down && !looking) look();
    },
    watch: () => {
      timer = setTimeout(look, WHILE_UP_MS);
    },
    end: () => {
      isOver = true;
      clearTimeout(timer);
    },
  };
}

/** Whether a request failed because the service does not answer. @param {unknown} problem */
export const isGone = (problem) => GONE.has(problem?.status);

/**
 * Repeat what failed because the service did not answer, each time it answers again.
 *
 * @param {import("../state.js").Store} state
 * @param {() => unknown} problemOf what failed last
 * @param {() => void} again
 * @returns {() => void} stop that
 */
export function whenBack(state, problemOf, again) {
  return state.watch(["down"], ({ down }) => void (!down && isGone(problemOf()) && again()));
}

/** The list of models has been read again. */
function changed(state, models, show) {
  const { models: before, model, notice } = state.get();
  const now = models.find(({ name }) => name === model.name);
  const patch = JSON.stringify(models) === JSON.stringify(before) ? {} : { models };
  const gone = before.filter(({ name }) => models.every((one) => one.name !== name)).map(({ name }) => name);
  if (gone.length > 0) patch.notice = { text: `${gone.join(", ")}: no longer served.` };
  else if (now?.state === "ready" && now.version !== model.version) {
    const text = `Version ${now.version} of ${now.name} is now served; this is version ${model.version}.`;
    if (notice?.text !== text) patch.notice = { text, label: "Show it", act: () => show(now.name) };
  }
  const isBack = now === undefined || now.state === "ready"; // after a restart, models take a moment to load
  state.set({ ...patch, down: !isBack && state.get().down });
  if (now === undefined) show();
}
