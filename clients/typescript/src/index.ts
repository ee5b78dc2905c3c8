/** Herald for its callers: over HTTP, or in a transaction of their own. */
export * from "./answers.js";
export * from "./client.js";
export { type FieldError, HeraldError, NoAnswerError, type ProblemCode, ProblemError } from "./errors.js";
export * from "./outbox.js";
export type { Patience } from "./retries.js";
