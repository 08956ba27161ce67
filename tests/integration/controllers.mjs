// SPDX-License-Identifier: Apache-2.0

// A lab's controllers as a test treats them: frozen, killed, started again; and what the agent says of them.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const { env } = process;

export const CONTROLLERS = [env.WRITEBACK_LAB_DC, env.WRITEBACK_LAB_DC2];

/** Sends a signal to a controller ("dc1") and all that it started. */
export function signal(name, what) {
  process.kill(-Number(readFileSync(`${env.WRITEBACK_LAB_SCRATCH}/${name}.pid`, 'utf8')), what);
}

/** Runs lines of bash that know the functions of tests/lab/controller. */
export function inLab(lines) {
  const lab = new URL('../lab/', import.meta.url).pathname;
  execFileSync('bash', ['-euc', `SCRATCH=$WRITEBACK_LAB_SCRATCH; . ${lab}names; . ${lab}controller; ${lines}`],
    { stdio: ['ignore', 'ignore', 'inherit'] });
}

export const start = (name) => inLab(`controller_start ${name}; controller_wait ${name}`);

/** {host: {status, known, output, …}}; after a reload `known` is false until the controller was tried again. */
export async function controllersInHealth() {
  // The agent closes a connection that is idle for five seconds, and a test may be stopped for longer by start().
  const health = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`, { headers: { connection: 'close' } })).json();
  return Object.fromEntries(
    (health.checks['directory:corp.example'] ?? []).map((entry) => [entry.componentId, entry]));
}

/** Waits until it is so; says what was waited for where it does not become so. */
export async function until(what, isSo, patience = 60_000) {
  for (const end = Date.now() + patience; ;) {
    const is = await isSo();
    if (is) return is;
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}
