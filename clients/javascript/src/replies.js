/** Reads replies, and makes the error of an error reply. */

import * as errors from "./errors.js";
import { retryAfterSeconds } from "./retries.js";

const PROBLEM_TYPE = "application/problem+json";
const OF_THE_CALL = new Set(["model", "version", "num_samples", "seed"]); // fields with one value for all rows
const PLACE = /^row (\d+)(?:, (?:feature|latent|value) ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d+))?: [^:]*(?:: (.*))?$/s;

/**
 * The JSON document of a reply.
 *
 * @param {Response} response
 * @param {import("./requests.js").HttpCall} call
 * @returns {Promise<any>}
 */
export async function readReply(response, call) {
  if (response.status !== 200) throw await errorOf(response);
  if (mediaType(response) !== "application/json") {
    await drop(response);
    throw new errors.ProtocolError(`${response.url}: content type '${mediaType(response)}', expected application/json`);
  }
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new errors.ProtocolError(`${response.url}: not JSON`, { cause });
  }
  for (const field of call.fields ?? []) {
    if (body?.[field] === undefined) throw new errors.ProtocolError(`${response.url}: the reply has no ${field}`);
    const found = Array.isArray(body[field]) ? `${body[field].length} values` : typeof body[field];
    if (call.rows !== undefined && !OF_THE_CALL.has(field) && found !== `${call.rows} values`) {
      throw new errors.ProtocolError(
        `${response.url}: the reply has ${found} of ${field}, but the request had ${call.rows} rows`,
      );
    }
  }
  return body;
}

/** The error of a reply with a status other than 200. */
async function errorOf(/** @type {Response} */ response) {
  const { status, headers, url } = response;
  if (status < 400) {
    await drop(response);
    return new errors.ProtocolError(`${url}: unexpected status ${status}; expected a vaekit service at this URL`);
  }
  const problem = await problemOf(response);
  const detail = problem?.detail ?? `${url}: status ${status}`;
  if (status === 504) return new errors.DeadlineExceeded(detail);
  const facts = {
    status,
    requestId: headers.get("x-request-id") ?? problem?.instance,
    retryAfter: retryAfterSeconds(headers.get("retry-after"), headers.get("date")),
    problem,
    ...placeIn(detail),
  };
  return new (classOf(status, problem !== undefined))(detail, facts);
}

function classOf(/** @type {number} */ status, /** @type {boolean} */ isProblem) {
  if (status === 404 && isProblem) return errors.ModelNotFound; // without a problem document it is not from vaekit
  if (status === 401 || status === 403) return errors.Unauthorized;
  if (status === 429) return errors.TooBusy;
  if (status === 503) return errors.ServiceUnavailable;
  return status >= 500 ? errors.ServiceFailed : errors.RequestRefused;
}

/** @returns {Promise<import("../types/errors.js").Problem | undefined>} */
async function problemOf(/** @type {Response} */ response) {
  if (mediaType(response) !== PROBLEM_TYPE) {
    await drop(response);
    return undefined;
  }
  try {
    const found = await response.json();
    return typeof found?.detail === "string" ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Close the connection of a reply whose body is not read; it would stay open. */
async function drop(/** @type {Response} */ response) {
  await response.body?.cancel().catch(() => undefined);
}

/** The row, feature and value that a message names, as `row 17, feature 'mean area': not a number: "n/a"`. */
export function placeIn(/** @type {string} */ detail) {
  const found = PLACE.exec(detail);
  if (!found) return {};
  const [, row, name, value] = found;
  const feature = name?.replace(/^(['"])(.*)\1$/s, "$2").replace(/\\(['"\\])/g, "$1");
  return { row: Number(row), feature, value };
}

function mediaType(/** @type {Response} */ response) {
  return (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
}
