// SPDX-License-Identifier: Apache-2.0

// Whose word counts, and how the agent's own is checked: keys with a life, receipts, tokens of a real OpenID
// Connect server, and other implementations of JOSE on the other side.
// Run in a lab: WRITEBACK_BUILD=BUILD tests/lab/run node --test tests/integration/keys.test.mjs

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { jose } from '../lab/cloud/packages.mjs';
import { bind } from './ad.mjs';
import { OpenIdServer } from './oidc.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const ctl = path.join(env.WRITEBACK_BUILD, 'writebackctl');
const scratch = mkdtempSync(`${env.WRITEBACK_LAB_SCRATCH}/keys-`);
const ADMINISTRATOR = { wids: ['62e90394-69f5-4237-9190-012177145e10'] };
const PORTAL = 'help-desk'; // as the server calls it, which is not Entra
const audience = env.WRITEBACK_LAB_AUDIENCE;
let server;

const inScratch = (name, content) => {
  const file = path.join(scratch, name);
  writeFileSync(file, content);
  return file;
};
const run = (program, args, input) => execFileSync(program, args, { cwd: scratch, encoding: 'utf8', input });
const keysCommand = (...args) => run(ctl, ['keys', ...args, `--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`]);
const upn = (name) => ({ userPrincipalName: `${name}@corp.example` });
const check = (more = {}) => ({ operation: 'check', user: upn('alice'), ...more });

async function until(what, isSo, seconds = 30) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) if (await isSo()) return;
  assert.fail(`${what}: not within ${seconds} s`);
}

const ready = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status === 200;

