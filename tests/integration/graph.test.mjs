// SPDX-License-Identifier: Apache-2.0

// What Microsoft Graph says of the tenant, and other clocks of this host's, as the blade, the metrics and the log
// show it. The stand-in Graph verifies the agent's assertion with the npm package jose.
// Run in a lab: tests/lab/run node --test tests/integration/graph.test.mjs

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../lab/cloud/client.mjs';
import { entries } from './agent-process.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const DROP_INS = `${env.WRITEBACK_LAB_AGENT_CONFIG}.d`;
const PATIENCE = 60_000;
const WELL = {
  outage: false, retryAfter: 0, syncEnabled: true, syncAge: 600, skus: ['E3', 'P1'], pageSize: 100,
  tokenLifetime: 3600, refuse: '', deny: false, raw: '',
};
const RIGHT = { relay: 0, issuer: 0, graph: 0 };

async function control(part, knobs) {
  const answer = await fetch(`${env.WRITEBACK_LAB_CONTROL_URL}/${part}`, knobs && { method: 'POST', body: JSON.stringify(knobs) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const health = async (what) => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/${what}`)).json();
const status = () => health('status');
const metrics = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/metrics`)).text();
const logged = (event) => entries().filter((entry) => entry.event === event);

/** Waits for a status document of which `holds` is true, and returns it. */
async function until(what, holds) {
  let document;
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(20)) {
    document = await status();
    if (holds(document)) return document;
  }
  assert.fail(`${what}; it is ${JSON.stringify({ ...document, requests: undefined }, null, 1)}`);
}

/** Sets the knobs of Graph and lets the agent look at once, which it does after a reload. */
async function look(knobs, lines = ['Interval=1h']) {
  await control('graph', { ...WELL, ...knobs });
  mkdirSync(DROP_INS, { recursive: true });
  writeFileSync(`${DROP_INS}/50-graph.conf`, `[Graph]\n${lines.join('\n')}\n`);

  // A new configuration begins with a new token, asked for or refused.
  const asked = async () => { const { tokens, refused } = await control('graph'); return tokens + refused; };
  const before = await asked();
  process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
  for (const end = Date.now() + PATIENCE; await asked() === before; await sleep(20))
    assert.ok(Date.now() < end, 'the agent does not ask Graph');
  return until('nothing came of it', ({ ready, checks }) => (ready || checks.clock?.[0].status === 'fail') &&
    [checks.sync[0], checks.licence[0]].every(({ output }) => !/not been asked yet/.test(output ?? '')));
}

const ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const ask = (operation, more, claims = ADMINISTRATOR) => client.ask(
  { operation, user: { userPrincipalName: 'alice@corp.example' }, ...more }, claims);
const reset = (newPassword) => ask('reset', { newPassword });

/** Makes a key and a certificate, NAME.key and NAME.pem. */
function application(name, days) {
  const folder = `${env.WRITEBACK_LAB_SCRATCH}/ca`;
  execFileSync(new URL('../lab/ca', import.meta.url).pathname, [folder, 'application', name, days]);
  return `${folder}/${name}`;
}

const groups = ({ blade }) => blade.reasons.map(({ group }) => group);
const cured = ({ cures }) => cures.map(({ eventId }) => eventId);

afterEach(async () => {
  await control('graph', WELL);
  await control('clocks', RIGHT);
  await control('relay', { cut: false });
});
after(() => {
  rmSync(DROP_INS, { recursive: true, force: true });
  client.close();
});

test('a tenant where all is well: proved by certificate, and nothing to say', async () => {
  const document = await look({});
  assert.equal(document.checks.sync[0].status, 'pass');
  assert.equal(document.checks.licence[0].status, 'pass');
  assert.equal(document.blade.visible, true);
  assert.match(document.checks.sync[0].certificateNotAfter, /^20\d\d-/);
  assert.equal((await control('graph')).lastProof, 'PS256');

  const page = await metrics();
  const last = Number(/^writeback_sync_last_timestamp_seconds (\S+)$/m.exec(page)[1]);
  assert.ok(Math.abs(Date.now() / 1000 - 600 - last) < 60, `${last}`);
  assert.match(page, /^writeback_licence_held 1$/m);
  assert.match(page, /^writeback_graph_certificate_not_after_timestamp_seconds 1\d{9}\./m);
});

