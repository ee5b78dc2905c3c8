import { HeraldError } from "../dist/index.js";

// What earlier steps saved, in the place of `$name.path`; and whether what came is what the vectors expect.

export function filled(given, saved) {
  if (typeof given === "string") {
    return given.replace(/\$(\w+(?:\.\w+)*)/g, (_, path) => path.split(".").reduce((at, name) => at[name], saved));
  }
  if (Array.isArray(given)) return given.map((value) => filled(value, saved));
  if (given === null || typeof given !== "object") return given;
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, filled(value, saved)]));
}

/** An object may have more than is wanted, a list may not; `*` is anything but null. */
export function fits(found, wanted) {
  if (wanted === "*") return found !== null && found !== undefined;
  if (Array.isArray(wanted)) {
    return Array.isArray(found) && found.length === wanted.length && wanted.every((one, at) => fits(found[at], one));
  }
  if (wanted === null || typeof wanted !== "object") return found === wanted;
  return !!found && Object.entries(wanted).every(([name, value]) => fits(found[name], value));
}

/** What a call gave, as the vectors write it. */
export async function outcome(call) {
  try {
    return { answer: await call() };
  } catch (error) {
    if (!(error instanceof HeraldError)) throw error;
    const { code, idempotencyKey: idempotency_key, status, title, detail, errors = [] } = error;
    return { error: { code, idempotency_key, status, title, detail, fields: errors.map(({ field }) => field) } };
  }
}
