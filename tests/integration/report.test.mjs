// SPDX-License-Identifier: Apache-2.0

// Reports of health, from the agent as a whole to the cloud. How often, and what becomes of many changes at once, is
// for tests/unit/test-report.c; here it is that every part's change makes one.
// Run in a lab: tests/lab/run node --test tests/integration/report.test.mjs

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../lab/cloud/client.mjs';
import { entries } from './agent-process.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const DROP_INS = `${env.WRITEBACK_LAB_AGENT_CONFIG}.d`;
const PATIENCE = 60_000; // half of the interval: what comes within it is not the regular report

async function control(part, knobs) {
  const answer = await fetch(`${env.WRITEBACK_LAB_CONTROL_URL}/${part}`, knobs && { method: 'POST', body: JSON.stringify(knobs) });
  return answer.json();
}
const reports = () => control('reports');
const logged = (event) => entries().filter((entry) => entry.event === event);

async function until(what, holds) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) {
    const found = await holds();
    if (found) return found;
  }
  assert.fail(`${what}: ${JSON.stringify(await reports())}`);
}

before(async () => {
  await control('reports', { refuse: 503 });
  mkdirSync(DROP_INS, { recursive: true });
  writeFileSync(`${DROP_INS}/50-report.conf`, `[Report]
Url=${env.WRITEBACK_LAB_REPORT_URL}?code=not-for-the-log
CaFile=${env.WRITEBACK_LAB_RELAY_CA}
Interval=2min
`);
  process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
});
after(async () => {
  await control('relay', { cut: false });
  rmSync(DROP_INS, { recursive: true, force: true });
  client.close();
});

test('a report that is refused is an event, and is tried again', async () => {
  await until('no report', async () => logged(32015)[0]);
  const [entry, ...more] = logged(32015);
  assert.equal(entry.WRITEBACK_ADDRESS, env.WRITEBACK_LAB_REPORT_URL);
  assert.match(entry.WRITEBACK_REASON, /status 503/);
  assert.equal(more.length, 0);
  assert.doesNotMatch(entry.text, /not-for-the-log/);

  await control('reports', { refuse: 0 });
  const report = await until('not tried again', async () => (await reports()).documents.at(-1));
  const { json } = await client.health();
  assert.equal(report.serviceId, json.serviceId);
  assert.deepEqual(report.blade, json.blade);
  assert.deepEqual(Object.keys(report.checks).sort(), Object.keys(json.checks).sort());
});

test('a change of any part is reported long before the regular report', async () => {
  const connections = logged(31019).length;
  const last = async () => (await reports()).documents.at(-1).blade;

  await control('relay', { cut: true });
  await until('the loss is not reported', async () => (await last()).reasons[0]?.check === 'relay:primary');
  await control('relay', { cut: false });
  await until('the return is not reported', async () => (await last()).visible);
  assert.equal(logged(31019).length, connections + 1);
});
