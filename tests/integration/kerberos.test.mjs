// SPDX-License-Identifier: Apache-2.0

// The whole agent by Kerberos, where its KDC is not there: said once, and nothing else stands still.
// Run in a lab: tests/lab/run --no-agent --kerberos node --test tests/integration/kerberos.test.mjs

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const { env } = process;
const LAB = `${import.meta.dirname ?? new URL('.', import.meta.url).pathname}/../lab`;
const KDC = { host: '127.0.0.2', port: 88 };

/** Starts the controller anew with these services, after `lines` of bash. */
function restartController(services, lines = '') {
  execFileSync('bash', ['-c', `set -e
    SCRATCH=$WRITEBACK_LAB_SCRATCH; . "${LAB}/names"; . "${LAB}/controller"
    controller_stop dc1; controller_configure dc1 "${services}"; ${lines}
    controller_start dc1; controller_wait dc1`],
  { stdio: 'ignore' });
}

/** Starts the controller anew, with a clock that is so many seconds ahead. */
function restartControllerAhead(seconds) {
  restartController('ldap kdc', `export CLOCK_OFFSET=${seconds}
    cc -O2 -shared -fPIC -Wno-deprecated-declarations -o "$ROOT/lab/fast-pbkdf2.so" \\
      "$LAB/fast-pbkdf2.c" "$LAB/other-clock.c" -lcrypto`);
}

class Agent {
  log = '';

  /** A test that fails leaves none behind. */
  constructor(t) {
    const program = env.WRITEBACK_LAB_AGENT ?? `${env.WRITEBACK_BUILD}/writebackd`;
    this.process = spawn(program, [`--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`, '--log-target=stderr'],
      { stdio: ['ignore', 'ignore', 'pipe'] });
    t.after(() => this.process.kill('SIGKILL'));
    this.process.stderr.on('data', (data) => { this.log += data; });
  }

  entries(event) {
    return this.log.split(/^(?=\d{4}-\d\d-\d\dT)/m).filter((entry) => entry.split(' ')[2] === String(event));
  }

  /** Waits until the log has an entry of the event, and returns it. */
  async logged(event, patience = 30_000) {
    for (const end = Date.now() + patience; Date.now() < end; await sleep(20))
      if (this.entries(event).length > 0)
        return this.entries(event)[0];
    assert.fail(`no ${event} in the log:\n${this.log}`);
  }

  async stop() {
    const began = Date.now();
    if (this.process.exitCode === null) {
      this.process.kill('SIGTERM');
      await once(this.process, 'exit');
    }
    assert.equal(this.process.exitCode, 0, this.log);
    return Date.now() - began;
  }
}

/** The longest that the health endpoint, once it was there, took to answer until `done` is. */
async function slowestHealth(done) {
  let slowest;
  let running = true;
  done = Promise.resolve(done).finally(() => { running = false; });
  while (running) {
    const began = performance.now();
    const answer = await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/livez`).catch(() => null);
    if (answer && slowest === undefined)
      slowest = 0;
    else if (slowest !== undefined) {
      assert.equal(answer?.status, 200);
      slowest = Math.max(slowest, performance.now() - began);
    }
    await sleep(5);
  }
  await done;
  return slowest;
}

before(() => restartController('ldap'));
after(() => rmSync(`${env.WRITEBACK_LAB_SCRATCH}/agent/state`, { recursive: true, force: true }));

test('a KDC that is not there is said once, with its port', async (t) => {
  const agent = new Agent(t);
  const entry = await agent.logged(35032);
  assert.match(entry, /dc1\.corp\.example of corp\.example cannot be used: it cannot be asked for a Kerberos ticket on port 88: Connection refused/);
  // It is tried again by itself, at first after a second.
  await sleep(4000);
  assert.equal(agent.entries(35032).length, 1, agent.log);
  assert.equal(agent.entries(35034).length, 0, agent.log);
  await agent.stop();
});

test('a KDC that does not answer holds up neither health nor the end', async (t) => {
  let asked = 0;
  const mute = createServer((socket) => { asked++; socket.on('error', () => {}); });
  t.after(() => mute.close());
  mute.listen(KDC);
  await once(mute, 'listening');

  const agent = new Agent(t);
  const entry = agent.logged(35032);
  const slowest = await slowestHealth(entry);
  assert.match(await entry, /gives no Kerberos ticket: its KDC \(TCP port 88\) does not answer/);
  // A loop that waits would take the ten seconds until the KDC is given up.
  assert.ok(slowest < 5000, `health took ${slowest} ms`);

  // While it waits for the next try's ticket.
  const before = asked;
  for (const end = Date.now() + 20_000; asked === before && Date.now() < end; await sleep(20));
  assert.ok(asked > before);
  assert.ok(await agent.stop() < 8000);
});

test('as soon as the KDC is back, the agent is', async (t) => {
  const agent = new Agent(t);
  await agent.logged(35032);
  restartController('ldap kdc');
  await agent.logged(35031, 60_000);
  await agent.stop();
});

// Kerberos itself allows five minutes. libkrb5 goes by the KDC's clock once it has heard of it.
test('clocks that differ keep nobody out, and are told of', async (t) => {
  t.after(() => restartControllerAhead(0));
  for (const [seconds, words] of [[1800, 'ahead'], [-1800, 'behind']]) {
    restartControllerAhead(seconds);
    const agent = new Agent(t);
    await agent.logged(35031);
    const entry = await agent.logged(35081);
    assert.match(entry, new RegExp(`the clock of dc1\\.corp\\.example is (29|30) min ${words}`));
    assert.match(entry, /timedatectl[^]*w32tm/);
    assert.equal(agent.entries(35032).length, 0, agent.log);
    await agent.stop();
  }
});

test('a wrong keytab is said once, and not tried again', async (t) => {
  const agent = new Agent(t);
  await agent.logged(35031);
  await agent.stop();
  // The account's password changes, and the keytab is the one from before.
  execFileSync('bash', ['-c', `set -o pipefail; printf 'dn: %s\\nchangetype: modify\\nreplace: unicodePwd\\nunicodePwd:: %s\\n' \\
    "$WRITEBACK_LAB_SERVICE_DN" "$(printf '"%s"' Changed-Passw0rd-1 | iconv -t UTF-16LE | base64 -w 0)" |
    LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapmodify -x -H ldaps://$WRITEBACK_LAB_DC -D "$WRITEBACK_LAB_ADMIN_DN" \\
      -w "$WRITEBACK_LAB_ADMIN_PASSWORD"`]);

  const wrong = new Agent(t);
  const entry = await wrong.logged(35034);
  assert.match(entry, /refuses the agent's account svc-writeback@CORP\.EXAMPLE: the key of svc-writeback@CORP\.EXAMPLE in the keytab \S+ \(version \d+\) is not the account's: its password was changed/);
  assert.match(entry, /make a new keytab/);
  await sleep(4000);
  assert.equal(wrong.entries(35034).length, 1, wrong.log);
  assert.equal(wrong.entries(35032).length, 0, wrong.log);
  await wrong.stop();
});
