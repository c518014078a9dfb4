/** HTTP client of the vaekit service. Field names of requests and replies are those of the wire reference. */

export * from "./errors.js";

/** A cell of a row: null, undefined and NaN are missing; a category is the name of its level. */
export type Cell = number | bigint | string | boolean | null | undefined;

/** A row of a table: a list in column order, or an object by column name. */
export type Row = readonly Cell[] | ArrayLike<number> | { readonly [column: string]: unknown };

/** The bytes of a PNG or JPEG file. */
export type ImageFile = Uint8Array | ArrayBuffer | Blob;

/** An image as H x W x C integers 0..255. */
export type Pixels = readonly (readonly (readonly number[])[])[];

/** An array of numbers, row by row. A category is the index of its level, a missing cell is NaN. Sent as npy. */
export interface Matrix {
  data: Float64Array | Float32Array | Uint8Array;
  shape: readonly number[];
}

/** Rows in any of the forms that the service reads. A call takes one form. */
export type Inputs = readonly Row[] | readonly ImageFile[] | readonly Pixels[] | Matrix;

export interface ClientOptions {
  /** API key, sent as a bearer token. In Node, VAE_API_KEY is used if this is left out; null: send no key. */
  key?: string | null;
  /** Milliseconds for one call, its retries included; default 30,000. */
  timeoutMs?: number;
  /** Number of times that a request may be sent again, if that is safe; default 2. */
  retries?: number;
  /** If the service asks for a longer pause before the next try, the error is raised at once; default 60,000. */
  longestWaitMs?: number;
  /** Replaces the global fetch, for example in tests. */
  fetch?: typeof fetch;
}

/** Options of every call. */
export interface CallOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** In place of the client's. */
  timeoutMs?: number;
}

/** Which model answers: by default the service's default model, in the version that it uses. */
export interface ModelOptions extends CallOptions {
  model?: string;
  version?: number;
}

/** What happens to rows that cannot be read: they refuse the request, or are reported in place of their result. */
export type InvalidRows = "fail" | "report";

export interface EncodeOptions extends ModelOptions {
  strict?: boolean;
  errors?: InvalidRows;
}

export interface DecodeOptions extends ModelOptions {
  /** The member that decodes the latents: one number, or one for each. Required if the model has members. */
  members?: number | readonly number[];
}

export interface SampleOptions extends ModelOptions {
  seed?: number;
  temperature?: number;
  observe?: boolean;
}

export interface ToleranceRule {
  above?: number | "any";
  below?: number | "any";
}

export interface ElboOptions extends ModelOptions {
  num_samples?: number;
  seed?: number;
  alpha?: number;
  fdr?: number;
  log_evidence?: boolean;
  features?: boolean;
  explain?: number;
  similar?: number;
  ignore?: { readonly [column: string]: ToleranceRule };
  /** Your ids of the rows, for the service's score log. */
  ids?: readonly (string | number | bigint | null)[];
  /** The column that has the ids, for rows by column name. */
  id_column?: string;
  strict?: boolean;
  errors?: InvalidRows;
}

/** Nested lists of numbers, or level names for categories. */
export type Nested = (number | string | null | Nested)[];

interface Reply {
  model: string;
  version: number;
}

/** A row that could not be read; column is null if the row as a whole could not. */
export interface RefusedRow {
  row: number;
  column: string | null;
  reason: string;
  value?: unknown;
  id?: string | number | null;
}

/** Fields with one value per row are null for a row that could not be read, and for a time step without a window. */
interface RowsReply extends Reply {
  ignored_columns?: string[];
  warnings?: string[];
  /** With errors: "report", the rows that could not be read. */
  errors?: RefusedRow[];
}

export interface EncodeReply extends RowsReply {
  /** (N, Z), or (N, M, Z) for a model with M members. */
  mu: Nested;
  sigma: Nested;
  weights?: number[][] | null;
}

export interface DecodeReply extends Reply {
  mean: Nested;
  scale?: Nested | null;
  df?: number[][] | null;
  probabilities?: Record<string, number[][]> | null;
}

export interface SampleReply extends Reply {
  seed: number;
  latents: number[][];
  samples: Nested;
  members?: number[] | null;
}

export interface AnomalousCell {
  feature: string;
  value: number | string | null;
  surprise: number;
  excess: number;
  p_value: number;
  relief: number;
  expected: number | string;
  low: number | null;
  high: number | null;
  probability: number | null;
}

export interface SimilarRow {
  row: number;
  weight: number;
  values: Record<string, number | string | null>;
}

export interface ElboReply extends RowsReply {
  elbo: (number | null)[];
  log_likelihood: (number | null)[];
  kl: (number | null)[];
  log_evidence: (number | null)[] | null;
  /** -elbo: higher is more anomalous. */
  score: (number | null)[];
  novel?: (string[] | null)[] | null;
  /** Lower is more anomalous. */
  p_value: (number | null)[] | null;
  p_value_tail?: (number | null)[] | null;
  group?: (string | null)[] | null;
  group_pooled?: (boolean | null)[] | null;
  is_anomaly: (boolean | null)[] | null;
  tolerated?: (string[] | null)[] | null;
  is_discovery?: (boolean | null)[] | null;
  alpha: number | null;
  p_value_reason: string | null;
  num_samples: number;
  bits_per_dim?: (number | null)[] | null;
  feature_log_likelihood?: Nested | null;
  observed_count?: (number | null)[] | null;
  explanation?: (AnomalousCell[] | null)[] | null;
  kl_p_value?: (number | null)[] | null;
  similar?: (SimilarRow[] | null)[] | null;
}

export interface ModelSummary {
  name: string;
  version: number;
  versions: number[];
  state: "loading" | "ready" | "failed";
  reason?: string | null;
  failed: Record<string, string>;
  pinned?: number | null;
  loaded: number[];
  proposed: number[];
}

export interface ModelList {
  default: string | null;
  models: ModelSummary[];
}

export interface ModelHealth extends Reply {
  rows: number;
  reading: string;
  [figure: string]: number | string | null;
}

/** A client of a running service. Calls may run at the same time. */
export class Client {
  /**
   * @param url address of the service, including a path prefix if there is one
   * @throws InputError: an invalid address, key or option
   */
  constructor(url: string | URL, options?: ClientOptions);

  /** Address of the service. */
  readonly url: string;

  /** q(z|x) of each row: mu and sigma. */
  encode(inputs: Inputs, options?: EncodeOptions): Promise<EncodeReply>;
  /** Mean and scale of p(x|z) in raw units, for latents z (N, Z). */
  decode(
    latents: readonly (readonly number[] | ArrayLike<number>)[] | Matrix,
    options?: DecodeOptions,
  ): Promise<DecodeReply>;
  /** n draws of the model. */
  sample(n: number, options?: SampleOptions): Promise<SampleReply>;
  /** ELBO of each row in nats, p-value, verdict at alpha, and on request explanations. */
  elbo(inputs: Inputs, options?: ElboOptions): Promise<ElboReply>;
  /** The models that the service has loaded. */
  models(options?: CallOptions): Promise<ModelList>;
  /** The manifest of a version of a model; default: the version in use. */
  model(name: string, options?: CallOptions & { version?: number }): Promise<Record<string, any>>;
  /** The last scored rows of a version against its calibration. */
  modelHealth(name: string, options?: CallOptions & { version?: number }): Promise<ModelHealth>;
  /** Whether the service runs; false if it does not answer. */
  health(options?: CallOptions): Promise<boolean>;
  /** Whether the service is ready for requests; false if it does not answer. */
  ready(options?: CallOptions): Promise<boolean>;
}
