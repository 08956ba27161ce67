// SPDX-License-Identifier: Apache-2.0

// Whom the agent may act on, how often, what it writes into the log of it, and what its ledger does when the disk does
// not do its part: each with a configuration of its own. Run in a lab:
//
//     tests/lab/run --no-agent node --test tests/integration/trust.test.mjs

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../lab/cloud/client.mjs';
import { bind, look } from './ad.mjs';
import { LdapProxy } from './ldap-proxy.mjs';
import { AgentProcess, configure, entries, readiness, STATE } from './agent-process.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const agent = new AgentProcess();
const BASE = env.WRITEBACK_LAB_BASE_DN;
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;
const GLOBAL_ADMINISTRATOR = { wids: ['62e90394-69f5-4237-9190-012177145e10'], upn: 'root@corp.example' };

const upn = (name) => ({ userPrincipalName: `${name}@corp.example` });
const reset = (name, newPassword = `Ab1!${randomUUID()}`) =>
  client.ask({ operation: 'reset', user: upn(name), newPassword }, GLOBAL_ADMINISTRATOR);
const check = async (user) => (await client.ask({ operation: 'check', user }, GLOBAL_ADMINISTRATOR)).json;
const of = (answer, entry = entries()) => entry.filter((e) => e.WRITEBACK_REQUEST_ID === answer.payload.jti);

function assertProblem(answer, status, code) {
  assert.deepEqual({ status: answer.status, code: answer.json?.code }, { status, code }, JSON.stringify(answer.json));
}

async function startWith(lines) {
  configure(lines);
  await agent.start().ready();
}

afterEach(async () => {
  if (agent.isRunning) assert.equal(await agent.stop(), 0);
});
after(() => client.close());

test('only accounts in scope are acted on, and a check says so before', async () => {
  await startWith({
    'Directory': [`AllowedTargets=ou=STAFF, ${BASE}`, `DeniedTargets=CN=Tier 0 Operators,OU=Groups,${BASE}`],
  });
  const other = await reset('oscar');
  assertProblem(other, 403, 'TargetOutOfScope');
  assert.match(other.json.detail, /none of .* AllowedTargets=/);
  // A member of a group in that group.
  const denied = await reset('frank');
  assertProblem(denied, 403, 'TargetOutOfScope');
  assert.match(denied.json.detail, /DeniedTargets=/);
  assert.equal(bind('oscar', OLD_PASSWORD), 'yes');
  assert.equal(bind('frank', OLD_PASSWORD), 'yes');
  assert.equal((await check(upn('oscar'))).reasons[0].code, 'TargetOutOfScope');
  assert.equal((await check(upn('frank'))).reasons[0].code, 'TargetOutOfScope');
  assert.equal((await check(upn('alice'))).allowed, true);
  assert.equal((await reset('grace')).status, 200);
});

test('allowed may be a group as well, and then its members alone are', async () => {
  await startWith({ 'Directory': [`AllowedTargets=CN=Tier 0 Operators,OU=Groups,${BASE}`] });
  assert.equal((await check(upn('frank'))).allowed, true);
  assert.equal((await check(upn('alice'))).reasons[0].code, 'TargetOutOfScope');
});

test('a place that is misspelt is noticed, not passed over', async () => {
  configure({ 'Directory': [`DeniedTargets=OU=Stuff,${BASE}`] });
  agent.start();
  const isTold = () => entries().some(({ event, text }) => event === 35032 && text.includes(`does not know DeniedTargets=OU=Stuff,${BASE}`));
  for (const end = Date.now() + 20_000; !isTold() && Date.now() < end; await sleep(20));
  assert.ok(isTold());
  assert.equal(await readiness(), 503);
});

