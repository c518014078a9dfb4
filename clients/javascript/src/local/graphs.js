/** Runs the ONNX graphs of a bundle on ONNX Runtime, after it has replayed their golden rows. */

import { checkGraph } from "./onnxfile.js";
import { FormatError, GoldenMismatch, InputError, MissingPackage, NotFinite } from "../errors.js";

/**
 * @typedef {import("./npy.js").NdArray} NdArray
 * @typedef {import("./manifest.js").Manifest} Manifest
 * @typedef {import("../../types/local.js").Graph} Graph
 * @typedef {import("../../types/local.js").OnnxRuntime} OnnxRuntime
 * @typedef {{ shape: number[], data: any }} Array_ values and shape of a tensor
 */

const ANY = -1; // golden index that is not compared

/**
 * @type {WeakMap<OnnxRuntime, Promise<unknown>>} the last call of each build for browsers, which makes one at a time
 */
const lastCalls = new WeakMap();

/** Whether this is the build for Node, which has threads of its own. */
function isNative(/** @type {OnnxRuntime} */ onnxruntime) {
  return Boolean(onnxruntime.env?.versions?.node);
}

/**
 * Make a call of ONNX Runtime; of the build for browsers after the calls before.
 *
 * @template T
 * @param {OnnxRuntime} onnxruntime
 * @param {() => Promise<T>} call
 * @returns {Promise<T>}
 */
function inTurn(onnxruntime, call) {
  if (isNative(onnxruntime)) return call();
  const found = (lastCalls.get(onnxruntime) ?? Promise.resolve()).then(call);
  lastCalls.set(
    onnxruntime,
    found.catch(() => undefined),
  );
  return found;
}

/** @returns {Promise<OnnxRuntime>} */
export async function installedRuntime() {
  try {
    return /** @type {any} */ (await import("#onnxruntime"));
  } catch (cause) {
    throw new MissingPackage(
      "ONNX Runtime is not installed: npm install onnxruntime-node (for browsers onnxruntime-web), or pass it as " +
        "the option onnxruntime",
      { cause },
    );
  }
}

/** The graphs of one bundle. A graph is opened, and its golden rows are replayed, when it is first used. */
export class Graphs {
  #manifest;
  #files;
  #golden;
  #onnxruntime;
  /** @type {Map<string, Promise<any>>} */
  #sessions = new Map();
  /** @type {Set<Promise<unknown>>} */
  #running = new Set();
  #isClosed = false;

  /**
   * @param {Manifest} manifest
   * @param {Map<string, Uint8Array>} files verified files by name
   * @param {Map<string, NdArray>} golden
   * @param {OnnxRuntime} onnxruntime
   */
  constructor(manifest, files, golden, onnxruntime) {
    this.#manifest = manifest;
    this.#files = files;
    this.#golden = golden;
    this.#onnxruntime = onnxruntime;
  }

