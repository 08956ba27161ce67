// SPDX-License-Identifier: Apache-2.0

// The whole agent, from the cloud to the directory and back: what the contract says, on a real directory.
// Run in a lab: tests/lab/run node --test tests/integration/agent.test.mjs

import assert from 'node:assert/strict';
import { createHmac, createPublicKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { fetchHttps } from '../lab/cloud/http.mjs';
import { bind, look } from './ad.mjs';
import { flipped } from './damage.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;

const role = (id) => ({ wids: [id] });
const PASSWORD_ADMINISTRATOR = role('966707d0-3269-4727-9be2-8c3a10f19b9d');
const USER_ADMINISTRATOR = role('fe930be7-5e62-47db-91af-98c3a49a38b1');
const GLOBAL_ADMINISTRATOR = role('62e90394-69f5-4237-9190-012177145e10');
const NOBODY = { wids: [] };
const SERVICE = { idtyp: 'app', roles: ['Password.Reset.All'], wids: null };
const UNLOCK_SERVICE = { ...SERVICE, roles: ['Account.Unlock.All'] };
const ADMIN_CENTER = { ...PASSWORD_ADMINISTRATOR, azp: '00000006-0000-0ff1-ce00-000000000000' };

const upn = (name) => ({ userPrincipalName: `${name}@corp.example` });
const reset = (user, newPassword, more = {}) => ({ operation: 'reset', user, newPassword, ...more });
const change = (user, currentPassword, newPassword) => ({ operation: 'change', user, currentPassword, newPassword });
const unlock = (user) => ({ operation: 'unlock', user });
const check = (user) => ({ operation: 'check', user });

// Every password of these tests, none of which may turn up anywhere.
const passwords = [];
function newPassword(length = 20) {
  const password = `Ab1!${randomUUID().replaceAll('-', '')}`.slice(0, length);
  passwords.push(password);
  return password;
}

const log = () => readFileSync(env.WRITEBACK_LAB_LOG, 'utf8');
/** The events of one request, in their order. */
function eventsOf(id) {
  return log().split(/^(?=\d{4}-\d\d-\d\dT)/m)
    .filter((entry) => entry.includes(`WRITEBACK_REQUEST_ID=${id}`))
    .map((entry) => Number(/^\S+ \S+ (\d+)/.exec(entry)[1]));
}

function sidText(sid) {
  const parts = [sid.readUIntBE(2, 6)];
  for (let i = 0; i < sid[1]; i++) parts.push(sid.readUInt32LE(8 + 4 * i));
  return `S-1-${parts.join('-')}`;
}

function lockOut(name) {
  for (let i = 0; i < 5; i++) bind(name, 'wrong');
  assert.equal(bind(name, 'wrong'), '775');
}

function assertProblem(answer, status, code, eventId) {
  assert.deepEqual(
    { status: answer.status, code: answer.json?.code, eventId: answer.json?.eventId },
    { status, code, eventId }, JSON.stringify(answer.json));
  assert.match(answer.headers['content-type'], /^application\/problem\+json/);
  assert.equal(answer.json.status, status);
  assert.equal(typeof answer.json.title, 'string');
  assert.ok(Array.isArray(answer.json.steps));
}

before(async () => {
  const answer = await client.health();
  assert.equal(answer.status, 200, answer.reason);
});
after(() => client.close());

test('the blade says that the agent is up and running', async () => {
  const { status, headers, json } = await client.health();
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/health\+json/);
  assert.equal(json.serviceId, 'agent-lab');
  assert.equal(json.blade.visible, true);
  assert.equal(json.blade.state, 'upAndRunning');
  assert.equal(json.checks['relay:primary'][0].status, 'pass');
  assert.equal(json.checks['directory:corp.example'][0].status, 'pass');
});

