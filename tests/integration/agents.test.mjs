// SPDX-License-Identifier: Apache-2.0

// Two agents for one directory, each with a hybrid connection, keys and a ledger of its own: whichever a portal
// asks again, it is told the same, and there is one effect.
// Run in a lab: tests/lab/run --no-agent --users 30 node --test tests/integration/agents.test.mjs

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { Relay } from '../lab/cloud/relay.mjs';
import { createSas } from '../lab/cloud/sas.mjs';
import { bind, look, modify } from './ad.mjs';
import { AgentProcess } from './agent-process.mjs';
import { LdapProxy } from './ldap-proxy.mjs';

const { env } = process;
const CONFIG = env.WRITEBACK_LAB_AGENT_CONFIG;
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;
const ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const PROXY_PORT = 1636;

// ---- A second hybrid connection, and the agent on it -----------------------------------------------

class SecondRelay {
  #server;

  async listen() {
    const first = new URL(env.WRITEBACK_LAB_RELAY_URL);
    const rules = ['Listen', 'Send'].map((right) => ({ name: right, key: randomBytes(32).toString('base64'), rights: [right] }));
    this.host = `${first.hostname}:8443`;
    this.url = `https://${this.host}${first.pathname}`;
    this.listenKey = rules[0].key;
    this.sendToken = createSas({ uri: this.url, rule: 'Send', key: rules[1].key });
    const relay = new Relay({ host: this.host, path: first.pathname.slice(1), rules });
    const ca = `${env.WRITEBACK_LAB_SCRATCH}/ca`;
    this.#server = https.createServer({ cert: readFileSync(`${ca}/cloud.pem`), key: readFileSync(`${ca}/cloud.key`) });
    this.#server.on('request', (request, response) => relay.handleRequest(request, response));
    this.#server.on('upgrade', (request, socket, head) => relay.handleUpgrade(request, socket, head));
    this.#server.listen(8443, '127.0.0.10');
    await once(this.#server, 'listening');
    return this;
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** The lab's configuration for another host, with nothing of the first one's state. */
function configureSecond(relay) {
  const folder = path.join(path.dirname(CONFIG), 'second');
  const health = 'http://127.0.0.1:8405';
  const config = `${folder}/writebackd.conf`;
  mkdirSync(`${folder}/state`, { recursive: true, mode: 0o700 });
  writeFileSync(`${folder}/relay-key`, relay.listenKey, { mode: 0o600 });
  writeFileSync(config, readFileSync(CONFIG, 'utf8')
    .replace(/^Id=.*$/m, 'Id=agent-second')
    .replace(/^StateDirectory=.*$/m, `StateDirectory=${folder}/state`)
    .replace(/^ConnectionString=.*$/m,
      `ConnectionString=Endpoint=sb://${relay.host}/;SharedAccessKeyName=Listen;EntityPath=${new URL(relay.url).pathname.slice(1)}`)
    .replace(/^SharedAccessKeyCredential=.*$/m, `SharedAccessKeyCredential=${folder}/relay-key`)
    .replace(/^Listen=.*$/m, `Listen=${new URL(health).host}`));
  return { config, health };
}

const first = { client: Client.fromEnvironment() };
const second = {};
let relay, proxy;

before(async () => {
  relay = await new SecondRelay().listen();
  second.agent = new AgentProcess(configureSecond(relay));
  second.client = Client.fromEnvironment({
    ...env, WRITEBACK_LAB_RELAY_URL: relay.url, WRITEBACK_LAB_SEND_TOKEN: relay.sendToken,
  });
  // The first one reaches the controller on a way on which it can be caught.
  proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(PROXY_PORT);
  writeFileSync(CONFIG, readFileSync(CONFIG, 'utf8')
    .replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:${PROXY_PORT}`));
  first.agent = new AgentProcess();
  await Promise.all([first, second].map(({ agent }) => agent.start().ready()));
});

after(async () => {
  for (const { agent, client } of [first, second]) {
    client.close();
    if (agent.isRunning) assert.equal(await agent.stop(), 0);
  }
  proxy.close();
  relay.close();
});

// ---- What is asked ---------------------------------------------------------------------------------

let users = 0;
function someone() {
  const name = `user${String(++users).padStart(4, '0')}`;
  return { name, user: { userPrincipalName: `${name}@corp.example` } };
}

const newPassword = () => `Ab1!${randomUUID()}`;
const reset = (user, more) => ({ operation: 'reset', user, newPassword: newPassword(), ...more });
const change = (user) => ({ operation: 'change', user, currentPassword: OLD_PASSWORD, newPassword: newPassword() });
const ownerOf = (name) => ({ upn: `${name}@corp.example`, wids: [] });
const effects = (name) => look(name, 'msDS-KeyVersionNumber')['msDS-KeyVersionNumber'];
const lastSet = (name) => look(name, 'pwdLastSet').pwdLastSet;

async function payloadOf(members, claims = ADMINISTRATOR) {
  return first.client.payload({ ...members, authorization: await first.client.token(claims) });
}

/** Each agent has a key of its own. */
const send = async ({ client }, payload) => client.send(await client.seal(payload));

/** The controller's name apart: the first agent has it by another port. */
function told({ status, json }) {
  const { domainController, warnings, ...rest } = json;
  return { status, ...rest };
}

function assertDone(answer, warnings) {
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.deepEqual(answer.json.warnings, warnings);
}

/** The first one is killed when its modify has been done and nobody has heard of it. */
async function askFirstAndKill(payload) {
  const caught = proxy.lose('silent');
  send(first, payload).catch(() => {});
  await caught;
  first.agent.kill();
  await first.agent.ended();
}

// ---- The tests -------------------------------------------------------------------------------------

test('what the first one did, the second one tells, and does nothing', async () => {
  for (const make of [reset, change]) {
    const { name, user } = someone();
    const payload = await payloadOf(make(user), make === change ? ownerOf(name) : ADMINISTRATOR);
    const before = Number(effects(name));
    const answer = await send(first, payload);
    assertDone(answer, []);
    const again = await send(second, payload);
    assertDone(again, ['passwordAlreadySet']);
    assert.deepEqual(told(again), told(answer));
    assert.equal(Number(effects(name)), before + 1);
    assert.equal(bind(name, payload.newPassword), 'yes');

    // And from now on the second one knows by itself.
    assert.deepEqual((await send(second, payload)).json, again.json);
    assert.deepEqual((await send(first, payload)).json, answer.json);
  }
});

test('what the first one refused, the second one refuses', async () => {
  const { name, user } = someone();
  for (const members of [{ ...reset(user), newPassword: 'Zq7!' }, reset({ userPrincipalName: 'nobody@corp.example' })]) {
    const payload = await payloadOf(members);
    const answer = await send(first, payload);
    assert.ok(answer.status === 422 || answer.status === 404);
    assert.deepEqual(told(await send(second, payload)), told(answer));
  }
  assert.equal(bind(name, OLD_PASSWORD), 'yes');
});

test('asked at the same time, both tell the same, and there is one effect', async () => {
  for (let i = 0; i < 5; i++) {
    const { name, user } = someone();
    const payload = await payloadOf(reset(user));
    const before = Number(effects(name));
    const answers = await Promise.all([first, second, first, second].map((agent) => send(agent, payload)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, JSON.stringify(answer.json));
      assert.deepEqual(told(answer), told(answers[0]));
    }
    assert.equal(Number(effects(name)), before + 1);
    assert.equal(bind(name, payload.newPassword), 'yes');
  }
});

test('the first one is killed between the modify and its answer: the second one tells what was done', async () => {
  for (const make of [reset, change]) {
    const { name, user } = someone();
    const payload = await payloadOf(make(user), make === change ? ownerOf(name) : ADMINISTRATOR);
    await askFirstAndKill(payload);
    const set = lastSet(name), once = effects(name);
    const answer = await send(second, payload);
    assertDone(answer, ['passwordAlreadySet']);
    assert.equal(lastSet(name), set, 'what was done is not done again');
    assert.equal(effects(name), once);
    assert.equal(bind(name, payload.newPassword), 'yes');

    // The first one, back again, says the same.
    await first.agent.start().ready();
    assert.deepEqual(told(await send(first, payload)), told(answer));
    assert.equal(effects(name), once);
  }
});

test('the same of an unlock, and of what was to follow the password', async () => {
  const locked = someone(), mustChange = someone();
  for (let i = 0; i < 5; i++) bind(locked.name, 'wrong');
  assert.equal(bind(locked.name, OLD_PASSWORD), '775');
  const unlock = await payloadOf({ operation: 'unlock', user: locked.user });
  await askFirstAndKill(unlock);
  assertDone(await send(second, unlock), []);
  assert.equal(bind(locked.name, OLD_PASSWORD), 'yes');
  await first.agent.start().ready();

  const forced = await payloadOf(reset(mustChange.user, { forceChangePasswordNextSignIn: true }));
  await askFirstAndKill(forced);
  const answer = await send(second, forced);
  assertDone(answer, ['passwordAlreadySet']);
  assert.equal(answer.json.mustChangeAtNextSignIn, true);
  assert.equal(bind(mustChange.name, forced.newPassword), '773');
  await first.agent.start().ready();
});

test('the first one is killed before its modify arrives: the second one does it', async () => {
  const { name, user } = someone();
  const payload = await payloadOf(reset(user));
  const before = Number(effects(name));
  const caught = proxy.lose('swallowed');
  send(first, payload).catch(() => {});
  await caught;
  first.agent.kill();
  await first.agent.ended();
  assertDone(await send(second, payload), []);
  await first.agent.start().ready();
  assertDone(await send(first, payload), ['passwordAlreadySet']);
  assert.equal(Number(effects(name)), before + 1);
  assert.equal(bind(name, payload.newPassword), 'yes');
});

test('a password that somebody else set meanwhile is not taken for this one', async () => {
  const { name, user } = someone();
  const payload = await payloadOf(reset(user));
  assertDone(await send(first, payload), []);
  const theirs = newPassword();
  modify(`dn: CN=${name},OU=Numbered,OU=Staff,${env.WRITEBACK_LAB_BASE_DN}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: ${Buffer.from(`"${theirs}"`, 'utf16le').toString('base64')}\n`);
  const answer = await send(second, payload);
  assert.equal(answer.status, 422, JSON.stringify(answer.json));
  assert.equal(bind(name, theirs), 'yes');
});
