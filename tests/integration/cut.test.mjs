// SPDX-License-Identifier: Apache-2.0

// One of two controllers that replicate loses connection after connection, before or after it has got what was sent on
// them, while people's passwords are reset: every answer is right, and the directory is as was answered.
// Run in a lab: tests/lab/run --no-agent --dc pair --users 60 node --test tests/integration/cut.test.mjs

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { bind } from './ad.mjs';
import { AgentProcess, configure } from './agent-process.mjs';
import { controllersInHealth, until } from './controllers.mjs';
import { LdapProxy } from './ldap-proxy.mjs';

const { env } = process;
const USERS = 60;
const AT_ONCE = 4;
const CUTS = 12;
const PORT = 1636;
const FIRST = `${env.WRITEBACK_LAB_DC}:${PORT}`;
const SECOND = env.WRITEBACK_LAB_DC2;
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;

const client = Client.fromEnvironment();
const agent = new AgentProcess();
let proxy, key, authorization;

before(async () => {
  proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(PORT);
  configure({}, (text) => text.replace(/^Controllers=.*$/m, `Controllers=${FIRST} ${SECOND}`));
  await agent.start().ready();
  for (const host of [FIRST, SECOND])
    await until(`${host} can be used`, async () => (await controllersInHealth())[host]?.status === 'pass');
  key = (await client.keys()).keys.find(({ use }) => use === 'enc');
  authorization = await client.token({ wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] });
});

after(async () => {
  client.close();
  assert.equal(await agent.stop(), 0);
  proxy.close();
});

const send = async (payload) => client.send(await client.seal(payload, { key }));

async function reset(number) {
  const user = `user${String(number).padStart(4, '0')}`;
  const newPassword = `New-4711-${user}`;
  const payload = client.payload(
    { operation: 'reset', user: { userPrincipalName: `${user}@corp.example` }, newPassword, authorization });
  const { status, json, reason } = await send(payload);
  return { user, newPassword, payload, status, json, reason };
}

// As a warning it is used, too: it flaps.
const firstIsUsed = () =>
  until(`${FIRST} is used`, async () => ['pass', 'warn'].includes((await controllersInHealth())[FIRST]?.status));

/** Resets one user after the other, so many at once, until it is enough. */
async function resetUntil(isEnough, answers) {
  let next = 1;
  const one = async () => {
    while (next <= USERS && !isEnough()) {
      // Each user can be reset once; none is spent while there is nothing to cut.
      await firstIsUsed();
      answers.push(await reset(next++));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** It was sent, and the answer did not come. */
const wasCut = ({ status, json }) => status !== 200 || json.warnings.includes('answerLost');

const tally = (all) => {
  const counts = {};
  for (const { status, json, reason } of all) {
    const name = status === 200 ? [json.domainController, ...json.warnings].join(' ') : json?.code ?? reason;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

/** Which of the two passwords is in force, once both controllers agree: "new" or "old". */
async function inForce({ user, newPassword }) {
  return until(`the controllers agree on ${user}`, () => {
    const [first, second] = [env.WRITEBACK_LAB_DC, SECOND].map((host) =>
      [newPassword, OLD_PASSWORD].map((password) => bind(user, password, host)).join());
    if (first !== second) return undefined;
    assert.match(first, /^(yes,52e|52e,yes)$/, user);
    return first === 'yes,52e' ? 'new' : 'old';
  });
}

test('connections are cut at any moment under load: every answer is right', async (t) => {
  const all = [];
  let cuts = 0;
  const isEnough = () => cuts === CUTS;
  const answered = resetUntil(isEnough, all).then(() => true);
  for (; !isEnough(); cuts++) {
    const lost = proxy.lose(cuts % 2 ? 'swallowed' : 'answered', cuts % AT_ONCE);
    if (await Promise.race([lost, answered])) break;
    await firstIsUsed();
  }
  await answered;

  t.diagnostic(`${cuts} cuts, ${all.length} resets: ${JSON.stringify(tally(all))}`);
  assert.ok(isEnough(), 'there were enough users');
  assert.ok(all.filter(wasCut).length >= CUTS, 'each cut had its answer');
  for (const answer of all) {
    const now = await inForce(answer);
    if (answer.status === 200) assert.equal(now, 'new', answer.user);
    else if (answer.json?.code === 'ADNotReachable') assert.equal(now, 'old', answer.user);
    else assert.equal(answer.json?.code, 'OutcomeUnknown', JSON.stringify(answer.json ?? answer.reason));
  }

  // The relay has closed what was idle meanwhile.
  client.close();

  // Who was not told that it is done asks again with the same id, and is.
  for (const { user, newPassword, payload, json } of all.filter(({ status }) => status !== 200)) {
    assert.equal(json.retryable, true);
    assert.equal((await send(payload)).status, 200, user);
    assert.equal(await inForce({ user, newPassword }), 'new');
  }
});
