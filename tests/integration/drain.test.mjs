// SPDX-License-Identifier: Apache-2.0

// A stop or a reload in the middle of a request: what came before is answered, what comes is turned away, and
// nothing is lost.
// Run in a lab: WRITEBACK_BUILD=BUILD tests/lab/run --no-agent node --test tests/integration/drain.test.mjs

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, beforeEach, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { bind } from './ad.mjs';
import { AgentProcess, STATE, configure, entries } from './agent-process.mjs';

const { env } = process;
const ADMINISTRATOR = { wids: ['62e90394-69f5-4237-9190-012177145e10'] };
const controller = Number(readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/dc1.pid`));
const client = Client.fromEnvironment();
let agent;

const reset = (user, password) => ({
  operation: 'reset', user: { userPrincipalName: `${user}@corp.example` }, newPassword: password,
});

async function until(what, isSo, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) if (await isSo()) return;
  assert.fail(`${what}: not within ${seconds} s`);
}

const inFlight = async () => (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/status`)).json()).requests.inFlight;

/** Sealed while the agent still gives its keys away. */
async function sealed(members) {
  return client.seal(client.payload({ ...members, authorization: await client.token(ADMINISTRATOR) }));
}

/** Asks for a reset that the frozen controller does not answer yet: {answer: a promise}. */
async function beginReset(user, password) {
  const answer = client.send(await sealed(reset(user, password)));
  answer.catch(() => {});
  await until('the request is under way', async () => (await inFlight()) === 1);
  return { answer };
}

beforeEach(async () => {
  agent = new AgentProcess().start();
  await agent.ready();
});
afterEach(async () => {
  process.kill(controller, 'SIGCONT');
  if (agent.isRunning) await agent.stop();
});
after(() => client.close());

test('a stop answers the slow reset that is under way, turns new requests away, and ends with 0', async () => {
  const late = await sealed(reset('anna', 'Ab1!-turned-away'));
  process.kill(controller, 'SIGSTOP');
  const slow = await beginReset('alice', 'Ab1!-slow-but-sure');

  const ended = agent.stop();
  await until('it says that it stops', async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status === 503);
  const refused = await client.send(late);
  assert.equal(refused.status, 503);
  assert.equal(refused.json.code, 'ServiceStopping');
  assert.equal(refused.json.retryable, true);
  assert.equal(await inFlight(), 1, 'what was under way still is');

  process.kill(controller, 'SIGCONT');
  const answer = await slow.answer;
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(await ended, 0);

  assert.equal(bind('alice', 'Ab1!-slow-but-sure'), 'yes');
  assert.equal(bind('anna', env.WRITEBACK_LAB_USER_PASSWORD), 'yes');
  assert.ok(entries().some(({ event }) => event === 35013), 'what was turned away is logged');
  assert.equal(entries().at(-1).event, 31016);
  assert.ok(!entries().some(({ event }) => event === 35036), 'no answer is lost');
});

// The answer then has to be brought to the relay over a connection of its own, which the end must not cut.
test('a stop still delivers where the relay breaks off meanwhile', async () => {
  process.kill(controller, 'SIGSTOP');
  const slow = await beginReset('grace', 'Ab1!-brought-to-the-relay');
  const ended = agent.stop();
  const losses = () => entries().filter(({ event }) => event === 32002).length;
  const before = losses();
  await client.control('relay', { dropListeners: true });
  await until('the relay is lost', () => losses() > before);

  process.kill(controller, 'SIGCONT');
  assert.equal((await slow.answer).status, 200);
  assert.equal(await ended, 0);
});

test('a reload answers the slow reset that is under way before it takes the new configuration', async () => {
  process.kill(controller, 'SIGSTOP');
  const slow = await beginReset('bob', 'Ab1!-slow-and-fifteen-long');
  agent.reload();
  await until('it says that it reloads', async () => {
    const answer = await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`);
    return answer.status === 503 && /new configuration/.test((await answer.json()).output);
  });

  const connections = () => entries().filter(({ event }) => event === 31019).length;
  const before = connections();
  process.kill(controller, 'SIGCONT');
  assert.equal((await slow.answer).status, 200);
  await until('the rooms are built again', () => connections() > before);
  await agent.ready();
  assert.equal((await client.send(await sealed(reset('paul', 'Ab1!-after-the-reload')))).status, 200);
});

test('a reload that changes nothing leaves every part as it was, since when too', async () => {
  const checks = async () => (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`)).json()).checks;
  const since = async () => Object.fromEntries(Object.entries(await checks())
    .filter(([name]) => /^(relay|directory|issuer|ledger|keys)/.test(name))
    .map(([name, entries]) => [name, entries.map((entry) => [entry.status, entry.since])]));
  const before = await since();
  // Dates are told to the second.
  await until('the next second', () => Object.values(before).flat().every(([, date]) => Date.now() >= Date.parse(date) + 1000));

  const connections = () => entries().filter(({ event }) => event === 31019).length;
  const connected = connections();
  agent.reload();
  await until('the rooms are built again', () => connections() > connected);
  await until('each was looked at again', async () =>
    Object.values(await checks()).flat().every(({ output }) => !/again yet/.test(output ?? '')));
  assert.deepEqual(await since(), before);
});

// Whoever reloads has made a mistake, and the agent is the last to be ended for it.
test('a reload that names keys or a state directory that cannot be opened keeps what runs', async () => {
  const seal = (name) => {
    const path = `${STATE}.${name}`;
    writeFileSync(path, randomBytes(32).toString('base64'), { mode: 0o600 });
    return path;
  };
  const sealed = `${STATE}-sealed`, right = seal('right'), wrong = seal('wrong');
  const with_ = (directory, more = '') =>
    configure({}, (text) => `${text.replace(/^StateDirectory=.*$/m, `StateDirectory=${directory}`)}\n${more}\n`);
  const told = (number) => entries().filter(({ event }) => event === number);

  const isKept = async (reason) => {
    const ignored = told(35037).length, connections = told(31019).length;
    agent.reload();
    await until('it says that it keeps the old', () => told(35037).length > ignored);
    assert.match(told(35037).at(-1).WRITEBACK_REASON, reason);
    assert.equal((await client.health()).status, 200);
    assert.ok(agent.isRunning);
    assert.equal(told(31019).length, connections, 'the relay was not let go for it');
  };
  const isTaken = async () => {
    const connections = told(31019).length;
    agent.reload();
    await until('the rooms are built again', () => told(31019).length > connections);
    await agent.ready();
  };

  chmodSync(`${STATE}/keys.json`, 0o640);
  await isKept(/^the agent's keys cannot be set up: /);
  chmodSync(`${STATE}/keys.json`, 0o600);
  with_(`${STATE}-missing`);
  await isKept(/^the state directory cannot be set up: No such file or directory$/);

  mkdirSync(sealed, { mode: 0o700 });
  with_(sealed, `[Keys]\nSealCredential=${right}`);
  await isTaken();
  const { keys } = await client.keys();
  with_(sealed, `[Keys]\nSealCredential=${wrong}`);
  await isKept(/^the agent's keys cannot be set up: /);
  assert.deepEqual((await client.keys()).keys, keys);
  assert.ok(!entries().some(({ event }) => event === 35051), 'nor did it lose sight of its keys');

  configure({});
  await isTaken();
});

test('with nothing under way, and nobody there, a stop does not wait', async () => {
  await client.control('relay', { cut: true });
  await until('the relay is gone', async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status === 503);
  process.kill(controller, 'SIGSTOP');
  assert.equal(await agent.stop(), 0);
  await client.control('relay', { cut: false });
});