test('the keys are public and no more than that', async () => {
  const { status, headers, json } = await client.request('GET', '/v1/keys');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/jwk-set\+json/);
  assert.deepEqual(json.keys.map(({ use }) => use).sort(), ['enc', 'sig']);
  for (const key of json.keys)
    assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
});

test('a reset lands in the directory', async () => {
  const password = newPassword();
  const answer = await client.ask(reset(upn('alice'), password), PASSWORD_ADMINISTRATOR);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.id, answer.payload.jti);
  assert.equal(answer.json.status, 'succeeded');
  assert.equal(answer.json.eventId, 31010);
  assert.equal(answer.json.event, 'ResetUserPasswordByAdminSuccess');
  assert.equal(answer.json.domainController, env.WRITEBACK_LAB_DC);
  assert.equal(answer.json.mustChangeAtNextSignIn, false);
  assert.ok(Math.abs(Date.parse(answer.json.passwordLastSet) - Date.now()) < 60_000);
  assert.deepEqual(answer.json.warnings, []);
  assert.equal(bind('alice', password), 'yes');
  assert.equal(bind('alice', OLD_PASSWORD), '52e');
  assert.deepEqual(eventsOf(answer.payload.jti), [31009, 31010]);
});

test('a service resets by its app role, with events of its own', async () => {
  const password = newPassword();
  const answer = await client.ask(reset(upn('oscar'), password), SERVICE);
  // In OU=Other the agent's own account has no rights: the directory says so.
  assertProblem(answer, 403, 'ADPermissionsError', 33004);
  assert.equal(bind('oscar', OLD_PASSWORD), 'yes');
  assert.deepEqual(eventsOf(answer.payload.jti), [31001, 33004, 31003]);
});

test('each identifier of the contract finds the account', async () => {
  const { objectGUID, objectSid } = look('alice', 'objectGUID', 'objectSid');
  const hex = objectGUID.toString('hex');
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((i) => hex.slice(2 * i, 2 * i + 2)).join('') + hex.slice(16);
  const dashed = swapped.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

  for (const user of [
    { onPremisesImmutableId: objectGUID.toString('base64') },
    { objectGuid: dashed },
    { onPremisesSecurityIdentifier: sidText(objectSid) },
    upn('alice'),
    { onPremisesSamAccountName: 'alice', onPremisesDomainName: 'corp.example' },
  ]) {
    const answer = await client.ask(check(user), PASSWORD_ADMINISTRATOR);
    assert.equal(answer.status, 200);
    assert.equal(answer.json.allowed, true, JSON.stringify([user, answer.json]));
  }

  const grace = { onPremisesImmutableId: Buffer.from(Array.from({ length: 16 }, (_, i) => 16 + i)).toString('base64') };
  assert.equal((await client.ask(check(grace), PASSWORD_ADMINISTRATOR)).json.allowed, true);
});

test('a filter cannot be smuggled in by an identifier', async () => {
  for (const name of ['*', 'a*', 'alice)(objectClass=*', 'alice\\2a'])
    assertProblem(await client.ask(reset({ userPrincipalName: `${name}@corp.example` }, newPassword()), GLOBAL_ADMINISTRATOR),
      404, 'ADUserNotFoundError', 33002);
  const impossible = { onPremisesSamAccountName: 'a*', onPremisesDomainName: 'corp.example' };
  assertProblem(await client.ask(reset(impossible, newPassword()), GLOBAL_ADMINISTRATOR), 400, 'InputValidationError', 32003);
});

test('two accounts with one source anchor are both left alone', async () => {
  const anchor = Buffer.from(Array.from({ length: 16 }, (_, i) => 32 + i)).toString('base64');
  assertProblem(await client.ask(reset({ onPremisesImmutableId: anchor }, newPassword()), GLOBAL_ADMINISTRATOR),
    409, 'ADMultiMatchError', 33003);
  assert.equal(bind('heidi', OLD_PASSWORD), 'yes');
  assert.equal(bind('ivan', OLD_PASSWORD), 'yes');
});

