// SPDX-License-Identifier: Apache-2.0

// The OpenAPI description of the contract is true: of itself, of the table of outcomes, and of what the running agent
// says. A member that the agent sends and the description does not know fails here, and so does an answer that nobody
// has seen. Run in a lab:
//
//     tests/lab/run --no-agent node --test tests/integration/contract.test.mjs

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { bind, look } from './ad.mjs';
import { AgentProcess, configure, entries } from './agent-process.mjs';
import { signal, until } from './controllers.mjs';
import { assertDescribed, description, faults, matches, outcomeOf, outcomesByStatus } from './openapi.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const agent = new AgentProcess();
const BASE = env.WRITEBACK_LAB_BASE_DN;
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;

const role = (id) => ({ wids: [id] });
const PASSWORD_ADMINISTRATOR = role('966707d0-3269-4727-9be2-8c3a10f19b9d');
const GLOBAL_ADMINISTRATOR = role('62e90394-69f5-4237-9190-012177145e10');
const NOBODY = { wids: [] };
const SERVICE = { idtyp: 'app', roles: ['Password.Reset.All'], wids: null };

// Answers that are not provoked here, and where they are.
const ELSEWHERE = {
  UnknownError: 'nothing but a lack of memory, or a disk or directory that outlasts every deadline, makes one',
  ADUnknownError: ['../unit/test-directory.c', 'answers_are_told_apart'],
  PolicyHintsUnavailable: ['directory.c', 'without_the_control_a_reset_is_refused'],
  OutcomeUnknown: ['settle.test.mjs', 'a password is not tried where a wrong one would lock the account'],
  LedgerUnavailable: ['trust.test.mjs', 'a full disk: refused before anything is done, and well again when there is room'],
};

const upn = (name) => ({ userPrincipalName: `${name}@corp.example` });
const newPassword = () => `Ab1!${randomUUID()}`;
const reset = (name, more = {}) => ({ operation: 'reset', user: upn(name), newPassword: newPassword(), ...more });
const change = (name, currentPassword, more = {}) =>
  ({ operation: 'change', user: upn(name), currentPassword, newPassword: newPassword(), ...more });
const unlock = (name) => ({ operation: 'unlock', user: upn(name) });
const check = (name) => ({ operation: 'check', user: upn(name) });

/** Every answer that came, as "status code eventId". */
const seen = new Set();

function note(answer) {
  const { code, event, eventId } = answer.json;
  seen.add(`${answer.status} ${code ?? event} ${eventId}`);
}

async function request(method, path, options) {
  const answer = await client.request(method, path, options);
  assert.ok(answer.fromAgent, answer.reason);
  assertDescribed(method, path, answer);
  if ('eventId' in answer.json) note(answer);
  return answer;
}

const post = (body, headers = { 'Content-Type': 'application/jose' }) => request('POST', '/v1/requests', { body, headers });

/** Asks with a request that is as described. */
async function ask(members, claims = PASSWORD_ADMINISTRATOR) {
  const payload = client.payload({ ...members, authorization: await client.token(claims) });
  assert.ok(matches('Request', payload), JSON.stringify(payload));
  return { ...await post(await client.seal(payload)), payload };
}

/** Asks, and says which answer is right: `code` of a problem, `event` of a success. */
async function expect(name, members, claims) {
  const answer = await ask(members, claims);
  assert.equal(answer.json.code ?? answer.json.event, name, JSON.stringify(answer.json));
  return answer.json;
}

async function startWith(lines, change) {
  configure(lines, change);
  agent.start();
  await until('the agent answers', async () => (await client.health()).fromAgent);
}

const startAndBeReady = async (lines) => {
  await startWith(lines);
  await agent.ready();
};

const logged = (event) => entries().filter((entry) => entry.event === event).length;

function lockOut(name) {
  for (let i = 0; i < 5; i++) bind(name, 'wrong');
  assert.equal(bind(name, 'wrong'), '775');
}

afterEach(async () => {
  if (agent.isRunning) assert.equal(await agent.stop(), 0);
});
after(() => client.close());

// ---- The description by itself --------------------------------------------------------------------

test('the description is an OpenAPI 3.1 document, and every reference in it leads somewhere', async () => {
  assert.equal(await faults(), undefined);
  assert.match(description.openapi, /^3\.1\./);
});

