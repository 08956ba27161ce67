// SPDX-License-Identifier: Apache-2.0

// What `writebackctl check` finds, stage by stage: each is broken once, and must be the one that the exit status names.
// Run in a lab: WRITEBACK_BUILD=BUILD tests/lab/run --no-agent node --test tests/integration/ctl.test.mjs

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../lab/cloud/client.mjs';
import { AgentProcess, configure, entries, readiness, STATE } from './agent-process.mjs';

const { env } = process;
const CTL = `${env.WRITEBACK_BUILD}/writebackctl`;
const CONFIG = `--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`;
const STAGES = ['configuration', 'clock', 'keys', 'names', 'relay', 'issuer', 'directory', 'account', 'policyHints',
  'rights'];
const scratch = mkdtempSync(`${env.WRITEBACK_LAB_SCRATCH}/ctl-`);
const client = Client.fromEnvironment();
const agent = new AgentProcess();
const servers = [];

afterEach(async () => {
  configure({});
  for (const server of servers.splice(0)) server.close();
  if (agent.isRunning) await agent.stop();
});

const PATIENCE = 30_000;
after(() => client.close());

const ctl = (...args) => spawnSync(CTL, [...args, CONFIG], { encoding: 'utf8', timeout: PATIENCE });

/** {status, steps, failed: the steps that failed, of: (stage) => its steps}; never with the relay's key or the password. */
function check(...args) {
  const { status, stdout, stderr } = ctl('check', '--json', ...args);
  assert.equal(stderr, '');
  for (const secret of [env.WRITEBACK_LAB_SERVICE_PASSWORD, /SharedAccessKey=([^;]*)/.exec(env.WRITEBACK_LAB_LISTEN_CONNECTION_STRING)[1]])
    assert.ok(!stdout.includes(secret));
  const { steps, exitStatus } = JSON.parse(stdout);
  assert.equal(exitStatus, status);
  return { status, steps, failed: steps.filter(({ ok }) => ok === false), of: (stage) => steps.filter((s) => s.stage === stage) };
}

/** The check must fail in this stage first, with a cure. */
function assertFails(result, status, stage, text) {
  assert.equal(result.status, status, JSON.stringify(result.failed));
  assert.equal(result.failed[0].stage, stage);
  assert.match(result.failed[0].text, text);
  assert.ok(result.failed[0].cure.length > 0);
  // What is to be typed can be typed.
  assert.doesNotMatch(result.failed[0].cure.join('\n'), /@WRITEBACK|<[A-Z_]+>/);
}

/** A port at the issuer's host, listened on by another server. */
async function listen(server) {
  servers.push(server);
  server.listen(0, '127.0.0.10');
  await once(server, 'listening');
  return server.address().port;
}

test('an agent that is well passes every stage, in the order of a request', async () => {
  await agent.start().ready();
  const { status, steps, of } = check();
  assert.equal(status, 0, JSON.stringify(steps));
  assert.deepEqual([...new Set(steps.map(({ stage }) => stage))], STAGES);
  assert.match(of('keys')[1].text, /^the encryption key \S+ is good until /);
  assert.match(of('names').map(({ text }) => text).join(), /relay\.lab\.example is 127\.0\.0\.10.*dc1\.corp\.example is 127\.0\.0\.2/);
  assert.match(of('relay').at(-1).text, /^the running agent listens on /);
  assert.ok(of('clock').some(({ text }) => text === 'in step with relay.lab.example'));
});