test('a domain that the agent does not serve has no users', async () => {
  const user = { onPremisesSamAccountName: 'alice', onPremisesDomainName: 'elsewhere.example' };
  assertProblem(await client.ask(reset(user, newPassword()), GLOBAL_ADMINISTRATOR), 404, 'ADUserNotFoundError', 33002);
});

test('each rule of the policy that a password breaks is named', async () => {
  const rules = async (name, password) => {
    const answer = await client.ask(reset(upn(name), password), PASSWORD_ADMINISTRATOR);
    assertProblem(answer, 422, 'ADPasswordPolicyError', 33008);
    assert.equal(answer.json.retryable, false);
    return answer.json.reasons;
  };
  passwords.push('Zq7!', 'zqzqzqzqzqzqzq');
  assert.deepEqual(await rules('mustchange', 'Zq7!'), [{ rule: 'minimumPasswordLength', required: 7 }]);
  assert.deepEqual(await rules('mustchange', 'zqzqzqzqzqzqzq'), [{ rule: 'passwordComplexity' }]);
  assert.deepEqual(await rules('bob', newPassword(12)), [{ rule: 'minimumPasswordLength', required: 15 }]);
  assert.deepEqual(await rules('erin', newPassword()), [{ rule: 'minimumPasswordAge', required: 86400 }]);
  assert.equal(bind('erin', OLD_PASSWORD), 'yes');
  assert.deepEqual((await rules('grace', OLD_PASSWORD)).map(({ rule }) => rule), ['passwordHistory']);
});

test('a locked account is unlocked by its reset, unless that is not wanted', async () => {
  const kept = await client.ask(reset(upn('dave'), newPassword(), { unlockAccount: false }), PASSWORD_ADMINISTRATOR);
  assert.equal(kept.status, 200, JSON.stringify(kept.json));
  assert.equal(kept.json.accountUnlocked, false);
  assert.deepEqual(kept.json.warnings, ['accountStillLocked']);
  assert.equal(bind('dave', kept.payload.newPassword), '775');
});

test('a person changes their own password, and nobody else does', async () => {
  const mine = { ...NOBODY, upn: 'anna@corp.example' };
  const password = newPassword();
  for (const [claims, user] of [
    [{ ...NOBODY, upn: 'alice@corp.example' }, upn('anna')],
    [{ ...NOBODY, upn: 'anna@corp.example', onprem_sid: sidText(look('alice', 'objectSid').objectSid) }, upn('anna')],
    // A name that people may give themselves is no proof.
    [{ ...NOBODY, preferred_username: 'anna@corp.example' }, upn('anna')],
    [PASSWORD_ADMINISTRATOR, upn('anna')], [GLOBAL_ADMINISTRATOR, upn('anna')], [SERVICE, upn('anna')],
  ])
    assertProblem(await client.ask(change(user, OLD_PASSWORD, password), claims), 403, 'InitiatorNotAuthorized', 35001);
  assert.equal(bind('anna', OLD_PASSWORD), 'yes');

  const wrong = await client.ask(change(upn('anna'), newPassword(), password), mine);
  assertProblem(wrong, 422, 'ADUserIncorrectPassword', 33007);
  assert.deepEqual(eventsOf(wrong.payload.jti), [31006, 33007, 31008]);
  const short = await client.ask(change(upn('anna'), OLD_PASSWORD, 'Zq7!'), mine);
  assertProblem(short, 422, 'ADPasswordPolicyError', 33008);
  assert.deepEqual(short.json.reasons, [{ rule: 'minimumPasswordLength', required: 7 }]);

  const done = await client.ask(change(upn('anna'), OLD_PASSWORD, password), mine);
  assert.equal(done.status, 200, JSON.stringify(done.json));
  assert.deepEqual({ ...done.json, passwordLastSet: '' }, {
    id: done.payload.jti, operation: 'change', status: 'succeeded', eventId: 31007, event: 'ChangePasswordSuccess',
    domainController: env.WRITEBACK_LAB_DC, passwordLastSet: '', warnings: [],
  });
  assert.ok(Math.abs(Date.parse(done.json.passwordLastSet) - Date.now()) < 60_000);
  assert.deepEqual(eventsOf(done.payload.jti), [31006, 31007]);
  assert.equal(bind('anna', password), 'yes');
  assert.equal(bind('anna', OLD_PASSWORD), '52e');
});

