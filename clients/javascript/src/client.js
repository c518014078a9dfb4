/** The HTTP client. It needs fetch alone, and runs in Node and in browsers. */

import { ClientError, ConnectionFailed, DeadlineExceeded, InputError, ServiceUnavailable } from "./errors.js";
import { readReply } from "./replies.js";
import { getCall, modelPath, rowsCall, sampleCall } from "./requests.js";
import { pause, pauseMs, startTimer } from "./retries.js";

/**
 * @typedef {import("./requests.js").HttpCall} HttpCall
 * @typedef {{ signal?: AbortSignal, timeoutMs?: number }} CallOptions
 * @typedef {import("../types/index.js").ModelOptions} ModelOptions
 */

const TIMEOUT = 30_000; // ms
const LONGEST_WAIT = 60_000; // ms
const LARGE = 2 ** 20; // bytes of a body that a service or a proxy may refuse while it is being sent
const RETRIES = 2; // a busy moment passes unnoticed, and an outage is reported in about a second
const NOT_READY = [ConnectionFailed, DeadlineExceeded, ServiceUnavailable];

export class Client {
  #fetch;
  #headers;
  #timeoutMs;
  #retries;
  #longestWaitMs;
  #hasAnswered = false;

  /**
   * @param {string | URL} url
   * @param {import("../types/index.js").ClientOptions} [options]
   */
  constructor(url, options = {}) {
    const { key, timeoutMs = TIMEOUT, retries = RETRIES, longestWaitMs = LONGEST_WAIT, fetch } = options;
    this.url = checkedUrl(url);
    this.#headers = keyHeader(key === undefined ? environmentKey() : key);
    this.#timeoutMs = atLeastZero("timeoutMs", timeoutMs);
    this.#retries = atLeastZero("retries", retries);
    this.#longestWaitMs = atLeastZero("longestWaitMs", longestWaitMs);
    this.#fetch = fetch ?? ((/** @type {any} */ target, /** @type {any} */ init) => globalThis.fetch(target, init));
  }

  /** @param {any} inputs @param {import("../types/index.js").EncodeOptions} [options] */
  async encode(inputs, options = {}) {
    const [call, own] = separate(options);
    return this.#send(await rowsCall("encode", "inputs", inputs, own, ["model", "version", "mu", "sigma"]), call);
  }

  /** @param {any} latents @param {import("../types/index.js").DecodeOptions} [options] */
  async decode(latents, options = {}) {
    const [call, own] = separate(options);
    return this.#send(await rowsCall("decode", "latents", latents, own, ["model", "version", "mean"]), call);
  }

  /** @param {number} n @param {import("../types/index.js").SampleOptions} [options] */
  async sample(n, options = {}) {
    const [call, own] = separate(options);
    return this.#send(sampleCall(n, own), call);
  }

  /** @param {any} inputs @param {import("../types/index.js").ElboOptions} [options] */
  async elbo(inputs, options = {}) {
    const [call, own] = separate(options);
    const fields = ["model", "version", "elbo", "log_likelihood", "kl", "score", "num_samples"];
    return this.#send(await rowsCall("elbo", "inputs", inputs, own, fields), call);
  }

  /** @param {CallOptions} [options] */
  async models(options = {}) {
    return this.#send(getCall("/models", ["models"]), options);
  }

  /** @param {string} name @param {CallOptions & { version?: number }} [options] */
  async model(name, { version, ...options } = {}) {
    return this.#send(getCall(modelPath(name, version), ["format", "input"]), options);
  }

  /** @param {string} name @param {CallOptions & { version?: number }} [options] */
  async modelHealth(name, { version, ...options } = {}) {
    return this.#send(getCall(`${modelPath(name, version)}/health`, ["rows", "reading"]), options);
  }

  /** @param {CallOptions} [options] */
  async health(options = {}) {
    return this.#succeeds("/healthz", options);
  }

  /** @param {CallOptions} [options] */
  async ready(options = {}) {
    return this.#succeeds("/readyz", options);
  }

