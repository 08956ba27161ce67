// SPDX-License-Identifier: Apache-2.0

// The npm packages that package-lock.json names. They are installed outside the source tree (see
// ./install), and ES modules are resolved beside the file that imports them; hence this file.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

// One folder for each lock file, so that two source trees do not take each other's packages away.
const lock = readFileSync(new URL('package-lock.json', import.meta.url));
const recipe = createHash('sha256').update(lock).digest('hex').slice(0, 12);
const cache = process.env.WRITEBACK_LAB_CACHE ?? '/var/cache/writeback-lab';

/** Where `npm ci` was run: a folder with a node_modules in it. */
export const packagesFolder = process.env.CLOUD_PACKAGES ?? path.join(cache, `cloud-${recipe}`);

/** Loads a package by its name, as CommonJS. */
export const load = createRequire(path.join(packagesFolder, 'package.json'));

export const jose = load('jose');
export const { WebSocket, WebSocketServer } = load('ws');
