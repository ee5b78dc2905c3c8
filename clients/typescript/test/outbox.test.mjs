// The part `sql` of clients/vectors.json over `pg`, in the database of a Herald that runs: DATABASE_URL says where.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import pg from "pg";
import { Client, Outbox } from "../dist/index.js";
import { filled, fits, outcome } from "./matching.mjs";

const { DATABASE_URL, HERALD_URL, HERALD_VECTORS } = process.env;
const client = new pg.Client({ connectionString: DATABASE_URL });
const herald = new Client(HERALD_URL);
const outbox = new Outbox();

const CALLS = {
  send: ({ topic, data, ...options }) => outbox.send(client, topic, data, options),
  notify: ({ user_ids, event, content, ...options }) => outbox.notify(client, user_ids, event, content, options),
  send_many: ({ messages }) => outbox.sendMany(client, messages),
  cancel: ({ message_id }) => outbox.cancel(client, message_id),
};

before(() => client.connect());
after(() => client.end());

for (const vector of JSON.parse(readFileSync(HERALD_VECTORS, "utf8")).sql) {
  test(vector.name, async () => {
    const saved = {};
    for (const step of vector.steps) {
      const found = await outcome(() =>
        step.look ? herald.message(filled(step.look, saved)) : transaction(CALLS[step.call], filled(step.with, saved)),
      );
      const wanted = filled(step.error ? { error: step.error } : { answer: step.answer }, saved);
      assert.ok(fits(found, wanted), `${JSON.stringify(step)} gave ${JSON.stringify(found)}`);
      if (step.save) saved[step.save] = found.answer;
    }
  });
}

test("what is rolled back never was", async () => {
  await client.query("BEGIN");
  const sent = await outbox.send(client, "generic_topic", {});
  await client.query("ROLLBACK");

  await assert.rejects(herald.message(sent), { code: "not_found" });
});

async function transaction(call, given) {
  await client.query("BEGIN");
  try {
    return await call(given);
  } finally {
    await client.query("COMMIT");
  }
}
