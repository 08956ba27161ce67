// SPDX-License-Identifier: Apache-2.0
// The hybrid connection listener against the lab's stand-in relay, and against one that misbehaves.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Relay } from '../lab/cloud/relay.mjs';
import { createSas } from '../lab/cloud/sas.mjs';
import { Certificate, Echo } from './relay-echo.mjs';
import { ENTITY, FaultRelay, KEY, KEY_NAME, PORT_TO_KEEP, acceptOf, checkToken, next } from './relay-faults.mjs';

let certificate;

before(() => { certificate = new Certificate(); });
after(() => certificate.remove());

// Runs `body` with a relay and a listener; `set` prepares the relay before the listener comes.
async function withRelay(options, body) {
    const relay = await FaultRelay.start(certificate.tls);
    options.set?.(relay);
    const echo = new Echo(relay.connectionString, { ca: certificate.file, ...options });
    try {
        await body(relay, echo);
        await echo.end();
    } finally {
        echo.process.kill('SIGKILL');
        await relay.stop();
    }
}

// A relay and a listener on its channel.
function connected(options, body) {
    return withRelay(options, async (relay, echo) => {
        await echo.state('connected');
        await body(relay, echo, relay.channel);
    });
}

const bytes = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff));

async function until(is) {
    for (let i = 0; i < 750 && !is(); i++)
        await sleep(20);
    assert.ok(is(), `${is} did not come true`);
}

// The channel still serves.
async function assertServes(relay, channel = relay.channel, id = 'still_G1') {
    channel.send(relay.request(id, { fields: { body: true } }), Buffer.from('still'));
    assert.equal(String((await channel.response(id)).content), 'still');
}

const suite = { concurrency: 8, timeout: 120_000 };

// The lab's stand-in, with a listener on it and a way to send.
async function withStandIn(knobs, body, life = 3600000) {
    const server = https.createServer(certificate.tls).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const host = `localhost:${server.address().port}`;
    const relay = new Relay({ host, path: ENTITY, rules: [{ name: KEY_NAME, key: KEY, rights: ['Listen', 'Send'] }] });
    relay.control(knobs);
    server.on('request', (request, response) => relay.handleRequest(request, response));
    server.on('upgrade', (request, socket, head) => relay.handleUpgrade(request, socket, head));

    const token = createSas({ uri: `https://localhost/${ENTITY}`, rule: KEY_NAME, key: KEY });
    const send = async (content, { headers = {}, chunked = false } = {}) => {
        const request = https.request(`https://${host}/${ENTITY}/v1/echo`, {
            method: 'POST', ca: certificate.tls.cert, agent: false,
            headers: { ServiceBusAuthorization: token, ...(chunked ? {} : { 'Content-Length': content.length }), ...headers },
        });
        request.end(content);
        const [response] = await next(request, 'response');
        return { status: response.statusCode, via: response.headers.via, content: Buffer.concat(await response.toArray()) };
    };

    const echo = new Echo(`Endpoint=sb://${host}/;SharedAccessKeyName=${KEY_NAME};SharedAccessKey=${KEY};EntityPath=${ENTITY}`,
        { ca: certificate.file, life });
    try {
        await echo.state('connected');
        await body(relay, echo, send);
        assert.deepEqual(relay.status().violations, []);
        await echo.end();
    } finally {
        echo.process.kill('SIGKILL');
        relay.close();
        server.closeAllConnections();
        server.close();
    }
}