test('what is known outlives an outage, and a token that was taken back is replaced unseen', async () => {
  await look({}, ['Interval=10s']);
  const before = await control('graph', { revoke: true });
  const failures = logged(35073).length;
  const asked = async (n) => {
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50))
      if ((await control('graph')).organization >= n) return;
    assert.fail('Graph is not asked again');
  };

  await asked(before.organization + 2); // refused with 401, then with a new token
  assert.equal((await control('graph')).tokens, before.tokens + 1);
  assert.equal(logged(35073).length, failures);

  const outages = logged(35072).length;
  await control('graph', { outage: true });
  await asked(before.organization + 3);
  for (const end = Date.now() + PATIENCE; logged(35072).length === outages; await sleep(20))
    assert.ok(Date.now() < end, 'the outage is not logged');
  const document = await status();
  assert.equal(document.checks.sync[0].status, 'pass');
  assert.equal(document.checks.licence[0].status, 'pass');
});

test('RS256, and a client secret with characters of a form, are accepted too', async () => {
  await look({}, ['Algorithm=RS256']);
  assert.equal((await control('graph')).lastProof, 'RS256');

  const folder = env.WRITEBACK_LAB_AGENT_CONFIG.replace(/[^/]+$/, 'credentials');
  const document = await look({}, [
    'ClientCertificate=', 'ClientKeyCredential=', `ClientSecretCredential=${folder}/graph-secret`]);
  assert.equal((await control('graph')).lastProof, 'secret');
  assert.equal(document.checks.licence[0].status, 'pass');
});

test('without a licence writeback is not enabled, and the licence is what to mend', async () => {
  const document = await look({ skus: ['E3'] });
  assert.equal(document.blade.state, 'notEnabled');
  assert.equal(document.blade.visible, false);
  assert.deepEqual(groups(document), ['writebackNotInUse']);
  assert.match(document.blade.reasons[0].detail, /no subscription in force with Microsoft Entra ID P1 or P2/);
  assert.deepEqual(cured(document), [35004]);
  assert.equal(logged(35004).length, 1);
  assert.match(await metrics(), /^writeback_licence_held 0$/m);

  const answer = await reset('Lab-no-licence-7q');
  assert.equal(answer.status, 403);
  assert.equal(answer.json.code, 'LicenceMissing');
  assert.equal((await ask('unlock')).json.code, 'LicenceMissing');
  const passwords = { currentPassword: env.WRITEBACK_LAB_USER_PASSWORD, newPassword: 'Lab-no-licence-8r' };
  assert.equal((await ask('change', passwords, { upn: 'alice@corp.example', wids: [] })).json.code, 'LicenceMissing');
  const { json } = await ask('check');
  assert.equal(json.allowed, false);
  assert.equal(json.reasons[0].code, 'LicenceMissing');
  assert.equal(json.account.enabled, true);
});

test('a licence on a later page counts', async () => {
  const document = await look({ skus: ['E3', 'E3', 'P1'], pageSize: 1 });
  assert.equal(document.checks.licence[0].status, 'pass');
});