  /** Whether the bundle has an operation. */
  has(/** @type {string} */ operation) {
    return Object.hasOwn(this.#manifest.operations, operation);
  }

  /** Whether a graph can leave cells out. */
  takesObserved(/** @type {string} */ operation) {
    return this.has(operation) && this.#graph(operation).inputs.some((tensor) => tensor.name === "observed");
  }

  /** Whether a graph has an output. */
  gives(/** @type {string} */ operation, /** @type {string} */ output) {
    return this.has(operation) && this.#graph(operation).outputs.some((tensor) => tensor.name === output);
  }

  /**
   * Call one graph once.
   *
   * @param {string} operation
   * @param {Record<string, Array_>} feeds by the names of its inputs
   * @returns {Promise<Record<string, Array_>>} outputs by name
   */
  async run(operation, feeds) {
    const call = this.open(operation).then((session) => this.#call(operation, session, feeds));
    this.#running.add(call);
    const outputs = await call.finally(() => this.#running.delete(call));
    for (const [name, { data }] of Object.entries(outputs)) {
      if (data instanceof BigInt64Array || data.every(Number.isFinite)) continue;
      throw new NotFinite(`${this.#manifest.name}: ${operation}: output ${name} is not finite`);
    }
    return outputs;
  }

  /** Open an operation's graph and replay its golden rows, once. */
  async open(/** @type {string} */ operation) {
    if (this.#isClosed) throw new InputError(`${this.#manifest.name}: the bundle is closed`);
    let session = this.#sessions.get(operation);
    if (!session) {
      session = this.#open(operation);
      this.#sessions.set(operation, session);
    }
    return session;
  }

  async #open(/** @type {string} */ operation) {
    if (!this.has(operation)) throw new InputError(`${this.#manifest.name} has no operation ${operation}`);
    const { file } = this.#graph(operation);
    const bytes = /** @type {Uint8Array} */ (this.#files.get(file));
    checkGraph(bytes, file);
    const onnxruntime = this.#onnxruntime;
    // float64, in which tables are standardised, exists on the CPU alone
    const executionProviders = [isNative(onnxruntime) ? "cpu" : "wasm"];
    const options = { executionProviders, logSeverityLevel: 3 };
    const session = await inTurn(onnxruntime, () => onnxruntime.InferenceSession.create(bytes, options));
    await this.#replay(operation, session);
    return session;
  }

  /** Compare the outputs for the golden inputs with the golden outputs. */
  async #replay(/** @type {string} */ operation, /** @type {any} */ session) {
    const { name, golden } = this.#manifest;
    const what = `${name}: ${operation}`;
    const feeds = withPrefix(this.#golden, `${operation}.in.`);
    const wanted = withPrefix(this.#golden, `${operation}.out.`);
    const units = withPrefix(this.#golden, `${operation}.unit.`);
    const tolerance = golden.tolerance.CPUExecutionProvider;
    if (!tolerance) throw new FormatError(`${name}: ${golden.file} has no tolerance for CPUExecutionProvider`);
    if (Object.keys(wanted).length === 0) throw new FormatError(`${what} has no golden rows`);
    let got;
    try {
      got = await this.#call(operation, session, feeds);
    } catch (cause) {
      throw new GoldenMismatch(`${what}: the graph cannot run its golden rows: ${String(cause)}`, { cause });
    }
    for (const [output, want] of Object.entries(wanted)) {
      compare(`${what}: ${output}`, got[output], want, tolerance, units[output]);
    }
  }

  async #call(
    /** @type {string} */ operation,
    /** @type {any} */ session,
    /** @type {Record<string, Array_>} */ feeds,
  ) {
    const { Tensor } = this.#onnxruntime;
    const tensors = Object.fromEntries(
      this.#graph(operation).inputs.map(({ name, dtype }) => {
        if (!feeds[name]) throw new InputError(`${operation}: no input ${name}`);
        return [name, new Tensor(dtype, feeds[name].data, feeds[name].shape)];
      }),
    );
    /** @type {Record<string, any>} */
    const found = await inTurn(this.#onnxruntime, () => session.run(tensors));
    return Object.fromEntries(
      Object.entries(found).map(([name, tensor]) => [name, { shape: [...tensor.dims], data: tensor.data }]),
    );
  }

  /** Release the memory of all graphs, after the calls that run: a graph that is released meanwhile fails or crashes. */
  async close() {
    this.#isClosed = true;
    const open = [...this.#sessions.values()];
    this.#sessions.clear();
    const sessions = await Promise.allSettled(open);
    await Promise.allSettled([...this.#running]);
    for (const session of sessions) if (session.status === "fulfilled") await session.value.release();
  }

  /** @returns {Graph} */
  #graph(/** @type {string} */ operation) {
    return this.#manifest.operations[operation];
  }
}

/** @returns {Record<string, NdArray>} */
function withPrefix(/** @type {Map<string, NdArray>} */ arrays, /** @type {string} */ prefix) {
  const found = [...arrays].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, array]) => [name.slice(prefix.length), array]));
}

/**
 * |got - want| <= absolute unit + relative |want|; indices must be equal.
 *
 * @param {string} what
 * @param {Array_ | undefined} got
 * @param {NdArray} want
 * @param {{ relative: number, absolute: number }} tolerance
 * @param {NdArray} [unit] one value, or the sizes of the last axes
 */
function compare(what, got, want, { relative, absolute }, unit) {
  if (!got || got.shape.join() !== want.shape.join()) {
    throw new GoldenMismatch(`${what}: shape (${got?.shape.join(", ")}), golden (${want.shape.join(", ")})`);
  }
  want.data.forEach((/** @type {any} */ wanted, /** @type {number} */ i) => {
    const found = got.data[i];
    const size = unit ? Number(unit.data[i % unit.data.length]) : 1;
    const fits =
      want.dtype === "int64"
        ? found === wanted || Number(wanted) === ANY
        : Math.abs(Number(found) - Number(wanted)) <= absolute * size + relative * Math.abs(Number(wanted));
    if (!fits) {
      throw new GoldenMismatch(`${what}: got ${found} at ${i}, golden ${wanted}; this machine gives other results`);
    }
  });
}
