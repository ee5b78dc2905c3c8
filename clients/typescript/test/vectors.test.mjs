// clients/vectors.json against a Herald that runs: HERALD_URL, HERALD_STUB_URL, HERALD_VECTORS say where.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Client } from "../dist/index.js";
import { filled, fits, outcome } from "./matching.mjs";

const { HERALD_URL, HERALD_STUB_URL, HERALD_VECTORS } = process.env;

const CALLS = {
  notify: (client, { user_id, event, content, ...options }) => client.notify(user_id, event, content, options),
  notify_users: (client, { user_ids, event, content, ...options }) =>
    client.notifyUsers(user_ids, event, content, options),
  notify_many: (client, { items, ...options }) => client.notifyMany(items, options),
  send: (client, { topic, data, ...options }) => client.send(topic, data, options),
  cancel: (client, { message_id, ...options }) => client.cancel(message_id, options),
  cancel_group: (client, { group_id, ...options }) => client.cancelGroup(group_id, options),
  group: (client, { group_id }) => client.group(group_id),
  again: (client, { message_id, ...options }) => client.again(message_id, options),
  notification: (client, { notification_id }) => client.notification(notification_id),
  message: (client, { message_id }) => client.message(message_id),
  history: (client, { notification_id }) => client.history(notification_id),
  notifications: (client, filters) => client.notifications(filters),
};

describe("vectors", { concurrency: true }, () => {
  JSON.parse(readFileSync(HERALD_VECTORS, "utf8")).http.forEach((vector, index) => {
    test(vector.name, async () => {
      const url = vector.stub ? `${HERALD_STUB_URL}/${index}` : HERALD_URL;
      const client = new Client(url, { key: vector.key, patience: vector.patience ?? {} });
      const saved = {};
      for (const step of vector.steps) {
        const began = performance.now();
        const found = await outcome(() => CALLS[step.call](client, filled(step.with, saved)));
        const took = (performance.now() - began) / 1000;
        const wanted = filled(step.error ? { error: step.error } : { answer: step.answer }, saved);
        assert.ok(fits(found, wanted), `${step.call} gave ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
        assert.ok(took >= (step.at_least ?? 0) && took <= (step.at_most ?? 60), `${step.call} took ${took} s`);
        if (step.save) saved[step.save] = found.answer;
      }
    });
  });
});