test('an account that is acted on too often is left alone until the time told', async () => {
  await startWith({ 'Authorization': ['AccountRate=2/10min'] });
  assert.equal((await reset('alice')).status, 200);
  assert.equal((await check(upn('alice'))).allowed, true);
  assertProblem(await reset('alice', 'x'), 422, 'ADPasswordPolicyError');

  const limited = await reset('alice');
  assertProblem(limited, 429, 'TooManyRequests');
  const wait = Number(limited.headers['retry-after']);
  assert.ok(wait > 280 && wait <= 300, `Retry-After: ${wait}`);
  assert.equal(limited.json.retryable, true);
  const { allowed, reasons } = await check(upn('alice'));
  assert.equal(allowed, false);
  assert.equal(reasons[0].code, 'TooManyRequests');
  assert.equal((await check(upn('paul'))).allowed, true);
});

test('a reload forgets neither how often an account was acted on nor which password an id came with', async () => {
  await startWith({ 'Authorization': ['AccountRate=2/10min'] });
  const first = await reset('bob');
  assert.equal(first.status, 200);

  const connections = () => entries().filter(({ event }) => event === 31019).length;
  const before = connections();
  agent.reload();
  for (const end = Date.now() + 30_000; connections() === before && Date.now() < end; await sleep(20));
  await agent.ready();

  const payload = { ...first.payload, newPassword: `Ab1!${randomUUID()}` };
  assertProblem(await client.send(await client.seal(payload)), 409, 'RequestConflict');
  assert.deepEqual((await client.send(await client.seal(first.payload))).json, first.json);
  assertProblem(await reset('bob', 'x'), 422, 'ADPasswordPolicyError');
  assertProblem(await reset('bob', 'x'), 429, 'TooManyRequests');
});

test('there may not be more requests than the agent is configured for', async () => {
  await startWith({ 'Authorization': ['RequestRate=2/10s'] });
  for (let i = 0; i < 2; i++) assert.equal((await check(upn('alice'))).allowed, true);
  const ask = () => client.ask({ operation: 'check', user: upn('alice') }, GLOBAL_ADMINISTRATOR);
  // A check of a good token is always answered, and a reset is refused.
  const [told, limited] = [await ask(), await reset('alice')];
  assert.deepEqual([told.status, told.json.allowed, told.json.reasons?.[0].code], [200, false, 'TooManyRequests'], JSON.stringify(told.json));
  assertProblem(limited, 429, 'TooManyRequests');
  for (const { headers } of [told, limited]) {
    const wait = Number(headers['retry-after']);
    assert.ok(wait > 0 && wait <= 5, `Retry-After: ${wait}`);
  }
  await sleep(1000 * Number(limited.headers['retry-after']));
  assert.equal((await ask()).json.allowed, true);
});