/** Adds to the configuration; what was added before goes. */
async function configure(text) {
  const folder = `${env.WRITEBACK_LAB_AGENT_CONFIG}.d`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/50-keys.conf`, text);
  const starts = () => readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').split(' 31019 ').length;
  const before = starts();
  process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
  await until('the reload', async () => starts() > before && (await ready()));
}

function assertRefused(answer, detail) {
  assert.equal(answer.json.code, 'AuthTokenError', JSON.stringify(answer.json));
  assert.match(answer.json.detail, detail);
}

const askWith = async (authorization, more) => client.send(await client.seal(client.payload(check({ authorization, ...more }))));

before(async () => {
  server = await OpenIdServer.start({
    caFolder: `${env.WRITEBACK_LAB_SCRATCH}/ca`, clientId: PORTAL, clientSecret: randomUUID(), audience,
    claims: (isPerson) => (isPerson
      ? { oid: 'person-1', ...ADMINISTRATOR, upn: 'admin@corp.example' }
      : { idtyp: 'app', oid: PORTAL, roles: ['Password.Reset.All'] }),
  });
});
after(() => {
  server.stop();
  client.close();
});

// ---- Other implementations of JOSE -----------------------------------------------------------------

const PYTHON_SEAL = `
import json, sys
from jwcrypto import jwe, jwk
key = jwk.JWK(**json.load(open('enc.jwk')))
token = jwe.JWE(sys.stdin.read(), json.dumps({'alg': 'ECDH-ES+A256KW', 'enc': 'A256GCM', 'kid': key.key_id}))
token.add_recipient(key)
print(token.serialize(compact=True), end='')
`;
const PYTHON_VERIFY = `
import json, sys
from jwcrypto import jwk, jws
keys = jwk.JWKSet.from_json(open('keys.jwks').read())
header, _, signature = sys.argv[1].split('.')
from jwcrypto.common import base64url_encode
body = open('body', 'rb').read()
token = jws.JWS()
token.deserialize('.'.join([header, base64url_encode(body), signature]))
token.verify(keys.get_key(json.loads(jws.base64url_decode(header))['kid']))
print('good')
`;

const sealers = {
  'npm jose': (text) => client.seal(text),
  'the jose command': async (text, jwk) => {
    const header = { protected: { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: jwk.kid } };
    return run('jose', ['jwe', 'enc', '-I', '-', '-k', 'enc.jwk', '-c', '-i', JSON.stringify(header)], text);
  },
  "Python's jwcrypto": async (text) => run('/usr/bin/python3', ['-c', PYTHON_SEAL], text),
};

for (const [name, seal] of Object.entries(sealers))
  test(`${name}: what it seals is opened, and it finds the receipt good`, async () => {
    const { keys } = await client.keys();
    const jwk = keys.find(({ use }) => use === 'enc');
    inScratch('enc.jwk', JSON.stringify(jwk));
    const payload = client.payload(check({ authorization: await client.token(ADMINISTRATOR) }));
    const answer = await client.send(await seal(JSON.stringify(payload), jwk));
    assert.equal(answer.status, 200, JSON.stringify(answer.json));

    const receipt = answer.headers['writeback-receipt'];
    inScratch('body', answer.body);
    inScratch('keys.jwks', JSON.stringify({ keys }));
    if (name === 'npm jose') {
      const { protectedHeader } = await verify(receipt, answer.body, keys);
      assert.equal(protectedHeader.jti, payload.jti);
      assert.ok(Math.abs(protectedHeader.iat - Date.now() / 1000) < 30);
    } else if (name === 'the jose command') {
      run('jose', ['jws', 'ver', '-i', receipt, '-I', 'body', '-k', 'keys.jwks']);
      inScratch('body', `${answer.body} `);
      assert.throws(() => run('jose', ['jws', 'ver', '-i', receipt, '-I', 'body', '-k', 'keys.jwks']));
    } else {
      assert.equal(run('/usr/bin/python3', ['-c', PYTHON_VERIFY, receipt]), 'good\n');
    }
  });

// ---- Receipts --------------------------------------------------------------------------------------

function verify(receipt, body, keys) {
  const [header, , signature] = receipt.split('.');
  return jose.flattenedVerify(
    { protected: header, payload: body.toString('base64url'), signature },
    jose.createLocalJWKSet({ keys }));
}

test('every answer has its receipt: successes, problems, repeated ones, and those that answer no request', async () => {
  const { keys } = await client.keys();
  const authorization = await client.token(ADMINISTRATOR);
  const newPassword = `Ab1!${randomUUID()}`;
  const payload = client.payload({ operation: 'reset', user: upn('paul'), newPassword, authorization });
  const first = await client.send(await client.seal(payload));
  const again = await client.send(await client.seal(payload));
  const missing = await client.ask({ ...check(), operation: 'reset', user: upn('nobody'), newPassword }, ADMINISTRATOR);
  const untold = [
    await client.send('nonsense'),
    await client.request('POST', '/v1/requests', { body: '{}', headers: { 'Content-Type': 'application/json' } }),
    await client.request('POST', '/v1/requests', { body: 'x'.repeat(256 * 1024 + 1), headers: { 'Content-Type': 'application/jose' } }),
    await client.request('DELETE', '/v1/keys'),
    await client.request('GET', '/v1/nowhere'),
    await client.health(),
    await client.request('GET', '/v1/keys'),
  ];

  assert.equal(first.status, 200, JSON.stringify(first.json));
  assert.deepEqual(again.body, first.body);
  assert.equal(missing.status, 404);
  for (const answer of [first, again, missing]) {
    const { protectedHeader } = await verify(answer.headers['writeback-receipt'], answer.body, keys);
    assert.equal(protectedHeader.jti, answer.json.id);
  }
  for (const answer of untold) {
    const { protectedHeader } = await verify(answer.headers['writeback-receipt'], answer.body, keys);
    assert.equal(protectedHeader.jti, undefined);
  }
  assert.equal(bind('paul', newPassword), 'yes');
  await assert.rejects(verify(first.headers['writeback-receipt'], missing.body, keys));
  assert.deepEqual(untold.map(({ status }) => status), [400, 415, 413, 405, 404, 200, 200]);
});

test('writebackctl verify tells a good receipt from a bad one, and a usage from both', async () => {
  const answer = await client.ask(check(), ADMINISTRATOR);
  const receipt = answer.headers['writeback-receipt'];
  const jwks = inScratch('exported.jwks', keysCommand('export'));
  const good = inScratch('good', answer.body);
  const bad = inScratch('bad', answer.body.toString().replace('true', 'false'));
  const verdict = (...args) => spawnSync(ctl, ['verify', ...args], { encoding: 'utf8', input: answer.body });

  for (const file of [good, '-']) {
    const { status, stdout, stderr } = verdict(`--receipt=${receipt}`, `--keys=${jwks}`, file);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^The receipt is good: signed by key \\S+ at \\S+ for request ${answer.json.id}\\.\n$`));
  }
  const refused = verdict(`--receipt=${receipt}`, `--keys=${jwks}`, bad);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /the receipt is not good: the key named did not sign this body/);
  assert.equal(verdict(`--receipt=${receipt}`, good).status, 64);
  assert.equal(verdict(`--receipt=${receipt}`, '--keys=/nowhere', good).status, 1);

  const json = JSON.parse(verdict(`--receipt=${receipt}`, `--keys=${jwks}`, '--json', good).stdout);
  assert.equal(json.id, answer.json.id);
  assert.equal(json.valid, true);
});

