/** The local scorer: a bundle on ONNX Runtime, without a service. */

export { Bundle } from "./bundle.js";
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
} from "../errors.js";