/** The rows of outcome.def that answer a request. */
function answersInTable() {
  const table = readFileSync(new URL('../../agent/base/outcome.def', import.meta.url), 'utf8');
  return [...table.matchAll(/^EVENT\(\w+,\s*(\d+),\s*"(\w+)",\s*\w+,\s*(\d+),\s*(true|false),/gm)]
    .map(([, number, name, http, retryable]) =>
      ({ http: Number(http), name, number: Number(number), isRetryable: retryable === 'true' }))
    .filter(({ http }) => http !== 0);
}

test('its answers are those of the table of outcomes, each under its status', () => {
  const described = Object.entries(outcomesByStatus()).flatMap(([status, names]) => names.map((name) => {
    assert.equal(outcomeOf(name).http, Number(status), name);
    assert.equal(outcomeOf(name).name, name);
    return outcomeOf(name);
  }));
  const sorted = (all) => [...all].sort((a, b) => a.number - b.number)
    // Whether a success may be repeated is no question.
    .map((each) => (each.http === 200 ? { ...each, isRetryable: false } : each));
  assert.ok(described.length > 30);
  assert.deepEqual(sorted(described), sorted(answersInTable()));
});

test('contract.md has the same answers', () => {
  const text = readFileSync(new URL('../../packaging/contract.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (\d{3}) \| (\w+)(?: \/ (\w+))? \| (\d+)(?: \/ (\d+))? \|/gm)]
    .flatMap(([, http, name, other, number, otherNumber]) =>
      [[http, name, number], ...(other ? [[http, other, otherNumber]] : [])].map((row) => row.join(' ')));
  assert.deepEqual(rows.sort(), answersInTable().filter(({ http }) => http !== 200)
    .map(({ http, name, number }) => `${http} ${name} ${number}`).sort());
});

// ---- The running agent ----------------------------------------------------------------------------

test('the blade, the keys, and what there is not', async () => {
  await startAndBeReady({});
  const { json } = await request('GET', '/v1/health');
  assert.equal(json.status, 'pass');
  await request('GET', '/v1/keys');
  await request('GET', '/v1/nothing');
  await request('DELETE', '/v1/keys');
  await request('GET', '/v1/requests');
  await post('{}', { 'Content-Type': 'application/json' });
  await post('x'.repeat(256 * 1024 + 1));
});

test('what is done, and what a check tells', async () => {
  await startAndBeReady({});
  await expect('ResetUserPasswordByAdminSuccess', reset('alice'));
  await expect('PasswordResetSuccess', reset('grace', { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }), SERVICE);
  await expect('ResetUserPasswordByAdminSuccess', reset('ivan', { forceChangePasswordNextSignIn: true }));
  const { warnings } = await expect('ResetUserPasswordByAdminSuccess', reset('dave', { unlockAccount: false }));
  assert.deepEqual(warnings, ['accountStillLocked']);
  await expect('UnlockAccountSuccess', unlock('dave'));
  await expect('ChangePasswordSuccess', change('anna', OLD_PASSWORD), { ...NOBODY, upn: 'anna@corp.example' });

  const reasons = async (name, claims) => (await expect('CheckAnswered', check(name), claims)).reasons.map(({ code }) => code);
  assert.deepEqual(await reasons('alice'), []);
  assert.deepEqual(await reasons('alice', { ...NOBODY, upn: 'alice@corp.example' }), []);
  assert.deepEqual(await reasons('alice', NOBODY), ['InitiatorNotAuthorized']);
  assert.deepEqual(await reasons('alice', { ...NOBODY, azp: randomUUID() }), ['UnsupportedPortal']);
  assert.deepEqual(await reasons('frank'), ['TargetPrivileged']);
  assert.deepEqual(await reasons('carol'), ['ADUserAccountDisabled']);
  assert.deepEqual(await reasons('nobody'), ['ADUserNotFoundError']);
  assert.deepEqual(await reasons('oscar'), ['ADPermissionsError']);
});

test('each identifier is as described, and finds the account', async () => {
  await startAndBeReady({});
  const { objectGUID, objectSid } = look('alice', 'objectGUID', 'objectSid');
  const hex = objectGUID.toString('hex');
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((i) => hex.slice(2 * i, 2 * i + 2)).join('') + hex.slice(16);
  const sid = [objectSid.readUIntBE(2, 6), ...Array.from({ length: objectSid[1] }, (_, i) => objectSid.readUInt32LE(8 + 4 * i))];
  for (const user of [
    { onPremisesImmutableId: objectGUID.toString('base64') },
    { objectGuid: swapped.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') },
    { onPremisesSecurityIdentifier: `S-1-${sid.join('-')}` },
    upn('alice'),
    { onPremisesSamAccountName: 'alice', onPremisesDomainName: 'corp.example' },
  ]) {
    const { allowed, account } = await expect('CheckAnswered', { operation: 'check', user });
    assert.ok(allowed && account.enabled, JSON.stringify(user));
  }
});

test('what is refused', async () => {
  await startAndBeReady({ 'Directory': [`AllowedTargets=OU=Staff,${BASE}`] });
  await expect('InitiatorNotAuthorized', reset('alice'), NOBODY);
  await expect('UnsupportedPortal', reset('alice'), { ...PASSWORD_ADMINISTRATOR, azp: randomUUID() });
  await expect('TargetPrivileged', reset('frank'));
  await expect('TargetOutOfScope', reset('oscar'));
  await expect('ADPermissionsError', reset('admin-protected'), GLOBAL_ADMINISTRATOR);
  await expect('ADUserNotFoundError', reset('nobody'));
  await expect('ADUserAccountDisabled', reset('carol'));
  await expect('ADMultiMatchError',
    { ...reset('-'), user: { onPremisesImmutableId: Buffer.from(Array.from({ length: 16 }, (_, i) => 32 + i)).toString('base64') } });

  for (const [name, newPassword] of [['mustchange', 'Zq7!'], ['mustchange', 'zqzqzqzqzqzq'], ['bob', 'Zq7!zqzqzq'], ['erin', 'Zq7!zqzqzq'], ['paul', OLD_PASSWORD]]) {
    const { reasons } = await expect('ADPasswordPolicyError', reset(name, { newPassword }));
    assert.ok(reasons.length > 0);
  }

  const paul = { ...NOBODY, upn: 'paul@corp.example' };
  await expect('ADUserIncorrectPassword', change('paul', newPassword()), paul);
  lockOut('paul');
  await expect('ADUserAccountLockedOut', change('paul', OLD_PASSWORD), paul);

  const first = await ask(reset('heidi'));
  assert.deepEqual((await post(await client.seal(first.payload))).json, first.json, 'the first answer again');
  const conflict = await post(await client.seal({ ...first.payload, unlockAccount: false }));
  assert.equal(conflict.json.code, 'RequestConflict');
});

test('a tenant without a licence', async () => {
  await client.control('graph', { skus: ['E3'] });
  await startAndBeReady({});
  await until('it is known', async () => (await request('GET', '/v1/health')).json.blade.state === 'notEnabled');
  await expect('LicenceMissing', reset('alice'));
  assert.equal((await expect('CheckAnswered', check('alice'))).reasons[0].code, 'LicenceMissing');
  await client.control('graph', { skus: ['E3', 'P1'] });
});

test('a token that does not count', async () => {
  await startAndBeReady({});
  for (const authorization of ['nonsense', await client.token({ ...PASSWORD_ADMINISTRATOR, aud: 'another' })])
    assert.equal((await post(await client.seal(client.payload({ ...check('alice'), authorization })))).json.code, 'AuthTokenError');
});

test('a token whose issuer cannot be reached is not refused, but may come again', async () => {
  const payload = client.payload({ ...reset('juergen'), authorization: await client.token(PASSWORD_ADMINISTRATOR) });
  await client.control('issuer', { outage: true });
  try {
    await startWith({});
    const jwe = await client.seal(payload);
    const { status, json } = await post(jwe);
    assert.deepEqual({ status, code: json.code, retryable: json.retryable }, { status: 503, code: 'IssuerUnavailable', retryable: true });
    assert.match(json.detail, /^the keys of issuer \S+ cannot be had: /);
    assert.deepEqual(entries().filter(({ event }) => event === 35015).map((entry) => entry.WRITEBACK_REQUEST_ID), [payload.jti]);
    assert.equal(bind('juergen', OLD_PASSWORD), 'yes');

    await client.control('issuer', { outage: false });
    await agent.ready();
    assert.equal((await post(jwe)).status, 200);
  } finally {
    await client.control('issuer', { outage: false });
  }
});

test('requests that are described are read, and those that are not are malformed', async () => {
  await startAndBeReady({});
  const authorization = await client.token(PASSWORD_ADMINISTRATOR);
  const good = (members = {}) => client.payload({ ...check('alice'), authorization, ...members });
  const codeOf = async (payload) => (await post(await client.seal(payload))).json.code;

  const now = Math.floor(Date.now() / 1000);
  for (const times of [{ iat: now - 300, exp: now - 61 }, { iat: now, exp: now + 601 }]) {
    assert.ok(matches('Request', good(times)));
    assert.equal(await codeOf(good(times)), 'RequestExpired');
  }

  for (const jti of ['a_-Z9'.repeat(2), 'x'.repeat(64)]) {
    assert.ok(matches('Request', good({ jti })));
    assert.equal(await codeOf(good({ jti })), undefined);
  }

  const two = { ...upn('alice'), objectGuid: randomUUID() };
  const bad = [
    {}, { ...good(), more: 1 },
    ...['jti', 'iat', 'exp', 'aud', 'operation', 'user', 'authorization'].map((name) => good({ [name]: undefined })),
    ...['short', 'x'.repeat(65), 'white space', 12345678, null].map((jti) => good({ jti })),
    ...['1700000000', 1.5, -1, null].map((iat) => good({ iat })),
    ...['', 'x'.repeat(1025), 7].map((aud) => good({ aud })),
    ...['delete', 'Reset', '', true].map((operation) => good({ operation })),
    ...['alice', {}, two, { mail: 'alice@corp.example' }, { userPrincipalName: '' }, { userPrincipalName: 7 },
      { objectGuid: 'x' }, { onPremisesImmutableId: 'AAAA' }, { onPremisesSecurityIdentifier: 'S-1' },
      { onPremisesSamAccountName: 'alice' }, { ...upn('alice'), onPremisesDomainName: 'corp.example' },
    ].map((user) => good({ user })),
    ...['00', `01-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, `00-${'0'.repeat(32)}-${'2'.repeat(16)}-01`].map((traceparent) => good({ traceparent })),
    good({ authorization: 7 }),
    good({ newPassword: newPassword() }), good({ unlockAccount: true }),
    good({ ...reset('alice'), newPassword: undefined }), good(reset('alice', { newPassword: '' })),
    good(reset('alice', { newPassword: 'Aa1'.repeat(86) })), good(reset('alice', { newPassword: 'Aa1\0aaaaaaaa' })),
    good(reset('alice', { currentPassword: newPassword() })), good(reset('alice', { unlockAccount: 'yes' })),
    good(reset('alice', { forceChangePasswordNextSignIn: 1 })),
    good(change('alice', OLD_PASSWORD, { unlockAccount: true })), good({ ...change('alice'), currentPassword: undefined }),
    good({ ...unlock('alice'), newPassword: newPassword() }), good({ ...unlock('alice'), forceChangePasswordNextSignIn: true }),
  ];
  const before = logged(32003), { pwdLastSet } = look('alice', 'pwdLastSet');
  for (const payload of bad) {
    // As it goes over the wire.
    assert.ok(!matches('Request', JSON.parse(JSON.stringify(payload))), `described: ${JSON.stringify(payload)}`);
    assert.equal(await codeOf(payload), 'InputValidationError', JSON.stringify(payload));
  }
  assert.equal(logged(32003) - before, bad.length, 'one entry each');
  assert.equal(look('alice', 'pwdLastSet').pwdLastSet, pwdLastSet);
});

test('headers that are described are opened, and no others', async () => {
  await startAndBeReady({});
  const payload = client.payload({ ...check('alice'), authorization: await client.token(PASSWORD_ADMINISTRATOR) });
  const headerOf = (jwe) => JSON.parse(Buffer.from(jwe.split('.')[0], 'base64url'));
  for (const header of [{}, { alg: 'ECDH-ES' }, { typ: 'JWE', cty: 'json' }]) {
    const jwe = await client.seal(payload, { header });
    assert.ok(matches('SealedRequest', jwe) && matches('RequestHeader', headerOf(jwe)), JSON.stringify(header));
    assert.equal((await post(jwe)).json.event, 'CheckAnswered');
  }
  const before = logged(32004);
  for (const header of [{ enc: 'A128GCM' }, { kid: undefined }, { jku: 'https://elsewhere.example' }, { x5c: [] }, { more: 1 }]) {
    const jwe = await client.seal(payload, { header });
    assert.ok(!matches('RequestHeader', headerOf(jwe)), JSON.stringify(header));
    assert.equal((await post(jwe)).json.code, 'DecryptionError');
  }
  for (const body of ['nonsense', '....', '']) {
    assert.ok(!matches('SealedRequest', body));
    assert.equal((await post(body)).json.code, 'DecryptionError');
  }
  assert.equal(logged(32004) - before, 8, 'one entry each');
});

test('too often', async () => {
  await startAndBeReady({ 'Authorization': ['AccountRate=1/10min'] });
  await expect('ResetUserPasswordByAdminSuccess', reset('mustchange'));
  await expect('TooManyRequests', reset('mustchange'));
  assert.equal((await expect('CheckAnswered', check('mustchange'))).reasons[0].code, 'TooManyRequests');
});

const inFlight = async (n) => until(`${n} requests are under way`, async () =>
  (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/metrics`)).text()).includes(`\nwriteback_requests_in_flight ${n}\n`));

/** Freezes the controller until `done` has returned. */
async function whileFrozen(done) {
  signal('dc1', 'SIGSTOP');
  try {
    return await done();
  } finally {
    signal('dc1', 'SIGCONT');
  }
}

test('more at once than there is room for, and what comes while the agent stops', async () => {
  await startAndBeReady({});
  const payload = client.payload({ ...check('alice'), authorization: await client.token(PASSWORD_ADMINISTRATOR) });
  const jwe = await client.seal(payload);

  const waiting = await whileFrozen(async () => {
    const asked = Array.from({ length: 16 }, () => ask(check('alice')));
    await inFlight(16);
    assert.equal((await post(jwe)).status, 429);
    assert.equal((await request('GET', '/v1/keys')).status, 429);
    return asked;
  });
  for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);

  const [last, stopped] = await whileFrozen(async () => {
    const asked = ask(check('alice'));
    await inFlight(1);
    const end = agent.stop();
    await until('the agent stops', async () => (await request('GET', '/v1/keys')).json.code === 'ServiceStopping');
    assert.equal((await post(jwe)).json.code, 'ServiceStopping');
    return [asked, end];
  });
  assert.equal((await last).status, 200, 'what was begun is finished');
  assert.equal(await stopped, 0);
});

test('the directory cannot be reached', async () => {
  await startWith({}, (text) => text.replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:1`));
  await until('it is known', async () => (await client.health()).json.status === 'fail');
  await expect('ADNotReachable', reset('alice'));
  const { json } = await request('GET', '/v1/health');
  assert.equal(json.blade.reasons[0].group, 'writebackConnectivity');
});

test("the directory refuses the agent's own account", async () => {
  const credential = `${env.WRITEBACK_LAB_SCRATCH}/agent/credentials/wrong`;
  writeFileSync(credential, 'wrong', { mode: 0o600 });
  await startWith({}, (text) => text.replace(/^BindPasswordCredential=.*$/m, `BindPasswordCredential=${credential}`));
  await until('it is known', async () => (await client.health()).json.status === 'fail');
  await expect('ADConfigurationError', reset('alice'));
});

test('every answer has been seen, or is where it says', () => {
  const all = answersInTable().map(({ http, name, number }) => ({ name, text: `${http} ${name} ${number}` }));
  for (const { name, text } of all) assert.ok(seen.has(text) !== name in ELSEWHERE, text);
  assert.deepEqual([...seen].filter((text) => !all.some((each) => each.text === text)), []);

  for (const [name, where] of Object.entries(ELSEWHERE)) {
    if (typeof where === 'string') continue;
    const text = readFileSync(new URL(where[0], import.meta.url), 'utf8');
    assert.ok(text.includes(where[1]), `${name}: no test of that name in ${where[0]}`);
  }
});