// ---- The agent's keys ------------------------------------------------------------------------------

test('keys are rotated while requests are under way: none is lost, and the old key opens still', async () => {
  const { keys: old } = await client.keys();
  const oldKey = old.find(({ use }) => use === 'enc');
  const authorization = await client.token(ADMINISTRATOR);
  let stop = false;
  const statuses = [];
  const portal = async (pick) => {
    while (!stop) {
      const jwe = await client.seal(client.payload(check({ authorization })), { key: await pick() });
      statuses.push((await client.send(jwe)).status);
    }
  };
  const fresh = async () => (await client.keys()).keys.find(({ use }) => use === 'enc');
  const portals = [portal(() => oldKey), portal(() => oldKey), portal(fresh), portal(fresh)];

  for (let i = 0; i < 3; i++) {
    const [line] = keysCommand('rotate').split('\n').slice(1);
    const kid = line.split(' ')[0];
    await until('the new key', async () => (await client.keys()).keys[0].kid === kid);
  }
  const enough = statuses.length + 20;
  await until('more answers', () => new Promise((resolve) => setImmediate(resolve, statuses.length > enough)));
  stop = true;
  await Promise.all(portals);
  assert.deepEqual([...new Set(statuses)], [200], `${statuses.length} answers`);

  const listed = JSON.parse(keysCommand('list', '--json'));
  assert.equal(listed.filter(({ state }) => state === 'current').length, 2);
  assert.deepEqual(listed.map(({ kid }) => kid), (await client.keys()).keys.map(({ kid }) => kid));

  keysCommand('retire', oldKey.kid);
  await until('the old key is gone', async () => !(await client.keys()).keys.some(({ kid }) => kid === oldKey.kid));
  const jwe = await client.seal(client.payload(check({ authorization })), { key: oldKey });
  assert.equal((await client.send(jwe)).json.code, 'DecryptionError');
});

test('the running agent replaces its keys when they are due, and drops the old ones after their grace', async () => {
  await configure('[Keys]\nRollAfter=3s\nGrace=3s\nLifetime=1h\n');
  const kids = async () => (await client.keys()).keys.map(({ kid }) => kid);
  const [first] = await kids();
  await until('a new key', async () => (await kids())[0] !== first);
  assert.ok((await kids()).includes(first));
  await until('the old one gone', async () => !(await kids()).includes(first));
  await configure('');
});

test('where another agent renews the keys, this one does not, and warns when they are due', async () => {
  // The two in use; whatever is in its grace from before may end meanwhile.
  const kids = async () => (await client.keys()).keys.slice(0, 2).map(({ kid }) => kid);
  const state = async () => (await client.health()).json.checks.keys[0];
  const before = await kids();
  await configure('[Keys]\nRenew=no\nRollAfter=1s\nGrace=1s\nLifetime=1h\n');
  await until('the warning', async () => (await state()).status === 'warn');
  assert.match((await state()).output, /another agent renews them \(Renew=no\), and its new ones have not been imported/);
  assert.match(readFileSync(env.WRITEBACK_LAB_LOG, 'utf8'), / 35051 KeysNotRenewed: .*Renew=no/);
  assert.deepEqual(await kids(), before);
  assert.equal((await client.ask(check(), ADMINISTRATOR)).status, 200);
  await configure('');
  await until('all is well', async () => (await state()).status === 'pass');
});

