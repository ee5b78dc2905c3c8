// What program.py does, over `pg`: `node program.mjs FOLDER`, which has `pg` in its node_modules.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const pg = createRequire(`${process.argv[2]}/`)("pg");
const client = new pg.Client({ connectionString: process.env.DATABASE_URL });

const STEPS = {
  begin: (level) => client.query(`BEGIN ISOLATION LEVEL ${level}`),
  run: (sql) => client.query(sql),
  save: () => client.query("SAVEPOINT nested"),
  back: () => client.query("ROLLBACK TO SAVEPOINT nested"),
  commit: () => client.query("COMMIT"),
  rollback: () => client.query("ROLLBACK"),
  say: (word) => process.stdout.write(`${word}\n`),
  wait: () => new Promise(() => {}),
};

await client.connect();
for await (const line of createInterface({ input: process.stdin })) {
  for (const [name, ...given] of JSON.parse(line)) await STEPS[name](...given);
}
await client.end();