test('an agent that is still on its way to the relay is waited for', async () => {
  const certificate = (kind) => readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/ca/cloud.${kind}`);
  const slow = https.createServer({ cert: certificate('pem'), key: certificate('key') }, (request, response) => response.end());
  slow.on('upgrade', (request, socket) => setTimeout(() => socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'), 2000));
  const port = await listen(slow);
  configure({}, (text) => text.replace('sb://relay.lab.example', `sb://relay.lab.example:${port}`));
  agent.start();
  while (await readiness() === 0) await new Promise(setImmediate);
  // Not check(): the server is here, and must go on.
  let said = '';
  for await (const data of spawn(CTL, ['check', '--json', CONFIG], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout) said += data;
  assert.match(JSON.parse(said).steps.filter(({ stage }) => stage === 'relay').at(-1).text, /does not listen on writeback: .*401/);
});

/** What check says with `health` in the place of a running agent's. */
async function checkBeside(health) {
  const server = http.createServer((request, response) => response.end(JSON.stringify(health)));
  const port = await listen(server);
  let said = '';
  // Not check(): the server is here, and must go on.
  for await (const data of spawn(CTL, ['check', '--json', CONFIG, `--health=127.0.0.10:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout)
    said += data;
  return JSON.parse(said).steps;
}

test('a relay that was lost too often is listened on all the same', async () => {
  const serviceId = /^Id=(.*)/m.exec(readFileSync(env.WRITEBACK_LAB_AGENT_CONFIG, 'utf8'))[1];
  const steps = await checkBeside({ status: 'warn', serviceId,
    checks: { 'relay:primary': [{ status: 'warn', output: 'Well, but lost 5 times' }] } });
  const relay = steps.filter(({ stage }) => stage === 'relay').at(-1);
  assert.match(relay.text, /^the running agent listens on writeback as listen-rule: Well, but lost 5 times/);
  assert.equal(relay.ok, true);
});

test("a running agent's word counts only for what it runs with", async () => {
  await agent.start().ready();
  const until = Date.now() + 1500; // the agent tells its times in whole seconds
  while (Date.now() < until) await new Promise(setImmediate);
  configure({}, (text) => text.replace('SharedAccessKeyName=', 'SharedAccessKeyName=un'));
  assert.match(check().of('relay').at(-1).text, /since before the configuration was changed.*systemctl reload/);
  // Another agent's is not asked for.
  configure({}, (text) => text.replace(/^Id=.*/m, 'Id=somebody-else'));
  assert.match(check().of('relay').at(-1).text, /^it lets listen-rule listen on /);
});

test('without an agent it listens for a moment itself, and turns away what comes meanwhile', async () => {
  await agent.start().ready(); // for its keys
  await agent.stop();
  const { status, of } = check();
  assert.match(of('relay').at(-1).text, /^it lets listen-rule listen on writeback/);
  // That it does not run is no fault before its first start, and nothing to be shown as well.
  assert.equal(status, 0);
  assert.equal(of('configuration').at(-1).ok, null);
  assert.match(of('configuration').at(-1).cure.join(), /`systemctl status writebackd`/);
  assert.match(ctl('check').stdout, /! agent \S+ is not running/);

  // Many ask all the time, until one meets the check on the relay. Others find nobody there, or come when it has just
  // said good-bye, and would wait for the relay's minute.
  const impatient = Client.fromEnvironment();
  let met = null;
  const ask = async () => {
    while (!met) {
      const answer = await impatient.request('GET', '/v1/health');
      if (answer.fromAgent) met = answer;
    }
  };
  const asking = Array.from({ length: 8 }, () => ask().catch(() => {}));
  while (!met) {
    const running = spawn(CTL, ['check', CONFIG], { stdio: 'ignore' });
    assert.equal((await once(running, 'exit'))[0], 0);
  }
  impatient.close();
  await Promise.all(asking);
  assert.equal(met.status, 503);
  assert.equal(met.json.code, 'ServiceStopping');
  assert.equal(met.json.retryable, true);
  assert.ok(met.headers['writeback-receipt']);
});

test('a key that the relay refuses', () => {
  writeFileSync(`${scratch}/wrong-key`, 'bm90IHRoZSBrZXk=');
  configure({}, (text) => text.replace(/^SharedAccessKeyCredential=.*/m, `SharedAccessKeyCredential=${scratch}/wrong-key`));
  const result = check();
  assertFails(result, 11, 'relay', /^it does not let listen-rule listen on writeback: .*401/);
  // The way there was well.
  assert.match(result.of('relay')[0].text, /answers by HTTPS/);
});

test('a relay that is not there, and one behind a proxy whose password stays where it is', () => {
  configure({}, (text) => text.replace('sb://relay.lab.example', 'sb://relay.lab.example:9'));
  const absent = check();
  assertFails(absent, 11, 'relay', /^relay\.lab\.example:9 cannot be reached: /);
  assert.match(absent.failed[0].cure[0], /`curl .* https:\/\/relay\.lab\.example:9\/`/);

  configure({ Relay: ['Proxy=http://somebody:proxy-password@127.0.0.1:9'] });
  const result = check();
  assertFails(result, 11, 'relay', /through the proxy http:\/\/\(masked\)@127\.0\.0\.1:9: /);
  assert.doesNotMatch(JSON.stringify(result.steps), /proxy-password/);
});

test('a name that nobody knows', () => {
  configure({}, (text) => text.replace('sb://relay.lab.example', 'sb://nowhere.lab.example'));
  const result = check();
  assertFails(result, 10, 'names', /^nowhere\.lab\.example does not resolve: /);
  // What follows from it is told all the same, and what does not, too.
  assert.ok(result.failed.some(({ stage }) => stage === 'relay'));
  assert.ok(result.of('directory').every(({ ok }) => ok));
});

// Name servers are given 30 s, and asked twice; nothing here waits that long for them.
test('a name server that says nothing holds up neither the check nor the agent', async () => {
  const silent = dgram.createSocket('udp4');
  silent.bind(53, '127.0.0.53');
  await once(silent, 'listening');
  writeFileSync(`${scratch}/resolv.conf`, 'nameserver 127.0.0.53\noptions timeout:30\n');
  execFileSync('mount', ['--bind', `${scratch}/resolv.conf`, '/etc/resolv.conf']); // of this lab alone
  try {
    configure({}, (text) => text.replace('sb://relay.lab.example', 'sb://nowhere.lab.example'));
    agent.start();
    const result = check();
    assertFails(result, 10, 'names', /^nowhere\.lab\.example: no name server answered within 10 s/);
    assert.match(result.of('relay')[0].text, /Resolving timed out after 1\d{4} milliseconds/);

    // The agent has given up on it as well, and its loop goes on.
    const signal = AbortSignal.timeout(PATIENCE);
    while (!entries().some(({ event, text }) => event === 31034 && /the name of \S+ did not resolve within 10 s/.test(text)))
      await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/livez`, { signal });
  } finally {
    execFileSync('umount', ['/etc/resolv.conf']);
    silent.close();
  }
});

test('an issuer that does not answer', () => {
  configure({ Issuer: ['MetadataUrl=https://login.lab.example:9/'] });
  assertFails(check(), 12, 'issuer', /login\.lab\.example:9/);
});

test('a clock that is not that of the others, and another one that is not', async () => {
  await client.control('clocks', { relay: 300, issuer: 300 });
  const wrong = check();
  await client.control('clocks', { relay: 0, issuer: 300 });
  const others = check();
  await client.control('clocks', { relay: 0, issuer: 0 });
  assertFails(wrong, 8, 'clock', /^this host's clock is \d min behind those of relay\.lab\.example and https:/);
  assert.match(wrong.failed[0].cure.join('\n'), /timedatectl set-ntp true/);
  assertFails(others, 8, 'clock', /^the clock of https:\S+ is \d min ahead of this host's; relay/);
  assert.match(others.of('clock').map(({ text }) => text).join(), /in step with dc1\.corp\.example/);
});

test('keys that are open to others, or none at all', async () => {
  await agent.start().ready();
  await agent.stop();
  chmodSync(`${STATE}/keys.json`, 0o644);
  assertFails(check(), 9, 'keys', /open to others than its owner/);
  const keys = readFileSync(`${STATE}/keys.json`);
  writeFileSync(`${STATE}/keys.json`, '{}');
  assertFails(check(), 9, 'keys', /keys\.json/);
  writeFileSync(`${STATE}/keys.json`, keys);
  chmodSync(`${STATE}/keys.json`, 0o600);
  assert.equal(check().status, 0);
});

// Where none of these addresses answers; a failure that goes on is logged once besides.
test('keys in addresses are told nowhere', async () => {
  const keys = ['key-of-the-report', 'key-of-metadata', 'user-of-proxy', 'password-of-proxy'];
  configure({ Issuer: [`MetadataUrl=https://login.lab.example/metadata?code=${keys[1]}`, `Proxy=http://${keys[2]}:${keys[3]}@127.0.0.1:9`] },
    (text) => `${text}\n[Report]\nUrl=https://login.lab.example:9/report?code=${keys[0]}\nInterval=10s\n`);
  agent.start();
  const get = async (path) => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}${path}`)).text();
  const signal = AbortSignal.timeout(PATIENCE);
  while (!/^writeback_reports_total\{outcome="failed"\} [3-9]/m.test(await get('/metrics').catch(() => '')))
    await sleep(50, undefined, { signal });

  const told = [readFileSync(env.WRITEBACK_LAB_LOG, 'utf8'), ctl('check').stdout, ctl('check', '--json').stdout,
    ctl('status').stdout, ctl('bundle', '--json').stdout];
  for (const path of ['/', '/status', '/healthz', '/readyz', '/metrics']) told.push(await get(path));
  for (const text of told) {
    assert.ok(text.length > 0);
    for (const key of keys) assert.ok(!text.includes(key), `${key} in ${text}`);
  }
  assert.match(told[1], /no connection to the proxy for login\.lab\.example/);
  const log = (event) => entries().filter((entry) => entry.event === event && /login\.lab\.example/.test(entry.text));
  assert.match(log(32015)[0].text, /to https:\/\/login\.lab\.example:9\/report failed: no connection to login\.lab\.example:9: Connection refused\./);
  assert.equal(log(32015).length, 1);
  assert.equal(log(32001).filter(({ text }) => /the proxy for/.test(text)).length, 1);
});

test('what takes its time is told on a terminal, and nowhere else', async () => {
  const port = await listen(net.createServer(() => {})); // takes connections and says nothing
  configure({ Issuer: [`MetadataUrl=https://login.lab.example:${port}/`] });
  const terminal = spawn('script', ['--quiet', '--return', '--command', `${CTL} check ${CONFIG}`, '/dev/null'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...env, TERM: 'xterm', NO_COLOR: '' } });
  let said = '';
  for await (const data of terminal.stdout) {
    said += data;
    if (/… asking the issuer for the time \(\d+ s\)/.test(said)) break;
  }
  assert.match(said, /… asking the issuer for the time \(\d+ s\)/);
  assert.match(said, /\x1b\[32m✓/);
  terminal.kill();
});

test('no colours where they are not wanted', () => {
  const said = (command, more) =>
    spawnSync('script', ['--quiet', '--command', `${CTL} ${command}`, '/dev/null'],
      { encoding: 'utf8', env: { ...env, TERM: 'xterm', ...more } }).stdout;
  assert.match(said('explain 33008', { NO_COLOR: '' }), /\x1b\[/);
  assert.doesNotMatch(said('explain 33008', { NO_COLOR: '1' }), /\x1b/);
  assert.doesNotMatch(said('explain 33008', { NO_COLOR: '', TERM: 'dumb' }), /\x1b/);
  assert.doesNotMatch(ctl('explain', '33008').stdout, /\x1b/);
});