describe("on the lab's stand-in", suite, () => {
    test('requests and answers of every size arrive as they were', () => withStandIn({}, async (relay, echo, send) => {
        for (const chunked of [false, true]) {
            for (const size of [0, 1, 65535, 65536, 65537, 100000, 262144]) {
                const answer = await send(bytes(size), { chunked });
                assert.equal(answer.status, 200, `${size} bytes`);
                assert.ok(answer.via);
                assert.deepEqual(answer.content, bytes(size));
            }
        }
        for (const size of [0, 1, 65536, 65537, 1000000])
            assert.equal((await send(Buffer.from('x'), { headers: { 'X-Size': size } })).content.length, size);
    }));

    test('sixteen at once, by either way, do not mix', () => withStandIn({}, async (relay, echo, send) => {
        const sizes = Array.from({ length: 16 }, (_, i) => (i % 2 ? 1000 : 70000) + i);
        const answers = await Promise.all(sizes.map((size) => send(bytes(size), { headers: { 'X-Delay': size % 7 * 20 } })));
        answers.forEach((answer, i) => assert.deepEqual(answer.content, bytes(sizes[i])));
    }));

    test('a request beyond 256 KiB gets its 413', () => withStandIn({}, async (relay, echo, send) => {
        const answer = await send(bytes(262145));
        assert.equal(answer.status, 413);
        assert.ok(answer.via);
    }));

    test('a renewed token keeps the channel beyond the first one', () => withStandIn({ minimumTokenLife: 0, tokenGrace: 2 }, async (relay, echo, send) => {
        // A token's end is told in whole seconds; the first one's is within six, and with the relay's grace within eight.
        // The second renewal is after nine.
        await until(() => relay.status().renewals === 2);
        assert.equal((await send(Buffer.from('x'))).status, 200);
        assert.equal(relay.status().connects, 1);
    }, 6000));

    test('a relay that is cut is found again', () => withStandIn({}, async (relay, echo, send) => {
        relay.control({ cut: true });
        await echo.logged(31034);
        assert.equal((await send(Buffer.from('x'))).status, 404);
        relay.control({ cut: false });
        await echo.state('connected', 2);
        assert.equal((await send(Buffer.from('x'))).status, 200);
        assert.equal(echo.count(32002), 1);
    }));
});

