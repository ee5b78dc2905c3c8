/** The client over HTTP. */
import type {
  Accepted, AcceptedOfMany, Cancelled, Filters, Group, HistoryEvent, Message, Notification, NotificationItem, Page,
  RequestOptions, SendOptions, Target,
} from "./answers.js";
import { notHeralds, parsed } from "./errors.js";
import { type Patience, answered } from "./retries.js";

/** `key` is one of Herald's API, `headers` go along with each request, `fetch` is used in the place of the global one. */
export interface ClientOptions {
  key?: string;
  patience?: Patience;
  headers?: Record<string, string>;
  fetch?: typeof fetch;
}

interface Request {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  body?: string;
}

/** A Herald by its URL. Every method throws HeraldError. */
export class Client {
  readonly #url: string;
  readonly #options: ClientOptions;

  constructor(url: string, options: ClientOptions = {}) {
    if (!/^https?:\/\/[^/]/.test(url)) throw new TypeError(`url: must be http:// or https:// and a host, not ${url}`);
    this.#url = url.replace(/\/+$/, "");
    this.#options = options;
  }

  /** Accept a notification. */
  notify(userId: string | number, event: string, content: string, options: Target & RequestOptions = {}) {
    const { request, rest } = apart(options);
    return this.#post<Accepted>("/notifications", { user_id: userId, event, content, ...rest }, request);
  }

  /** Accept a group: one for each of up to 1,000 users, all or none, answered in their order. */
  notifyUsers(userIds: (string | number)[], event: string, content: string, options: Target & RequestOptions = {}) {
    const { request, rest } = apart(options);
    return this.notifyMany([{ user_ids: userIds, event, content, ...rest }], request);
  }

  /** Accept up to 1,000 notifications, all or none, answered in their order. */
  async notifyMany(items: NotificationItem[], options: RequestOptions = {}) {
    return (await this.#post<{ items: AcceptedOfMany[] }>("/notifications/bulk", { items }, options)).items;
  }

  /** Accept a message of a registered topic; `data` is a JSON object. */
  send(topic: string, data: object, options: SendOptions = {}) {
    const { request, rest } = apart(options);
    return this.#post<Accepted>("/messages", { topic, data, ...rest }, request);
  }

  /** Take a message or notification back; `conflict` where it is too late. */
  cancel(id: string, options: RequestOptions = {}) {
    return this.#post<Cancelled>(`/messages/${encodeURIComponent(id)}/cancel`, undefined, options);
  }

  /** Take back what was not tried yet of a group; all else was too late. */
  cancelGroup(id: string, options: RequestOptions = {}) {
    return this.#post<Group>(`/groups/${encodeURIComponent(id)}/cancel`, undefined, options);
  }

  /** Count the messages of a group by status. */
  group(id: string) {
    return this.#call<Group>({ method: "GET", path: `/groups/${encodeURIComponent(id)}` });
  }

  /** Send what is over again, as a new message; `conflict` where it is not over. */
  again(id: string, options: RequestOptions = {}) {
    return this.#post<Accepted>(`/messages/${encodeURIComponent(id)}/again`, undefined, options);
  }

  /** Look at a notification. */
  notification(id: string) {
    return this.#call<Notification>({ method: "GET", path: `/notifications/${encodeURIComponent(id)}` });
  }

  /** Look at a message of any topic, also at a notification. */
  message(id: string) {
    return this.#call<Message>({ method: "GET", path: `/messages/${encodeURIComponent(id)}` });
  }

  /** What happened to a notification, oldest first. */
  async history(id: string) {
    const path = `/notifications/${encodeURIComponent(id)}/events`;
    return (await this.#call<{ items: HistoryEvent[] }>({ method: "GET", path })).items;
  }

  /** List notifications, newest first; the next page has the same filters and the `cursor` of this one. */
  notifications(filters: Filters = {}) {
    const given = Object.entries(filters).filter(([, value]) => value !== undefined && value !== null);
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.#call<Page<Notification>>({ method: "GET", path: `/notifications?${query}` });
  }

  #post<T>(path: string, body: object | undefined, { idempotency_key, traceparent }: RequestOptions): Promise<T> {
    const headers = {
      "idempotency-key": idempotency_key ?? crypto.randomUUID(),
      ...(traceparent && { traceparent }),
      ...(body && { "content-type": "application/json" }),
    };
    return this.#call({ method: "POST", path, headers, ...(body && { body: JSON.stringify(body) }) });
  }

  /** Each attempt sends the same body under the same key. */
  async #call<T>({ path, headers, ...rest }: Request): Promise<T> {
    const { fetch = globalThis.fetch, headers: own, key: apiKey, patience = {} } = this.#options;
    const key = headers?.["idempotency-key"];
    const shown: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
    const init: RequestInit = { ...rest, headers: new Headers({ ...own, ...shown, ...headers }), redirect: "manual" };
    const { status, body } = await answered(
      async (signal) => {
        const response = await fetch(this.#url + path, { ...init, signal });
        const retryAfter = response.headers.get("retry-after");
        return { status: response.status, retryAfter, body: await response.text() };
      },
      patience,
      key,
    );
    const found = parsed(body);
    if (found?.id === undefined && !Array.isArray(found?.items)) throw notHeralds(status, body, key);
    return found as T;
  }
}

function apart<T extends RequestOptions>({ idempotency_key, traceparent, ...rest }: T) {
  const request = { ...(idempotency_key && { idempotency_key }), ...(traceparent && { traceparent }) };
  return { request, rest };
}
