// SPDX-License-Identifier: Apache-2.0

// Whatever hangs, operations get their answer: directory and cloud, with both relays, are frozen in the
// middle of a request, so that nothing out there answers any more, and each endpoint is asked over and
// over.
// To be run in a lab:
//
//     sudo tests/lab/run node --test tests/integration/frozen.test.mjs
//
// An answer may take $WRITEBACK_FROZEN_LIMIT ms; 50, as promised, on a machine of its own. A loop that waits for any of
// them would take ten seconds and more.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';

const { env } = process;
const LIMIT = Number(env.WRITEBACK_FROZEN_LIMIT ?? 50); // ms, for every single answer
const DURATION = 15_000; // longer than the agent waits for a connection, or an answer to a PING
const PATHS = ['/livez', '/readyz', '/readyz/relay:primary', '/readyz/relay:secondary', '/readyz/directory:corp.example',
  '/readyz/issuer:entra', '/healthz', '/status', '/metrics', '/', '/page.css', '/nowhere'];

const client = Client.fromEnvironment();
const frozen = [];

function freeze(pid) {
  process.kill(pid, 'SIGSTOP');
  frozen.push(pid);
}

const pidOf = (text) => Number(readdirSync('/proc').filter((name) => /^\d+$/.test(name)).find((pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
  } catch {
    return false; // gone meanwhile
  }
}));

/** Milliseconds that the first threads of agent and test have waited for a processor. That is how
 * busy this host is, and no fault of the agent. */
const waited = () => [env.WRITEBACK_LAB_AGENT_PID, 'self'].reduce((sum, pid) =>
  sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6, 0);

/** Milliseconds until the whole answer is there. Without fetch(), whose own work would count. */
const timeOf = (path) => new Promise((resolve, reject) => {
  const before = waited(), began = performance.now();
  http.get(`${env.WRITEBACK_LAB_HEALTH_URL}${path}`, { agent: false }, (response) => {
    response.resume();
    response.on('end', () => resolve(performance.now() - began - (waited() - before)));
  }).on('error', reject);
});

/** The status of a check, once it was looked at in this configuration. */
const check = async (name) => {
  const entry = (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`)).json()).checks[name]?.[0];
  return entry?.known === false ? undefined : entry?.status;
};

/** The other relay. */
async function addRelay() {
  const folder = `${env.WRITEBACK_LAB_AGENT_CONFIG}.d`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/50-secondary.conf`, `[Relay "secondary"]
ConnectionString=${env.WRITEBACK_LAB_LISTEN_CONNECTION_STRING.replace(/SharedAccessKey=[^;]*;?/, '')}
SharedAccessKeyCredential=${env.WRITEBACK_LAB_SCRATCH}/agent/credentials/relay-key
CaFile=${env.WRITEBACK_LAB_RELAY_CA}
`);
  process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
  while ((await check('relay:secondary')) !== 'pass' || (await check('directory:corp.example')) !== 'pass');
}

before(async () => {
  await addRelay();
  for (const path of PATHS) await timeOf(path); // once, for this program to warm up
});
after(() => {
  for (const pid of frozen) process.kill(pid, 'SIGCONT');
  client.close();
});

test(`with directory and cloud frozen each endpoint answers within ${LIMIT} ms`, async (t) => {
  freeze(Number(readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/dc1.pid`)));
  const hanging = client.ask(
    { operation: 'check', user: { userPrincipalName: 'alice@corp.example' } },
    { wids: ['62e90394-69f5-4237-9190-012177145e10'] });
  hanging.catch(() => {}); // its relay goes next
  const inFlight = async () =>
    (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/status`)).json()).requests.inFlight;
  while ((await inFlight()) === 0);
  freeze(pidOf('cloud/main.mjs'));

  const slowest = { time: 0 };
  const end = Date.now() + DURATION;
  let asked = 0;
  while (Date.now() < end)
    for (const path of PATHS) {
      const time = await timeOf(path);
      asked++;
      if (time > slowest.time) Object.assign(slowest, { time, path });
    }
  t.diagnostic(`slowest of ${asked} answers: ${slowest.path}, ${slowest.time.toFixed(1)} ms`);
  assert.equal(await inFlight(), 1, 'the request does not hang any more');
  assert.ok(slowest.time < LIMIT, JSON.stringify(slowest));
});
