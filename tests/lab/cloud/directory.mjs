// SPDX-License-Identifier: Apache-2.0

// What the directory itself says of a password, past the agent: ldapwhoami over LDAPS.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const INVALID_CREDENTIALS = 49;

/** Whether this user can sign in to the lab's controller with this password. Throws where that
 * cannot be said. */
export async function binds(user, password, env = process.env) {
  const folder = mkdtempSync(path.join(tmpdir(), 'binds-'));
  const file = path.join(folder, 'password'); // arguments are for everybody to see
  try {
    writeFileSync(file, password, { mode: 0o600 });
    await run('ldapwhoami', ['-x', '-H', `ldaps://${env.WRITEBACK_LAB_DC}`, '-D', user, '-y', file], {
      env: { ...env, LDAPTLS_CACERT: env.WRITEBACK_LAB_DC_CA },
    });
    return true;
  } catch (error) {
    if (error.code === INVALID_CREDENTIALS) return false;
    throw new Error(`ldapwhoami as ${user}: ${error.stderr || error.message}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
