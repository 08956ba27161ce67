// SPDX-License-Identifier: Apache-2.0
// A relay that a test can make misbehave in ways that neither Azure nor the lab's stand-in can be
// made to. It knows nothing by itself: the test says what happens at each Upgrade and on each socket.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import https from 'node:https';

import { WebSocketServer } from '../lab/cloud/packages.mjs';

// As long as anything may take. A wait that ends fails its test, which then cleans up after itself.
const PATIENCE = 15000;

export function next(emitter, event) {
    return once(emitter, event, { signal: AbortSignal.timeout(PATIENCE) });
}

export const ENTITY = 'a/hyco';
export const KEY_NAME = 'listen-rule';
export const KEY = '2ZbB2tGGa4ZzYJQH2p1mFqjS3q0c5+6k1m8l3r0v9Jk=';

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function acceptOf(request) {
    return crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + WEBSOCKET_GUID).digest('base64');
}

// Throws where a token is not one that the service would take for this entity.
export function checkToken(token) {
    const fields = Object.fromEntries(token.replace(/^SharedAccessSignature /, '').split('&').map((field) => {
        const equals = field.indexOf('=');
        return [field.slice(0, equals), field.slice(equals + 1)];
    }));
    const signature = crypto.createHmac('sha256', KEY).update(`${fields.sr}\n${fields.se}`).digest('base64');

    assert.equal(decodeURIComponent(fields.sig), signature);
    assert.equal(decodeURIComponent(fields.sr), `http://localhost/${ENTITY}/`);
    assert.equal(fields.skn, KEY_NAME);
    assert.ok(Number(fields.se) * 1000 > Date.now() - 1000);
}

// One socket of the listener's. Puts responses together and holds every listener to the rule that
// a response's JSON and its body are neighbours.
class Socket extends EventEmitter {
    constructor(ws, raw) {
        super();
        this.setMaxListeners(0);
        this.ws = ws;
        this.raw = raw;
        this.responses = new Map();
        this.tokens = [];
        this.expecting = null;
        ws.on('close', (code) => {
            this.closeCode = code;
            this.emit('closed');
        });
        ws.on('error', () => {});
        ws.on('message', (data, isBinary) => this.#take(data, isBinary));
    }

    #take(data, isBinary) {
        if (isBinary) {
            assert.ok(this.expecting, 'a body that no response announced');
            this.#finish(this.expecting, data);
            return;
        }
        assert.equal(this.expecting, null, 'a message between a response and its body');
        const message = JSON.parse(data);
        if (message.renewToken) {
            this.tokens.push(message.renewToken.token);
            this.emit('token', message.renewToken.token);
        } else if (message.response.body) {
            this.expecting = message.response;
        } else {
            this.#finish(message.response, Buffer.alloc(0));
        }
    }

    #finish(response, body) {
        this.expecting = null;
        this.responses.set(response.requestId, { ...response, content: body });
        this.emit('response', response.requestId);
    }

    // The code that it was closed with.
    async closed() {
        if (this.closeCode === undefined)
            await next(this, 'closed');
        return this.closeCode;
    }

    async response(id) {
        while (!this.responses.has(id))
            await next(this, 'response');
        return this.responses.get(id);
    }

    // As the service sends a request whose body fits: two messages.
    send(request, body) {
        this.ws.send(JSON.stringify({ request }));
        if (body)
            this.ws.send(body, { binary: true });
    }

    // As the service sends a body by rendezvous: fragments of 32 KiB and an empty last one.
    sendFragmented(request, body) {
        this.ws.send(JSON.stringify({ request }));
        for (let offset = 0; offset < body.length; offset += 32768)
            this.ws.send(body.subarray(offset, offset + 32768), { binary: true, fin: false });
        this.ws.send(Buffer.alloc(0), { binary: true, fin: true });
    }
}

/** A port to be left and taken again: below those that go to whoever wants any. */
export const PORT_TO_KEEP = 20_000 + process.pid % 10_000;

export class FaultRelay extends EventEmitter {
    static async start(tls, port = 0) {
        const relay = new FaultRelay();
        relay.server = https.createServer(tls);
        relay.sockets = new Set();
        relay.server.on('connection', (socket) => {
            relay.sockets.add(socket);
            socket.on('close', () => relay.sockets.delete(socket));
        });
        relay.wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, autoPong: true });
        // No PONGs, for a peer that is there and says nothing.
        relay.mute = new WebSocketServer({ noServer: true, perMessageDeflate: false, autoPong: false });
        relay.listens = [];
        relay.rendezvous = [];
        relay.server.on('upgrade', (request, socket, head) => relay.#upgrade(request, socket, head));
        relay.server.on('tlsClientError', () => {});
        relay.server.listen(port, '127.0.0.1');
        await once(relay.server, 'listening');
        relay.port = relay.server.address().port;
        return relay;
    }

    // What the test may replace: onListen and onRendezvous get { request, socket, head, url }.
    onListen = (upgrade) => this.accept(upgrade);
    onRendezvous = (upgrade) => this.accept(upgrade);

    get connectionString() {
        return `Endpoint=sb://localhost:${this.port}/;SharedAccessKeyName=${KEY_NAME};SharedAccessKey=${KEY};EntityPath=${ENTITY}`;
    }

    address(id) {
        return `wss://localhost:${this.port}/$hc/${ENTITY}?sb-hc-action=request&sb-hc-id=${id}`;
    }

    request(id, more = {}) {
        return {
            address: this.address(id), id, method: 'POST', requestTarget: `/${ENTITY}/v1/echo?x=1`,
            requestHeaders: { Host: 'localhost', Via: '1.1 localhost', ...more.headers },
            remoteEndpoint: { address: '192.0.2.1', port: 1 }, body: false, ...more.fields,
        };
    }

    #upgrade(request, socket, head) {
        const url = new URL(request.url, 'https://localhost');
        const upgrade = { request, socket, head, url, time: Date.now() };
        const isListen = url.searchParams.get('sb-hc-action') === 'listen';

        socket.on('error', () => {});
        (isListen ? this.listens : this.rendezvous).push(upgrade);
        this.emit(isListen ? 'listen' : 'rendezvous', upgrade);
        (isListen ? this.onListen : this.onRendezvous)(upgrade);
    }

    accept({ request, socket, head }, { mute = false } = {}) {
        const wss = mute ? this.mute : this.wss;
        wss.handleUpgrade(request, socket, head, (ws) => {
            const peer = new Socket(ws, socket);
            const isListen = request.url.includes('sb-hc-action=listen');
            if (isListen)
                this.channel = peer;
            this.emit(isListen ? 'channel' : 'meeting', peer, request);
        });
    }

    refuse({ socket }, status, headers = '') {
        socket.end(`HTTP/1.1 ${status}. TrackingId:${crypto.randomUUID()}_G3, SystemTracker:sb://x/y, Timestamp:${Date.now()}\r\n` +
            `${headers}Content-Length: 0\r\n\r\n`);
    }

    async attempts(n) {
        while (this.listens.length < n)
            await next(this, 'listen');
    }

    async stop() {
        for (const socket of this.sockets)
            socket.destroy();
        this.server.close();
        await once(this.server, 'close');
    }
}