test('a person is known by onprem_sid, and an account that has expired can change too', async () => {
  const claims = { ...NOBODY, upn: 'other@corp.example', onprem_sid: sidText(look('expired', 'objectSid').objectSid) };
  const answer = await client.ask(change(upn('expired'), OLD_PASSWORD, newPassword()), claims);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(bind('expired', answer.payload.newPassword), '701');
});

test('an administrator unlocks, and so does a service that may', async () => {
  const password = newPassword();
  assert.equal((await client.ask(reset(upn('jürgen'), password), PASSWORD_ADMINISTRATOR)).status, 404);
  assert.equal((await client.ask(reset(upn('juergen'), password), PASSWORD_ADMINISTRATOR)).status, 200);
  for (const claims of [PASSWORD_ADMINISTRATOR, UNLOCK_SERVICE]) {
    lockOut('juergen');
    const answer = await client.ask(unlock(upn('juergen')), claims);
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    assert.deepEqual(answer.json, {
      id: answer.payload.jti, operation: 'unlock', status: 'succeeded', eventId: 35021, event: 'UnlockAccountSuccess',
      domainController: env.WRITEBACK_LAB_DC, warnings: [], accountUnlocked: true,
    });
    assert.deepEqual(eventsOf(answer.payload.jti), [35020, 35021]);
    assert.equal(bind('juergen', password), 'yes');
  }
  const again = await client.ask(unlock(upn('juergen')), PASSWORD_ADMINISTRATOR);
  assert.equal(again.status, 200);
  assert.equal(again.json.accountUnlocked, false);

  lockOut('juergen');
  const locked = await client.ask(
    change(upn('juergen'), password, newPassword()), { ...NOBODY, upn: 'juergen@corp.example' });
  assertProblem(locked, 423, 'ADUserAccountLockedOut', 33006);
  for (const claims of [SERVICE, NOBODY, { ...NOBODY, upn: 'juergen@corp.example' }])
    assertProblem(await client.ask(unlock(upn('juergen')), claims), 403, 'InitiatorNotAuthorized', 35001);
  assert.equal(bind('juergen', password), '775');
  const refused = await client.ask(unlock(upn('oscar')), UNLOCK_SERVICE);
  assertProblem(refused, 403, 'ADPermissionsError', 33004);
  assert.deepEqual(eventsOf(refused.payload.jti), [35020, 33004, 35022]);
});

test('must change at next sign-in is set after the reset, and the change is possible', async () => {
  const password = newPassword();
  const answer = await client.ask(
    reset(upn('ivan'), password, { forceChangePasswordNextSignIn: true }), PASSWORD_ADMINISTRATOR);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.mustChangeAtNextSignIn, true);
  assert.equal(bind('ivan', password), '773');

  const mine = newPassword();
  const changed = await client.ask(change(upn('ivan'), password, mine), { ...NOBODY, upn: 'ivan@corp.example' });
  assert.equal(changed.status, 200, JSON.stringify(changed.json));
  assert.equal(bind('ivan', mine), 'yes');
});

test('passwords of any script arrive as they were typed', async () => {
  const password = `Pä$$wörd-"€"-😀-${randomUUID().slice(0, 8)}`;
  passwords.push(password);
  const answer = await client.ask(reset(upn('heidi'), password), PASSWORD_ADMINISTRATOR);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(bind('heidi', password), 'yes');
});