  /** @param {string} path @param {CallOptions} options */
  async #succeeds(path, options) {
    try {
      await this.#send(getCall(path), options, 0);
      return true;
    } catch (error) {
      if (NOT_READY.some((kind) => error instanceof kind)) return false;
      throw error;
    }
  }

  /**
   * The reply to a call, which is sent again where that is safe.
   *
   * @param {HttpCall} call
   * @param {CallOptions} options
   * @param {number} [retries]
   */
  async #send(call, { signal, timeoutMs = this.#timeoutMs }, retries = this.#retries) {
    const end = performance.now() + atLeastZero("timeoutMs", timeoutMs);
    const deadline = new AbortController();
    const timer = startTimer(() => deadline.abort(new DeadlineExceeded(this.#tooLate(timeoutMs))), timeoutMs);
    const stop = () => deadline.abort(signal?.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      for (let tries = 1; ; tries++) {
        try {
          return await this.#once(call, deadline.signal);
        } catch (error) {
          const state = { tries, most: retries, longestWaitMs: this.#longestWaitMs };
          const wait = pauseMs(error, { ...state, mayRepeat: this.#hasAnswered && !call.logged });
          if (wait === null || performance.now() + wait >= end) throw error;
          await pause(wait, deadline.signal);
        }
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** @param {HttpCall} call @param {AbortSignal} signal */
  async #once(call, signal) {
    const target = this.url + call.path + (call.query ? `?${call.query}` : "");
    const headers = { ...call.headers, ...this.#headers };
    try {
      const body = /** @type {BodyInit | undefined} */ (call.body);
      const response = await this.#fetch(target, { method: call.method, headers, body, signal, redirect: "manual" });
      this.#hasAnswered = true;
      return await readReply(response, call);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof ClientError) throw error;
      const cause = /** @type {any} */ (error);
      const why = cause?.cause?.message || cause?.cause?.code || cause?.message || String(cause);
      throw new ConnectionFailed(`${this.url}: connection failed: ${why}${noteOnSize(call)}`, { cause });
    }
  }

  #tooLate(/** @type {number} */ timeoutMs) {
    return `${this.url}: no reply within ${timeoutMs} ms; raise timeoutMs or send fewer rows`;
  }
}

/**
 * (options of the call, options of the operation).
 *
 * @param {ModelOptions} options
 * @returns {[CallOptions, Record<string, unknown>]}
 */
function separate({ signal, timeoutMs, ...others }) {
  return [{ signal, timeoutMs }, others];
}

/** The address without a slash at its end. */
function checkedUrl(/** @type {string | URL} */ url) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new InputError(`url: '${url}': expected http://host or https://host`, { cause });
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new InputError(`url: '${url}': expected http://host or https://host`);
  }
  if (parsed.username || parsed.password || parsed.search || parsed.hash) {
    throw new InputError("url: expected no user, query or fragment; give a key as the option key");
  }
  return parsed.href.replace(/\/+$/, "");
}

/** The key of VAE_API_KEY in Node; null if there is none. */
function environmentKey() {
  const { process } = /** @type {any} */ (globalThis);
  return process?.env?.VAE_API_KEY || null;
}

/** The header with the key as a bearer token. Messages do not show the key, because it is secret. */
function keyHeader(/** @type {unknown} */ key) {
  if (key === null) return /** @type {Record<string, string>} */ ({});
  if (typeof key !== "string" || !/^[!-~](?:[ -~]*[!-~])?$/.test(key)) {
    throw new InputError("key: expected printable ASCII with no space at either end");
  }
  return { authorization: `Bearer ${key}` };
}

/** Words for a broken connection: fetch does not show the reply 413 of a service that ends the connection with it. */
function noteOnSize(/** @type {HttpCall} */ { body }) {
  const size = body?.length ?? 0;
  return size < LARGE ? "" : `; the body has ${size} bytes, which may be more than the service takes: send fewer rows`;
}

function atLeastZero(/** @type {string} */ name, /** @type {unknown} */ value) {
  if (typeof value !== "number" || !(value >= 0)) throw new InputError(`${name}: ${String(value)}, expected 0 or more`);
  return value;
}
