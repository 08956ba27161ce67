// SPDX-License-Identifier: Apache-2.0

// Nothing secret stays behind: after 200 mixed requests neither the agent's memory, nor its swap, its log or its state
// directory hold a password or an access token of theirs. All that the process can write to is searched, whether a core
// dump would hold it or not. Run in a lab, and not in a sanitizer build, which keeps what was freed:
//
//     tests/lab/run --users 200 node --test tests/integration/secrets.test.mjs

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { dirname } from 'node:path';

import { Client } from '../lab/cloud/client.mjs';
import { jose } from '../lab/cloud/packages.mjs';
import { flipped } from './damage.mjs';

const { env } = process;
const PID = Number(env.WRITEBACK_LAB_AGENT_PID);
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;
const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const AT_ONCE = 8;
const client = Client.fromEnvironment();

// ---- Secrets, and the traces that they would leave -------------------------------------------------

// free(3) writes over the beginning of what it takes, and a buffer's next use over any of it, so a secret is looked for
// by its parts. Passwords of this run have a mark at both ends; no chance puts it anywhere else.
const MARK = randomBytes(6).toString('hex');
const traces = new Map(); // what to look for, in hexadecimal: its name

function watchFor(name, text, ...encodings) {
  for (const encoding of encodings) {
    const bytes = Buffer.from(text, encoding);
    traces.set(bytes.toString('hex'), { name: `${name} (${encoding})`, bytes });
  }
}

const watchForPassword = (name, text) => watchFor(name, text, 'utf8', 'utf16le');
watchForPassword('a password', MARK);
watchForPassword("the users' first password", OLD_PASSWORD);

const newPassword = () => `${MARK}-Ab1!${randomUUID()}${MARK}`;
const simplePassword = () => `${MARK}${MARK}`; // letters and digits only: too simple
function shortPassword() {
  const password = `${randomBytes(5).toString('base64').slice(0, 5)}§`; // of which nothing else consists
  watchForPassword('a short password', password);
  return password;
}

async function token(claims, query) {
  const text = await client.token(claims, query);
  const [, payload, signature] = text.split('.');
  // The beginning of the payload is the same in all.
  watchFor('the payload of a token', payload.slice(0, 24), 'latin1');
  watchFor('the payload of a token', payload.slice(-24), 'latin1');
  watchFor('the signature of a token', signature.slice(0, 24), 'latin1');
  watchFor('the signature of a token', signature.slice(-24), 'latin1');
  return text;
}

/** What the agent asked Microsoft Graph with. */
async function watchForGraph() {
  const { last } = await (await fetch(`${env.WRITEBACK_LAB_CONTROL_URL}/graph`)).json();
  const [, payload, signature] = last.assertion.split('.');
  for (const text of [payload, signature]) {
    watchFor("a part of the agent's assertion", text.slice(0, 24), 'latin1');
    watchFor("a part of the agent's assertion", text.slice(-24), 'latin1');
  }
  return last.token;
}

// ---- Requests --------------------------------------------------------------------------------------

let users = 0;
const anyUser = () => `user${String(++users).padStart(4, '0')}@corp.example`;

async function reset(password, { claims = PASSWORD_ADMINISTRATOR, query, ...more } = {}) {
  return client.payload({
    operation: 'reset', user: { userPrincipalName: anyUser() }, newPassword: password,
    authorization: await token(claims, query), ...more,
  });
}

async function change(currentPassword, password) {
  const upn = anyUser();
  return client.payload({
    operation: 'change', user: { userPrincipalName: upn }, currentPassword, newPassword: password,
    authorization: await token({ wids: [], upn }),
  });
}

const sealed = async (payload, options) => client.seal(await payload, options);

/** A sealed request, of which one character is another one: in the part with this number, so far from its end. */
async function damaged(part, fromEnd) {
  const parts = (await sealed(reset(newPassword()))).split('.');
  parts[part] = flipped(parts[part], parts[part].length - fromEnd);
  return parts.join('.');
}

const text = async (edit) => client.seal(edit(JSON.stringify(await reset(newPassword()))));

async function toAnotherKey() {
  const { publicKey } = await jose.generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
  const { keys } = await client.keys();
  const { kid } = keys.find(({ use }) => use === 'enc');
  return client.seal(await reset(newPassword()), { key: { ...await jose.exportJWK(publicKey), kid } });
}

// How many, which status they must get, and how each is made.
const mix = [
  [50, 200, () => sealed(reset(newPassword()))],
  [10, 200, () => sealed(reset(newPassword(), { forceChangePasswordNextSignIn: true }))],
  [10, 422, () => sealed(reset(shortPassword()))],
  [10, 422, () => sealed(reset(simplePassword()))],
  [10, 422, () => sealed(reset(OLD_PASSWORD))],
  [30, 200, () => sealed(change(OLD_PASSWORD, newPassword()))],
  [10, 422, () => sealed(change(newPassword(), newPassword()))],
  [5, 401, () => sealed(reset(newPassword(), { query: { signer: 'stranger' } }))],
  [5, 401, () => sealed(reset(newPassword(), { claims: { exp: 1_700_000_000 } }))],
  [5, 401, async () => sealed(reset(newPassword(), { authorization: flipped(await token(), 60) }))],
  [5, 403, () => sealed(reset(newPassword(), { claims: { wids: [] } }))],
  [5, 400, () => damaged(4, 4)],
  [5, 400, () => damaged(3, 40)],
  [5, 400, toAnotherKey],
  [3, 400, () => text((json) => json.slice(0, -1))],
  [3, 400, () => text((json) => json.replace('"newPassword":"', '"newPassword":'))],
  [3, 400, () => text((json) => json.replace('{', `{"newPassword":"${newPassword()}",`))],
  [3, 400, () => text((json) => json.replace('{', `{"${newPassword()}":1,`))],
  [3, 400, () => sealed(reset({ password: newPassword() }))],
  ...['check', 'unlock'].map((operation) => [10, 200, async () => sealed(client.payload({
    operation, user: { userPrincipalName: anyUser() }, authorization: await token(PASSWORD_ADMINISTRATOR),
  }))]),
];