describe('what a listener does', suite, () => {
    test('it registers as the protocol says, and the token stays out of the address', () => connected({}, async (relay, echo) => {
        const { request, url } = relay.listens[0];
        assert.equal(url.pathname, `/$hc/${ENTITY}`);
        assert.match(url.searchParams.get('sb-hc-id'), /^[0-9a-f-]{36}$/);
        assert.equal(url.searchParams.get('sb-hc-token'), null);
        checkToken(request.headers.servicebusauthorization);
        assert.equal(request.headers['sec-websocket-extensions'], undefined);
        await echo.logged(31019);
    }));

    test('requests on the control channel are answered there', () => connected({}, async (relay, echo, channel) => {
        channel.send(relay.request('1_G1', { fields: { method: 'GET' } }));
        const empty = await channel.response('1_G1');
        assert.equal(empty.statusCode, 200);
        assert.equal(empty.body, false);
        assert.equal(empty.responseHeaders['X-Echo'], 'GET');
        const told = await echo.line((line) => line.id === '1_G1');
        assert.equal(told.request, '/v1/echo');

        const body = bytes(65536);
        channel.send(relay.request('2_G1', { fields: { body: true } }), body);
        assert.deepEqual((await channel.response('2_G1')).content, body);
        assert.equal(relay.rendezvous.length, 0);
    }));

    test('an answer beyond 64 KiB goes by rendezvous, which is closed with 1000', () => connected({}, async (relay, echo, channel) => {
        channel.send(relay.request('big_G1', { headers: { 'X-Size': '65537' } }));
        const [meeting, request] = await next(relay, 'meeting');
        assert.equal(new URL(request.url, 'https://x').searchParams.get('sb-hc-id'), 'big_G1');
        assert.equal(request.headers.servicebusauthorization, undefined);
        assert.equal((await meeting.response('big_G1')).content.length, 65537);
        assert.equal(await meeting.closed(), 1000);
        assert.equal(channel.responses.size, 0);
    }));

    test('a request by rendezvous, ended by an empty fragment, is answered there', () => connected({}, async (relay, echo, channel) => {
        const body = bytes(200000);
        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.sendFragmented(relay.request('p_G1', { fields: { body: true } }), body);
        assert.deepEqual((await meeting.response('p_G1')).content, body);
        assert.equal(await meeting.closed(), 1000);
    }));

    // The service's 60 s run from the pointer on, however slowly the request then comes.
    test('a request by rendezvous has the age of its pointer', () => connected({}, async (relay, echo, channel) => {
        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        await sleep(400);
        meeting.send(relay.request('p_G1', { fields: { body: true } }), Buffer.from('slow'));
        assert.ok((await echo.line((line) => line.id === 'p_G1')).age > 350);
    }));

    test('a body beyond 256 KiB is read to its end, then refused with 413', () => connected({}, async (relay, echo, channel) => {
        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.ws.send(JSON.stringify({ request: relay.request('p_G1', { fields: { body: true } }) }));
        meeting.ws.send(bytes(300000), { binary: true, fin: false });
        await sleep(300);
        assert.equal(meeting.responses.size, 0);
        meeting.ws.send(Buffer.alloc(0), { binary: true, fin: true });
        assert.equal((await meeting.response('p_G1')).statusCode, 413);
    }));

    test('more than sixteen at once are handed over as too many', () => connected({}, async (relay, echo, channel) => {
        for (let i = 0; i < 18; i++)
            channel.send(relay.request(`n${i}`, { headers: { 'X-Delay': '3000' } }));
        const answers = await Promise.all(Array.from({ length: 18 }, (_, i) => channel.response(`n${i}`)));
        assert.deepEqual(answers.slice(0, 16).map((a) => a.statusCode), Array(16).fill(200));
        for (const answer of answers.slice(16)) {
            assert.equal(answer.statusCode, 429);
            assert.equal(String(answer.content), 'too many');
        }
        await assertServes(relay);
    }));

    test('an answer whose channel is gone goes by rendezvous', () => connected({}, async (relay, echo, channel) => {
        channel.send(relay.request('late_G1', { headers: { 'X-Delay': '2000' }, fields: { body: true } }), Buffer.from('late'));
        await echo.line((line) => line.id === 'late_G1');
        channel.raw.destroy();
        const [meeting] = await next(relay, 'meeting');
        assert.equal(String((await meeting.response('late_G1')).content), 'late');
    }));

    test('answers that a lost channel had not taken go by rendezvous', () => connected({}, async (relay, echo, channel) => {
        const ids = Array.from({ length: 90 }, (_, i) => `q${i}`);
        const byRendezvous = new Set();
        relay.on('meeting', (meeting) => meeting.on('response', (id) => byRendezvous.add(id)));
        channel.raw.pause();
        for (const id of ids)
            channel.send(relay.request(id, { headers: { 'X-Size': '65536' } }));
        await echo.line((line) => line.id === ids.at(-1));
        channel.raw.destroy();
        await echo.state('connected', 2);
        await until(() => byRendezvous.has(ids.at(-1)));
        assert.equal(echo.count(35036), 0);
    }));

    test('requests that come slowly keep no answer back', () => connected({}, async (relay, echo, channel) => {
        let meetings = 0;
        relay.on('meeting', () => { meetings++; });
        for (let i = 0; i < 65; i++)
            channel.ws.send(JSON.stringify({ request: { address: relay.address(`slow${i}`) } }));
        await until(() => meetings === 64);
        await echo.logged(35008);
        assert.match(echo.log, /WRITEBACK_OUTCOME=TooManyRequests/);
        const met = next(relay, 'meeting');
        channel.send(relay.request('big_G1', { headers: { 'X-Size': '70000' } }));
        const [meeting] = await met;
        assert.equal((await meeting.response('big_G1')).content.length, 70000);
        assert.equal(echo.count(35036), 0);
    }));

    test('an answer that cannot be delivered is told in the log', () => connected({}, async (relay, echo, channel) => {
        relay.onRendezvous = (upgrade) => relay.refuse(upgrade, '403 Forbidden');
        channel.send(relay.request('lost_G1', { headers: { 'X-Size': '70000' } }));
        await echo.logged(35036);
        assert.match(echo.log, /lost_G1.*answered 403 Forbidden/s);
    }));

    test('WebSocket senders are refused at once', () => connected({}, async (relay, echo, channel) => {
        relay.onRendezvous = (upgrade) => relay.refuse(upgrade, '410 Gone');
        channel.ws.send(JSON.stringify({ accept: { address: `wss://localhost:${relay.port}/$hc/${ENTITY}?sb-hc-action=accept&sb-hc-id=a`,
            id: 'a', connectHeaders: {} } }).replaceAll('/', '\\/'));
        const [{ url }] = await next(relay, 'rendezvous');
        assert.equal(url.searchParams.get('sb-hc-statusCode'), '501');
        assert.ok(url.searchParams.get('sb-hc-statusDescription'));
        await assertServes(relay);
    }));

    test('the token is renewed at three quarters of its life', () => connected({ life: 2000 }, async (relay, echo, channel) => {
        const begin = Date.now();
        const [token] = await next(channel, 'token');
        checkToken(token);
        assert.ok(Date.now() - begin > 1000);
        await next(channel, 'token');
        await assertServes(relay);
    }));

    test('it says goodbye when stopped, still answers, and comes back when started', () => connected({}, async (relay, echo, channel) => {
        channel.send(relay.request('last_G1', { headers: { 'X-Delay': '2000' }, fields: { body: true } }), Buffer.from('last'));
        await echo.line((line) => line.id === 'last_G1');
        echo.process.kill('SIGUSR1');
        await echo.state('stopped');
        assert.equal(await channel.closed(), 1000);
        const [meeting] = await next(relay, 'meeting');
        assert.equal(String((await meeting.response('last_G1')).content), 'last');
        assert.equal(relay.listens.length, 1);
        echo.process.kill('SIGUSR2');
        await echo.state('connected', 2);
        assert.equal(echo.count(32002), 0);
    }));

    test('it goes through a proxy, which never sees the token', async () => {
        const seen = [];
        const proxy = http.createServer().on('connect', (request, client, head) => {
            seen.push(request);
            const up = net.connect(Number(request.url.split(':')[1]), '127.0.0.1', () => {
                client.write('HTTP/1.1 200 OK\r\n\r\n');
                up.write(head);
                up.pipe(client).pipe(up);
            });
            up.on('error', () => client.destroy());
            client.on('error', () => up.destroy());
        });
        proxy.listen(0, '127.0.0.1');
        await once(proxy, 'listening');
        try {
            await connected({ proxy: `http://127.0.0.1:${proxy.address().port}` }, async (relay) => {
                assert.equal(seen[0].url, `localhost:${relay.port}`);
                assert.equal(seen[0].headers.servicebusauthorization, undefined);
                await assertServes(relay);
            });
        } finally {
            proxy.close();
            proxy.closeAllConnections();
        }
    });

    test("the environment's proxy is not used", () => connected({ env: { https_proxy: 'http://127.0.0.1:1', all_proxy: 'http://127.0.0.1:1' } },
        (relay) => assertServes(relay)));
});

