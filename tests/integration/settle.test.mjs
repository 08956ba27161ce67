// SPDX-License-Identifier: Apache-2.0

// What the agent answers when the directory's answer was lost, or the agent itself: what the
// directory says afterwards, and nothing is done twice.
// Run in a lab: tests/lab/run --no-agent --dc pair --users 60 node --test tests/integration/settle.test.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { bind, look, modify } from './ad.mjs';
import { LdapProxy } from './ldap-proxy.mjs';

const { env } = process;
const PROGRAM = env.WRITEBACK_LAB_AGENT ?? `${env.WRITEBACK_BUILD}/writebackd`;
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;
const PORT = 1636;
const CONTROLLER = `${env.WRITEBACK_LAB_DC}:${PORT}`;
const STATE = env.WRITEBACK_LAB_AGENT_CONFIG.replace(/[^/]+$/, 'state');

const ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const client = Client.fromEnvironment();
let proxy, agent;

// Each test has a user of its own, whom no minimum age holds up.
let users = 0;
function someone() {
  const name = `user${String(++users).padStart(4, '0')}`;
  return { name, user: { userPrincipalName: `${name}@corp.example` } };
}
const newPassword = () => `Ab1!${randomUUID()}`;
const reset = (user, password = newPassword(), more = {}) => ({ operation: 'reset', user, newPassword: password, ...more });
const lastSet = (name) => look(name, 'pwdLastSet').pwdLastSet;
const badPasswords = (name) => look(name, 'badPwdCount').badPwdCount;

function lockOut(name) {
  for (let i = 0; i < 5; i++) bind(name, 'wrong');
  assert.equal(bind(name, OLD_PASSWORD), '775');
}

function useControllers(...names) {
  const text = readFileSync(env.WRITEBACK_LAB_AGENT_CONFIG, 'utf8');
  writeFileSync(env.WRITEBACK_LAB_AGENT_CONFIG, text.replace(/^Controllers=.*$/m, `Controllers=${names.join(' ')}`));
}

/** Waits until the agent can use the controller behind the proxy. */
async function controllerIsUp() {
  const up = async () =>
    (await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/metrics`)).text()).includes(`dc="${CONTROLLER}"} 1`);
  for (const end = Date.now() + 90_000; !(await up());) assert.ok(Date.now() < end);
}

async function startAgent() {
  const log = openSync(env.WRITEBACK_LAB_LOG, 'a');
  agent = spawn(PROGRAM, [`--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`, '--log-target=stderr'], { stdio: ['ignore', log, log] });
  const ready = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`).catch(() => ({}))).status === 200;
  for (const end = Date.now() + 30_000; !(await ready());)
    assert.ok(Date.now() < end && agent.exitCode === null, 'the agent does not become ready');
}

async function stopAgent(signal = 'SIGTERM') {
  agent.kill(signal);
  await once(agent, 'exit');
}

async function payloadOf(members, claims = ADMINISTRATOR) {
  return client.payload({ ...members, authorization: await client.token(claims) });
}

const send = async (payload) => client.send(await client.seal(payload));

/** Asks, and loses the change, or one after it. */
async function askAndLose(how, members, claims, skip = 0) {
  const payload = await payloadOf(members, claims);
  const lost = proxy.lose(how, skip);
  const [answer] = await Promise.all([send(payload), lost]);
  return { payload, answer };
}

/** The agent is killed in the middle of it, and started again. */
async function askAndKill(how, members, claims) {
  const payload = await payloadOf(members, claims);
  const lost = proxy.lose(how);
  // Nobody will answer this one; the relay says so in a minute.
  send(payload).catch(() => {});
  await lost;
  await stopAgent('SIGKILL');
  await startAgent();
  return payload;
}

function assertDone(answer, warnings) {
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.status, 'succeeded');
  assert.deepEqual(answer.json.warnings, warnings);
  assert.equal(answer.json.domainController, CONTROLLER);
}

function assertProblem(answer, status, code) {
  assert.deepEqual({ status: answer.status, code: answer.json?.code }, { status, code }, JSON.stringify(answer.json));
}

before(async () => {
  proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(PORT);
  useControllers(CONTROLLER);
  await startAgent();
});