test('a late synchronisation warns; a stale one, one that is off and one that never ran fail', async () => {
  const late = await look({ syncAge: 4 * 3600 });
  assert.equal(late.checks.sync[0].status, 'warn');
  assert.match(late.checks.sync[0].output, /ran last at 20\S+Z, 4 hours ago/);
  assert.equal(late.blade.visible, true);
  assert.equal(late.status, 'warn');
  assert.deepEqual(cured(late), [35070]);

  const stale = await look({ syncAge: 25 * 3600 });
  assert.equal(stale.checks.sync[0].status, 'fail');
  assert.equal(stale.blade.state, 'temporarilyUnavailable');
  assert.deepEqual(groups(stale), ['syncConnectivity']);
  assert.equal(stale.ready, true);

  const off = await look({ syncEnabled: false });
  assert.match(off.blade.reasons[0].detail, /is not enabled in the tenant/);
  assert.deepEqual(groups(off), ['syncConnectivity']);
  assert.deepEqual(cured(off), [35071]);
  assert.equal(logged(35071).length, 1);

  const never = await look({ syncAge: -1 });
  assert.match(never.blade.reasons[0].detail, /enabled, and has never run/);
  assert.deepEqual(groups(never), ['syncConnectivity']);
});

test('the three groups of reasons stand side by side', async () => {
  await look({ skus: [], syncEnabled: false });
  await control('relay', { cut: true });
  const document = await until('the relay is not missed', ({ checks }) => checks['relay:primary'][0].status === 'fail');
  assert.deepEqual(new Set(groups(document)), new Set(['writebackNotInUse', 'writebackConnectivity', 'syncConnectivity']));
  assert.equal(document.blade.state, 'notEnabled');
});

test('while Graph is down the tenant is unknown, which warns, and requests are served', async () => {
  const document = await look({ outage: true });
  for (const check of ['sync', 'licence'])
    assert.match(document.checks[check][0].output, /^Not known: organization: answered with status 503: serviceNotAvailable/);
  assert.equal(document.status, 'warn');
  assert.equal(document.blade.visible, true);
  assert.equal(document.ready, true);
  assert.deepEqual(cured(document), [35072]);
  assert.equal(logged(35072).at(-1).WRITEBACK_ADDRESS, env.WRITEBACK_LAB_GRAPH_URL);
  assert.doesNotMatch(await metrics(), /writeback_licence_held|writeback_sync_last/);

  const answer = await reset('Lab-graph-is-down-7q');
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
});

