/** HTTP client of the vaekit service. */

export { Client } from "./client.js";
export * from "./errors.js";
