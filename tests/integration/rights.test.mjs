// SPDX-License-Identifier: Apache-2.0

// What the agent says of its own rights, without a reset, is what the directory then does when they are used.
// Run in a lab: tests/lab/run node --test tests/integration/rights.test.mjs

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { attempt, look, modify, writable } from './ad.mjs';

const { env } = process;
const BASE = env.WRITEBACK_LAB_BASE_DN;
const STAFF = `OU=Staff,${BASE}`;
const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const GLOBAL_ADMINISTRATOR = { wids: ['62e90394-69f5-4237-9190-012177145e10'] };

const sidOf = (user) => {
  const sid = look(user, 'objectSid').objectSid;
  const parts = [sid.readUIntBE(2, 6)];
  for (let i = 0; i < sid[1]; i++) parts.push(sid.readUInt32LE(8 + 4 * i));
  return `S-1-${parts.join('-')}`;
};
const AGENT = sidOf('svc-writeback');
const USER = 'bf967aba-0de6-11d0-a285-00aa003049e2';
const RESET_PASSWORD = `(OA;CIIO;CR;00299570-246d-11d0-a768-00aa006e0529;${USER};${AGENT})`;
const LOCKOUT_TIME = `(OA;CIIO;WP;28630ebf-41d5-11d1-a9c1-0000f80367c1;${USER};${AGENT})`;
const PWD_LAST_SET = `(OA;CIIO;WP;bf967a0a-0de6-11d0-a285-00aa003049e2;${USER};${AGENT})`;
const ACCOUNT_RESTRICTIONS = `(OA;CIIO;WP;4c164200-20c0-11d0-a768-00aa006e0529;${USER};${AGENT})`;
const UNEXPIRE = (sid) => `(OA;;CR;ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501;;${sid})`;