test('whatever comes beyond sixteen at once is turned away at once, with a receipt as all have', async () => {
  const proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(1636);
  try {
    configure({}, (text) => text.replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:1636`));
    await agent.start().ready();
    const keys = `${env.WRITEBACK_LAB_SCRATCH}/agent.jwks`;
    writeFileSync(keys, JSON.stringify(await client.keys()));
    const key = (await client.keys()).keys.find(({ use }) => use === 'enc');
    const authorization = await client.token(GLOBAL_ADMINISTRATOR);
    const sealed = await Promise.all(Array.from({ length: 18 }, () =>
      client.seal(client.payload({ operation: 'check', user: upn('alice'), authorization }), { key })));

    proxy.hold();
    let turnedAway = 0, isTold;
    const bothTold = new Promise((resolve) => { isTold = resolve; });
    const asked = sealed.map(async (jwe) => {
      const answer = await client.send(jwe);
      if (answer.status === 429 && ++turnedAway === 2) isTold();
      return answer;
    });
    await bothTold;
    proxy.letGo();
    const answers = await Promise.all(asked);

    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(16).fill(200), 429, 429]);
    for (const answer of answers) {
      const receipt = answer.headers['writeback-receipt'];
      const { status, stderr } = spawnSync(`${env.WRITEBACK_BUILD}/writebackctl`,
        ['verify', `--receipt=${receipt}`, `--keys=${keys}`, '-'], { encoding: 'utf8', input: answer.body });
      assert.equal(status, 0, stderr);
      if (answer.status === 429) assertProblem(answer, 429, 'TooManyRequests');
      if (answer.status === 429) assert.equal(answer.headers['retry-after'], '1');
    }
    const told = entries().filter(({ text }) => text.includes('as many as may be are under way'));
    assert.deepEqual(told.map((e) => [e.event, e.WRITEBACK_OUTCOME, e.WRITEBACK_STATUS, e.WRITEBACK_RELAY]),
      Array(2).fill([35008, 'TooManyRequests', '429', 'primary']));
  } finally {
    proxy.close();
  }
});

test('one entry tells all of a request', async () => {
  await startWith({});
  const good = await reset('paul');
  const bad = await reset('nobody');
  const again = await client.send(await client.seal(good.payload));
  assert.deepEqual(again.json, good.json);

  const ends = of(good).filter((e) => e.WRITEBACK_OUTCOME);
  assert.deepEqual(ends.map((e) => e.event), [31010, 35062]);
  const [end] = ends;
  assert.equal(end.WRITEBACK_OUTCOME, 'ResetUserPasswordByAdminSuccess');
  assert.equal(end.WRITEBACK_STATUS, '200');
  assert.equal(end.WRITEBACK_OPERATION, 'reset');
  assert.equal(end.WRITEBACK_USER, 'paul@corp.example');
  assert.equal(end.WRITEBACK_INITIATOR, 'root@corp.example');
  assert.match(end.WRITEBACK_INITIATOR_ID, /^[0-9a-f-]{36}$/);
  assert.match(end.WRITEBACK_CLIENT, /^[0-9a-f-]{36}$/);
  assert.equal(end.WRITEBACK_ISSUER, 'entra');
  assert.equal(end.WRITEBACK_RELAY, 'primary');
  assert.equal(end.WRITEBACK_DC, env.WRITEBACK_LAB_DC);
  assert.ok(Number(end.WRITEBACK_DURATION_USEC) > 0);

  assert.deepEqual(of(bad).map((e) => [e.event, e.WRITEBACK_OUTCOME, e.WRITEBACK_STATUS]),
    [[31009, undefined, undefined], [33002, undefined, undefined], [31011, 'ADUserNotFoundError', '404']]);
});

test('the log names nobody where it must not', async () => {
  for (const form of ['sid', 'hash']) {
    const before = entries().length;
    await startWith({ 'Agent': [`LogUserIdentity=${form}`] });
    const { objectSid } = look('heidi', 'objectSid');
    const parts = [objectSid.readUIntBE(2, 6)];
    for (let i = 0; i < objectSid[1]; i++) parts.push(objectSid.readUInt32LE(8 + 4 * i));
    const sid = `S-1-${parts.join('-')}`;

    const byName = await client.ask({ operation: 'check', user: upn('heidi') }, GLOBAL_ADMINISTRATOR);
    const bySid = await client.ask({ operation: 'check', user: { onPremisesSecurityIdentifier: sid } }, GLOBAL_ADMINISTRATOR);
    const refused = await reset('heidi', 'x');
    assert.equal(refused.status, 422);
    // Another issuer may make the subject of a name.
    await client.ask({ operation: 'check', user: upn('heidi') }, { ...GLOBAL_ADMINISTRATOR, oid: null, sub: 'root@corp.example' });
    assert.equal((await reset('nobody')).status, 404);

    const written = entries().slice(before);
    assert.ok(!written.some(({ text }) => /heidi|nobody@|root@/i.test(text)), form);
    const users = [byName, bySid, refused].map((answer) => of(answer, written).at(-1).WRITEBACK_USER);
    assert.deepEqual(users, Array(3).fill(form === 'sid' ? sid : users[0]));
    assert.match(users[0], form === 'sid' ? /^S-1-5-21-/ : /^[0-9a-f]{32}$/);
    assert.equal(await agent.stop(), 0);
  }
});

function mountSmallDisk() {
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', STATE]).status, 0);
}

function fillDisk() {
  const filler = openSync(`${STATE}/filler`, 'w');
  assert.throws(() => { for (;;) writeSync(filler, Buffer.alloc(512)); }, { code: 'ENOSPC' });
  closeSync(filler);
}

test('a full disk: refused before anything is done, and well again when there is room', async () => {
  mountSmallDisk();
  try {
    await startWith({});
    const before = look('ivan', 'pwdLastSet').pwdLastSet;
    fillDisk();

    // Until the file has used up what it had, too: requests that are refused take room as others do.
    let answer;
    for (let i = 0; i < 500 && answer?.status !== 503; i++) answer = await reset('nobody');
    assertProblem(answer, 503, 'LedgerUnavailable');
    assert.match(answer.json.detail, /full|No space left/);
    const refused = await reset('ivan');
    assertProblem(refused, 503, 'LedgerUnavailable');
    assert.equal(look('ivan', 'pwdLastSet').pwdLastSet, before);
    assert.equal(await readiness(), 503);

    unlinkSync(`${STATE}/filler`);
    assert.equal((await client.send(await client.seal(refused.payload))).status, 200);
    assert.equal(bind('ivan', refused.payload.newPassword), 'yes');
    assert.equal(await readiness(), 200);
  } finally {
    if (agent.isRunning) await agent.stop();
    spawnSync('umount', [STATE]);
  }
});

test('what was done and cannot be recorded any more is told as done, and so is that it is not recorded', async () => {
  const proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(1636);
  mountSmallDisk();
  try {
    configure({}, (text) => text.replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:1636`));
    await agent.start().ready();

    // The agent finds out by this proxy what was done, so the disk is full before it knows.
    const full = proxy.lose('answered').then(fillDisk);
    const [answer] = await Promise.all([reset('heidi'), full]);
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    assert.deepEqual(answer.json.warnings, ['answerLost']);
    assert.equal(bind('heidi', answer.payload.newPassword), 'yes');
    const told = of(answer);
    assert.match(told.find(({ event }) => event === 35063).text, /was answered with 200, and that could not be recorded/);
    assert.ok(!told.some(({ event }) => event === 35012), 'it was not refused');

    // Asked again it is told what the directory says.
    const set = look('heidi', 'pwdLastSet').pwdLastSet;
    unlinkSync(`${STATE}/filler`);
    const again = await client.send(await client.seal(answer.payload));
    assert.equal(again.status, 200, JSON.stringify(again.json));
    assert.deepEqual(again.json.warnings, ['passwordAlreadySet']);
    assert.equal(look('heidi', 'pwdLastSet').pwdLastSet, set);
  } finally {
    if (agent.isRunning) await agent.stop();
    spawnSync('umount', [STATE]);
    proxy.close();
  }
});

