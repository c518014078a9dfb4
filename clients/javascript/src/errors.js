/**
 * All errors that vaekit raises on purpose; the names are those of the Python package.
 *
 * VaeError
 * ├── InputError               invalid rows or arguments: the message names row, feature and value
 * ├── BundleError              a bundle that cannot be used
 * │   ├── FormatError          no manifest, an unreadable one, or a newer major format
 * │   ├── IntegrityError       a file that is missing, or whose sha256 differs from the manifest's
 * │   ├── ForbiddenGraph       external data or operators of an unknown domain
 * │   └── GoldenMismatch       the graphs do not reproduce the golden outputs on this machine
 * ├── NotFinite                a graph gave NaN or an infinity: no result is returned
 * ├── MissingPackage           a peer dependency is not installed: the message says what to install
 * └── ClientError              an error of the HTTP client
 *     ├── ConnectionFailed     no connection, or a broken one
 *     ├── DeadlineExceeded     the timeout of the client or of the service (504) passed
 *     ├── ProtocolError        a reply that does not follow the wire format
 *     ├── ServiceFailed        5xx: an error in the service
 *     │   └── ServiceUnavailable   503: no model is ready, or the service is stopping
 *     └── RequestRefused       4xx: the message is the detail of the problem document
 *         ├── Unauthorized         401, 403
 *         ├── ModelNotFound        404
 *         └── TooBusy              429: the service is full; try again after `retryAfter` seconds
 */

export class VaeError extends Error {}

export class InputError extends VaeError {}

export class BundleError extends VaeError {}
export class FormatError extends BundleError {}
export class IntegrityError extends BundleError {}
export class ForbiddenGraph extends BundleError {}
export class GoldenMismatch extends BundleError {}

export class NotFinite extends VaeError {}
export class MissingPackage extends VaeError {}

export class ClientError extends VaeError {}
export class ConnectionFailed extends ClientError {}
export class DeadlineExceeded extends ClientError {}
export class ProtocolError extends ClientError {}

/** What an error reply says besides its message. */
export class ErrorReply extends ClientError {
  /**
   * @param {string} detail
   * @param {import("../types/index.js").ReplyFacts} facts
   */
  constructor(detail, facts) {
    super(detail);
    this.status = facts.status;
    this.requestId = facts.requestId;
    this.retryAfter = facts.retryAfter;
    this.problem = facts.problem;
    this.row = facts.row;
    this.feature = facts.feature;
    this.value = facts.value;
  }
}

export class ServiceFailed extends ErrorReply {}
export class ServiceUnavailable extends ServiceFailed {}
export class RequestRefused extends ErrorReply {}
export class Unauthorized extends RequestRefused {}
export class ModelNotFound extends RequestRefused {}
export class TooBusy extends RequestRefused {}

const NAMED = {
  VaeError,
  InputError,
  BundleError,
  FormatError,
  IntegrityError,
  ForbiddenGraph,
  GoldenMismatch,
  NotFinite,
  MissingPackage,
  ClientError,
  ConnectionFailed,
  DeadlineExceeded,
  ProtocolError,
  ErrorReply,
  ServiceFailed,
  ServiceUnavailable,
  RequestRefused,
  Unauthorized,
  ModelNotFound,
  TooBusy,
};
// not the names of the classes, which minifiers change
for (const [name, kind] of Object.entries(NAMED)) {
  Object.defineProperty(kind.prototype, "name", { value: name, configurable: true, writable: true });
}
