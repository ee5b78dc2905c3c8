/** What Herald takes and answers. Dates in answers are texts of RFC 3339: `Date` would cut their microseconds. */

export type Status =
  | "scheduled" | "pending" | "sending" | "sent" | "failed" | "unknown" | "dead" | "cancelled" | "expired" | "discarded";

/** It is committed; `scheduled` where its `deliver_at` had not passed. */
export interface Accepted {
  id: string;
  status: "pending" | "scheduled";
}

/** One of many; what several users are told has a `group`. */
export interface AcceptedOfMany extends Accepted {
  group: string | null;
}

/** Nothing will be delivered. */
export interface Cancelled {
  id: string;
  status: "cancelled";
}

interface State {
  id: string;
  status: Status;
  attempts: number;
  reason: string | null;
  reason_code: string | null;
  /** The next attempt's date, or the end of the current one's lease. */
  due_at: string | null;
  deliver_by: string | null;
  priority: number;
  destination: string | null;
  group: string | null;
  updated_at: string;
  sent_at: string | null;
  /** It was over, and was sent again as this one. */
  again_of: string | null;
}

/** A notification as it stands. */
export interface Notification extends State {
  user_id: string;
  event: string;
  content: string | null; // where the key may not read it
  channel: string;
  address: string | null;
  created_at: string;
}

/** A message of any topic as it stands; `request` counts how often delivery was asked for. */
export interface Message extends State {
  topic: string;
  key: string | null;
  data: Record<string, unknown> | null; // where the key may not read it
  request: number;
  accepted_at: string;
  /** The messages that it was sent again as. */
  sent_again: string[];
}

/** What several users were told: how many messages there are, in all and in each status. */
export interface Group {
  id: string;
  total: number;
  counts: Record<Status, number>;
  accepted_at: string;
  updated_at: string;
}

/** Of a history: `version` counts from 1, `type` is `message.requested` and the like. */
export interface HistoryEvent {
  version: number;
  type: string;
  recorded_at: string;
  data: Record<string, unknown>;
}

/** `cursor` leads to the next page, and is null on the last one. */
export interface Page<T> {
  items: T[];
  cursor: string | null;
}

/** An own Idempotency-Key, so that a later call repeats this one; `traceparent` of W3C goes along to the handler. */
export interface RequestOptions {
  idempotency_key?: string;
  traceparent?: string;
}

/** Not before, not after (a text has RFC 3339's form), and 0 to 9, 9 first, 5 if not given. */
export interface Dates {
  deliver_at?: Date | string | null;
  deliver_by?: Date | string | null;
  priority?: number | null;
}

/** Where a notification goes; what is not said, `HERALD_ROUTES` decides. */
export interface Target extends Dates {
  channel?: string | null;
  address?: string | null;
  subject?: string | null;
}

/** One of many: for `user_id`, or for each of `user_ids`. */
export interface NotificationItem extends Target {
  user_id?: string | number;
  user_ids?: (string | number)[];
  event: string;
  content: string;
}

/** Messages of one `key` are published in order. */
export interface SendOptions extends Dates, RequestOptions {
  key?: string | null;
}

/** Which notifications are listed: what is given must fit. `limit` is items of a page, 20 if not given. */
export interface Filters {
  user_id?: string;
  event?: string;
  status?: Status;
  group?: string;
  limit?: number;
  cursor?: string;
}