describe('a relay that refuses', suite, () => {
    for (const status of ['403 Forbidden', '404 Endpoint does not exist', '410 Gone', '503 Busy']) {
        test(`${status} is told in words, once, without what varies`, () => withRelay({
            set: (relay) => { relay.onListen = (upgrade) => relay.refuse(upgrade, status); },
        }, async (relay, echo) => {
            const { reason, lost, unreached } = await echo.failure();
            assert.equal(reason, `localhost:${relay.port} answered ${status}`);
            assert.deepEqual({ lost, unreached }, { lost: false, unreached: false });
            await echo.logged(31034);
            assert.match(echo.log, /WRITEBACK_TRACKING_ID=[0-9a-f-]{36}_G3/);
            if (/^40[34]/.test(status)) {
                // Half a minute passes before these are tried again.
                await sleep(1500);
                assert.equal(relay.listens.length, 1);
            } else {
                await relay.attempts(3);
            }
            assert.equal(echo.count(31034), 1);
            assert.equal(echo.count(32014), 0);
        }));
    }

    test('a refusal that lasts is told again every now and then', () => withRelay({
        env: { REMINDER_MS: '0' },
        set: (relay) => { relay.onListen = (upgrade) => relay.refuse(upgrade, '503 Busy'); },
    }, async (relay, echo) => {
        await echo.logged(32014);
        assert.equal(echo.count(31034), 1);
    }));

    test('401 is tried again at once with a new token, then slowly', () => withRelay({
        set: (relay) => { relay.onListen = (upgrade) => relay.refuse(upgrade, '401 The token has an invalid signature'); },
    }, async (relay, echo) => {
        await relay.attempts(2);
        // Now half a minute passes.
        await sleep(2500);
        assert.equal(relay.listens.length, 2);
        assert.match((await echo.failure()).reason, /answered 401 The token has an invalid signature$/);
    }));

    test('a redirect is not followed', () => withRelay({
        set: (relay) => { relay.onListen = (upgrade) => relay.refuse(upgrade, '302 Found', `Location: wss://localhost:${relay.port}/elsewhere\r\n`); },
    }, async (relay, echo) => {
        assert.match((await echo.failure()).reason, /answered 302 Found/);
        assert.ok(relay.listens.every(({ url }) => url.pathname === `/$hc/${ENTITY}`));
    }));

    test('an Upgrade that is never answered ends after ten seconds', () => withRelay({
        set: (relay) => { relay.onListen = () => {}; },
    }, async (relay, echo) => {
        const begin = Date.now();
        assert.equal((await echo.failure()).reason, `localhost:${relay.port} did not answer within 10 s`);
        assert.ok(Date.now() - begin > 5000);
    }));

    for (const [name, more] of [['a wrong Sec-WebSocket-Accept', 'Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n'],
        ['an extension or protocol that was not asked for', null]]) {
        test(`${name} is refused`, () => withRelay({
            set: (relay) => {
                relay.onListen = ({ request, socket }) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
                    `${more ?? `Sec-WebSocket-Accept: ${acceptOf(request)}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n`}\r\n`);
            },
        }, async (relay, echo) => {
            assert.equal((await echo.failure()).reason, `localhost:${relay.port} answered the Upgrade with ${name}`);
            assert.equal(echo.lines.filter((line) => line.state === 'connected').length, 0);
        }));
    }

    test('a certificate that nobody trusts ends it', () => withRelay({ ca: '/etc/ssl/certs/ca-certificates.crt' }, async (relay, echo) => {
        assert.match((await echo.failure()).reason, /SSL certificate problem/);
        assert.equal(relay.listens.length, 0);
    }));

    test('a certificate for another name ends it', () => withRelay({}, async (relay) => {
        const other = new Echo(relay.connectionString.replace('localhost', '127.0.0.1'), { ca: certificate.file });
        assert.match((await other.failure()).reason, /127\.0\.0\.1/);
        await other.end();
    }));

    test('a relay that comes late is found', async () => {
        const early = await FaultRelay.start(certificate.tls, PORT_TO_KEEP);
        await early.stop();
        const echo = new Echo(early.connectionString, { ca: certificate.file });
        const { reason, lost, unreached } = await echo.failure();
        assert.equal(reason, `no connection to localhost:${early.port}: Connection refused`);
        assert.deepEqual({ lost, unreached }, { lost: false, unreached: true });
        const relay = await FaultRelay.start(certificate.tls, early.port);
        await echo.state('connected');
        assert.equal(echo.count(31034), 1);
        await echo.end();
        await relay.stop();
    });
});

