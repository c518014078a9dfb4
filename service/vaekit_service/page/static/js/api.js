/** The one place that calls the service: keys, time limits, errors as sentences, requests that replace others. */

import { Problem, problemOf, readableError } from "./problems.js";

export { Problem };

const TIMEOUT_MS = 60_000;

/** The error of a request that a later one of the same slot has replaced. Ignore it. */
export class Superseded extends Error {}

/**
 * @typedef {object} CallOptions
 * @property {unknown} [body] sent as JSON, unless it is text or a Blob
 * @property {string} [type] content type of a body that is text or a Blob
 * @property {string} [accept] type of the reply, application/json by default
 * @property {Record<string, unknown>} [query] those that are null or undefined are left out
 * @property {string} [slot] a later request of the same slot replaces this one, which then throws Superseded
 * @property {AbortSignal} [signal] cancels the request, which then throws Superseded
 * @property {number} [timeoutMs]
 * @property {boolean} [quiet] tell nobody of a failure
 * @property {boolean} [record] false: the rows count neither in the health of the model nor in the score log
 */

/**
 * @param {{ base: URL, key: () => string | null, fetch?: typeof fetch, onRefusal?: (problem: Problem) => void,
 *   onFailure?: (problem: Problem) => void }} given
 *   base: the address of the service. onRefusal: told of replies that ask for a key or another one (401 and 403). onFailure: of
 *   all failures.
 */
export function makeApi({ base, key, fetch = globalThis.fetch.bind(globalThis), onRefusal = () => {}, onFailure = () => {} }) {
  const slots = new Map();
  const scored = new Map(); // by path: rows that count in the health of a model

  /**
   * @param {string} method
   * @param {string} path below the address of the service, such as "models"
   * @param {CallOptions} options
   * @returns {Promise<Response>} a reply that succeeded
   */
  async function call(method, path, options = {}) {
    const { signal, done } = begin(options);
    try {
      const response = await fetch(addressOf(base, path, options.query), { method, signal, ...contentOf(options, key()) });
      if (!response.ok) throw await problemOf(response);
      return await read(response);
    } catch (error) {
      if (signal.aborted && signal.reason instanceof Superseded) throw signal.reason;
      const problem = readableError(error, signal);
      if (!options.quiet) tell(problem);
      throw problem;
    } finally {
      done();
    }
  }

  function tell(problem) {
    onFailure(problem);
    if (problem.status === 401 || problem.status === 403) onRefusal(problem);
  }

  function begin({ slot, signal: outer, timeoutMs = TIMEOUT_MS }) {
    const controller = new AbortController();
    const replaced = () => controller.abort(new Superseded("a later request replaces this one"));
    if (slot !== undefined) {
      slots.get(slot)?.();
      slots.set(slot, replaced);
    }
    if (outer?.aborted) replaced();
    outer?.addEventListener("abort", replaced);
    const timer = setTimeout(() => controller.abort(new DOMException("", "TimeoutError")), timeoutMs);
    const done = () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", replaced);
      if (slots.get(slot) === replaced) slots.delete(slot);
    };
    return { signal: controller.signal, done };
  }

  const count = (path, rows) => scored.set(path, (scored.get(path) ?? 0) + rows);
  const get = (path, options) => call("GET", path, options);
  const post = (path, options) => call("POST", path, options);
  return {
    base,
    get,
    post,
    /** The JSON of a GET. @param {string} path @param {CallOptions} [options] */
    getJson: async (path, options) => jsonOf(await get(path, options)),
    /** The JSON of a POST. @param {string} path @param {CallOptions} options */
    async postJson(path, options) {
      const found = await jsonOf(await post(path, options));
      const counts = options.record !== false && options.body?.seed === undefined; // draws with a seed do not count
      if (counts) count(path, options.body?.inputs?.length ?? 0);
      return found;
    },
    /** How many rows this page has sent to a path that count in the health of the model. @param {string} path */
    scoredRows: (path) => scored.get(path) ?? 0,
    /** One object per line of a reply in NDJSON, with its headers. @param {string} path @param {CallOptions} options */
    async postLines(path, options) {
      const response = await post(path, { ...options, accept: "application/x-ndjson" });
      const lines = linesOf(await response.text());
      if (options.record !== false) count(path, lines.length);
      return { headers: response.headers, lines };
    },
  };
}

/** The path of a version of a model. @param {{ name: string, version: number }} model */
export function pathOf(model, what = "") {
  const path = `models/${encodeURIComponent(model.name)}/versions/${model.version}`;
  return what === "" ? path : `${path}/${what}`;
}

/** Whether an error only says that a newer request took the place of this one. @param {unknown} error */
export const isSuperseded = (error) => error instanceof Superseded;

function addressOf(base, path, query = {}) {
  const address = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) address.searchParams.set(name, String(value));
  }
  return address;
}

function contentOf({ body, type, accept = "application/json", record = true }, key) {
  const headers = { accept, ...(record ? {} : { "vae-record": "false" }) };
  if (key) headers.authorization = `Bearer ${key}`;
  if (body === undefined) return { headers };
  const isRaw = typeof body === "string" || body instanceof Blob || body instanceof FormData;
  if (!(body instanceof FormData)) headers["content-type"] = type ?? "application/json";
  return { headers, body: isRaw ? body : JSON.stringify(body) };
}

/** The reply with its whole body, so that a body that breaks off or takes too long is an error of the call. */
async function read(response) {
  const { status, headers } = response;
  return new Response(await response.blob(), { status, headers });
}

async function jsonOf(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem({ title: "Unexpected reply", detail: "The reply is not from this service: it is not JSON." });
  }
}

function linesOf(text) {
  try {
    const lines = text.split("\n").filter((line) => line !== "");
    const parsed = lines.map((line) => JSON.parse(line));
    if (parsed.at(-1)?.problem) throw new Problem(parsed.at(-1).problem);
    return parsed;
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem({ title: "Unexpected reply", detail: "The reply is not from this service: it is not NDJSON." });
  }
}
