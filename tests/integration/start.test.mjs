// SPDX-License-Identifier: Apache-2.0

// Neither relay nor directory nor token issuer is there when the agent starts: it starts, says so, keeps trying, and
// works as soon as they are. Run in a lab:
//
//     tests/lab/run --no-agent node --test tests/integration/start.test.mjs

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { AgentProcess, configure, entries, readiness } from './agent-process.mjs';
import { until } from './controllers.mjs';
import { LdapProxy } from './ldap-proxy.mjs';

const { env } = process;
const PORT = 1636;
const client = Client.fromEnvironment();
const agent = new AgentProcess();

const health = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`)).json();
const statusOf = async (check) => (await health()).checks[check]?.[0].status;
const ask = (operation) => client.ask(
  { operation, user: { userPrincipalName: 'alice@corp.example' } }, { wids: ['62e90394-69f5-4237-9190-012177145e10'] });

after(() => client.close());

test('nobody is there at the start: it starts, says so, and works when they come', async () => {
  const proxy = await new LdapProxy(env.WRITEBACK_LAB_DC, 636).listen(PORT);
  proxy.leave();
  await client.control('relay', { cut: true });
  await client.control('issuer', { outage: true });
  configure({}, (text) => text.replace(/^Controllers=.*$/m, `Controllers=${env.WRITEBACK_LAB_DC}:${PORT}`));
  agent.start();

  for (const check of ['relay:primary', 'directory:corp.example', 'issuer:entra'])
    await until(`${check} fails`, async () => (await health().catch(() => undefined)) && (await statusOf(check)) === 'fail');
  assert.equal(await readiness(), 503);
  assert.ok(agent.isRunning);
  const { blade, checks } = await health();
  assert.equal(blade.visible, false);
  assert.ok(blade.reasons.some(({ check, detail }) => check === 'relay:primary' && detail));
  assert.ok(blade.reasons.some(({ check, detail }) => check === 'directory:corp.example' && detail));
  assert.match(checks['directory:corp.example'][0].output, new RegExp(`${PORT}|connection|reach|TLS`));
  const isTold = (number) => entries().some(({ event }) => event === number);
  for (const event of [31034, 35032, 32001]) assert.ok(isTold(event), `${event}`);

  // The way in first: whoever asks is told what is still missing.
  await client.control('relay', { cut: false });
  await until('the relay is connected', async () => (await client.health()).fromAgent);
  assert.equal((await client.health()).json.status, 'fail');

  await client.control('issuer', { outage: false });
  await until('the issuer is known', async () => (await statusOf('issuer:entra')) === 'pass');
  assert.equal((await ask('unlock')).json.code, 'ADNotReachable');
  await until('it is told that this lasts', () => isTold(31044));

  proxy.comeBack();
  await until('it is ready', async () => (await readiness()) === 200);
  assert.equal((await ask('check')).json.allowed, true);
  assert.equal(await agent.stop(), 0);
  proxy.close();
});
