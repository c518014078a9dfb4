/** Runs an asynchronous task for the latest argument only, with at most one run at a time. */

/**
 * While a run is going on, further arguments replace each other; the last one runs when it has ended.
 *
 * @template T
 * @param {(argument: T) => Promise<void>} task
 * @param {(error: unknown) => void} failed is told of a run that failed; later ones still run
 * @returns {{call: (argument: T) => void, stop: () => void}} `stop` drops what waits
 */
export function latest(task, failed) {
  let busy = false;
  let waiting = null;
  let stopped = false;

  async function run(argument) {
    busy = true;
    try {
      await task(argument);
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
      const next = waiting;
      waiting = null;
      if (next && !stopped) run(next.argument);
    }
  }

  return {
    call(argument) {
      if (stopped) return;
      if (busy) waiting = { argument };
      else run(argument);
    },
    stop() {
      stopped = true;
      waiting = null;
    },
  };
}