after(async () => {
  client.close();
  await stopAgent();
  assert.equal(agent.exitCode, 0, readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').slice(-4000));
  proxy.close();
});

test('a reset that was done and not answered is told as done', async () => {
  const { name, user } = someone();
  const { answer, payload } = await askAndLose('answered', reset(user));
  assertDone(answer, ['answerLost']);
  assert.ok(Math.abs(Date.parse(answer.json.passwordLastSet) - Date.now()) < 60_000);
  assert.equal(bind(name, payload.newPassword), 'yes');
  const set = lastSet(name);
  assert.deepEqual((await send(payload)).json, answer.json);
  assert.equal(lastSet(name), set);
});

test('a reset that never arrived is told as not done, and is done when it is asked for again', async () => {
  const { name, user } = someone();
  const { answer, payload } = await askAndLose('swallowed', reset(user));
  assertProblem(answer, 503, 'ADNotReachable');
  assert.match(answer.json.detail, /was not done/);
  assert.equal(answer.json.retryable, true);
  assert.equal(bind(name, OLD_PASSWORD), 'yes');
  assert.equal(badPasswords(name), '0', 'it was told without a try of the password');
  assertDone(await send(payload), []);
  assert.equal(bind(name, payload.newPassword), 'yes');
});

test('a reset whose answer is lost still has its must-change and its unlock', async () => {
  const { name, user } = someone();
  lockOut(name);
  const { answer, payload } = await askAndLose('answered', reset(user, newPassword(), { forceChangePasswordNextSignIn: true }));
  assertDone(answer, ['answerLost']);
  assert.equal(answer.json.mustChangeAtNextSignIn, true);
  assert.equal(answer.json.accountUnlocked, true);
  assert.equal(bind(name, payload.newPassword), '773');
});

test('a must-change whose answer is lost is told as it is', async () => {
  for (const [how, isDone] of [['answered', true], ['swallowed', false]]) {
    const { name, user } = someone();
    // The change of the password is answered.
    const { answer, payload } = await askAndLose(
      how, reset(user, newPassword(), { forceChangePasswordNextSignIn: true }), ADMINISTRATOR, 1);
    assertDone(answer, isDone ? [] : ['mustChangeAtNextSignInNotSet']);
    assert.equal(answer.json.mustChangeAtNextSignIn, isDone);
    assert.equal(bind(name, payload.newPassword), isDone ? '773' : 'yes');
  }
});

test('an account that must change hides its date, and the password tells', async () => {
  for (const [how, isDone] of [['answered', true], ['swallowed', false]]) {
    const { name, user } = someone();
    modify(`dn: CN=${name},OU=Numbered,OU=Staff,${env.WRITEBACK_LAB_BASE_DN}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 0\n`);
    const { answer, payload } = await askAndLose(how, reset(user));
    if (isDone) assertDone(answer, ['answerLost']);
    else assertProblem(answer, 503, 'ADNotReachable');
    assert.equal(bind(name, payload.newPassword), isDone ? 'yes' : '52e');
  }
});

test('a locked account that stays locked is settled without an unlock', async () => {
  const { name, user } = someone();
  lockOut(name);
  const { answer, payload } = await askAndLose('answered', reset(user, newPassword(), { unlockAccount: false }));
  assertDone(answer, ['accountStillLocked', 'answerLost']);
  assert.equal(bind(name, payload.newPassword), '775');
});

test('an account that may not sign in is settled by what its refusal says', async () => {
  for (const [attribute, refusal] of [
    ['accountExpires: 130000000000000000', '701'],
    [`logonHours:: ${Buffer.alloc(21).toString('base64')}`, '530'],
    ['userWorkstations: DESK', '531'],
  ])
    for (const [how, isDone] of [['answered', true], ['swallowed', false]]) {
      const { name, user } = someone();
      modify(`dn: CN=${name},OU=Numbered,OU=Staff,${env.WRITEBACK_LAB_BASE_DN}\nchangetype: modify\nreplace: ${attribute.split(':')[0]}\n${attribute}\n`);
      const { answer, payload } = await askAndLose(how, reset(user));
      if (isDone) assertDone(answer, ['answerLost']);
      else assertProblem(answer, 503, 'ADNotReachable');
      assert.equal(bind(name, payload.newPassword), isDone ? refusal : '52e');
    }
});

test('a password is not tried where a wrong one would lock the account', async () => {
  const { name, user } = someone();
  for (let i = 0; i < 4; i++) bind(name, 'wrong');
  const payload = await payloadOf(reset(user, newPassword(), { unlockAccount: false }));
  const lost = proxy.lose('answered');
  const [answer] = await Promise.all([send(payload), lost]);
  assertProblem(answer, 503, 'OutcomeUnknown');
  assert.equal(badPasswords(name), '4');
  assert.equal(bind(name, payload.newPassword), 'yes');
  // With that the count is gone.
  assertDone(await send(payload), ['passwordAlreadySet']);
});

test('a change that was done and not answered is told as done, and one that never arrived as not done', async () => {
  for (const [how, isDone] of [['answered', true], ['swallowed', false]]) {
    const { name, user } = someone();
    const change = { operation: 'change', user, currentPassword: OLD_PASSWORD, newPassword: newPassword() };
    const { answer } = await askAndLose(how, change, { upn: `${name}@corp.example`, wids: [] });
    if (isDone) assertDone(answer, ['answerLost']);
    else assertProblem(answer, 503, 'ADNotReachable');
    assert.equal(bind(name, change.newPassword), isDone ? 'yes' : '52e');
    assert.equal(bind(name, OLD_PASSWORD), isDone ? '52e' : 'yes');
  }
});

test('a change that was refused, and that nobody heard of, is told as not done', async () => {
  const { name, user } = someone();
  const change = { operation: 'change', user, currentPassword: newPassword(), newPassword: newPassword() };
  const { answer } = await askAndLose('answered', change, { upn: `${name}@corp.example`, wids: [] });
  assertProblem(answer, 503, 'ADNotReachable');
  assert.equal(bind(name, OLD_PASSWORD), 'yes');
});

test('an unlock is settled by the lock', async () => {
  for (const [how, isDone] of [['answered', true], ['swallowed', false]]) {
    const { name, user } = someone();
    lockOut(name);
    const { answer } = await askAndLose(how, { operation: 'unlock', user });
    if (isDone) assertDone(answer, ['answerLost']);
    else assertProblem(answer, 503, 'ADNotReachable');
    assert.equal(bind(name, OLD_PASSWORD), isDone ? 'yes' : '775');
  }
});

test('an agent that is killed after the modify tells the truth when it is asked again', async () => {
  for (const [how, warnings] of [['silent', ['passwordAlreadySet']], ['swallowed', []]]) {
    const { name, user } = someone();
    const payload = await askAndKill(how, reset(user));
    const set = lastSet(name);
    const answer = await send(payload);
    assertDone(answer, warnings);
    assert.equal(lastSet(name) === set, how === 'silent', 'what was done is not done again');
    assert.equal(bind(name, payload.newPassword), 'yes');
    assert.deepEqual((await send(payload)).json, answer.json);
  }
});

test('an agent that is killed after a change or an unlock tells the truth too', async () => {
  const { name, user } = someone();
  const change = { operation: 'change', user, currentPassword: OLD_PASSWORD, newPassword: newPassword() };
  const payload = await askAndKill('silent', change, { upn: `${name}@corp.example`, wids: [] });
  assertDone(await send(payload), ['passwordAlreadySet']);
  assert.equal(bind(name, change.newPassword), 'yes');

  const locked = someone();
  lockOut(locked.name);
  assertDone(await send(await askAndKill('silent', { operation: 'unlock', user: locked.user })), []);
  assert.equal(bind(locked.name, OLD_PASSWORD), 'yes');
});

/** As if another agent came: it knows nothing of the first one's ledger, and has keys of its own. */
async function forget() {
  await stopAgent();
  for (const file of readdirSync(STATE)) rmSync(`${STATE}/${file}`);
  await startAgent();
}

test('another agent that gets the repetition comes to the same answer', async () => {
  const { name, user } = someone();
  const payload = await payloadOf(reset(user));
  assertDone(await send(payload), []);
  const set = lastSet(name);

  await forget();
  assertDone(await send(payload), ['passwordAlreadySet']);
  assert.equal(lastSet(name), set);

  // Another request that asks for the same password has not set it.
  const now = Math.floor(Date.now() / 1000);
  const later = { ...payload, jti: randomUUID(), iat: now + 1, exp: now + 60 };
  assertProblem(await send(later), 422, 'ADPasswordPolicyError');
  assert.equal(lastSet(name), set);
});

test('a ledger that is gone beside its keys makes nothing new', async () => {
  const { name, user } = someone();
  lockOut(name);
  const payload = await payloadOf({ operation: 'unlock', user });
  assertDone(await send(payload), []);
  await stopAgent();
  for (const end of ['', '-wal', '-shm']) rmSync(`${STATE}/ledger.sqlite${end}`, { force: true });
  await startAgent();
  // It has not been locked since, so that it was done already is what there is to tell.
  const answer = await send(payload);
  assertDone(answer, []);
  const told = readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').split(payload.jti).at(-1);
  assert.match(told, /an earlier attempt of this request had done it/);
  // What nobody has done is done, as soon as all controllers have said so.
  const other = someone();
  const fresh = await payloadOf(reset(other.user));
  assertDone(await send(fresh), []);
  assert.equal(bind(other.name, fresh.newPassword), 'yes');
});

test('so it does where "must change" hides when the password was set', async () => {
  const { name, user } = someone();
  const payload = await payloadOf(reset(user, newPassword(), { forceChangePasswordNextSignIn: true }));
  assertDone(await send(payload), []);

  await forget();
  const answer = await send(payload);
  assertDone(answer, ['passwordAlreadySet']);
  assert.equal(answer.json.mustChangeAtNextSignIn, true);

  // Another request that asks for the same has not set it.
  const now = Math.floor(Date.now() / 1000);
  assertProblem(await send({ ...payload, jti: randomUUID(), iat: now + 1, exp: now + 60 }), 422, 'ADPasswordPolicyError');
  assert.equal(bind(name, payload.newPassword), '773');
});

test('a controller that falls silent is given up, and asked again', async () => {
  const { name, user } = someone();
  const { answer, payload } = await askAndLose('silent', reset(user));
  assertDone(answer, ['answerLost']);
  assert.equal(bind(name, payload.newPassword), 'yes');
});

test('a must-change that a controller falls silent over is told as it is', async () => {
  const { name, user } = someone();
  const { answer, payload } = await askAndLose(
    'silent', reset(user, newPassword(), { forceChangePasswordNextSignIn: true }), ADMINISTRATOR, 1);
  assertDone(answer, []);
  assert.equal(answer.json.mustChangeAtNextSignIn, true);
  assert.equal(bind(name, payload.newPassword), '773');
});

test('where the controller is gone, another one vouches for what was done, and for nothing else', async () => {
  useControllers(CONTROLLER, env.WRITEBACK_LAB_DC2);
  const ask = async (how) => {
    const { name, user } = someone();
    const payload = await payloadOf(reset(user));
    payload.exp = payload.iat + 600;
    await stopAgent();
    await startAgent();
    await controllerIsUp();
    const lost = proxy.lose(how).then(() => proxy.leave());
    const [answer] = await Promise.all([send(payload), lost]);
    return { name, payload, answer };
  };

  const done = await ask('answered');
  proxy.comeBack();
  assert.equal(done.answer.status, 200, JSON.stringify(done.answer.json));
  assert.deepEqual(done.answer.json.warnings, ['answerLost']);
  assert.equal(done.answer.json.domainController, env.WRITEBACK_LAB_DC2);
  assert.equal(bind(done.name, done.payload.newPassword), 'yes');

  const lost = await ask('swallowed');
  assertProblem(lost.answer, 503, 'OutcomeUnknown');
  // While it is away nothing else is to be had, whoever is there, and whatever the agent has forgotten.
  await stopAgent('SIGKILL');
  await startAgent();
  const again = await send(lost.payload);
  assertProblem(again, 503, 'OutcomeUnknown');
  assert.match(again.json.detail, new RegExp(`was sent to ${CONTROLLER} before`));
  assert.equal(bind(lost.name, OLD_PASSWORD), 'yes');
  assert.equal(bind(lost.name, OLD_PASSWORD, env.WRITEBACK_LAB_DC2), 'yes');

  proxy.comeBack();
  const answer = await send(lost.payload);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.deepEqual(answer.json.warnings, []);
  assert.equal(bind(lost.name, lost.payload.newPassword, answer.json.domainController.split(':')[0]), 'yes');
});

// Such as the domain's, behind which each connection may come to another one.
test('behind a name that is not its own no controller is believed that nothing was done', async (t) => {
  const hosts = `${env.WRITEBACK_LAB_SCRATCH}/hosts`, before = readFileSync(hosts, 'utf8');
  const [address] = before.split('\n').find((line) => line.includes(env.WRITEBACK_LAB_DC)).split(/\s/);
  t.after(() => writeFileSync(hosts, before));
  writeFileSync(hosts, `${before}${address} corp.example\n`);
  useControllers(`corp.example:${PORT}`);
  await stopAgent();
  await startAgent();
  assert.match(readFileSync(env.WRITEBACK_LAB_LOG, 'utf8'),
    new RegExp(`corp\\.example:${PORT} calls itself ${env.WRITEBACK_LAB_DC}\\. Name it so in Controllers=`));

  const { name, user } = someone();
  const { answer } = await askAndLose('swallowed', reset(user));
  assertProblem(answer, 503, 'OutcomeUnknown');
  assert.equal(bind(name, OLD_PASSWORD), 'yes');

  const { answer: done } = await askAndLose('answered', reset(someone().user));
  assert.equal(done.status, 200, JSON.stringify(done.json));
  assert.deepEqual(done.json.warnings, ['answerLost']);
});