describe('a relay that goes', suite, () => {
    for (const [name, go] of [
        ['with 1001', (channel) => channel.ws.close(1001, 'Entity deleted. TrackingId:x_G1')],
        ['with 1008', (channel) => channel.ws.close(1008, 'The token has expired. TrackingId:x_G1')],
        ['with 1011', (channel) => channel.ws.close(1011, 'Service error')],
        ['with a FIN', (channel) => channel.ws.terminate()],
        ['with a reset', (channel) => channel.raw._parent?.resetAndDestroy() ?? channel.raw.resetAndDestroy()],
    ]) {
        test(`${name}: told once, and it is back`, () => connected({}, async (relay, echo, channel) => {
            go(channel);
            await echo.state('connected', 2);
            assert.equal(echo.count(32002), 1);
            assert.equal(echo.count(31034), 0);
            assert.equal((await echo.state('connected', 2)).reconnects, 1);
            const { reason, lost, unreached } = await echo.failure();
            assert.deepEqual({ lost, unreached }, { lost: true, unreached: !name.startsWith('with 1') });
            if (name.startsWith('with 1'))
                assert.match(reason, new RegExp(`closed the connection: ${name.slice(5)} [A-Z][a-z ]+$`));
            await assertServes(relay);
        }));
    }

    test('with a code that must not be sent, and has not got it back', () => connected({}, async (relay, echo, channel) => {
        channel.raw.write(Buffer.from([0x88, 2, 1006 >> 8, 1006 & 0xff]));
        assert.equal(await channel.closed(), 1002);
        await echo.state('connected', 2);
        await assertServes(relay);
    }));

    test('in silence: two PINGs without an answer', () => withRelay({
        keepalive: 1000,
        set: (relay) => { relay.onListen = (upgrade) => relay.accept(upgrade, { mute: relay.listens.length === 1 }); },
    }, async (relay, echo) => {
        await echo.state('connected', 2);
        assert.match((await echo.failure()).reason, /is silent: 2 PINGs without an answer/);
        // The second channel answers, and lives.
        await sleep(3500);
        assert.equal(echo.count(32002), 1);
    }));

    test('not at all: each PONG is told, with the time and how long it took', () => connected({ keepalive: 1000 }, async (relay, echo) => {
        const first = await echo.line((line) => line.aliveAt);
        const second = await echo.line((line) => line.aliveAt > first.aliveAt);
        assert.ok(first.latency > 0 && second.latency > 0);
    }));

    test('not at all, while frames of any kind still come', () => withRelay({
        keepalive: 1000,
        set: (relay) => { relay.onListen = (upgrade) => relay.accept(upgrade, { mute: true }); },
    }, async (relay, echo) => {
        await echo.state('connected');
        for (let i = 0; i < 20; i++) {
            relay.channel.ws.pong();
            await sleep(250);
        }
        assert.equal(echo.count(32002), 0);
    }));
});

