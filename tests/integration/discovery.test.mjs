// SPDX-License-Identifier: Apache-2.0

// Controllers that nobody configured: DNS tells of them.
// Run in a lab: tests/lab/run --dc pair node --test tests/integration/discovery.test.mjs

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../lab/cloud/client.mjs';
import { modify } from './ad.mjs';
import { CONTROLLERS, controllersInHealth, inLab, signal, start, until } from './controllers.mjs';
import { NameServer } from './dns.mjs';

const { env } = process;
const client = Client.fromEnvironment();
const [DC1, DC2] = CONTROLLERS;
const DOMAIN = '_ldap._tcp.dc._msdcs.corp.example';
const PDC = '_ldap._tcp.pdc._msdcs.corp.example';
const site = (name) => `_ldap._tcp.${name}._sites.dc._msdcs.corp.example`;
const CONFIG = readFileSync(env.WRITEBACK_LAB_AGENT_CONFIG, 'utf8');
const dns = new NameServer();

const log = () => readFileSync(env.WRITEBACK_LAB_LOG, 'utf8');
const status = async () =>
  Object.fromEntries(Object.entries(await controllersInHealth()).map(([host, entry]) =>
    [host, entry.known === false ? 'not known' : entry.status]));
const ready = async () => (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/readyz`)).status;

/** Reloads the agent with these lines in place of Controllers=, and DNS with these records. */
async function reload(lines, records, silentNames = []) {
  dns.records = records;
  dns.isSilent = false;
  dns.silentNames = silentNames;
  dns.asked = [];
  writeFileSync(env.WRITEBACK_LAB_AGENT_CONFIG, CONFIG.replace(/^Controllers=.*\n/m, `${lines}\n`));
  const { length } = log();
  process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
  // The old one takes leave of the relay first.
  while (!log().slice(length).includes(' 31019 ')) await sleep(10);
  return () => log().slice(length);
}

/** Which controller a reset lands on. */
let lastUser = 0;
async function controllerOfReset() {
  const name = ['alice', 'grace', 'anna', 'paul', 'heidi', 'ivan'][lastUser++];
  const { status: http, json } = await client.ask(
    { operation: 'reset', user: { userPrincipalName: `${name}@corp.example` }, newPassword: `New-4711-${lastUser}-Pass` },
    { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] });
  assert.equal(http, 200, JSON.stringify(json));
  return json.domainController;
}

function useNameServer(address) {
  const file = `${env.WRITEBACK_LAB_SCRATCH}/resolv.conf.${address}`;
  writeFileSync(file, `nameserver ${address}\n`);
  // This lab's own mounts: nobody else sees it.
  execFileSync('mount', ['--bind', file, '/etc/resolv.conf']);
}

before(async () => {
  // OpenLDAP's commands ask DNS for this host's own name, and the name server here is silent while they are waited for.
  env.RES_OPTIONS = 'timeout:1 attempts:1';
  await dns.listen('127.0.0.53');
  useNameServer('127.0.0.53');
});
after(() => {
  client.close();
  dns.close();
});

test('by priority, whatever order DNS gives them in; the global catalog is none', async () => {
  await reload('', {
    [DOMAIN]: [
      { priority: 0, port: 3268, target: 'gc.corp.example' },
      { priority: 10, target: DC1 },
      { priority: 0, target: DC2 },
    ],
  });
  await until('both can be used', async () =>
    JSON.stringify(await status()) === JSON.stringify({ [DC2]: 'pass', [DC1]: 'pass' }));
  assert.equal(await controllerOfReset(), DC2);
});

test('a configured controller comes before those that DNS tells of', async () => {
  await reload(`Controllers=${DC1}\nDiscover=yes`, { [DOMAIN]: [{ target: DC2 }, { target: DC1.toUpperCase() }] });
  await until('both can be used', async () =>
    JSON.stringify(await status()) === JSON.stringify({ [DC1]: 'pass', [DC2]: 'pass' }));
  assert.equal(await controllerOfReset(), DC1);
});

test('those of the site come first', async () => {
  await reload('Site=Berlin', {
    [DOMAIN]: [{ priority: 0, target: DC1 }],
    [site('Berlin')]: [{ priority: 50, target: DC2 }],
  });
  await until('both can be used', async () =>
    JSON.stringify(await status()) === JSON.stringify({ [DC2]: 'pass', [DC1]: 'pass' }));
  assert.equal(await controllerOfReset(), DC2);
});

test('where DNS does not answer for the site alone, that is told, and nothing else is amiss', async () => {
  const said = await reload('Site=Berlin', { [DOMAIN]: [{ target: DC1 }] }, [site('Berlin')]);
  await until('it can be used', async () => JSON.stringify(await status()) === JSON.stringify({ [DC1]: 'pass' }));
  await until('it is told', () => said().includes(
    `no name server answered (SRV ${site('Berlin')}); the controllers that are known stay in use`));
  assert.doesNotMatch(said(), / 35044 /);
});

test('the PDC emulator before all others, where that is preferred', async () => {
  const records = { [DOMAIN]: [{ priority: 0, target: DC2 }], [PDC]: [{ target: DC1 }] };
  await reload('Prefer=pdc', records);
  await until('both can be used', async () => Object.values(await status()).join() === 'pass,pass');
  assert.equal(await controllerOfReset(), DC1);

  await reload(`Controllers=${DC2} ${DC1}\nPrefer=pdc`, {});
  await until('both can be used', async () => Object.values(await status()).join() === 'pass,pass');
  assert.equal(await controllerOfReset(), DC1, 'without DNS, by the role that the directory tells');
  assert.deepEqual(dns.asked.filter((name) => name.startsWith('_ldap')), []);
});

test('the site is found by the subnets; who is not in DNS any more is forgotten', async () => {
  modify(`dn: CN=Hamburg,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
changetype: add
objectClass: site

dn: CN=127.0.0.0/8,CN=Subnets,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
changetype: add
objectClass: subnet
siteObject: CN=Default-First-Site-Name,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}

