// SPDX-License-Identifier: Apache-2.0

// Exactly once: the agent is killed (SIGKILL) at every point of a request and at random instants, under load, and
// started again; portals repeat what was not answered, with the same jti. In the end what callers were told is
// compared with what the directory holds. Run in a lab:
//
//     tests/lab/run --no-agent --users 1000 node tests/integration/chaos.mjs [--kills N] [--rounds N] [--seed N] [--strict]
//
//     --kills N     how often at random instants; 30
//     --rounds N    how often at each labelled point; 2
//     --seed N      of the random instants; told in the output, so that a run can be repeated
//     --strict      a request that was sent and not answered must be settled: OutcomeUnknown is no answer
//
// The points are seen from outside: both its connections, to the controller and to the relay, go through a proxy here,
// which looks into the ledger's file whenever the agent says something.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Client } from '../lab/cloud/client.mjs';
import { bind, look, modify } from './ad.mjs';
import { AgentProcess, configure, STATE } from './agent-process.mjs';

const { env } = process;
const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    strict: { type: 'boolean', default: false },
  },
});

const USERS = 8;
const PATIENCE = 60_000;
const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const client = Client.fromEnvironment();

// ---- Chance that can be repeated (mulberry32) ------------------------------------------------------

let seed = Number(options.seed);
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

// ---- The ledger, from outside ----------------------------------------------------------------------

/** What a page of the file says of a request: "received", "sent", "done", or nothing. */
function stateInPage(page, id) {
  for (let at = page.indexOf(id); at >= 0; at = page.indexOf(id, at + 1)) {
    const rest = page.toString('latin1', at + id.length + 32, at + id.length + 40);
    const state = /^(received|sent|done)/.exec(rest)?.[1];
    if (state) return state;
  }
  return undefined;
}

/** The state of a request as a process that starts now would find it: the last valid frame of the WAL, else the file. */
function ledgerState(id) {
  const read = (name) => {
    try {
      return readFileSync(`${STATE}/${name}`);
    } catch {
      return Buffer.alloc(0);
    }
  };
  const wal = read('ledger.sqlite-wal');
  let found;
  for (let at = 32; at + 24 + 4096 <= wal.length; at += 24 + 4096) {
    if (!wal.subarray(at + 8, at + 16).equals(wal.subarray(16, 24))) break;
    found = stateInPage(wal.subarray(at + 24, at + 24 + 4096), id) ?? found;
  }
  return found ?? stateInPage(read('ledger.sqlite'), id);
}

// ---- The agent -------------------------------------------------------------------------------------

const agent = new AgentProcess();
let kills = 0;

function kill() {
  kills++;
  agent.kill();
}

/** Waits for the end that kill() brings, and starts it again. */
async function restart() {
  await agent.ended();
  await agent.start().ready();
}

// ---- Proxies, which can kill -----------------------------------------------------------------------

/** What is wanted next: {point, id, done}. */
let trap;

function spring() {
  const { done } = trap;
  trap = undefined;
  kill();
  done();
}

/**
 * Looks at what goes by: returns whether it may pass. `from` is 'agent', 'controller' or 'relay'; `to` likewise.
 * A modify leaves only when the ledger says "sent", so the first thing that leaves for the controller after that is it.
 */
function mayPass(from, to) {
  if (!trap || !agent.isRunning) return true;
  const { point, id } = trap;
  const state = ledgerState(id);

  if (from === 'agent' && to === 'controller') {
    if (state === 'sent' && !trap.modifyLeft) {
      trap.modifyLeft = true;
      if (point === 'after mark-sent') return spring(), false;
      if (point === 'after the modify left') return setImmediate(spring), true;
    }
    if (point === 'after begin' && state === 'received') return spring(), false;
  }
  if (from === 'controller' && trap.modifyLeft) {
    if (point === 'before the answer of the directory came') return spring(), false;
    if (point === 'after the answer of the directory came') return setTimeout(() => trap && spring(), 2 * random()), true;
  }
  if (to === 'relay' && state === 'done') {
    if (point === 'after finish') return spring(), false;
    if (point === 'after the answer left') return setImmediate(() => trap && spring()), true;
  }
  return true;
}

