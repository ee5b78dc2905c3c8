/** Herald for its callers: over HTTP, or in a transaction of their own. */
export * from "./answers.js";
export * from "./client.js";
export * from "./errors.js";
export * from "./outbox.js";
export type { Patience } from "./retries.js";