test('a disabled account is not given a password', async () => {
  assertProblem(await client.ask(reset(upn('carol'), newPassword()), PASSWORD_ADMINISTRATOR), 423, 'ADUserAccountDisabled', 33005);
});

test('privileged accounts are for Global and Privileged Authentication Administrators', async () => {
  for (const name of ['admin-protected', 'frank']) {
    assertProblem(await client.ask(reset(upn(name), newPassword()), USER_ADMINISTRATOR), 403, 'TargetPrivileged', 35003);
    assertProblem(await client.ask(reset(upn(name), newPassword()), SERVICE), 403, 'TargetPrivileged', 35003);
    assert.equal(bind(name, OLD_PASSWORD), 'yes');
  }
  // AdminSDHolder takes the agent's own rights on the one, not on the other.
  assertProblem(await client.ask(reset(upn('admin-protected'), newPassword()), GLOBAL_ADMINISTRATOR), 403, 'ADPermissionsError', 33004);
  assert.equal((await client.ask(reset(upn('frank'), newPassword()), GLOBAL_ADMINISTRATOR)).status, 200);
});

test('who may not is refused, and the directory is not touched', async () => {
  const before = look('grace', 'pwdLastSet').pwdLastSet;
  const as = (claims) => client.ask(reset(upn('grace'), newPassword()), claims);
  assertProblem(await as(NOBODY), 403, 'InitiatorNotAuthorized', 35001);
  assertProblem(await as(UNLOCK_SERVICE), 403, 'InitiatorNotAuthorized', 35001);
  assertProblem(await as({ ...PASSWORD_ADMINISTRATOR, upn: 'grace@corp.example' }), 403, 'InitiatorNotAuthorized', 35001);
  assertProblem(await as({ ...PASSWORD_ADMINISTRATOR, upn: 'x@cloud.example', preferred_username: 'GRACE@corp.example' }), 403, 'InitiatorNotAuthorized', 35001);
  const nameless = await as({ ...PASSWORD_ADMINISTRATOR, preferred_username: null });
  assertProblem(nameless, 403, 'InitiatorNotAuthorized', 35001);
  assert.match(nameless.json.detail, /add the optional claims onprem_sid and upn/);
  const center = await as(ADMIN_CENTER);
  assertProblem(center, 403, 'UnsupportedPortal', 35002);
  assert.match(center.json.detail, /reset the password again in the Azure portal/);
  assert.equal(look('grace', 'pwdLastSet').pwdLastSet, before);
});