/** Changes an access list as an administrator does on the controller: "set" or "delete" of entries. */
function dsacl(action, dn, sddl) {
  const { status, stdout, stderr } = spawnSync('chroot', [env.WRITEBACK_LAB_TREE, 'samba-tool', 'dsacl', action,
    `--objectdn=${dn}`, `--sddl=${sddl}`, '-s', '/lab/dc1/etc/smb.conf'], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

/** Has an account inherit nothing, with what it had for its own but for the agent's entries. */
function isolate(dn) {
  const { status, stderr } = spawnSync('chroot', [env.WRITEBACK_LAB_TREE, '/usr/bin/python3', '-c', `
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils
settings = LoadParm()
settings.load("/lab/dc1/etc/smb.conf")
rights = SDUtils(SamDB(url=None, session_info=system_session(), lp=settings))
own = rights.get_sd_as_sddl(sys.argv[1], controls=["sd_flags:1:4"])
entries = [entry.replace("ID;", ";", 1) for entry in own.split("(")[1:] if sys.argv[2] not in entry]
rights.modify_sd_on_dn(sys.argv[1], "D:P" + "".join("(" + entry for entry in entries), controls=["sd_flags:1:4"])
`, dn, AGENT], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

/** Runs `fn` while the entry is not there, or (`extra`) while it is. */
async function without(dn, sddl, fn) {
  dsacl('delete', dn, sddl);
  try { await fn(); } finally { dsacl('set', dn, sddl); }
}
async function withExtra(dn, sddl, fn) {
  dsacl('set', dn, sddl);
  try { await fn(); } finally { dsacl('delete', dn, sddl); }
}

function ctl(...args) {
  const { status, stdout, stderr } = spawnSync(join(env.WRITEBACK_BUILD, 'writebackctl'), ['check', ...args], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return { status, stdout };
}

/** What `writebackctl check` says of the agent's rights: {right: held}, with the last step's cure. */
function verdict(user, config = env.WRITEBACK_LAB_AGENT_CONFIG) {
  const { status, stdout } = ctl(`--config=${config}`, `--user=${user}`, '--json');
  const { steps, exitStatus } = JSON.parse(stdout);
  assert.equal(exitStatus, status);
  const rights = steps.filter(({ stage }) => stage === 'rights');
  const summary = rights.find(({ name }) => name === 'corp.example');
  return {
    status,
    held: Object.fromEntries(rights.filter((step) => step !== summary).map(({ name, ok }) => [name, ok])),
    missing: summary?.text,
    cure: summary?.cure.join('\n'),
  };
}

/** The same by trying each as the agent's own account. */
function truth(user) {
  const { distinguishedName: name } = look(user, 'distinguishedName');
  const dn = Buffer.isBuffer(name) ? `dn:: ${name.toString('base64')}` : `dn: ${name}`;
  const replace = (line) => attempt(`${dn}\nchangetype: modify\nreplace: ${line.split(':')[0]}\n${line}\n`);
  const password = Buffer.from(`"Ab1!${randomUUID()}"`, 'utf16le').toString('base64');
  const codes = {
    'Reset Password': replace(`unicodePwd:: ${password}`),
    'Write lockoutTime': replace('lockoutTime: 0'),
    'Write pwdLastSet': replace('pwdLastSet: 0'),
  };
  // Whoever may not write pwdLastSet at all cannot be seen to unexpire a password.
  if (codes['Write pwdLastSet'] === 0) codes['Unexpire Password'] = replace('pwdLastSet: -1');
  for (const code of Object.values(codes)) assert.ok(code === 0 || code === 50, JSON.stringify(codes));
  return Object.fromEntries(Object.entries(codes).map(([right, code]) => [right, code === 0]));
}

/** Verdict, truth and the directory's own word agree; returns the verdict. */
function agree(user) {
  const told = verdict(user);
  const effective = writable(user);
  assert.equal(told.held['Write lockoutTime'], effective.includes('lockoutTime'), 'allowedAttributesEffective');
  assert.equal(told.held['Write pwdLastSet'], effective.includes('pwdLastSet'), 'allowedAttributesEffective');
  const real = truth(user);
  assert.deepEqual({ ...told.held, ...real }, told.held);
  return told;
}

/** A client of its own each time: what runs in between holds this process up for longer than a connection is kept. */
async function withClient(fn) {
  const client = Client.fromEnvironment();
  try { return await fn(client); } finally { client.close(); }
}
const ask = (operation, name, claims = PASSWORD_ADMINISTRATOR, more = {}) => withClient((client) =>
  client.ask({ operation, user: { userPrincipalName: `${name}@corp.example` }, ...more }, claims));
const health = () => withClient((client) => client.health());
const check = async (name, claims) => (await ask('check', name, claims)).json;
const reset = (name, claims) => ask('reset', name, claims, { newPassword: `Ab1!${randomUUID()}` });

before(async () => assert.equal((await health()).status, 200));

test('all rights: told, and true', async () => {
  const { status, held, missing } = agree('alice');
  assert.equal(status, 0);
  assert.equal(missing, undefined);
  assert.deepEqual(held, {
    'Reset Password': true, 'Write lockoutTime': true, 'Write pwdLastSet': true, 'Unexpire Password': true,
  });
  assert.equal((await check('alice')).allowed, true);
});

test('names that DNs trip over are judged like others', () => {
  for (const user of ['jürgen', 'anna', 'paul']) assert.equal(agree(user).status, 0);
});

test('no rights in another unit: a check says so, and a refused reset says the same', async () => {
  const { status, missing, cure } = agree('oscar');
  assert.equal(status, 7);
  assert.match(missing, /^svc-writeback@corp\.example lacks Reset Password, Write lockoutTime, Write pwdLastSet on CN=oscar/);
  assert.ok(cure.includes(
    `dsacls "OU=Other,${BASE}" /I:S /G "svc-writeback@corp.example:CA;Reset Password;user" (as an entry in SDDL: ${RESET_PASSWORD})`), cure);

  const { allowed, reasons, account } = await check('oscar');
  assert.equal(allowed, false);
  assert.equal(reasons[0].code, 'ADPermissionsError');
  assert.equal(reasons[0].eventId, 33004);
  assert.match(reasons[0].detail, /lacks Reset Password/);
  assert.equal(reasons[0].steps.join('\n'), cure);
  assert.equal(account.enabled, true);

  const refused = await reset('oscar');
  assert.equal(refused.status, 403, JSON.stringify(refused.json));
  assert.equal(refused.json.code, 'ADPermissionsError');
  assert.match(refused.json.detail, /lacks Reset Password.*LDAP result 50/);
  assert.equal(refused.json.steps.join('\n'), cure);
});

test('the entries that are named cure it', async () => {
  const entries = [...verdict('oscar').cure.matchAll(/in SDDL: (\(OA;.*?\))\)/g)].map(([, entry]) => entry);
  assert.deepEqual(entries, [RESET_PASSWORD, LOCKOUT_TIME, PWD_LAST_SET]);
  await withExtra(`OU=Other,${BASE}`, entries.join(''), async () => {
    assert.equal((await check('oscar')).allowed, true);
    assert.equal((await reset('oscar')).status, 200);
    assert.equal(agree('oscar').status, 0);
  });
  assert.equal(agree('oscar').status, 7);
});

test('each right alone is missed', async () => {
  const entries = { 'Reset Password': RESET_PASSWORD, 'Write lockoutTime': LOCKOUT_TIME, 'Write pwdLastSet': PWD_LAST_SET };
  for (const [right, entry] of Object.entries(entries))
    await without(STAFF, entry, async () => {
      const { status, held, missing, cure } = agree('alice');
      assert.equal(status, 7);
      assert.deepEqual(Object.keys(held).filter((name) => !held[name]), [right]);
      assert.equal(missing, `svc-writeback@corp.example lacks ${right} on CN=alice,${STAFF}`);
      assert.ok(cure.includes(entry), cure);
      assert.equal((await check('alice')).allowed, right !== 'Reset Password');
      // dave is locked out until somebody unlocks him, for which the attempts of `agree` would count.
      assert.equal((await check('dave')).allowed, right === 'Write pwdLastSet', right);
    });
  assert.equal(agree('alice').status, 0);
});

test('a property set grants its attributes and no others', async () => {
  await without(STAFF, PWD_LAST_SET, () => without(STAFF, LOCKOUT_TIME, () => withExtra(STAFF, ACCOUNT_RESTRICTIONS, () => {
    const { held } = agree('alice');
    assert.equal(held['Write pwdLastSet'], true);
    assert.equal(held['Write lockoutTime'], false);
  })));
});

test('what is denied is told with whom it is denied to', async () => {
  await withExtra(STAFF, RESET_PASSWORD.replace('(OA;', '(OD;').replace(AGENT, 'AU'), async () => {
    const { held, cure } = agree('alice');
    assert.equal(held['Reset Password'], false);
    assert.match(cure, /An entry denies Reset Password to S-1-5-11:/);
    assert.equal((await reset('alice')).status, 403);
  });
});

test('an account that AdminSDHolder protects is told as such', async () => {
  const { status, cure } = agree('admin-protected');
  assert.equal(status, 7);
  assert.match(cure, /protected by AdminSDHolder/);
  assert.match(cure, /dsacls "CN=admin-protected,.*" \/P:N/);
  assert.doesNotMatch(cure, /\/G /);

  const { allowed, reasons, account } = await check('admin-protected', GLOBAL_ADMINISTRATOR);
  assert.equal(allowed, false);
  assert.equal(reasons[0].code, 'ADPermissionsError');
  assert.match(reasons[0].detail, /AdminSDHolder protects/);
  assert.equal(account.protected, true);
});

test('an account that inherits nothing is told as such', async () => {
  isolate(`CN=heidi,${STAFF}`);
  const { status, missing, cure } = agree('heidi');
  assert.equal(status, 7);
  assert.match(missing, /which inherits no permissions$/);
  assert.match(cure, /dsacls "CN=heidi,.*" \/P:N/);
  const { allowed, account } = await check('heidi');
  assert.equal(allowed, false);
  assert.equal(account.protected, false);
});

// Whoever may make a unit, or name an account, types nothing on a domain controller.
test('a name that a shell would run stands in no command', () => {
  const unit = `OU=x$(calc),${BASE}`, dn = `CN=mallory,${unit}`;
  modify(`dn: ${unit}\nchangetype: add\nobjectClass: organizationalUnit\n`);
  modify(`dn: ${dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: mallory\nuserAccountControl: 544\n`);
  const { status, missing, cure } = verdict('mallory');
  assert.equal(status, 7);
  assert.ok(missing.endsWith(` on ${dn}`), missing);
  assert.match(cure, /dsacls "DISTINGUISHED-NAME" \/I:S \/G "svc-writeback@corp\.example:CA;Reset Password;user"/);
  assert.doesNotMatch(cure, /calc/);
});

test('where permissions may not be read, nothing is said of them', async () => {
  await withExtra(`CN=grace,${STAFF}`, `(D;;RC;;;${AGENT})`, async () => {
    const { status, stdout } = ctl(`--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`, '--user=grace');
    assert.equal(status, 7);
    assert.match(stdout, /✗ dc1\.corp\.example does not let the agent's account read the permissions of CN=grace/);
    assert.doesNotMatch(stdout, /Reset Password is/);
    // They may be there, as they are here.
    assert.equal((await check('grace')).allowed, true);
    assert.equal((await reset('grace')).status, 200);
  });
});

test('another class of people inherits other entries', () => {
  const dn = `CN=inez,${STAFF}`;
  modify(`dn: ${dn}\nchangetype: add\nobjectClass: inetOrgPerson\nsAMAccountName: inez\nuserAccountControl: 544\n`);
  const { status, cure } = agree('inez');
  assert.equal(status, 7);
  assert.match(cure, /:CA;Reset Password;inetOrgPerson"/);
  const entries = [...cure.matchAll(/in SDDL: (\(OA;.*?\))\)/g)].map(([, entry]) => entry).join('');
  return withExtra(STAFF, entries, () => assert.equal(agree('inez').status, 0));
});

test('another account is judged by its own groups', () => {
  const folder = join(env.WRITEBACK_LAB_SCRATCH, 'norights');
  cpSync(dirname(env.WRITEBACK_LAB_AGENT_CONFIG), folder, { recursive: true, filter: (path) => !path.includes('/state') });
  const config = join(folder, 'writebackd.conf');
  const text = readFileSync(config, 'utf8').replace('svc-writeback', 'svc-norights');
  writeFileSync(config, text);
  const { status, held, missing } = verdict('alice', config);
  assert.equal(status, 7);
  assert.deepEqual(held, {
    'Reset Password': false, 'Write lockoutTime': false, 'Write pwdLastSet': false, 'Unexpire Password': true,
  });
  assert.match(missing, /^svc-norights@corp\.example lacks/);

  // By its userPrincipalName it is the same account.
  writeFileSync(config, text.replace(/BindDn=.*/, 'BindDn=svc-norights@corp.example'));
  assert.equal(verdict('alice', config).missing, missing);

  writeFileSync(join(folder, 'wrong'), 'wrong');
  writeFileSync(config, text.replace(/(BindPasswordCredential=).*/, `$1${folder}/wrong`));
  const refused = ctl(`--config=${config}`, '--user=alice');
  assert.equal(refused.status, 4);
  assert.match(refused.stdout, /✗ dc1\.corp\.example: it refuses the agent's account: wrong password/);
  assert.match(refused.stdout, /→ Wrong password \(52e\)/);
});

test('every identifier is understood, and nobody is told', () => {
  const { objectGUID } = look('alice', 'objectGUID');
  const hex = objectGUID.toString('hex');
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((i) => hex.slice(2 * i, 2 * i + 2)).join('') + hex.slice(16);
  const dashed = swapped.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const run = (user) => ctl(`--config=${env.WRITEBACK_LAB_AGENT_CONFIG}`, `--user=${user}`);
  for (const user of ['alice', 'alice@corp.example', sidOf('alice'), dashed]) {
    const { status, stdout } = run(user);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /✓ alice is CN=alice,OU=Staff/);
    assert.match(stdout, /✓ Reset Password is held/);
  }
  assert.equal(run('nobody').status, 6);
  assert.equal(run('carol').status, 6);
  const { stdout } = run('alice');
  assert.ok(!stdout.includes(env.WRITEBACK_LAB_SERVICE_PASSWORD));
});

test('a right that is missing on the domain is told at the start', async () => {
  await without(BASE, UNEXPIRE(AGENT), () => without(BASE, UNEXPIRE('AU'), async () => {
    const { held, missing, cure } = agree('alice');
    assert.equal(held['Unexpire Password'], false);
    assert.equal(missing, `svc-writeback@corp.example lacks Unexpire Password on ${BASE}`);
    assert.ok(cure.includes(`dsacls "${BASE}" /G "svc-writeback@corp.example:CA;Unexpire Password" (as an entry in SDDL: ${UNEXPIRE(AGENT)})`), cure);
    assert.equal((await check('alice')).allowed, true);

    const told = () => readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').split(/^(?=\d{4}-\d\d-\d\dT)/m)
      .filter((entry) => /^\S+ \S+ 35039 /.test(entry));
    assert.equal(told().length, 0);
    process.kill(Number(env.WRITEBACK_LAB_AGENT_PID), 'SIGHUP');
    for (const end = Date.now() + 20_000; told().length === 0 && Date.now() < end;)
      await health();
    assert.equal(told().length, 1);
    assert.ok(told()[0].includes(`lacks Unexpire Password on ${BASE}`), told()[0]);
  }));
});
