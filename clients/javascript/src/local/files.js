/** Reads the files of a bundle from a folder, a URL or a function, and verifies their sha256. */

import { FormatError, IntegrityError, InputError } from "../errors.js";

/** @typedef {(name: string) => Promise<Uint8Array>} ReadFile */

/**
 * How to read a bundle's files, by their names.
 *
 * @param {unknown} source a folder's path (Node), a URL of a folder, or an object with `read(name)`
 * @returns {{ read: ReadFile, where: string }}
 */
export function fileReader(source) {
  const own = /** @type {{ read?: unknown } | null} */ (source);
  if (own !== null && typeof own === "object" && typeof own.read === "function") {
    const read = own.read.bind(own);
    return { read: async (name) => asBytes(await read(name)), where: "bundle" };
  }
  if (source instanceof URL || (typeof source === "string" && /^(?:https?|file):\/\//i.test(source))) {
    const url = new URL(source);
    if (url.protocol !== "file:") return overHttp(url);
    return inFolder(url);
  }
  if (typeof source === "string" && source !== "") return inFolder(source);
  throw new InputError("bundle: expected the path or the URL of a version's folder, or an object with read(name)");
}

/** @param {unknown} found @returns {Uint8Array} */
function asBytes(found) {
  if (found instanceof Uint8Array) return found;
  if (found instanceof ArrayBuffer) return new Uint8Array(found);
  throw new InputError("bundle: read(name) must give a Uint8Array or an ArrayBuffer");
}

/**
 * The query of the folder's URL is sent with each file, as signed URLs need it. Messages do not show it, because it may
 * be secret.
 *
 * @param {URL} folder
 * @returns {{ read: ReadFile, where: string }}
 */
function overHttp(folder) {
  if (folder.username || folder.password) {
    throw new InputError("bundle: expected a URL without user and password, which fetch refuses");
  }
  const base = Object.assign(new URL(folder), { search: "", hash: "" });
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return {
    where: base.href,
    read: async (name) => {
      const file = new URL(name, base);
      file.search = folder.search;
      const reply = await fetch(file);
      if (reply.ok) return new Uint8Array(await reply.arrayBuffer());
      await reply.body?.cancel();
      throw new Error(`status ${reply.status}`);
    },
  };
}

/** @param {string | URL} folder @returns {{ read: ReadFile, where: string }} */
function inFolder(folder) {
  return {
    where: String(folder),
    // imported here: browsers have no folders
    read: async (name) => (await import("#folder")).readFromFolder(folder, name),
  };
}

/**
 * The manifest as parsed JSON.
 *
 * @param {{ read: ReadFile, where: string }} files
 * @returns {Promise<any>}
 */
export async function readManifest({ read, where }) {
  let bytes;
  try {
    bytes = await read("manifest.json");
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(`${where}: no manifest.json; expected the folder of one version of a model (${why})`, {
      cause,
    });
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError(`${where}: manifest.json: not JSON`, { cause });
  }
}

/**
 * The bytes of a file whose sha256 is in the manifest.
 *
 * They are hashed and used from one copy in memory, so that later changes of the file have no effect.
 *
 * @param {{ read: ReadFile, where: string }} files
 * @param {{ file: string, sha256: string }} signed
 */
export async function readSigned({ read, where }, { file, sha256 }) {
  let bytes;
  try {
    bytes = await read(file);
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new IntegrityError(`${where}: ${file} cannot be read: ${why}`, { cause });
  }
  const found = await sha256Of(bytes);
  if (found !== sha256) {
    throw new IntegrityError(
      `${where}: ${file}: sha256 is ${found.slice(0, 12)}..., the manifest has ${sha256.slice(0, 12)}...; the file ` +
        "has changed since it was published: restore it, or publish the model again",
    );
  }
  return bytes;
}

/** @param {Uint8Array} bytes */
async function sha256Of(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new IntegrityError("this page has no WebCrypto to verify the bundle with; serve it over https or localhost");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
