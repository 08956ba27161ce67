// SPDX-License-Identifier: Apache-2.0

// One agent for two domains, each with its own account, base and controller; and what becomes of requests for the one
// when the other does not answer.
// Run in a lab: tests/lab/run --dc two node --test tests/integration/domains.test.mjs

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { bind, modify } from './ad.mjs';
import { until } from './controllers.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const ADMINISTRATOR = { wids: ['62e90394-69f5-4237-9190-012177145e10'] };
const OLD_PASSWORD = env.WRITEBACK_LAB_USER_PASSWORD;

const CORP = { domain: 'corp.example', dc: 'dc1', controller: env.WRITEBACK_LAB_DC, base: env.WRITEBACK_LAB_BASE_DN };
const EMEA = { domain: 'emea.example', dc: 'edc1', controller: env.WRITEBACK_LAB_OTHER_DC, base: env.WRITEBACK_LAB_OTHER_BASE_DN };
const other = (domain) => (domain === CORP ? EMEA : CORP);

// ---- Controllers that freeze -------------------------------------------------------------------------

const frozen = new Set();
const signal = ({ dc }, name) => process.kill(Number(readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/${dc}.pid`)), name);

function freeze(domain) {
  signal(domain, 'SIGSTOP');
  frozen.add(domain);
}

const isUsed = async ({ domain }) => {
  const health = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`, { headers: { connection: 'close' } })).json();
  return health.checks[`directory:${domain}`]?.[0].status === 'pass';
};

afterEach(async () => {
  for (const domain of frozen) {
    signal(domain, 'SIGCONT');
    await until(`${domain.domain} can be used again`, () => isUsed(domain));
  }
  frozen.clear();
});

// An organisation's own suffix, which each forest may use.
const SHARED = { userPrincipalName: 'heidi@contoso.example' };
before(() => {
  for (const { controller, base } of [CORP, EMEA])
    modify(`dn: CN=heidi,OU=Staff,${base}\nchangetype: modify\nreplace: userPrincipalName\nuserPrincipalName: ${SHARED.userPrincipalName}\n`,
      { controller, dn: `CN=Administrator,CN=Users,${base}` });
});
after(() => client.close());

// ---- What is asked -----------------------------------------------------------------------------------

const upn = (name, { domain }) => ({ userPrincipalName: `${name}@${domain}` });
const sam = (name, { domain }) => ({ onPremisesSamAccountName: name, onPremisesDomainName: domain });
const password = () => `Ab1!${randomUUID()}`;

const reset = (user, newPassword = password()) => client.ask({ operation: 'reset', user, newPassword }, ADMINISTRATOR);

async function assertReset(user, name, { domain, controller }) {
  const mine = password();
  const answer = await reset(user, mine);
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.domainController, controller);
  assert.equal(bind(`${name}@${domain}`, mine, controller), 'yes');
}

async function assertProblem(user, status, code, detail) {
  const answer = await reset(user);
  assert.deepEqual({ status: answer.status, code: answer.json.code }, { status, code }, JSON.stringify(answer.json));
  assert.match(answer.json.detail, detail);
}

// ---- The tests ---------------------------------------------------------------------------------------

test('an account is acted on in its own domain, and its namesake in the other one is left alone', async () => {
  for (const domain of [CORP, EMEA]) {
    assert.ok(await isUsed(domain));
    await assertReset(upn('alice', domain), 'alice', domain);
    await assertReset(sam('jürgen', domain), 'juergen', domain);
    const { domain: name, controller } = other(domain);
    if (domain === CORP)
      for (const user of ['alice', 'juergen']) assert.equal(bind(`${user}@${name}`, OLD_PASSWORD, controller), 'yes');
  }
});

test('a name that accounts of both domains have is nobody\'s', async () => {
  await assertProblem(SHARED, 409, 'ADMultiMatchError', /corp\.example|emea\.example/);
  for (const { controller } of [CORP, EMEA])
    assert.equal(bind(SHARED.userPrincipalName, OLD_PASSWORD, controller), 'yes');
});

test('what neither domain has is told of both', async () => {
  await assertProblem(upn('nobody', CORP), 404, 'ADUserNotFoundError', /corp\.example: .*emea\.example: |emea\.example: .*corp\.example: /);
});

// The first and the last in the configuration.
for (const domain of [CORP, EMEA])
  test(`while ${domain.domain} hangs, the other domain's accounts are reset, and what might be in it is not called missing`, async () => {
    const alive = other(domain);
    freeze(domain);
    await assertReset(upn('paul', alive), 'paul', alive);
    await assertReset(sam('anna', alive), 'anna', alive);
    await Promise.all([
      assertProblem(upn('nobody', alive), 503, 'ADNotReachable', new RegExp(`${domain.domain}: `)),
      assertProblem(SHARED, 503, 'ADNotReachable', new RegExp(`^${alive.domain} has an account with this name.*${domain.domain}: `)),
    ]);
  });