/** What the issuer publishes as its RSA key, used as if it were a secret: RFC 8725 section 2.1. */
async function confusedToken(claims) {
  const [header, payload] = (await client.token(claims)).split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url'));
  const { json } = await fetchHttps(`${env.WRITEBACK_LAB_ISSUER}/keys`, { ca: readFileSync(env.WRITEBACK_LAB_RELAY_CA) });
  const key = createPublicKey({ key: json.keys.find((one) => one.kid === kid), format: 'jwk' });
  const signed = `${base64url({ alg: 'HS256', kid })}.${payload}`;
  const secret = key.export({ type: 'spki', format: 'pem' });
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

const base64url = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');

/** A token whose header is changed, and is believed nowhere. */
async function withHeader(claims, more) {
  const [header, ...rest] = (await client.token(claims)).split('.');
  return [base64url({ ...JSON.parse(Buffer.from(header, 'base64url')), ...more }), ...rest].join('.');
}

test('only a good access token counts, and each other one is refused for its own reason', async () => {
  const before = look('grace', 'pwdLastSet').pwdLastSet;
  const now = Math.floor(Date.now() / 1000);
  const token = (more, options) => client.token({ ...PASSWORD_ADMINISTRATOR, ...more }, options);
  const refused = [
    [await token({}, { signer: 'stranger' }), /^the token's signature is wrong$/],
    [await token({ aud: 'another' }), /^the token's audience is another, not /],
    [await token({ aud: null }), /^the token names no audience/],
    [await token({ tid: randomUUID() }), /^the token's tenant is [0-9a-f-]{36}, not /],
    [await token({ tid: null }), /^the token names no tenant/],
    [await token({ iss: 'https://elsewhere.example' }), /^authorization is a token of an issuer that this agent is not configured for$/],
    [await token({ exp: now - 61, nbf: now - 3600, iat: now - 3600 }), /^the token expired at \S+; here it is /],
    [await token({ exp: null }), /^the token has no time of expiry/],
    [await token({ nbf: now + 600 }), /^the token is not valid before /],
    [await token({ iat: now + 600 }), /^the token was issued at \S+; here it is only /],
    [await token({}, { alg: 'RS512' }), /^the token's algorithm is RS512, not /],
    [await confusedToken(PASSWORD_ADMINISTRATOR), /^the token's algorithm is HS256, not /],
    [await withHeader(PASSWORD_ADMINISTRATOR, { alg: 'none' }), /^the token's algorithm is none, not /],
    [await withHeader(PASSWORD_ADMINISTRATOR, { alg: 'ES256' }), /^the token's algorithm ES256 does not fit the key that it names$/],
    [await withHeader(PASSWORD_ADMINISTRATOR, { jku: 'https://elsewhere.example/keys' }), /^the token: the header holds the parameter jku, which is not allowed$/],
    [await token({ nonce: 'n' }), /^this is an ID token \(it has nonce\)/],
    [await token({ azp: null }), /^the token does not say which client got it/],
    [await token({ azp: env.WRITEBACK_LAB_AUDIENCE, scp: null }), /^this is an ID token \(it is for the client that got it/],
    ['eyJhbGciOiJub25lIn0.e30.', /^authorization is no signed JWT/],
    ['nonsense', /^authorization is no signed JWT/],
  ];
  for (const [authorization, reason] of refused) {
    const payload = client.payload(reset(upn('grace'), newPassword(), { authorization }));
    const answer = await client.send(await client.seal(payload));
    assertProblem(answer, 401, 'AuthTokenError', 32009);
    assert.match(answer.json.detail, reason);
    assert.deepEqual(eventsOf(payload.jti), [32009]);
  }

  // A good token, but another client's.
  const other = await client.ask(reset(upn('grace'), newPassword()), { ...PASSWORD_ADMINISTRATOR, azp: randomUUID() });
  assertProblem(other, 403, 'UnsupportedPortal', 35002);
  assert.match(other.json.detail, /not in AllowedClients=/);
  for (const alg of ['PS256', 'ES256']) {
    const authorization = await client.token(PASSWORD_ADMINISTRATOR, { alg });
    const answer = await client.send(await client.seal(client.payload({ ...check(upn('grace')), authorization })));
    assert.equal(answer.json.allowed, true, alg);
  }
  assert.equal(look('grace', 'pwdLastSet').pwdLastSet, before);
});

test('new keys of the issuer are learned, and old ones forgotten', async () => {
  const old = await client.token(PASSWORD_ADMINISTRATOR);
  await client.control('issuer', { rollover: 'forget' });
  const ask = async (authorization) =>
    client.send(await client.seal(client.payload({ ...check(upn('alice')), authorization })));
  assert.equal((await ask(await client.token(PASSWORD_ADMINISTRATOR))).json.allowed, true);
  const forgotten = await ask(old);
  assertProblem(forgotten, 401, 'AuthTokenError', 32009);
  assert.match(forgotten.json.detail, /key \(kid\) is none of issuer/);
});

test('what cannot be opened is refused with one answer', async () => {
  const payload = () => client.payload(reset(upn('alice'), newPassword(), { authorization: 'eyJ.x.y' }));
  const good = await client.seal(payload());
  const tag = good.lastIndexOf('.') + 1;
  const bodies = [
    'nonsense', '....', good.slice(0, -4), `${good}.x`, flipped(good, tag),
    await client.seal(payload(), { header: { kid: 'unknown' } }),
    await client.seal(payload(), { header: { enc: 'A128GCM' } }),
    await client.seal(payload(), { header: { jku: 'https://elsewhere.example' } }),
  ];
  for (const body of bodies) assertProblem(await client.send(body), 400, 'DecryptionError', 32004);
});

test('what was opened and is malformed is refused with one answer', async () => {
  const authorization = await client.token(PASSWORD_ADMINISTRATOR);
  const good = () => client.payload(reset(upn('alice'), newPassword(), { authorization }));
  const bad = [
    '', '[]', 'nonsense', '{"jti":'.repeat(100), `{"a":${'['.repeat(50)}${']'.repeat(50)}}`,
    { ...good(), jti: 'short' }, { ...good(), operation: 'delete' }, { ...good(), user: {} },
    { ...good(), newPassword: '' }, { ...good(), newPassword: 'x\0y' }, { ...good(), newPassword: 'x'.repeat(257) },
    { ...good(), aud: 'another' }, { ...good(), more: 1 },
    JSON.stringify(good()).replace('{', '{"jti":"another-one",'),
  ];
  for (const payload of bad)
    assertProblem(await client.send(await client.seal(payload)), 400, 'InputValidationError', 32003);
});

test('a request has its time', async () => {
  const authorization = await client.token(PASSWORD_ADMINISTRATOR);
  const now = Math.floor(Date.now() / 1000);
  for (const times of [{ iat: now - 300, exp: now - 61 }, { iat: now, exp: now + 601 }, { iat: now + 90, exp: now + 100 }]) {
    const payload = { ...client.payload(reset(upn('alice'), newPassword(), { authorization })), ...times };
    assertProblem(await client.send(await client.seal(payload)), 410, 'RequestExpired', 35007);
  }
});

test('a repeated request gets its first answer again and has one effect', async () => {
  const authorization = await client.token(PASSWORD_ADMINISTRATOR);
  const payload = client.payload(reset(upn('paul'), newPassword(), { authorization }));
  const [first, second] = await Promise.all([client.seal(payload), client.seal(payload)]
    .map(async (jwe) => client.send(await jwe)));
  assert.equal(first.status, 200, JSON.stringify(first.json));
  assert.deepEqual(second.json, first.json);
  const { pwdLastSet } = look('paul', 'pwdLastSet');
  assert.deepEqual((await client.send(await client.seal(payload))).json, first.json);
  assert.equal(look('paul', 'pwdLastSet').pwdLastSet, pwdLastSet);

  const other = { ...payload, newPassword: newPassword() };
  assertProblem(await client.send(await client.seal(other)), 409, 'RequestConflict', 35006);
  assertProblem(await client.send(await client.seal({ ...payload, unlockAccount: false })), 409, 'RequestConflict', 35006);
  assert.equal(bind('paul', payload.newPassword), 'yes');
});

test('a check tells whether the button is to be offered, and changes nothing', async () => {
  const before = look('carol', 'pwdLastSet').pwdLastSet;
  const ask = async (name, claims) => (await client.ask(check(upn(name)), claims)).json;
  const reason = async (name, claims) => (await ask(name, claims)).reasons[0]?.code;

  const alice = await ask('alice', PASSWORD_ADMINISTRATOR);
  assert.equal(alice.allowed, true);
  assert.deepEqual(alice.reasons, []);
  assert.deepEqual(alice.account, { enabled: true, lockedOut: false, privileged: false, protected: false, mustChange: false });
  assert.equal((await ask('mustchange', PASSWORD_ADMINISTRATOR)).account.mustChange, true);
  assert.equal(await reason('carol', PASSWORD_ADMINISTRATOR), 'ADUserAccountDisabled');
  assert.equal(await reason('admin-protected', USER_ADMINISTRATOR), 'TargetPrivileged');
  assert.equal(await reason('nobody', USER_ADMINISTRATOR), 'ADUserNotFoundError');
  assert.equal(await reason('alice', ADMIN_CENTER), 'UnsupportedPortal');
  const stranger = await ask('alice', NOBODY);
  assert.equal(stranger.reasons[0].code, 'InitiatorNotAuthorized');
  assert.equal(stranger.account, undefined, 'a person without a role learns nothing of others');
  assert.equal((await ask('alice', { ...NOBODY, upn: 'alice@corp.example' })).allowed, true);
  assert.equal((await ask('alice', SERVICE)).allowed, true);
  const unlocks = await ask('alice', UNLOCK_SERVICE);
  assert.deepEqual([unlocks.allowed, unlocks.reasons[0]?.code], [false, 'InitiatorNotAuthorized'], 'it could not reset');
  assert.equal(unlocks.account.lockedOut, false, 'but must know whom to unlock');
  assert.equal(look('carol', 'pwdLastSet').pwdLastSet, before);
});

test('paths, methods, types and sizes', async () => {
  const jose = { 'Content-Type': 'application/jose' };
  assertProblem(await client.request('GET', '/v1/nothing'), 404, 'NotFound', 35040);
  const wrong = await client.request('DELETE', '/v1/keys');
  assertProblem(wrong, 405, 'MethodNotAllowed', 35041);
  assert.equal(wrong.headers.allow, 'GET');
  assert.equal((await client.request('GET', '/v1/requests')).headers.allow, 'POST');
  // The relay decodes paths.
  const nul = await client.request('GET', '/v1/keys%00');
  assertProblem(nul, 400, 'InputValidationError', 32003);
  assert.match(nul.json.detail, /^the request's target is no text, or holds a NUL/);
  assert.match(log(), /32003 InputValidationError: .*holds a NUL[^]*?\n    WRITEBACK_OUTCOME=InputValidationError\n/);
  assertProblem(await client.request('POST', '/v1/requests', { body: '{}', headers: { 'Content-Type': 'application/json' } }),
    415, 'UnsupportedMediaType', 35043);
  assertProblem(await client.request('POST', '/v1/requests', { body: 'x'.repeat(256 * 1024), headers: jose }), 400, 'DecryptionError', 32004);
  assertProblem(await client.request('POST', '/v1/requests', { body: 'x'.repeat(256 * 1024 + 1), headers: jose }), 413, 'ContentTooLarge', 35042);
});

test('the relay is cut: the agent says so, comes back by itself, and is as before', async () => {
  await client.control('relay', { cut: true });
  assert.equal((await client.health()).fromAgent, false);
  const ready = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status;
  for (const end = Date.now() + 10_000; (await ready()) !== 503 && Date.now() < end;);
  assert.equal(await ready(), 503);
  const local = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`)).json();
  assert.equal(local.blade.visible, false);
  assert.ok(local.blade.reasons.length > 0);

  await client.control('relay', { cut: false });
  for (const end = Date.now() + 30_000; (await ready()) !== 200 && Date.now() < end;);
  assert.equal((await client.ask(check(upn('alice')), PASSWORD_ADMINISTRATOR)).json.allowed, true);
});

test('no password and no token is in the log, the answers or the state directory', () => {
  const folder = env.WRITEBACK_LAB_AGENT_CONFIG.replace(/[^/]+$/, 'state/');
  const places = { log: log(), ledger: readFileSync(`${folder}ledger.sqlite`, 'latin1') };
  for (const [place, text] of Object.entries(places)) {
    for (const password of passwords)
      assert.ok(!text.includes(password) && !text.includes(Buffer.from(password, 'utf16le').toString('latin1')), place);
    assert.ok(!/eyJ[\w-]+\./.test(text), `a token in the ${place}`);
  }
});
