/** Decides whether and when a request is sent again. */

import { ConnectionFailed, ServiceUnavailable, TooBusy } from "./errors.js";

const FIRST_PAUSE = 250; // ms, at most; it doubles with each try
const LONGEST_PAUSE = 8_000; // ms, at most, if the service names no time
const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;
const LONGEST_TIMER = 2 ** 31 - 1; // ms; a timer that is set for longer fires at once

/**
 * Milliseconds to wait before a request is sent again; null: the error is final.
 *
 * U(0, min(8 s, 0.25 s * 2^(tries - 1))), and with Retry-After that many seconds more: full jitter, so that clients
 * that were refused together do not return together. A request is sent again after 429, after a 503 with Retry-After,
 * and after a broken connection. The same request would fail again after any other status, and after a 503 without
 * Retry-After. A request that took too long is not sent again: the service may still be at work on it.
 *
 * @param {unknown} error of the last try
 * @param {object} state
 * @param {number} state.tries number of tries so far, at least 1
 * @param {number} state.most number of times that a request may be sent again
 * @param {number} state.longestWaitMs
 * @param {boolean} state.mayRepeat whether a request whose connection broke may be sent again: not if the service has
 *   never answered, because the address is likely wrong, nor if the request has ids, which may be in the score log
 *   already
 * @param {() => number} [state.random]
 * @returns {number | null}
 */
export function pauseMs(error, { tries, most, longestWaitMs, mayRepeat, random = Math.random }) {
  const after = askedMs(error, mayRepeat);
  if (after === null || tries > most || after > longestWaitMs) return null;
  return after + random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1));
}

/** The pause that the service asks for, in ms; null if the request must not be sent again. */
function askedMs(/** @type {unknown} */ error, /** @type {boolean} */ mayRepeat) {
  if (error instanceof TooBusy) return 1000 * (error.retryAfter ?? 0);
  if (error instanceof ServiceUnavailable) return error.retryAfter === undefined ? null : 1000 * error.retryAfter;
  return error instanceof ConnectionFailed && mayRepeat ? 0 : null;
}

/**
 * Calls a function after so many milliseconds, at the latest after 24 days; setTimeout itself does so at once if they
 * are more.
 *
 * @param {() => void} call @param {number} ms
 */
export function startTimer(call, ms) {
  return setTimeout(call, Math.min(ms, LONGEST_TIMER));
}

/**
 * The seconds of a Retry-After header, which are whole seconds or a date; undefined if it is neither.
 *
 * @param {string | null} text of Retry-After
 * @param {string | null} date of the reply's own header Date, by the server's clock; null: by this machine's
 */
export function retryAfterSeconds(text, date) {
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  const at = HTTP_DATE.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(at)) return undefined;
  const sent = date && HTTP_DATE.test(date) ? Date.parse(date) : NaN;
  return Math.max(0, Math.ceil((at - (Number.isNaN(sent) ? Date.now() : sent)) / 1000));
}

/**
 * Resolves after a pause; rejects with the signal's reason if it is aborted first.
 *
 * @param {number} ms @param {AbortSignal} signal
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = startTimer(() => {
      signal.removeEventListener("abort", stop);
      resolve(undefined);
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
