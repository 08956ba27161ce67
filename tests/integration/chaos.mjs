// SPDX-License-Identifier: Apache-2.0

// Exactly once: the agent is killed (SIGKILL) at every point of a request and at random instants, under load, and
// started again; portals repeat what was not answered, with the same jti. In the end what callers were told is
// compared with what the directory holds. Run in a lab:
//
//     tests/lab/run --no-agent --users 1000 node tests/integration/chaos.mjs [--kills N] [--rounds N] [--seed N] [--strict]
//
//     --kills N     how often at random instants; 30
//     --rounds N    how often at each labelled point, of a reset, of one that must be changed, of a change, of an unlock,
//                   and of finding out what came of one; 1
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
    rounds: { type: 'string', default: '1' },
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

// ---- Proxies, which can kill -----------------------------------------------------------------------

/** What is wanted next: {point, id, done}, and how far it has come. */
let trap;

function spring() {
  const { done } = trap;
  trap = undefined;
  kill();
  done();
}

/**
 * A point of a request: the n-th thing that goes `from` there `to` here while the ledger says `state` of it. The agent
 * is killed before that arrives; where `passes`, just after it went on, or within so many ms (`later`).
 *
 * A modify leaves only when the ledger says "sent", so the first thing that leaves for the controller then is it, and
 * the first that comes back is the answer.
 */
const point = (name, from, to, state, { n = 1, passes = false, later = 0 } = {}) => ({ name, from, to, state, n, passes, later });

const toController = (name, n, more) => point(name, 'agent', 'controller', 'sent', { n, ...more });
const fromController = (name, n, more) => point(name, 'controller', 'agent', 'sent', { n, ...more });

const POINTS = [
  point('after begin', 'agent', 'controller', 'received'),
  toController('after mark-sent', 1),
  toController('after the modify left', 1, { passes: true }),
  fromController('before the answer of the directory came', 1),
  fromController('after the answer of the directory came', 1, { passes: true, later: 2 }),
  point('after finish', 'agent', 'relay', 'done'),
  point('after the answer left', 'agent', 'relay', 'done', { passes: true }),
];

// The password is set, then its date is looked at, then it is made to end.
const POINTS_OF_MUST_CHANGE = [
  toController('before the look at the date', 2),
  toController('before the second modify', 3),
  toController('after the second modify left', 3, { passes: true }),
  fromController('before the answer to the second modify came', 3),
  fromController('after the answer to the second modify came', 3, { passes: true, later: 2 }),
];

// Asked again, an agent looks for the account, its groups, what was done, and whether the password is the new one.
const POINTS_OF_SETTLING = [1, 2, 3, 4].map((n) => toController(`while it finds out, before its question ${n}`, n));

/** Looks at what goes by: returns whether it may pass. `from` and `to` are 'agent', 'controller' or 'relay'. */
function mayPass(from, to) {
  if (!trap || !agent.isRunning) return true;
  const { point, id } = trap;
  if (point.from !== from || point.to !== to || ledgerState(id) !== point.state) return true;
  // Only what the modify is answered with.
  if (from === 'controller' && !trap.modifyLeft) return true;
  trap.seen = (trap.seen ?? 0) + 1;
  if (trap.seen !== point.n) return true;
  if (!point.passes) return spring(), false;
  const sprung = trap;
  const late = () => trap === sprung && spring();
  if (point.later) setTimeout(late, point.later * random());
  else setImmediate(late);
  return true;
}

/** For the answers, which are counted from the modify on. */
function noteModify(from, to) {
  if (trap && from === 'agent' && to === 'controller' && ledgerState(trap.id) === 'sent') trap.modifyLeft = true;
}

