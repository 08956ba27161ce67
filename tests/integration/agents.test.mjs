// SPDX-License-Identifier: Apache-2.0

// Two agents for one directory, each with a ledger of its own: whichever a portal asks again, it is told the same, and
// there is one effect. First each has a hybrid connection and keys of its own; then they share both.
// Run in a lab: WRITEBACK_BUILD=BUILD tests/lab/run --no-agent --users 60 node --test tests/integration/agents.test.mjs

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { jose } from '../lab/cloud/packages.mjs';
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
const SECOND_HEALTH = 'http://127.0.0.1:8405';

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
  const config = `${folder}/writebackd.conf`;
  mkdirSync(`${folder}/state`, { recursive: true, mode: 0o700 });
  writeFileSync(`${folder}/relay-key`, relay.listenKey, { mode: 0o600 });
  writeFileSync(config, readFileSync(CONFIG, 'utf8')
    .replace(/^Id=.*$/m, 'Id=agent-second')
    .replace(/^StateDirectory=.*$/m, `StateDirectory=${folder}/state`)
    .replace(/^ConnectionString=.*$/m,
      `ConnectionString=Endpoint=sb://${relay.host}/;SharedAccessKeyName=Listen;EntityPath=${new URL(relay.url).pathname.slice(1)}`)
    .replace(/^SharedAccessKeyCredential=.*$/m, `SharedAccessKeyCredential=${folder}/relay-key`)
    .replace(/^Listen=.*$/m, `Listen=${new URL(SECOND_HEALTH).host}`));
  return { config, health: SECOND_HEALTH };
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

// ---- One hybrid connection, and one set of keys ------------------------------------------------------

const OF_SECOND = path.join(path.dirname(CONFIG), 'second/writebackd.conf');
const CTL = `${env.WRITEBACK_BUILD}/writebackctl`;
const keysCommand = (config, ...args) =>
  execFileSync(CTL, ['keys', ...args, `--config=${config}`], { encoding: 'utf8' });
const keyOf = (keys, use) => keys.find((key) => key.use === use);

