/** Herald for its callers: over HTTP. */
export * from "./answers.js";
export * from "./client.js";
export * from "./errors.js";
export type { Patience } from "./retries.js";