function proxy(name, host, port, ownPort) {
  const server = net.createServer((inner) => {
    const outer = net.connect(port, host);
    for (const [a, b, from, to] of [[inner, outer, 'agent', name], [outer, inner, name, 'agent']]) {
      a.setNoDelay(true);
      a.on('data', (data) => {
        noteModify(from, to);
        if (mayPass(from, to)) b.write(data);
      });
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
  mustChange = false; // told with it
  maybe = []; // not told of, and asked for after that one
  successes = 0;
  unknown = 0;
  unlocks = 0;
  refused = [];
  repetitions = 0;
  gate = undefined; // what it waits for before it asks again, until open()

  constructor(name, own) {
    this.name = name;
    this.own = own;
    this.before = Number(look(name, 'msDS-KeyVersionNumber')['msDS-KeyVersionNumber']);
  }

  /** A request of some kind: 'reset', 'reset and must change', 'change' or 'unlock'. */
  payload(kind, newPassword = `Ab1!${randomUUID()}`) {
    const isOwn = kind === 'change';
    return {
      ...client.payload({
        operation: kind === 'reset and must change' ? 'reset' : kind,
        user: { userPrincipalName: `${this.name}@corp.example` },
        newPassword: kind === 'unlock' ? undefined : newPassword,
        currentPassword: isOwn ? this.told : undefined,
        forceChangePasswordNextSignIn: kind === 'reset and must change' ? true : undefined,
      }),
      exp: Math.floor(Date.now() / 1000) + 500,
      authorization: isOwn ? this.own : authorization,
    };
  }

  /** One of each kind now and then; one in six is refused by the domain's policy. */
  somePayload() {
    const kind = ['reset', 'reset', 'reset', 'change', 'reset and must change', 'unlock'][Math.floor(6 * random())];
    const canChange = this.maybe.length === 0;
    const isBad = random() < 1 / 6;
    return this.payload(kind === 'change' && !canChange ? 'reset' : kind,
      isBad ? `x${Math.floor(random() * 1000)}` : undefined);
  }

  lockOut() {
    for (let i = 0; i < 5; i++) bind(this.name, 'wrong');
    assert.equal(bind(this.name, 'wrong'), '775');
  }

  /** Sends until there is an answer, and remembers it. */
  async ask(payload = this.somePayload()) {
    for (const end = Date.now() + PATIENCE; ; this.repetitions++) {
      await this.gate;
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

  #remember({ jti, operation, newPassword }, { status, json }) {
    if (status === 200 && operation === 'unlock') {
      this.unlocks++;
    } else if (status === 200) {
      Object.assign(this, {
        told: newPassword, toldDate: json.passwordLastSet, mustChange: json.mustChangeAtNextSignIn ?? false, maybe: [],
      });
      this.successes++;
    } else if (json.code === 'OutcomeUnknown') {
      if (newPassword) this.maybe.push(newPassword);
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
    const mustChange = attributes.pwdLastSet === '0';
    const date = new Date(Number(BigInt(attributes.pwdLastSet) / 10_000n - 11_644_473_600_000n));
    // 773: it is the password, and has to be changed.
    const isIt = (password) => ['yes', '773'].includes(bind(this.name, password));
    const [inForce] = [this.told, ...this.maybe].filter(isIt);

    if (!inForce) found.push(`${this.name}: the password told as set is not the one in force`);
    if (inForce === this.told && mustChange !== this.mustChange)
      found.push(`${this.name}: told that it must be changed: ${this.mustChange}; it must: ${mustChange}`);
    if (inForce === this.told && this.toldDate && !mustChange && Math.floor(date / 1000) !== Date.parse(this.toldDate) / 1000)
      found.push(`${this.name}: told as set ${this.toldDate}, set ${date.toISOString()}`);
    if (effects < this.successes || effects > this.successes + this.unknown)
      found.push(`${this.name}: ${this.successes} told as set, ${this.unknown} not told, ${effects} effects`);
    for (const password of this.refused)
      if (isIt(password)) found.push(`${this.name}: a password told as refused is in force`);
    return found;
  }
}

const portals = [];

/** Zero differences between what was told and what is. */
function assertNoDifference() {
  assert.deepEqual(portals.flatMap((portal) => portal.differences()), []);
  const sum = (of) => portals.reduce((n, portal) => n + of(portal), 0);
  console.log(`# ${kills} kills; ${sum((p) => p.successes)} told as set, ${sum((p) => p.unlocks)} as unlocked, ${sum((p) => p.refused.length)} as refused, ` +
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
  for (let i = 1; i <= USERS; i++) {
    const name = `user${String(i).padStart(4, '0')}`;
    portals.push(new Portal(name, await client.token({ wids: [], upn: `${name}@corp.example` })));
  }
});

after(async () => {
  if (agent.isRunning) agent.kill();
  for (const server of proxies) server.close();
  client.close();
  setTimeout(() => process.exit(), 100).unref();
});

/** Asks, and has the agent killed at each of the points in turn, of which all but the first are of the repetitions. */
async function askAndKill(portal, payload, points) {
  let asked;
  for (const point of points) {
    const killed = new Promise((done) => { trap = { point, id: payload.jti, done }; });
    if (asked) portal.open();
    else asked = portal.ask(payload);
    await Promise.race([killed, asked.then(() => assert.ok(!trap, `was answered without having come by the point "${point.name}"`))]);
    // It is not asked again before the next trap is set: what an agent says while it starts is not of the request.
    portal.gate = new Promise((resolve) => { portal.open = resolve; });
    await agent.ended();
    await agent.start().ready();
  }
  portal.open();
  return asked;
}

let turns = 0;
function killedAt(kind, points) {
  test(`${kind}, killed ${points.map(({ name }) => name).join(', and again ')}: one effect, one answer`, async () => {
    for (let i = 0; i < Number(options.rounds); i++) {
      const portal = portals[turns++ % portals.length];
      if (kind === 'unlock') portal.lockOut();
      const payload = portal.payload(kind);
      const first = await askAndKill(portal, payload, points);
      if (kind === 'unlock' && first.status === 200) assert.notEqual(bind(portal.name, portal.told), '775');

      // Once more, and at the same time once more: whatever was told is told again.
      if (first.status === 503) continue;
      const sealed = await client.seal(payload, { key: encryptionKey });
      for (const again of await Promise.all([client.send(sealed), client.send(sealed)]))
        assert.deepEqual(again.json, first.json);
    }
    assertNoDifference();
  });
}

const [, , MODIFY_LEFT] = POINTS;
for (const kind of ['reset', 'reset and must change', 'change', 'unlock'])
  for (const point of POINTS) killedAt(kind, [point]);
for (const point of POINTS_OF_MUST_CHANGE) killedAt('reset and must change', [point]);
for (const kind of ['reset', 'change', 'unlock'])
  for (const point of POINTS_OF_SETTLING.slice(0, kind === 'unlock' ? 3 : 4)) killedAt(kind, [MODIFY_LEFT, point]);

test('killed at random instants under load: zero differences', async () => {
  let stopping = false;
  const work = portals.map(async (portal) => {
    while (!stopping) await portal.ask();
  });
  for (let i = 0; i < Number(options.kills); i++) {
    await Promise.race([sleep(400 * random()), ...work]);
    kill();
    await agent.ended();
    await agent.start().ready();
  }
  stopping = true;
  await Promise.all(work);
  assertNoDifference();
});

test('the agent ends as it should', async () => {
  assert.equal(await agent.stop(), 0);
});