dn: CN=127.0.0.0/24,CN=Subnets,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
changetype: add
objectClass: subnet
siteObject: CN=Hamburg,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
`);
  let times = 0;
  await reload('', {
    // What DNS says changes between the first question and the one that the site gives rise to.
    [DOMAIN]: () => (++times === 1 ? [{ target: DC1 }, { target: 'dc9.corp.example' }] : [{ target: DC1 }]),
  });
  await until('DNS is asked for the site', () => dns.asked.includes(site('Hamburg')));
  await until('the other is forgotten', async () => JSON.stringify(await status()) === JSON.stringify({ [DC1]: 'pass' }));
});

test('who turns out to be in another site asks no controller of the former one any more', async () => {
  const first = 'Default-First-Site-Name';
  await reload('', { [DOMAIN]: [{ target: DC1 }], [site('Hamburg')]: [{ target: DC2 }] }, [site(first)]);
  await until('the one of Hamburg is used too', async () => Object.values(await status()).join() === 'pass,pass');

  modify(`dn: CN=127.0.0.0/24,CN=Subnets,CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
changetype: modify
replace: siteObject
siteObject: CN=${first},CN=Sites,CN=Configuration,${env.WRITEBACK_LAB_BASE_DN}
`);
  inLab('controller_stop dc1');
  start('dc1'); // the agent looks at it anew
  await until('it is forgotten', async () => JSON.stringify(await status()) === JSON.stringify({ [DC1]: 'pass' }));
});

test('a controller that only DNS told of must prove that it belongs to the domain', async () => {
  inLab(`"$LAB/ca" "$SCRATCH/ca" leaf dc2 DNS:dc2.$DOMAIN; cp "$SCRATCH"/ca/dc2.{pem,key} "$ROOT/lab/tls/"`);
  signal('dc2', 'SIGKILL');
  start('dc2');

  await reload('', { [DOMAIN]: [{ target: DC1 }, { target: DC2 }] });
  await until('it is refused', async () => (await status())[DC2] === 'fail');
  assert.match((await controllersInHealth())[DC2].output, /^it bears a certificate that does not name the domain corp\.example/);
  await until('the other can be used', async () => (await status())[DC1] === 'pass');

  // Whoever names it has vouched for it.
  await reload(`Controllers=${DC2}`, {});
  await until('it can be used', async () => (await status())[DC2] === 'pass');
});

test('without an answer of DNS this is told; it is asked again, and once known, controllers stay', async () => {
  const said = await reload('', {});
  await until('it is told', async () => (await status())[DOMAIN] === 'fail');
  assert.match((await controllersInHealth())[DOMAIN].output, /the name does not exist \(SRV _ldap\._tcp\.dc\._msdcs\.corp\.example\)$/);
  assert.equal(await ready(), 503);
  assert.match(said(), / 35044 ControllersNotFound: /);
  const { cures } = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/status`)).json();
  assert.deepEqual(cures.map(({ eventId }) => eventId), [35044]);

  dns.records = { [DOMAIN]: [{ target: DC1 }] };
  await until('it is asked again', async () => JSON.stringify(await status()) === JSON.stringify({ [DC1]: 'pass' }));
  assert.equal(await ready(), 200);
});

test("a real controller's own DNS is understood", async () => {
  useNameServer('127.0.0.2');
  await reload('', {});
  await until('it can be used', async () => (await status())[DC1] === 'pass');
  assert.deepEqual(dns.asked, []);
});