describe('a relay that talks nonsense', suite, () => {
    const deep = `{"request":${'['.repeat(5000)}${']'.repeat(5000)}}`;

    for (const [name, message] of [
        ['no JSON', 'nonsense'],
        ['JSON that is cut off', '{"request":{"address":'],
        ['deep nesting', deep],
        ['a message beyond 64 KiB', `{"request":{"address":"${'x'.repeat(70000)}"}}`],
        ['a request without an id', '{"request":{"address":"a","method":"GET","requestTarget":"/x"}}'],
        ['an address elsewhere', '{"request":{"address":"wss://evil.example/$hc/x?sb-hc-id=1"}}'],
    ]) {
        test(`${name}: one entry, and the channel stays`, () => connected({}, async (relay, echo, channel) => {
            channel.ws.send(message);
            await echo.logged(32003);
            await assertServes(relay);
            assert.equal(echo.count(32003), 1);
            assert.equal(relay.listens.length, 1);
        }));
    }

    test('unknown messages, orphan bodies and unsolicited PONGs are ignored', () => connected({}, async (relay, echo, channel) => {
        channel.ws.send('{"somethingNew":{"a":1}}');
        channel.ws.send(Buffer.alloc(0), { binary: true });
        channel.ws.send(Buffer.from('orphan'), { binary: true });
        channel.ws.pong('unsolicited');
        await assertServes(relay);
        assert.deepEqual(echo.log.match(/Z [A-Z]+ \d+ /g).map((entry) => entry.slice(-6, -1)), ['31019']);
    }));

    // Silence would cost the sender a minute, and a listener that is silent often is blocked by the service.
    test('whatever a sender makes of a request, it has an answer', () => connected({}, async (relay, echo, channel) => {
        const answer = async (id, fields, body) => {
            channel.send(relay.request(id, { fields }), body);
            const { statusCode, content } = await channel.response(id);
            return `${statusCode} ${content}`;
        };
        assert.equal(await answer('nul', { requestTarget: `/${ENTITY}/v1/keys\0` }), "400 the request's target is no text, or holds a NUL");
        assert.equal(await answer('method', { method: 'G T' }), "400 the request's method is no HTTP method");
        assert.match(await answer('body', { method: 'G T', body: true }, Buffer.from('body')), /^400 /);
        assert.equal(await answer('long', { method: 'M'.repeat(33) }), '200 ');
        assert.equal(await answer('star', { method: 'OPTIONS', requestTarget: '*' }), '200 ');
        assert.equal((await echo.line((line) => line.id === 'star')).request, '*');

        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.send(relay.request('p_G1', { fields: { requestTarget: '/\0', body: true } }), Buffer.from('body'));
        assert.equal((await meeting.response('p_G1')).statusCode, 400);
        assert.equal(await meeting.closed(), 1000);
        assert.equal(echo.count(32003), 0);
        await assertServes(relay);
    }));

    test('a body that does not follow costs its own request a 400, not the next one', () => connected({}, async (relay, echo, channel) => {
        channel.send(relay.request('1_G1', { fields: { body: true } }));
        await assertServes(relay);
        const { statusCode, content } = await channel.response('1_G1');
        assert.equal(`${statusCode} ${content}`, '400 its body did not follow');

        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.send(relay.request('p_G1', { fields: { body: true } }));
        meeting.send(relay.request('p_G1', { fields: { body: true } }));
        assert.equal((await meeting.response('p_G1')).statusCode, 400);
        assert.equal(await meeting.closed(), 1000);
    }));

    test('a pointer to nowhere is told', () => connected({}, async (relay, echo, channel) => {
        relay.onRendezvous = (upgrade) => relay.refuse(upgrade, '403 Forbidden');
        channel.ws.send(JSON.stringify({ request: { address: relay.address('gone') } }));
        await echo.logged(35038);
        await assertServes(relay);
    }));

    test('nonsense by rendezvous ends that rendezvous only', () => connected({}, async (relay, echo, channel) => {
        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.ws.send('nonsense');
        assert.equal(await meeting.closed(), 1002);
        await assertServes(relay);
        assert.equal(echo.count(32003), 1);
        assert.equal(echo.count(35038), 0);
    }));

    test('a sender that goes before its answer costs one entry', () => connected({}, async (relay, echo, channel) => {
        channel.ws.send(JSON.stringify({ request: { address: relay.address('p_G1') } }));
        const [meeting] = await next(relay, 'meeting');
        meeting.send(relay.request('p_G1', { headers: { 'X-Delay': '2000' } }));
        await echo.line((line) => line.id === 'p_G1');
        meeting.ws.close(1001);
        await echo.logged(35036);
        await assertServes(relay);
    }));

    test('a frame in the same record as the answer to the Upgrade is not lost', () => withRelay({
        set: (relay) => {
            relay.onListen = ({ request, socket }) => {
                const text = Buffer.from(JSON.stringify({ request: relay.request('early_G1', { fields: { requestTarget: '/x', requestHeaders: {}, address: 'a' } }) }));
                socket.write(Buffer.concat([Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
                    `Sec-WebSocket-Accept: ${acceptOf(request)}\r\n\r\n`), Buffer.from([0x81, 126, text.length >> 8, text.length & 0xff]), text]));
            };
        },
    }, (relay, echo) => echo.line((line) => line.id === 'early_G1')));

    test('a storm of PINGs while nothing is read harms no answer', () => connected({}, async (relay, echo, channel) => {
        const ids = Array.from({ length: 120 }, (_, i) => `s${i}`);
        const answers = [];
        let last;
        relay.on('meeting', (meeting) => meeting.on('response', (id) => answers.push(meeting.responses.get(id))));
        channel.on('response', (id) => answers.push(channel.responses.get(id)));
        channel.ws.on('pong', (data) => { last = String(data); });
        channel.raw.pause();
        for (const id of ids) {
            channel.send(relay.request(id, { headers: { 'X-Size': '65536' } }));
            for (let i = 0; i < 20; i++)
                channel.ws.ping(`${id}-${i}`);
        }
        await echo.line((line) => line.id === ids.at(-1));
        assert.ok(answers.length < ids.length);
        channel.raw.resume();
        await until(() => answers.length === ids.length && last === 's119-19');
        assert.deepEqual(answers.map((answer) => answer.requestId).sort(), [...ids].sort());
        assert.ok(answers.every((answer) => answer.content.length === 65536));
        await assertServes(relay);
        assert.equal(relay.listens.length, 1);
    }));
});