/** What an administrator types: on the one host the first half, on the other one the second. */
const shareKeys = () =>
  execFileSync('/bin/bash', ['-c', 'set -o pipefail; "$0" keys export --private --config="$1" | "$0" keys import - --config="$2"',
    CTL, CONFIG, OF_SECOND], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** Until an agent uses the keys that end then. */
async function takenOver(health, end) {
  for (const last = Date.now() + 30_000; Date.now() < last;) {
    const metrics = await (await fetch(`${health}/metrics`)).text();
    if (Number(/^writeback_key_not_after_timestamp_seconds (\S+)$/m.exec(metrics)[1]) === end) return;
  }
  assert.fail(`the agent at ${health} does not use the new keys`);
}

/** Which of the two it was: the first one has the controller by another port. */
const whose = ({ json }) => (json.domainController.endsWith(`:${PROXY_PORT}`) ? 'first' : 'second');

/** Asks with `ask` at least 12 times, and until both agents have answered; the relay casts lots. */
async function askBoth(ask) {
  const answers = [];
  for (let n = 0; n < 12 || (n < 30 && new Set(answers.map(whose)).size < 2); n++) answers.push(await ask());
  assert.deepEqual(new Set(answers.map(whose)), new Set(['first', 'second']));
  return answers;
}

function verifyReceipt({ headers, body }, keys) {
  const [header, , signature] = headers['writeback-receipt'].split('.');
  return jose.flattenedVerify({ protected: header, payload: body.toString('base64url'), signature },
    jose.createLocalJWKSet({ keys }));
}

/** A reset of somebody else each time, sealed to this key. */
const resetSealedTo = (key) => async () => {
  const answer = await first.client.send(await first.client.seal(await payloadOf(reset(someone().user)), { key }));
  assertDone(answer, []);
  return answer;
};

test('both on one hybrid connection, with the same keys: each opens what is sealed to them', async () => {
  assert.equal(await second.agent.stop(), 0);
  const lineOf = (name) => new RegExp(`^${name}=.*$`, 'm').exec(readFileSync(CONFIG, 'utf8'))[0];
  writeFileSync(OF_SECOND, `${readFileSync(OF_SECOND, 'utf8')
    .replace(/^ConnectionString=.*$/m, lineOf('ConnectionString'))
    .replace(/^SharedAccessKeyCredential=.*$/m, lineOf('SharedAccessKeyCredential'))}\n[Keys]\nRenew=no\n`);
  shareKeys();
  await second.agent.start().ready();
  assert.equal((await first.client.control('relay')).listeners, 2);

  const { keys } = JSON.parse(keysCommand(CONFIG, 'export'));
  for (const answer of await askBoth(resetSealedTo(keyOf(keys, 'enc')))) {
    const { protectedHeader } = await verifyReceipt(answer, keys);
    assert.equal(protectedHeader.kid, keyOf(keys, 'sig').kid);
    assert.equal(protectedHeader.jti, answer.json.id);
  }
});

test('there, a request that comes again and reaches the other one is told the same, and done once', async () => {
  const { name, user } = someone();
  const payload = await payloadOf(reset(user));
  const before = Number(effects(name));
  const answers = await askBoth(async () => send(first, payload));
  for (const answer of answers) {
    assert.deepEqual(told(answer), told(answers[0]));
    assertDone(answer, whose(answer) === whose(answers[0]) ? [] : ['passwordAlreadySet']);
  }
  assert.equal(Number(effects(name)), before + 1);
  assert.equal(bind(name, payload.newPassword), 'yes');
});

test('there, keys that the one renews are taken over by the other while it runs, and those of before open still', async () => {
  const old = keyOf(JSON.parse(keysCommand(CONFIG, 'export')).keys, 'enc');
  keysCommand(CONFIG, 'rotate');
  shareKeys();
  const [{ ends }] = JSON.parse(keysCommand(CONFIG, 'list', '--json'));
  for (const health of [env.WRITEBACK_LAB_HEALTH_URL, SECOND_HEALTH]) await takenOver(health, Date.parse(ends) / 1000);

  const { keys } = await first.client.keys();
  assert.notEqual(keyOf(keys, 'enc').kid, old.kid);
  for (const key of [keyOf(keys, 'enc'), old])
    for (const answer of await askBoth(resetSealedTo(key)))
      assert.equal((await verifyReceipt(answer, keys)).protectedHeader.kid, keyOf(keys, 'sig').kid);
});

test('private keys are for another agent, and for no terminal and no file that others may read', () => {
  const ctl = (args, options) => spawnSync(CTL, ['keys', ...args], { encoding: 'utf8', ...options });
  const arguments_ = ['export', '--private', `--config=${CONFIG}`];
  const terminal = spawnSync('script', ['-qec', [CTL, 'keys', ...arguments_].join(' '), '/dev/null'], { encoding: 'utf8' });
  assert.equal(terminal.status, 1);
  assert.match(terminal.stdout, /^writebackctl: standard output is a terminal/);
  assert.doesNotMatch(terminal.stdout, /"d"/);

  const into = (mode) => {
    const file = `${env.WRITEBACK_LAB_SCRATCH}/exported-${mode.toString(8)}`;
    const stdout = openSync(file, 'w', mode);
    const result = ctl(arguments_, { stdio: ['ignore', stdout, 'pipe'] });
    closeSync(stdout);
    return { file, ...result };
  };
  const open = into(0o644);
  assert.equal(open.status, 1);
  assert.match(open.stderr, /a file that is open to others than its owner \(mode 0644\)/);
  assert.equal(readFileSync(open.file, 'utf8'), '');

  const closed = into(0o600);
  assert.equal(closed.status, 0);
  const before = keysCommand(CONFIG, 'list');
  const imported = ctl(['import', closed.file, `--config=${CONFIG}`]);
  assert.equal(imported.stdout, before, 'its own keys change nothing');
  assert.match(imported.stderr, /set Renew=no in \[Keys\]/);
  assert.equal(ctl(['import', closed.file, `--config=${OF_SECOND}`]).stderr, '');

  // A host whose agent, another user, has never run.
  const folder = mkdtempSync('/tmp/agents-');
  try {
    chownSync(folder, 65534, 65534);
    writeFileSync(`${folder}/writebackd.conf`, `[Agent]\nStateDirectory=${folder}\n[Keys]\nRenew=no\n`);
    const fresh = ctl(['import', closed.file, `--config=${folder}/writebackd.conf`]);
    assert.equal(fresh.stdout, before, fresh.stderr);
    const { uid, mode } = statSync(`${folder}/keys.json`);
    assert.deepEqual([uid, mode & 0o7777], [65534, 0o600]);
  } finally {
    rmSync(folder, { recursive: true });
  }

  const nothing = ctl(['import', '-', `--config=${OF_SECOND}`], { input: '' });
  assert.equal(nothing.status, 1);
  assert.match(nothing.stderr, /nothing was imported: there is nothing in it/);
  assert.equal(ctl(['list', '--private', `--config=${CONFIG}`]).status, 64);
});