/** Sends all, some at once and the kinds among each other. */
async function sendAll() {
  const waiting = mix.flatMap(([n, status, make], kind) =>
    Array.from({ length: n }, (_, i) => ({ at: i / n, kind, status, make }))).sort((a, b) => a.at - b.at);
  const total = waiting.length;
  const send = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const answer = await client.send(await next.make());
      assert.equal(answer.status, next.status, `kind ${next.kind}: ${JSON.stringify(answer.json)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  return total;
}

// ---- The search ------------------------------------------------------------------------------------

/** What surrounds a find, so that the place in the program can be guessed and the secret cannot. */
function masked(data, at, size) {
  const from = Math.max(0, at - 64);
  const around = data.toString('latin1', from, at + size + 64)
    .replace(/[^\x20-\x7e]/g, '.').replace(/[a-z]/g, 'a').replace(/[A-Z]/g, 'A').replace(/\d/g, '9');
  return `${around.slice(0, at - from)}[${size} bytes]${around.slice(at - from + size)}`;
}

function* finds(where, data, wanted = traces.values()) {
  for (const { name, bytes } of wanted)
    for (let at = data.indexOf(bytes); at >= 0; at = data.indexOf(bytes, at + bytes.length))
      yield `${name} in ${where} at 0x${at.toString(16)}: ${masked(data, at, bytes.length)}`;
}

/** The mappings that the agent can write to: [where, contents]. It stands still meanwhile. */
function memory() {
  const file = openSync(`/proc/${PID}/mem`, 'r');
  process.kill(PID, 'SIGSTOP');
  try {
    return [...readFileSync(`/proc/${PID}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) .w\S+ \S+ \S+ \S+ *(.*)$/gm)]
      .map(([, begin, end, name]) => [`${name || 'anonymous memory'} ${begin}`, contents(file, begin, end)]);
  } finally {
    process.kill(PID, 'SIGCONT');
    closeSync(file);
  }
}

function contents(file, begin, end) {
  const data = Buffer.alloc(Number(`0x${end}`) - Number(`0x${begin}`));
  for (let n = 0; n < data.length;)
    n += readSync(file, data, n, data.length - n, Number(`0x${begin}`) + n);
  return data;
}

const none = (found) => assert.equal(found.length, 0, `${found.length} found:\n${found.slice(0, 40).join('\n')}`);

// ---- Tests -----------------------------------------------------------------------------------------

let graphToken;

before(async () => {
  assert.equal(await sendAll(), 200);
  graphToken = await watchForGraph();
});
after(() => client.close());

test('the search finds what is there: the password that the agent itself signs in with', () => {
  const bytes = Buffer.from(env.WRITEBACK_LAB_SERVICE_PASSWORD);
  assert.notEqual(memory().flatMap(([where, data]) => [...finds(where, data, [{ name: 'it', bytes }])]).length, 0);
});

test('no password and no token stays in memory', () => {
  none(memory().flatMap(([where, data]) => [...finds(where, data)]));
});

test('the token for Microsoft Graph is in memory once, where it is kept', () => {
  const bytes = Buffer.from(graphToken.slice(-24));
  const found = memory().flatMap(([where, data]) => [...finds(where, data, [{ name: 'it', bytes }])]);
  assert.equal(found.length, 1, found.join('\n'));
});

test('nothing of the agent is in swap, nor can get there', () => {
  const status = readFileSync(`/proc/${PID}/status`, 'utf8');
  assert.match(status, /^VmSwap:\s+0 kB$/m);
  // Every mapping that is not the kernel's own has the flag "locked", or "droppable": with the latter, where newer
  // versions of glibc keep the state of getrandom(3), the kernel throws away what it would swap (mmap(2), MAP_DROPPABLE).
  for (const mapping of readFileSync(`/proc/${PID}/smaps`, 'utf8').split(/^(?=\w+-\w+ )/m))
    if (!/\[v(var|dso|syscall|var_vclock)\]/.test(mapping.split('\n')[0]))
      assert.match(mapping, /^VmFlags:.* (lo|dp)\b/m);
});

test('no password and no token is in a log or in the state directory', () => {
  const logs = [env.WRITEBACK_LAB_LOG, `${dirname(env.WRITEBACK_LAB_LOG)}/agent.out`];
  const state = `${dirname(env.WRITEBACK_LAB_AGENT_CONFIG)}/state`;
  const kept = readdirSync(state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath ?? entry.path}/${entry.name}`);
  assert.ok(kept.length >= 2);
  none([...logs, ...kept].flatMap((path) => [...finds(path, readFileSync(path))]));
});
