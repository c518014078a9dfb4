/** The local scorer: a bundle on ONNX Runtime, without a service. Nats per row. */

import type { Cell, Matrix, Pixels, ToleranceRule } from "./index.js";

export {
  BundleError,
  ForbiddenGraph,
  FormatError,
  GoldenMismatch,
  InputError,
  IntegrityError,
  MissingPackage,
  NotFinite,
  VaeError,
} from "./errors.js";

/** The part of onnxruntime-node and onnxruntime-web that is used. */
export interface OnnxRuntime {
  InferenceSession: { create(bytes: Uint8Array, options?: object): Promise<any> };
  Tensor: new (type: any, data: any, dims: readonly number[]) => any;
  env?: any;
}

export interface OpenOptions {
  /** The module onnxruntime-node or onnxruntime-web; default: the one that is installed. */
  onnxruntime?: OnnxRuntime;
}

export type ToleranceRules = { readonly [column: string]: ToleranceRule };

export interface ScoreOptions {
  /** False-alarm rate of the verdict; without it there is no verdict. */
  alpha?: number;
  /** K; default: the manifest's. */
  num_samples?: number;
  /** Whether to compute the importance-weighted bound too; default false. */
  log_evidence?: boolean;
  /** Refuse novel rows and columns that the model does not have; default false. */
  strict?: boolean;
  /** Tolerance rules in place of the bundle's; {}: none. */
  ignore?: ToleranceRules;
}

/**
 * One value per row, under the names of the service's reply. Bounds and scores are in nats. For the time steps of
 * series, the result of the window that ends there; where none ends, null, and an empty list for novel and tolerated.
 */
export interface Scored {
  model: string;
  version: number;
  /** null for a novel row that a bundle before format 1.3 cannot score. */
  elbo: (number | null)[];
  log_likelihood: (number | null)[];
  kl: (number | null)[];
  /** null unless it was asked for. */
  log_evidence: (number | null)[] | null;
  /** -elbo: higher is more anomalous. */
  score: (number | null)[];
  /** The columns that make each row novel; null for images. */
  novel: string[][] | null;
  /** Lower is more anomalous; null without a calibration for K. */
  p_value: (number | null)[] | null;
  /** Extrapolated beyond the highest held-out score, without a guarantee; null without a tail. */
  p_value_tail: (number | null)[] | null;
  group: (string | null)[] | null;
  group_pooled: (boolean | null)[] | null;
  /** p_value <= alpha, unless tolerance rules remove the alarm. */
  is_anomaly: (boolean | null)[] | null;
  tolerated: string[][] | null;
  alpha: number | null;
  p_value_reason: string | null;
  num_samples: number;
  ignored_columns: string[];
}

/**
 * Rows in column order or by name, or as a matrix; for image models pixels 0..255. Files of images are not decoded. For
 * a model of series, the time steps of series, or windows.
 */
export type LocalInputs =
  | readonly (readonly Cell[] | ArrayLike<number> | { readonly [column: string]: unknown })[]
  | readonly Pixels[]
  | readonly (readonly (readonly Cell[])[])[]
  | Matrix;

/** A verified bundle: one version of a model. */
export class Bundle {
  /**
   * Read a version's folder, verify its files, and replay the golden rows of the graphs that score.
   *
   * @param source a folder's path (Node), the URL of a folder, or an object that reads a file by name
   * @throws FormatError, IntegrityError, ForbiddenGraph, GoldenMismatch: see BundleError
   * @throws MissingPackage: ONNX Runtime is not installed
   */
  static open(
    source: string | URL | { read(name: string): Promise<Uint8Array | ArrayBuffer> },
    options?: OpenOptions,
  ): Promise<Bundle>;

  readonly manifest: Manifest;

  /**
   * The ELBO of each row, its p-value, and whether it is an anomaly.
   *
   * @throws InputError: invalid rows or options
   */
  score(rows: LocalInputs, options?: ScoreOptions): Promise<Scored>;
  /** Replay the golden rows of all operations, also of those that `score` does not use. */
  replay(): Promise<void>;
  /** Release the memory of the graphs. */
  close(): Promise<void>;
}

export interface Column {
  name: string;
  kind?: "real" | "positive" | "count" | "fraction" | "binary" | "category";
  levels?: string[] | null;
  may_be_missing?: boolean;
  missing_values?: (number | string)[];
}

/** The rows of a model of series: windows of consecutive time steps. */
export interface SeriesWindow {
  steps: number;
  columns: string[];
  series?: string | null;
  time?: string | null;
  time_is?: "number" | "timestamp" | null;
  gap?: number | null;
}

export interface VectorInput {
  kind: "vector";
  columns: Column[];
  window?: SeriesWindow | null;
}

export interface ImageInput {
  kind: "image";
  height: number;
  width: number;
  channels: number;
  two_valued?: boolean;
}

export interface SignedFile {
  file: string;
  sha256: string;
}

export interface Graph extends SignedFile {
  inputs: { name: string; dtype: string; shape: (number | string)[] }[];
  outputs: { name: string; dtype: string; shape: (number | string)[] }[];
}

export interface Tail {
  shape: number;
  scale: number;
  threshold: number;
  exceedances: number;
  floor: number;
}

export interface GroupsEntry {
  by: string[];
  groups: { values: (string | number | null)[]; n: number; pooled: boolean; tails?: (Tail | null)[] }[];
}

export interface CalibrationEntry {
  array: string;
  precision?: "float32" | "float16";
  num_samples: number;
  n: number;
  folds?: { n: number; tail?: Tail | null }[] | null;
  observed_counts?: number[] | null;
  tail?: Tail | null;
  groups?: GroupsEntry | null;
}

/** The parts of manifest.json that the scorer reads; the object has all of them. */
export interface Manifest {
  format: string;
  name: string;
  version: number;
  input: VectorInput | ImageInput;
  prior: { name: "normal" | "aggregate" | "kernel"; components?: number | null };
  latent_dim: number;
  members?: number;
  width?: number;
  operations: Record<string, Graph>;
  draws: SignedFile & { rule?: string; default: number; maximum: number };
  calibration?: (SignedFile & { entries: CalibrationEntry[] }) | null;
  surprise?: SignedFile | null;
  golden: SignedFile & { tolerance: Record<string, { relative: number; absolute: number }> };
  novelty?: { rows: number; most_missing: number } | null;
  ignore?: ToleranceRules | null;
}
