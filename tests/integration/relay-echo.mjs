// SPDX-License-Identifier: Apache-2.0
// Runs relay-echo, the listener of the tests. $WRITEBACK_BUILD names the build folder; default: the current one.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

import { next } from './relay-faults.mjs';

const ECHO = path.join(process.env.WRITEBACK_BUILD ?? '.', 'tests/integration/relay-echo');

// A certificate for localhost that is its own CA.
export class Certificate {
    constructor() {
        this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'relay-test-'));
        this.file = path.join(this.folder, 'cert.pem');
        const key = path.join(this.folder, 'key.pem');
        execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
            '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', this.file], { stdio: 'ignore' });
        this.tls = { key: fs.readFileSync(key), cert: fs.readFileSync(this.file) };
    }

    remove() {
        fs.rmSync(this.folder, { recursive: true });
    }
}

// The listener under test.
export class Echo extends EventEmitter {
    constructor(connectionString, { ca, keepalive = 30000, life = 3600000, proxy, env = {} } = {}) {
        super();
        this.lines = [];
        this.log = '';
        this.process = spawn(ECHO, [connectionString, ca, keepalive, life, ...(proxy ? [proxy] : [])], { env: { ...process.env, ...env } });
        readline.createInterface({ input: this.process.stdout }).on('line', (line) => {
            this.lines.push(JSON.parse(line));
            this.emit('line');
        });
        this.process.stderr.on('data', (data) => {
            this.log += data;
            this.emit('log');
        });
        this.exited = once(this.process, 'exit');
    }

    // The n-th line of which `is` is true.
    async line(is, n = 1) {
        for (;;) {
            const found = this.lines.filter(is);
            if (found.length >= n)
                return found[n - 1];
            await next(this, 'line');
        }
    }

    state(state, n) {
        return this.line((line) => line.state === state, n);
    }

    failure() {
        return this.line((line) => line.state === 'connecting' && line.reason);
    }

    count(event) {
        return this.log.match(new RegExp(`Z [A-Z]+ ${event} `, 'g'))?.length ?? 0;
    }

    async logged(event, n = 1) {
        while (this.count(event) < n)
            await next(this, 'log');
    }

    // Ends it; a crash or a leak that a sanitizer found fails the test.
    async end() {
        this.process.kill('SIGTERM');
        const [code, signal] = await this.exited;
        assert.equal(signal, null, this.log);
        assert.equal(code, 0, this.log);
        assert.doesNotMatch(this.log, /SharedAccessSignature|sb-hc-id|2ZbB2tGG/, 'the log holds a token or an address');
    }
}
