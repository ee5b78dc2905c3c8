/** How long a call may take, and when it is sent again. */
import { HeraldError, NoAnswerError, UNAVAILABLE, problem } from "./errors.js";

const FIRST_PAUSE = 100; // ms; each further one is twice as long
const LONGEST_PAUSE = 5000; // ms; longer only where Retry-After says so

/** Seconds that a whole call may take with its repetitions (30), and seconds of one attempt (10). */
export interface Patience {
  deadline?: number;
  attempt?: number;
}

export interface Answer {
  status: number;
  retryAfter: string | null;
  body: string;
}

/** Attempt until one is answered with success. Throws HeraldError where another attempt is of no use, or would begin
 * after the deadline. */
export async function answered(
  attempt: (signal: AbortSignal) => Promise<Answer>,
  patience: Patience,
  key: string | undefined,
): Promise<Answer> {
  const end = performance.now() + (patience.deadline ?? 30) * 1000;
  for (let longest = FIRST_PAUSE; ; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
    const timeout = Math.ceil(Math.max(1, Math.min((patience.attempt ?? 10) * 1000, end - performance.now())));
    const outcome = await attempt(AbortSignal.timeout(timeout)).catch((reason) => new NoAnswerError(reason, key));
    if (!(outcome instanceof HeraldError) && outcome.status >= 200 && outcome.status < 300) return outcome;
    const { error, isFinal, wanted } = judged(outcome, key);
    const pause = wanted + longest * (0.5 + Math.random() / 2); // those who are told the same date come apart
    if (isFinal || performance.now() + pause >= end) throw error;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** The error, whether it stays one, and the milliseconds that Retry-After asks for. */
function judged(outcome: Answer | NoAnswerError, key: string | undefined) {
  if (outcome instanceof HeraldError) return { error: outcome, isFinal: false, wanted: 0 };
  const wanted = milliseconds(outcome.retryAfter);
  const isInProgress = outcome.status === 409 && wanted !== undefined; // the same key, handled elsewhere
  const isFinal = !UNAVAILABLE.has(outcome.status) && !isInProgress;
  return { error: problem(outcome.status, outcome.body, key), isFinal, wanted: wanted ?? 0 };
}

/** Of a Retry-After, which is seconds or a date; undefined where it is neither. */
function milliseconds(retryAfter: string | null): number | undefined {
  if (retryAfter === null) return undefined;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter) * 1000;
  const date = Date.parse(retryAfter);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