const POINTS = [
  'after begin', 'after mark-sent', 'after the modify left', 'before the answer of the directory came',
  'after the answer of the directory came', 'after finish', 'after the answer left',
];

function proxy(name, host, port, ownPort) {
  const server = net.createServer((inner) => {
    const outer = net.connect(port, host);
    for (const [a, b, from, to] of [[inner, outer, 'agent', name], [outer, inner, name, 'agent']]) {
      a.setNoDelay(true);
      a.on('data', (data) => mayPass(from, to) && b.write(data));
      a.on('end', () => b.end());
      a.on('error', () => b.end());
    }
  });
  server.listen(ownPort, host);
  return server;
}

// ---- Portals, one a user ---------------------------------------------------------------------------

let encryptionKey;
let authorization;

/** What a caller knows of a user, and what it found that should not be. */
class Portal {
  told = env.WRITEBACK_LAB_USER_PASSWORD; // the last password told as set
  toldDate = undefined;
  maybe = []; // not told of, and asked for after that one
  successes = 0;
  unknown = 0;
  refused = [];
  repetitions = 0;

  constructor(name) {
    this.name = name;
    this.before = Number(look(name, 'msDS-KeyVersionNumber')['msDS-KeyVersionNumber']);
  }

  payload() {
    // One in six is refused by the domain's policy.
    const password = random() < 1 / 6 ? `x${Math.floor(random() * 1000)}` : `Ab1!${randomUUID()}`;
    return {
      ...client.payload({ operation: 'reset', user: { userPrincipalName: `${this.name}@corp.example` }, newPassword: password }),
      exp: Math.floor(Date.now() / 1000) + 500,
      authorization,
    };
  }

  /** Sends until there is an answer, and remembers it. */
  async ask(payload = this.payload()) {
    for (const end = Date.now() + PATIENCE; ; this.repetitions++) {
      const answer = await this.#send(payload);
      if (answer) return this.#remember(payload, answer);
      assert.ok(Date.now() < end, `${payload.jti} of ${this.name} got no answer`);
      await sleep(20);
    }
  }

  async #send(payload) {
    try {
      const answer = await client.send(await client.seal(payload, { key: encryptionKey }));
      if (!answer.fromAgent || !answer.json) return undefined;
      const isLate = answer.json.code === 'OutcomeUnknown' && !options.strict;
      return answer.status === 503 && !isLate ? undefined : answer;
    } catch {
      return undefined;
    }
  }

  #remember({ jti, newPassword }, { status, json }) {
    if (status === 200) {
      Object.assign(this, { told: newPassword, toldDate: json.passwordLastSet, maybe: [] });
      this.successes++;
    } else if (json.code === 'OutcomeUnknown') {
      this.maybe.push(newPassword);
      this.unknown++;
    } else {
      assert.equal(json.code, 'ADPasswordPolicyError', `${jti} of ${this.name}: ${JSON.stringify(json)}`);
      this.refused.push(newPassword);
    }
    return { status, json };
  }

  /** What was told and is not so. */
  differences() {
    const found = [];
    const attributes = look(this.name, 'msDS-KeyVersionNumber', 'pwdLastSet');
    const effects = Number(attributes['msDS-KeyVersionNumber']) - this.before;
    const date = new Date(Number(BigInt(attributes.pwdLastSet) / 10_000n - 11_644_473_600_000n));
    const [inForce] = [this.told, ...this.maybe].filter((password) => bind(this.name, password) === 'yes');

    if (!inForce) found.push(`${this.name}: the password told as set is not the one in force`);
    if (inForce === this.told && this.toldDate && Math.floor(date / 1000) !== Date.parse(this.toldDate) / 1000)
      found.push(`${this.name}: told as set ${this.toldDate}, set ${date.toISOString()}`);
    if (effects < this.successes || effects > this.successes + this.unknown)
      found.push(`${this.name}: ${this.successes} told as set, ${this.unknown} not told, ${effects} effects`);
    for (const password of this.refused)
      if (bind(this.name, password) === 'yes') found.push(`${this.name}: a password told as refused is in force`);
    return found;
  }
}

