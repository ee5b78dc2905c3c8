// What a caller writes against the types that were generated: it compiles where the document says enough.
import type { components, operations } from "./document.js";

type Accept = operations["acceptNotification"];
type Body = NonNullable<Accept["requestBody"]>["content"]["application/json"];

export const body: Body = { user_id: "42", event: "order.shipped", content: "On its way", channel: "log" };
export const message: components["schemas"]["MessageRequest"] = {
  topic: "generic_topic",
  data: { order: { id: 7, lines: [1, 2, null] } },
};

export function idOf(accepted: Accept["responses"][202]["content"]["application/json"]): string {
  return accepted.id;
}

export function reasonOf(problem: Accept["responses"][400]["content"]["application/problem+json"]): string {
  return problem.errors?.[0]?.field ?? problem.detail;
}

// @ts-expect-error: who it is for may not be missing
export const incomplete: Body = { event: "order.shipped", content: "On its way" };