test('a certificate is replaced, and one near its end warns', async () => {
  const pair = application('ending', 20);
  const lines = [`ClientCertificate=${pair}.pem`, `ClientKeyCredential=${pair}.key`];
  const document = await look({ certificate: readFileSync(`${pair}.pem`, 'utf8') }, lines);
  assert.equal(document.checks.licence[0].status, 'pass');
  assert.equal(document.checks.sync[0].status, 'warn');
  assert.match(document.checks.sync[0].output, /^the certificate that Microsoft Graph is asked with ends at 20\d\d-/);
  assert.ok(cured(document).includes(35074));
  assert.equal(document.blade.visible, true);
  assert.equal(logged(35074).length, 1);

  await control('graph', { certificate: readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/ca/graph.pem`, 'utf8') });
});

test('a stranger’s certificate or secret is refused, in the cloud’s own code', async () => {
  const pair = application('stranger', 90);
  const unknown = await look({}, [`ClientCertificate=${pair}.pem`, `ClientKeyCredential=${pair}.key`]);
  assert.match(unknown.checks.licence[0].output, /^Not known: token: answered with status 401: AADSTS700027: /);

  const wrong = await look({}, ['ClientCertificate=', 'ClientKeyCredential=', `ClientSecretCredential=${pair}.pem`]);
  assert.match(wrong.checks.licence[0].output, /: AADSTS7000215: Invalid client secret provided$/);
  assert.deepEqual(cured(wrong), [35073]);
});

test('other refusals are told as they are', async () => {
  const refused = await look({ refuse: 'AADSTS700016' });
  assert.match(refused.checks.licence[0].output, /^Not known: token: answered with status 401: AADSTS700016: /);
  assert.deepEqual(cured(refused), [35073]);
  assert.match(logged(35073).at(-1).WRITEBACK_REASON, /AADSTS700016/);

  const denied = await look({ deny: true });
  assert.match(denied.checks.sync[0].output, /status 403: Authorization_RequestDenied/);
  assert.deepEqual(cured(denied), [35073]);

  const nonsense = await look({ raw: '<html>Sign in to the proxy</html>' });
  assert.match(nonsense.checks.sync[0].output, /^Not known: organization: not JSON/);
  assert.deepEqual(cured(nonsense), [35072]);
});

test('nothing secret is in the log', async () => {
  const log = entries().map(({ text }) => text).join('');
  for (const secret of [/graph\.[\w-]{64}/, /eyJ[\w-]+\./, 'client_assertion', env.WRITEBACK_LAB_AGENT_CLIENT_SECRET])
    assert.equal(log.split(secret).length - 1, 0, String(secret));
});

// ---- The time --------------------------------------------------------------------------------------

/** The clock as it is judged once all were heard. */
const clockIs = (wanted) => until(`the clock is not ${wanted}`, ({ checks }) => checks.clock?.[0].status === wanted);

test('this host’s clock agrees with relay, issuer, Graph and controller', async () => {
  await look({});
  await clockIs('pass');
  const sources = ['relay:primary', 'issuer:entra', 'graph', 'dc1.corp.example'];
  const areHeard = (text) => sources.every((source) => text.includes(`writeback_clock_offset_seconds{source="${source}"}`));
  let page = await metrics();
  for (const end = Date.now() + PATIENCE; !areHeard(page) && Date.now() < end; await sleep(50)) page = await metrics();
  for (const source of sources) {
    const offset = Number(new RegExp(`^writeback_clock_offset_seconds{source="${source}"} (\\S+)$`, 'm').exec(page)?.[1]);
    assert.ok(Math.abs(offset) < 20, `${source}: ${offset}`);
  }
});

test('where most clocks say so, this host’s is wrong, and that explains what else fails', async () => {
  await control('clocks', { relay: 600, issuer: 600, graph: 600 });
  await look({});
  // Whoever is heard in time for a judging is named by it, and all are by the next.
  const document = await until('not all clocks are named', ({ checks: { clock } }) => clock?.[0].status === 'fail' &&
    ['relay:primary', 'issuer:entra', 'graph'].every((name) => clock[0].output.includes(name)));
  assert.match(document.checks.clock[0].output,
    /^this host's clock is \d+ min behind those of (?=.*relay:primary)(?=.*issuer:entra)(?=.*graph)\S+, \S+ and \S+$/);
  assert.deepEqual(document.blade.reasons.map(({ check }) => check), ['clock']);
  assert.ok(cured(document).includes(35080));
  assert.equal(document.ready, false);
  assert.equal(logged(35080).length, 1);

  await control('relay', { cut: true });
  const cut = await until('the relay is not missed', ({ checks }) => checks['relay:primary'][0].status === 'fail');
  assert.equal(cut.checks['relay:primary'][0].causedBy, 'clock');
  assert.deepEqual(cut.blade.reasons.map(({ check }) => check), ['clock']);
});

test('a relay that refuses the agent tells its time all the same', async () => {
  await look({});
  await clockIs('pass');
  await control('clocks', { relay: 600, issuer: 600, graph: 600 });
  await control('relay', { cut: true });
  await look({});
  await until('the relay’s clock is not heard', ({ checks }) => checks.clock?.[0].status === 'fail' &&
    /relay:primary/.test(checks.clock[0].output) && checks['relay:primary'][0].causedBy === 'clock');
});

test('one wrong clock accuses nobody but itself', async () => {
  await look({});
  await clockIs('pass');
  const before = logged(35081).length;
  await control('clocks', { graph: -3600 });
  await look({});
  const document = await clockIs('warn');
  assert.match(document.checks.clock[0].output, /^the clock of graph is \d+ min behind this host's; .* agree with this host$/);
  assert.equal(document.blade.visible, true);
  assert.ok(cured(document).includes(35081));
  assert.equal(logged(35081).length, before + 1);
});