test('a key file that goes away is told, and the agent works on with the keys that it has', async () => {
  const file = env.WRITEBACK_LAB_AGENT_CONFIG.replace(/[^/]+$/, 'state/keys.json');
  const content = readFileSync(file);
  const state = async () => (await client.health()).json.checks.keys[0];
  assert.equal((await state()).status, 'pass');
  writeFileSync(`${file}.damaged`, '{}', { mode: 0o600 });
  execFileSync('mv', [`${file}.damaged`, file]);
  await until('the warning', async () => (await state()).status === 'warn');
  assert.match((await state()).output, /does not hold the agent's keys/);
  assert.match(readFileSync(env.WRITEBACK_LAB_LOG, 'utf8'), / 35051 KeysNotRenewed: /);
  assert.equal((await client.ask(check(), ADMINISTRATOR)).status, 200);
  writeFileSync(`${file}.whole`, content, { mode: 0o600 });
  execFileSync('mv', [`${file}.whole`, file]);
  await until('all is well', async () => (await state()).status === 'pass');
});

test('keys that ended because they could not be replaced are an event, and open nothing', async () => {
  const kid = async () => (await client.keys()).keys[0].kid;
  const before = await kid();
  await configure('[Keys]\nRollAfter=2s\nGrace=1s\nLifetime=4s\n');
  // Those of before have a longer life.
  await until('a new key', async () => await kid() !== before);
  const file = env.WRITEBACK_LAB_AGENT_CONFIG.replace(/[^/]+$/, 'state/keys.json');
  const state = async () => (await client.health()).json.checks.keys[0];
  const content = readFileSync(file);
  writeFileSync(`${file}.damaged`, '{}', { mode: 0o600 });
  execFileSync('mv', [`${file}.damaged`, file]);
  await until('the end', async () => (await state()).status === 'fail');
  assert.match(readFileSync(env.WRITEBACK_LAB_LOG, 'utf8'), / 35052 KeysExpired: /);
  assert.equal((await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status, 503);
  assert.equal((await client.ask(check(), ADMINISTRATOR)).json.code, 'DecryptionError');

  writeFileSync(`${file}.whole`, content, { mode: 0o600 });
  execFileSync('mv', [`${file}.whole`, file]);
  await until('all is well', async () => (await state()).status === 'pass');
  await configure('');
  assert.equal((await client.ask(check(), ADMINISTRATOR)).status, 200);
});

test('the metric tells when the keys end', async () => {
  const metrics = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/metrics`)).text();
  const [, seconds] = /^writeback_key_not_after_timestamp_seconds (\S+)$/m.exec(metrics);
  const [{ ends }] = JSON.parse(keysCommand('list', '--json'));
  assert.equal(Number(seconds), Date.parse(ends) / 1000);
});

// ---- A real OpenID Connect server ------------------------------------------------------------------

test('tokens of a real OpenID Connect server count: a service and a person', async () => {
  await configure(
    `[Issuer "oidc"]\nUrl=${server.url}\nAudience=${audience} ${PORTAL}\nCaFile=${env.WRITEBACK_LAB_RELAY_CA}\n` +
    `AllowedClients=${PORTAL}\n`);
  await until('its keys', async () => (await client.health()).json.checks['issuer:oidc'][0].status === 'pass');

  const newPassword = `Ab1!${randomUUID()}`;
  const authorization = await server.serviceToken();
  const answer = await client.send(await client.seal(
    client.payload({ operation: 'reset', user: upn('anna'), newPassword, authorization })));
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.eventId, 31002);
  assert.equal(bind('anna', newPassword), 'yes');

  const { access_token: person } = await server.personTokens();
  assert.equal((await askWith(person)).json.allowed, true);
});

// The portal's own id is among the audiences here, as it is where portal and agent are one application.
test('its ID token does not, nor does what was changed in a token', async () => {
  const { id_token: idToken, access_token: person } = await server.personTokens();
  assertRefused(await askWith(idToken), /this is an ID token \(it has \w+\), not an access token/);

  const [header, claims, signature] = person.split('.');
  const changed = { ...JSON.parse(Buffer.from(claims, 'base64url')), upn: 'somebody-else' };
  assertRefused(
    await askWith(`${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}.${signature}`),
    /signature is wrong/);
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'x' })).toString('base64url');
  assertRefused(await askWith(`${none}.${claims}.`), /algorithm is none/);
  const confused = Buffer.from(JSON.stringify({
    ...JSON.parse(Buffer.from(header, 'base64url')), alg: 'RS256',
  })).toString('base64url');
  assertRefused(await askWith(`${confused}.${claims}.${signature}`), /algorithm RS256 does not fit the key/);
  assertRefused(await askWith(await client.token({ ...ADMINISTRATOR, iss: 'https://elsewhere.example' })),
    /an issuer that this agent is not configured for/);
});

test('what counts in tokens of one issuer does not count in those of another', async () => {
  const { access_token: person } = await server.personTokens();
  const issuer = (more) => `[Issuer "oidc"]\nUrl=${server.url}\nAudience=${audience}\nCaFile=${env.WRITEBACK_LAB_RELAY_CA}\n${more}\n`;
  const ofEntra = async (more) => (await askWith(await client.token({ ...ADMINISTRATOR, ...more }))).json;
  const reasonOf = ({ allowed, reasons: [first] }) => `${allowed} ${first?.code} ${first?.detail}`;

  // Its client is none of Entra's.
  assert.match(reasonOf(await ofEntra({ azp: PORTAL })), /^false UnsupportedPortal .*AllowedClients=/);

  // Nor is one of those that are allowed in general, which are Entra's, one of its own.
  await configure(`${issuer('AllowedClients=another')}[Authorization]\nAllowedClients=${randomUUID()}\n`);
  await until('its keys', async () => (await client.health()).json.checks['issuer:oidc'][0].status === 'pass');
  assert.match(reasonOf((await askWith(person)).json), /^false UnsupportedPortal .*AllowedClients=/);

  // Roles are narrowed for the one alone, or for both.
  await configure(issuer(`AllowedClients=${PORTAL}\nAllowedRoles=none`));
  await until('its keys', async () => (await client.health()).json.checks['issuer:oidc'][0].status === 'pass');
  assert.match(reasonOf((await askWith(person)).json), /^false InitiatorNotAuthorized .*AllowedRoles=/);
  assert.equal((await ofEntra()).allowed, true);
  await configure(`${issuer(`AllowedClients=${PORTAL}`)}[Authorization]\nAllowedRoles=Password.Reset.All\n`);
  await until('its keys', async () => (await client.health()).json.checks['issuer:oidc'][0].status === 'pass');
  assert.match(reasonOf((await askWith(person)).json), /^false InitiatorNotAuthorized .*AllowedRoles=/);
  assert.match(reasonOf(await ofEntra()), /^false InitiatorNotAuthorized .*AllowedRoles=/);
  assert.equal((await askWith(await server.serviceToken())).json.allowed, true);
});

test('the same server by a file of its keys: nothing is fetched, and a reload reads it again', async () => {
  const jwks = inScratch('pinned.jwks', JSON.stringify(await server.jwks()));
  const authorization = await server.serviceToken();
  const section = `[Issuer "pinned"]\nUrl=${server.url}\nAudience=other ${audience}\nJwksFile=${jwks}\nAllowedClients=${PORTAL}\n`;
  server.stop();
  await configure(section);
  assert.equal((await askWith(authorization)).json.allowed, true);

  const { publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const stranger = { ...(await jose.exportJWK(publicKey)), kid: 'stranger' };
  writeFileSync(jwks, JSON.stringify({ keys: [stranger] }));
  assert.equal((await askWith(authorization)).json.allowed, true);
  await configure(section);
  assertRefused(await askWith(authorization), /key \(kid\) is none of issuer/);
});

test('writebackctl keys is for root and the service alone', () => {
  const folder = mkdtempSync('/tmp/keys-');
  try {
    execFileSync('chmod', ['755', folder]);
    const file = `${folder}/writebackd.conf`;
    writeFileSync(file, `[Agent]\nStateDirectory=${path.dirname(env.WRITEBACK_LAB_AGENT_CONFIG)}/state\n`);
    execFileSync('install', ['-m', '755', ctl, `${folder}/writebackctl`]);
    const { status, stdout, stderr } = spawnSync('setpriv',
      ['--reuid=nobody', '--regid=nogroup', '--clear-groups', `${folder}/writebackctl`, 'keys', 'list', `--config=${file}`],
      { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /only root and the service's user may look at the keys/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
