/** What can go wrong with a request, as sentences for people. */

/** A request that failed. `message` is one sentence or two; `title` names the kind. */
export class Problem extends Error {
  /**
   * @param {{ title?: string, detail?: string, status?: number | null, retryAfter?: number | null, scope?: string | null,
   *   instance?: string | null }} given status: 0 if there was no reply, null if it is not about a reply. retryAfter: seconds.
   */
  constructor({ title = "Problem", detail = "", status = null, retryAfter = null, scope = null, instance = null }) {
    super(detail || title);
    this.title = title;
    this.status = status;
    this.retryAfter = retryAfter;
    this.scope = scope;
    this.requestId = instance;
  }

  /** Whether the same request may succeed in a moment. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.retryAfter !== null;
  }
}

/** The problem that a reply describes. @param {Response} response */
export async function problemOf(response) {
  const { status, headers } = response;
  const retryAfter = secondsOf(headers.get("retry-after"));
  const scope = /scope="([^"]+)"/.exec(headers.get("www-authenticate") ?? "")?.[1] ?? null;
  const said = await response.json().catch(() => null);
  const title = typeof said?.title === "string" ? said.title : (TITLES[status] ?? `Status ${status}`);
  const detail = typeof said?.detail === "string" ? said.detail : `The service answered with status ${status}.`;
  const instance = said?.instance ?? headers.get("x-request-id");
  return new Problem({ title, detail: withAdvice(detail, status, retryAfter, scope), status, retryAfter, scope, instance });
}

/** The problem behind an error of fetch. @param {unknown} error @param {AbortSignal} signal */
export function readableError(error, signal) {
  if (error instanceof Problem) return error;
  if (signal.aborted && signal.reason?.name === "TimeoutError") {
    return new Problem({ title: "No answer in time", detail: "The service did not answer in time. Try again.", status: 0 });
  }
  return new Problem({
    title: "No connection",
    detail: "The service does not answer. It may have stopped, or the connection is down.",
    status: 0,
  });
}

const NO_KEY = /^a key is required/i; // the rest of the sentence is for programs

const TITLES = {
  401: "Key required",
  403: "Missing scope",
  404: "Not found",
  413: "Too large",
  429: "Too many requests",
  500: "Internal error",
  502: "Bad gateway",
  503: "Not ready",
  504: "No answer in time",
};

function withAdvice(detail, status, retryAfter, scope) {
  const sentence = /[.!?]$/.test(detail) ? detail : `${detail}.`;
  const first = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  if (retryAfter !== null) return `${first} Try again in ${retryAfter} s.`;
  if (status === 401) return NO_KEY.test(detail) ? "This service asks for a key. Enter the one you were given." : first;
  if (status === 403 && scope) return `${first} Enter a key with the scope ${scope}.`;
  return first;
}

function secondsOf(text) {
  if (text === null) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
