/** What goes wrong, typed. Programs decide by `code` or the class, people read the text. */

/** `refused`: the request is wrong, `errors` names the fields. `not_found`: nothing has this id. `conflict`: the state
 * does not allow it, or the same key is still being handled. `key_reused`: the Idempotency-Key belongs to another
 * request. `unavailable`: Herald cannot do it now, and could not before the deadline. `server_error`: an error of
 * Herald's own, or an answer that is not Herald's. */
export type ProblemCode = "refused" | "not_found" | "conflict" | "key_reused" | "unavailable" | "server_error";

/** What is wrong with one field: a path such as `items[3].content`, or a parameter's name. */
export interface FieldError {
  field: string;
  detail: string;
}

/** Under `idempotencyKey` the same call can be made again, and is accepted once. */
export class HeraldError extends Error {
  override readonly name: string = "HeraldError";

  constructor(
    readonly code: ProblemCode | "no_answer",
    text: string,
    readonly idempotencyKey: string | undefined,
  ) {
    super(text);
  }
}

/** The connection failed or the deadline passed: whether it was accepted is not known. */
export class NoAnswerError extends HeraldError {
  override readonly name = "NoAnswerError";

  constructor(reason: unknown, idempotencyKey: string | undefined) {
    super("no_answer", `no answer: ${told(reason)}`, idempotencyKey);
  }
}

/** Herald answered with a problem (RFC 9457), or whatever stands before it with a status. */
export class ProblemError extends HeraldError {
  override readonly name = "ProblemError";
  declare readonly code: ProblemCode;

  constructor(
    code: ProblemCode,
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly errors: FieldError[],
    idempotencyKey: string | undefined,
  ) {
    super(code, `${status} ${title}: ${detail}`, idempotencyKey);
  }
}

/** Nothing is known to be stored: tried again until the deadline. */
export const UNAVAILABLE: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** What an answer says that is no success; one without a problem's body is told by its status. */
export function problem(status: number, body: string, key: string | undefined): ProblemError {
  const given = parsed(body);
  const { title, detail, errors } = isProblem(given) ? given : { title: "", detail: cut(body) };
  return new ProblemError(codeOf(status, errors ?? []), status, title, detail, errors ?? [], key);
}

/** A success whose body is not what Herald answers. */
export function notHeralds(status: number, body: string, key: string | undefined): ProblemError {
  return new ProblemError("server_error", status, "Unexpected", `the answer is not Herald's: ${cut(body)}`, [], key);
}

/** An error of `pg` where Herald refused it: the SQLSTATE is ZH and the status of HTTP, the detail names the field. */
export function refusal(error: unknown): ProblemError | undefined {
  const { code, message, detail: field } = error as { code?: unknown; message: string; detail?: string };
  if (typeof code !== "string" || !code.startsWith("ZH")) return undefined;
  const errors = [{ field: field ?? "", detail: message.replace(`${field}: `, "") }];
  const status = Number(code.slice(2));
  const found = new ProblemError(codeOf(status, errors), status, "Refused", message, errors, undefined);
  found.cause = error;
  return found;
}

function codeOf(status: number, errors: FieldError[]): ProblemCode {
  if (UNAVAILABLE.has(status)) return "unavailable";
  if (status === 422 && errors.some(({ field }) => /idempotency.key$/i.test(field))) return "key_reused";
  if (status === 404) return "not_found";
  if (status === 409) return "conflict";
  return status >= 400 && status < 500 ? "refused" : "server_error";
}

interface Problem {
  title: string;
  detail: string;
  errors?: FieldError[];
}

function isProblem(given: any): given is Problem {
  const errors = given?.errors ?? [];
  return (
    typeof given?.title === "string" &&
    typeof given.detail === "string" &&
    Array.isArray(errors) &&
    errors.every((one) => typeof one?.field === "string" && typeof one.detail === "string")
  );
}

/** JSON, or undefined where it is none. */
export function parsed(body: string): any {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function told(reason: unknown): string {
  const error = reason as { message?: string; cause?: { message?: string } };
  return [error?.message ?? String(reason), error?.cause?.message].filter(Boolean).join(": ");
}

function cut(body: string): string {
  return body.slice(0, 200);
}
