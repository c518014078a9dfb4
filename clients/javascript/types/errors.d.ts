/** The errors of both parts of the package; src/errors.js draws their tree. */

export class VaeError extends Error {
  constructor(message: string, options?: { cause?: unknown });
}

/** Invalid rows or arguments. */
export class InputError extends VaeError {}

/** A bundle that cannot be used. */
export class BundleError extends VaeError {}
export class FormatError extends BundleError {}
export class IntegrityError extends BundleError {}
export class ForbiddenGraph extends BundleError {}
export class GoldenMismatch extends BundleError {}

/** A graph gave NaN or an infinity. */
export class NotFinite extends VaeError {}
/** A peer dependency is not installed. */
export class MissingPackage extends VaeError {}

/** Base of all errors of the HTTP client. */
export class ClientError extends VaeError {}
export class ConnectionFailed extends ClientError {}
export class DeadlineExceeded extends ClientError {}
export class ProtocolError extends ClientError {}

/** RFC 9457 problem document. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance?: string;
  [member: string]: unknown;
}

export interface ReplyFacts {
  status: number;
  /** The id of the request in the service's log, if the reply has it. */
  requestId?: string;
  /** Seconds to wait before another try, if the reply has it. */
  retryAfter?: number;
  /** The problem document, if the reply is one. */
  problem?: Problem;
  /** Number of the invalid row, from 0, if the message names it. */
  row?: number;
  /** The invalid row's column, if the message names it. */
  feature?: string;
  /** The invalid value as the message shows it. */
  value?: string;
}

/** A reply with an error status. */
export class ErrorReply extends ClientError {
  constructor(detail: string, facts: ReplyFacts);
  readonly status: number;
  readonly requestId?: string;
  readonly retryAfter?: number;
  readonly problem?: Problem;
  readonly row?: number;
  readonly feature?: string;
  readonly value?: string;
}

/** 5xx */
export class ServiceFailed extends ErrorReply {}
/** 503 */
export class ServiceUnavailable extends ServiceFailed {}
/** 4xx */
export class RequestRefused extends ErrorReply {}
/** 401, 403 */
export class Unauthorized extends RequestRefused {}
/** 404 */
export class ModelNotFound extends RequestRefused {}
/** 429 */
export class TooBusy extends RequestRefused {}
