// SPDX-License-Identifier: Apache-2.0

// The directory seen by somebody else than the agent: OpenLDAP's own commands.

import { spawnSync } from 'node:child_process';
import { existsSync, unlinkSync, writeFileSync } from 'node:fs';

const { env } = process;

function ldap(command, args, { dn, password, input, controller = env.WRITEBACK_LAB_DC } = {}) {
  // A password goes by file, as it would on a real host: an argument list is everybody's to read.
  const file = `${env.WRITEBACK_LAB_SCRATCH}/ldap-password`;
  writeFileSync(file, password, { mode: 0o600 });
  try {
    return spawnSync(command, ['-x', '-H', `ldaps://${controller}`, '-D', dn, '-y', file, ...args], {
      encoding: 'utf8',
      input,
      env: { ...env, LDAPTLS_CACERT: env.WRITEBACK_LAB_DC_CA },
    });
  } finally {
    if (existsSync(file)) unlinkSync(file);
  }
}

/** Whether this password is the user's: "yes", or the code of the refusal ("52e", "773" …). A name without a domain is
 * one of the first domain. */
export function bind(user, password, controller) {
  const dn = user.includes('@') ? user : `${user}@corp.example`;
  const { status, stderr } = ldap('ldapwhoami', [], { dn, password, controller });
  if (status === 0) return 'yes';
  return /data ([0-9a-f]+)/.exec(stderr)?.[1] ?? stderr;
}

const AS_ADMINISTRATOR = {
  dn: env.WRITEBACK_LAB_ADMIN_DN,
  password: env.WRITEBACK_LAB_ADMIN_PASSWORD,
};

/** Attributes of an account, by sAMAccountName: {name: value}, base64 values with their '::'. */
export function look(user, ...attributes) {
  const { status, stdout, stderr } = ldap(
    'ldapsearch',
    ['-LLL', '-o', 'ldif-wrap=no', '-b', env.WRITEBACK_LAB_BASE_DN, `(sAMAccountName=${user})`, ...attributes],
    AS_ADMINISTRATOR);
  if (status !== 0) throw new Error(stderr);
  return Object.fromEntries([...stdout.matchAll(/^([\w-]+)(::?) (.*)$/gm)].map(([, name, colons, value]) =>
    [name, colons === '::' ? Buffer.from(value, 'base64') : value]));
}

/** Changes something as the domain's administrator; in the other domain with its controller and its administrator's DN. */
export function modify(ldif, where = {}) {
  const { status, stderr } = ldap('ldapmodify', [], { ...AS_ADMINISTRATOR, ...where, input: ldif });
  if (status !== 0) throw new Error(stderr);
}

/** Tries something as the agent's own account: the directory's LDAP result code. */
export function attempt(ldif) {
  const { status } = ldap('ldapmodify', [],
    { dn: env.WRITEBACK_LAB_SERVICE_DN, password: env.WRITEBACK_LAB_SERVICE_PASSWORD, input: ldif });
  return status;
}

/** What of an account the directory says the agent's own account may write. */
export function writable(user) {
  const { status, stdout, stderr } = ldap(
    'ldapsearch',
    ['-LLL', '-o', 'ldif-wrap=no', '-b', env.WRITEBACK_LAB_BASE_DN, `(sAMAccountName=${user})`, 'allowedAttributesEffective'],
    { dn: env.WRITEBACK_LAB_SERVICE_DN, password: env.WRITEBACK_LAB_SERVICE_PASSWORD });
  if (status !== 0) throw new Error(stderr);
  return [...stdout.matchAll(/^allowedAttributesEffective: (.*)$/gm)].map(([, name]) => name);
}