test('a damaged ledger is set aside, and the agent goes on', async () => {
  await startWith({});
  assert.equal(await agent.stop(), 0);
  writeFileSync(`${STATE}/ledger.sqlite`, 'this is no database, whatever it was before'.repeat(100));
  await agent.start().ready();
  const isSetAside = () =>
    entries().some(({ event, text }) => event === 35060 && /ledger\.sqlite\.damaged-\d{8}T\d{6}Z/.test(text));
  for (const end = Date.now() + 20_000; !isSetAside() && Date.now() < end; await sleep(20));
  assert.ok(isSetAside());
  assert.equal(readdirSync(STATE).filter((name) => name.includes('.damaged-')).length, 1);

  // What is as old as the new file may stand in the old one, so the directory is asked first.
  const answer = await reset('anna');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json.warnings, []);
});

test('a state directory of another host is refused, with its cure', async () => {
  await startWith({});
  assert.equal(await agent.stop(), 0);
  const own = readFileSync(`${STATE}/host.id`);
  try {
    writeFileSync(`${STATE}/host.id`, '0123456789abcdef0123456789abcdef');
    assert.notEqual(await agent.start().ended(), 0);
    const told = entries().findLast(({ event }) => event === 35061);
    assert.match(told.text, /is a copy from another host[^]*What to do:[^]*host\.id/);
  } finally {
    writeFileSync(`${STATE}/host.id`, own);
  }
});
