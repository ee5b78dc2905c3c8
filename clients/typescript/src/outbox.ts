/** Sending in the caller's own transaction: what commits is delivered, what is rolled back never was. */
import type { Dates, RequestOptions, Target } from "./answers.js";
import { refusal } from "./errors.js";

/** A client of `pg` within its transaction, or anything else that takes $1, $2 and answers rows. */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<unknown>;
}

/** `group` is of messages that belong together; `actor` is who it is done for, where that is not the session's role. */
export interface OutboxOptions extends Dates, RequestOptions {
  group?: string;
  actor?: string;
}

/** One of many, as `send` takes them. */
export interface OutboxMessage {
  topic: string;
  data: object;
  key?: string | null;
  options?: OutboxOptions;
}

/** Herald's functions in its schema. A refusal is a ProblemError; all other errors are the driver's own. */
export class Outbox {
  readonly #schema: string;

  constructor({ schema = "herald" }: { schema?: string } = {}) {
    this.#schema = `"${schema.replaceAll('"', '""')}"`;
  }

  /** Send a message on a registered topic; `data` becomes a JSON object. Returns its id. */
  send(client: Queryable, topic: string, data: object, options: OutboxOptions & { key?: string | null } = {}) {
    const { key = null, ...rest } = options;
    const text = `SELECT ${this.#schema}.send($1::text, $2::text::json, $3::text, $4::text::jsonb)::text AS answer`;
    return answer(client, text, [topic, JSON.stringify(data), key, JSON.stringify(rest)]);
  }

  /** Send a notification to each of up to 1,000 users. Returns its id, or that of the group where there are several. */
  notify(
    client: Queryable,
    userIds: (string | number)[],
    event: string,
    content: string,
    options: OutboxOptions & Target = {},
  ) {
    const users = "ARRAY(SELECT json_array_elements_text($1::text::json))";
    const text = `SELECT ${this.#schema}.notify(${users}, $2::text, $3::text, $4::text::jsonb)::text AS answer`;
    return answer(client, text, [JSON.stringify(userIds), event, content, JSON.stringify(options)]);
  }

  /** Send up to 1,000 messages, all or none. Returns their ids, in order. */
  async sendMany(client: Queryable, messages: OutboxMessage[]): Promise<string[]> {
    const many = `${this.#schema}.send_many($1::text::json) WITH ORDINALITY AS sent (id, place)`;
    const text = `SELECT json_agg(id ORDER BY place)::text AS answer FROM ${many}`;
    return JSON.parse(await answer(client, text, [JSON.stringify(messages)]));
  }

  /**
   * Take back what was not tried yet, of a group too. Returns whether nothing will be delivered; false where it is too
   * late, of a group for any of it.
   */
  async cancel(client: Queryable, id: string): Promise<boolean> {
    return (await answer(client, `SELECT ${this.#schema}.cancel($1::text::uuid)::text AS answer`, [id])) === "true";
  }
}

/** Every argument goes as text, and the answer comes as text: drivers agree on it. */
async function answer(client: Queryable, text: string, values: (string | null)[]): Promise<string> {
  try {
    const result = (await client.query(text, values)) as Answered[] | { rows: Answered[] };
    return (Array.isArray(result) ? result : result.rows)[0]!.answer;
  } catch (error) {
    throw refusal(error) ?? error;
  }
}

interface Answered {
  answer: string;
}