const portals = [];

/** Zero differences between what was told and what is. */
function assertNoDifference() {
  assert.deepEqual(portals.flatMap((portal) => portal.differences()), []);
  const sum = (of) => portals.reduce((n, portal) => n + of(portal), 0);
  console.log(`# ${kills} kills; ${sum((p) => p.successes)} told as set, ${sum((p) => p.refused.length)} as refused, ` +
    `${sum((p) => p.unknown)} not told; ${sum((p) => p.repetitions)} repetitions; seed ${options.seed}`);
}

// ---- The tests -------------------------------------------------------------------------------------

const proxies = [];

before(async () => {
  // Or each user could be reset once only.
  modify(`dn: ${env.WRITEBACK_LAB_BASE_DN}\nchangetype: modify\nreplace: minPwdAge\nminPwdAge: 0\n`);

  const relay = new URL(env.WRITEBACK_LAB_RELAY_URL);
  proxies.push(proxy('controller', env.WRITEBACK_LAB_DC, 636, 1636));
  proxies.push(proxy('relay', relay.hostname, Number(relay.port || 443), 1443));
  configure({ Authorization: ['RequestRate=off', 'AccountRate=off'] }, (text) => text
    .replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:1636`)
    .replace(/Endpoint=sb:\/\/[^/;]*/, `Endpoint=sb://${relay.hostname}:1443`));
  // A portal does not wait a minute for an agent that is gone.
  await client.control('relay', { responseTimeout: 2000 });
  await agent.start().ready();
  encryptionKey = (await client.keys()).keys.find(({ use }) => use === 'enc');
  authorization = await client.token(PASSWORD_ADMINISTRATOR);
  for (let i = 1; i <= USERS; i++) portals.push(new Portal(`user${String(i).padStart(4, '0')}`));
});

after(async () => {
  if (agent.isRunning) agent.kill();
  for (const server of proxies) server.close();
  client.close();
  setTimeout(() => process.exit(), 100).unref();
});

for (const point of POINTS)
  test(`killed ${point}: one effect, one answer`, async () => {
    for (let i = 0; i < Number(options.rounds); i++) {
      const portal = portals[i % portals.length];
      const payload = { ...portal.payload(), newPassword: `Ab1!${randomUUID()}` };
      const killed = new Promise((done) => { trap = { point, id: payload.jti, done }; });
      const asked = portal.ask(payload);
      await Promise.race([killed, asked.then(() => assert.ok(!trap, 'was answered without having come by this point'))]);
      await restart();
      const first = await asked;

      // Once more, and at the same time once more: whatever was told is told again.
      if (first.status === 503) continue;
      const sealed = await client.seal(payload, { key: encryptionKey });
      for (const again of await Promise.all([client.send(sealed), client.send(sealed)]))
        assert.deepEqual(again.json, first.json);
    }
    assertNoDifference();
  });

test('killed at random instants under load: zero differences', async () => {
  let stopping = false;
  const work = portals.map(async (portal) => {
    while (!stopping) await portal.ask();
  });
  for (let i = 0; i < Number(options.kills); i++) {
    await Promise.race([sleep(400 * random()), ...work]);
    kill();
    await restart();
  }
  stopping = true;
  await Promise.all(work);
  assertNoDifference();
});

test('the agent ends as it should', async () => {
  assert.equal(await agent.stop(), 0);
});
