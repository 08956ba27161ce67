// SPDX-License-Identifier: Apache-2.0

// The agent as a process of a test's own, in a lab without one (tests/lab/run --no-agent). It is
// $WRITEBACK_LAB_AGENT, else the one in $WRITEBACK_BUILD.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const { env } = process;
const PROGRAM = env.WRITEBACK_LAB_AGENT ?? `${env.WRITEBACK_BUILD}/writebackd`;
const CONFIG = env.WRITEBACK_LAB_AGENT_CONFIG;
const PATIENCE = 60_000;

/** Its state directory. */
export const STATE = CONFIG.replace(/[^/]+$/, 'state');

const original = readFileSync(CONFIG, 'utf8');

/** Writes the lab's configuration with lines added to its sections ({section: lines}), and changed by `change`. */
export function configure(lines, change = (text) => text) {
  let text = original;
  for (const [section, more] of Object.entries(lines))
    text = text.replace(new RegExp(`^\\[${section}.*\\]$`, 'm'), `$&\n${more.join('\n')}`);
  writeFileSync(CONFIG, change(text));
}

export class AgentProcess {
  #process;
  #config;
  #health;

  /** The lab's agent; or another one, beside it, with its own configuration and health endpoints. */
  constructor({ config = CONFIG, health = env.WRITEBACK_LAB_HEALTH_URL } = {}) {
    this.#config = config;
    this.#health = health;
  }

  start() {
    const log = openSync(env.WRITEBACK_LAB_LOG, 'a');
    this.#process = spawn(PROGRAM, [`--config=${this.#config}`, '--log-target=stderr'], { stdio: ['ignore', log, log] });
    closeSync(log);
    return this;
  }

  get isRunning() {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async ready() {
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(10)) {
      assert.equal(this.#process.exitCode, null, `the agent ended by itself; see ${env.WRITEBACK_LAB_LOG}`);
      if (await readiness(this.#health) === 200) return;
    }
    assert.fail('the agent did not become ready');
  }

  /** The exit status; null where it was killed. */
  async ended() {
    if (this.isRunning) await once(this.#process, 'exit');
    return this.#process.exitCode;
  }

  /** Lets it read its configuration again. */
  reload() {
    this.#process.kill('SIGHUP');
  }

  kill() {
    this.#process.kill('SIGKILL');
  }

  async stop() {
    this.#process.kill('SIGTERM');
    return this.ended();
  }
}

/** What /readyz says: 200, 503, or 0 where nobody listens. */
export async function readiness(health = env.WRITEBACK_LAB_HEALTH_URL) {
  try {
    return (await fetch(`${health}/readyz`)).status;
  } catch {
    return 0;
  }
}

/** The entries of the log: {event, text, FIELD: value …}. */
export function entries() {
  return readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').split(/^(?=\d{4}-\d\d-\d\dT)/m).map((text) => ({
    event: Number(/^\S+ \S+ (\d+)/.exec(text)?.[1]),
    text,
    ...Object.fromEntries([...text.matchAll(/^ {4}(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value])),
  }));
}
