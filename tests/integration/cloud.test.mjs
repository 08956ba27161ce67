// SPDX-License-Identifier: Apache-2.0

// The stand-in relay against Microsoft's own listener, and against what the service is known to do
// where that listener does not look.

import assert from 'node:assert/strict';
import { execFileSync, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { fetchHttps } from '../lab/cloud/http.mjs';
import { WebSocket } from '../lab/cloud/packages.mjs';
import { filterQuery } from '../lab/cloud/relay-exchange.mjs';
import { Relay } from '../lab/cloud/relay.mjs';
import { createSas } from '../lab/cloud/sas.mjs';

const PATH = 'hyco';
const LISTEN = { name: 'listen-rule', key: randomBytes(32).toString('base64'), rights: ['Listen'] };
const SEND = { name: 'send-rule', key: randomBytes(32).toString('base64'), rights: ['Send'] };
const FRAGMENT = 32 * 1024;

let folder, ca, server, host, relay;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cloud-test-'));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=stand-in', '-addext', 'subjectAltName=DNS:localhost',
    '-keyout', `${folder}/key.pem`, '-out', `${folder}/ca.pem`,
  ], { stdio: 'ignore' });
  ca = readFileSync(`${folder}/ca.pem`);

  server = https.createServer({ cert: ca, key: readFileSync(`${folder}/key.pem`) });
  server.on('request', (request, response) => relay.handleRequest(request, response).catch(() => {}));
  server.on('upgrade', (request, socket, head) => relay.handleUpgrade(request, socket, head));
  await once(server.listen(0, 'localhost'), 'listening');
  host = `localhost:${server.address().port}`;
});

after(() => {
  relay?.close();
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});

function freshRelay(knobs = {}) {
  relay?.close();
  relay = new Relay({ host, path: PATH, rules: [LISTEN, SEND] });
  relay.control(knobs);
}

const sasFor = ({ name, key }, { uri = `https://${host}/${PATH}`, lifetime } = {}) =>
  createSas({ uri, rule: name, key, lifetime });

const send = (target, { token = sasFor(SEND), headers, ...rest } = {}) =>
  fetchHttps(`https://${host}${target}`, {
    ca,
    headers: { ...(token && { ServiceBusAuthorization: token }), ...headers },
    ...rest,
  });

const post = (target, body, headers = { 'Content-Length': body.length }) =>
  send(target, { method: 'POST', body, headers });

/** A listener in this process, that sees each frame: messages are {text} or {binary}. */
class RawListener {
  messages = [];
  #awaited = [];

  static async open({ token = sasFor(LISTEN), target = `wss://${host}/$hc/${PATH}?sb-hc-action=listen` } = {}) {
    const listener = new RawListener();
    listener.socket = new WebSocket(target, { ca, headers: { ServiceBusAuthorization: token } });
    listener.socket.on('message', (data, isBinary) =>
      listener.#add(isBinary ? { binary: data } : { text: data.toString() }));
    listener.closed = new Promise((resolve) =>
      listener.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    await new Promise((resolve, reject) => {
      listener.socket.on('open', resolve);
      listener.socket.on('upgrade', ({ headers }) => (listener.headers = headers));
      listener.socket.on('unexpected-response', (request, response) => {
        reject(Object.assign(new Error(response.statusMessage), { status: response.statusCode }));
        request.destroy();
      });
      listener.socket.on('error', () => {});
    });
    return listener;
  }

  #add(message) {
    const resolve = this.#awaited.shift();
    if (resolve) resolve(message);
    else this.messages.push(message);
  }

  next() {
    if (this.messages.length) return Promise.resolve(this.messages.shift());
    return new Promise((resolve) => this.#awaited.push(resolve));
  }

  async nextRequest() {
    return JSON.parse((await this.next()).text).request;
  }

  respond(response, body) {
    this.socket.send(JSON.stringify({ response: { body: body !== undefined, ...response } }));
    if (body !== undefined) this.socket.send(Buffer.from(body));
  }
}

describe("with Microsoft's listener", () => {
  let listener;

  before(async () => {
    freshRelay();
    listener = fork(
      new URL('cloud-listener.mjs', import.meta.url),
      [host, PATH, LISTEN.name, LISTEN.key],
      { env: { ...process.env, NODE_EXTRA_CA_CERTS: `${folder}/ca.pem` } });
    assert.deepEqual(await once(listener, 'message'), ['listening', undefined]);
  });
  after(() => listener.kill());

  for (const size of [0, 1, 65535, 65536, 65537, 1024 * 1024]) {
    test(`a request of ${size} bytes, of known length, comes back whole`, async () => {
      const body = randomBytes(size);
      const answer = await post(`/${PATH}/echo`, body);
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(body));
    });

    test(`a request of ${size} bytes, chunked, comes back whole`, async () => {
      const body = randomBytes(size);
      const answer = await post(`/${PATH}/echo`, body, { 'Transfer-Encoding': 'chunked' });
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(body));
    });

    test(`a response of ${size} bytes arrives whole`, async () => {
      const answer = await send(`/${PATH}/size?n=${size}`);
      assert.equal(answer.status, 200);
      assert.equal(answer.body.length, size);
    });
  }

  test('a hundred requests at once do not mix', async () => {
    const bodies = Array.from({ length: 100 }, (_, i) => randomBytes(1 + (i % 7) * 20_000));
    const answers = await Promise.all(bodies.map((body) => post(`/${PATH}/echo`, body)));
    answers.forEach((answer, i) => assert.ok(answer.body.equals(bodies[i])));
  });

  test('every method but CONNECT is carried', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      assert.equal((await send(`/${PATH}/seen`, { method })).json.method, method);
    assert.equal((await send(`/${PATH}/seen`, { method: 'HEAD' })).status, 200);
  });

  test('status codes and reason phrases are carried, the usual phrase where there is none', async () => {
    for (const code of [200, 201, 204, 302, 304, 404, 418, 450, 500, 502, 503])
      assert.equal((await send(`/${PATH}/status?code=${code}`)).status, code);
    assert.equal((await send(`/${PATH}/status?code=201`)).reason, 'Created');
    assert.equal((await send(`/${PATH}/status?code=200&reason=Well`)).reason, 'Well');
  });

  test("only the listener's answers carry Via", async () => {
    assert.equal((await send(`/${PATH}/seen`)).headers.via, `1.1 ${host}`);
    assert.equal((await send('/elsewhere')).headers.via, undefined);
  });

  test("the relay's own headers and those of one hop are kept from the listener", async () => {
    const { json } = await send(`/${PATH}/seen`, {
      headers: {
        Authorization: 'Bearer end-to-end', TE: 'trailers', 'Keep-Alive': 'timeout=5',
        'X-Twice': ['one', 'two'],
      },
    });
    assert.equal(json.headers.authorization, 'Bearer end-to-end');
    assert.equal(json.headers['x-twice'], 'one, two');
    assert.equal(json.headers.host, host);
    assert.equal(json.headers.via, `1.1 ${host}`);
    for (const name of ['servicebusauthorization', 'te', 'connection', 'keep-alive', 'content-length'])
      assert.ok(!(name in json.headers), name);
  });

  test('Authorization is spent where it let the sender in', async () => {
    const { json } = await send(`/${PATH}/seen`, {
      token: null,
      headers: { Authorization: sasFor(SEND) },
    });
    assert.ok(!('authorization' in json.headers));
  });

  test('a token in the query wins and is taken out', async () => {
    const token = encodeURIComponent(sasFor(SEND));
    const answer = await send(`/${PATH}/seen?a=1&sb-hc-token=${token}&b=2`, { token: 'nonsense' });
    assert.equal(answer.json.url, `/${PATH}/seen?a=1&b=2`);
  });

  test('a listener that never answers costs 504, and its late answer is dropped', async () => {
    relay.control({ responseTimeout: 200 });
    const answer = await send(`/${PATH}/never`);
    relay.control({ responseTimeout: 60_000 });
    assert.equal(answer.status, 504);
    assert.equal(answer.json.error.code, 'GatewayTimeout');
    assert.equal(answer.headers.via, undefined);
  });

  test('it comes back after its channel was cut', async () => {
    relay.control({ cut: true });
    assert.equal((await send(`/${PATH}/seen`)).status, 404);
    relay.control({ cut: false });
    // It may have been refused just before.
    while ((await once(listener, 'message'))[0] !== 'listening');
    assert.equal((await send(`/${PATH}/seen`)).status, 200);
  });
});

// Microsoft.Azure.Relay.UnitTests, HybridRequestTests.QueryString, as far as the query is concerned
// and not what .NET's own URI class makes of it before it is sent.
test('the query loses its sb-hc-…= pairs and nothing else', () => {
  const rows = [
    ['?foo=bar', '?foo=bar'],
    ['?sb-hc-id=1', ''],
    ['?SB-HC-Id=1', ''],
    ['?sb-hc-id=1&custom=value', '?custom=value'],
    ['?custom=value&sb-hc-id=1', '?custom=value'],
    ['?sb-hc-undefined=true', ''],
    ['?sb-hc-undefined', '?sb-hc-undefined'],
    ['?foo=bar&', '?foo=bar&'],
    ['?CustomValue', '?CustomValue'],
    ['?custom&value', '?custom&value'],
    ['?&custom&value&', '?&custom&value&'],
    ['?&&value&&', '?&&value&&'],
    ['?+', '?+'],
    ['?&+&', '?&+&'],
    ['?%2f%3a%3d%26', '?%2f%3a%3d%26'],
    ['?api-version=abc', '?api-version=abc'],
  ];
  for (const [query, expected] of rows) assert.equal(filterQuery(`/hyco${query}`), `/hyco${expected}`);
});

describe('who is let in', () => {
  before(() => freshRelay());

  const senders = [
    ['without a token', null, 401, 'MissingToken'],
    ['with nonsense', 'SharedAccessSignature x', 401, 'MalformedToken'],
    ['with a wrong key', () => sasFor({ ...SEND, key: LISTEN.key }), 401, 'InvalidSignature'],
    ['with an unknown rule', () => sasFor({ ...SEND, name: 'other' }), 401, 'InvalidSignature'],
    ['with an old token', () => sasFor(SEND, { lifetime: -1 }), 401, 'ExpiredToken'],
    ['with a token for elsewhere', () => sasFor(SEND, { uri: `https://${host}/other` }), 401, 'InvalidAudience'],
    ['with a right to listen only', () => sasFor(LISTEN), 403, "'Send' claim"],
  ];
  for (const [who, token, status, words] of senders)
    test(`a sender ${who} gets ${status}`, async () => {
      const answer = await send(`/${PATH}`, { token: typeof token === 'function' ? token() : token });
      assert.equal(answer.status, status);
      assert.match(answer.reason, new RegExp(words));
      assert.match(answer.reason, /TrackingId:[0-9a-f-]+_G\d+, SystemTracker:sb:\/\/.*, Timestamp:/);
      assert.equal(answer.json.error.code, status === 401 ? 'TokenMissingOrInvalid' : 'Forbidden');
      assert.equal(answer.json.error.message, answer.reason);
    });

  test('no listener, no entity: 404 with different words', async () => {
    assert.match((await send(`/${PATH}`)).reason, /There are no listeners connected for the endpoint/);
    assert.match((await send('/other')).reason, /Endpoint does not exist/);
    assert.match((await send(`/${PATH}ish`)).reason, /Endpoint does not exist/);
  });

  test('port, case, a slash at the end and a wider audience do not matter', async () => {
    for (const uri of [
      `https://${host.toUpperCase()}/${PATH}/`, `https://localhost/${PATH}`, 'https://localhost/',
    ])
      assert.equal((await send(`/${PATH}`, { token: sasFor(SEND, { uri }) })).status, 404, uri);
  });

  const listeners = [
    ['a right to send only', () => sasFor(SEND), 403],
    ['a token that ends within a minute', () => sasFor(LISTEN, { lifetime: 30 }), 401],
    ['a wrong key', () => sasFor({ ...LISTEN, key: 'x' }), 401],
  ];
  for (const [what, token, status] of listeners)
    test(`a listener with ${what} gets ${status}`, async () => {
      await assert.rejects(RawListener.open({ token: token() }), { status });
    });

  test('the 26th listener is refused', async () => {
    const all = await Promise.all(Array.from({ length: 25 }, () => RawListener.open()));
    await assert.rejects(RawListener.open(), { status: 403 });
    all.forEach(({ socket }) => socket.terminate());
    await Promise.all(all.map(({ closed }) => closed));
  });
});

describe('on the wire', () => {
  let listener;

  before(async () => {
    freshRelay();
    listener = await RawListener.open();
  });
  after(() => listener.socket.terminate());

  test('a handshake is answered with a tracking id made of the one that was sent', async () => {
    const guid = '6f1c0f0a-5a31-4b2e-9a6e-0d9f6f0f3b11';
    const target = `wss://${host}/$hc/${PATH}?sb-hc-action=listen&sb-hc-id=${guid}`;
    const other = await RawListener.open({ target });
    assert.match(other.headers.trackingid, new RegExp(`^${guid}_G\\d+$`));
    assert.equal(other.headers['sec-websocket-extensions'], undefined);
    other.socket.terminate();
    await other.closed;
  });

  test('a small request and its body follow one another on the control channel', async () => {
    const answer = post(`/${PATH}/a%20b?q=%20`, Buffer.from('hello'));
    const request = await listener.nextRequest();
    assert.deepEqual((await listener.next()).binary, Buffer.from('hello'));
    assert.equal(request.requestTarget, `/${PATH}/a b?q=%20`);
    assert.equal(request.method, 'POST');
    assert.equal(request.body, true);
    assert.match(request.remoteEndpoint.address, /^(127\.0\.0\.1|::1)$/);
    assert.match(request.address, /^wss:\/\/.*\?sb-hc-action=request&sb-hc-id=/);

    // A number or digits in a string, both are seen in the field.
    listener.respond({ requestId: request.id, statusCode: '201', responseHeaders: { 'X-A': 'b' } }, 'done');
    assert.equal((await answer).status, 201);
    assert.equal((await answer).headers['x-a'], 'b');
    assert.equal((await answer).headers['transfer-encoding'], 'chunked');
    assert.equal((await answer).body.toString(), 'done');
  });

  test('a large request is a pointer, and its body fragments with an empty last one', async () => {
    const body = randomBytes(65537);
    const answer = post(`/${PATH}`, body);
    const pointer = await listener.nextRequest();
    assert.deepEqual(Object.keys(pointer), ['address']);

    const rendezvous = await RawListener.open({ target: pointer.address });
    const fragments = [];
    const { _receiver: receiver } = rendezvous.socket; // ws itself tells of whole messages only
    const collect = receiver.getData;
    receiver.getData = function (...args) {
      if (this._opcode < 8) fragments.push([this._payloadLength, this._fin]);
      return collect.apply(this, args);
    };
    const request = await rendezvous.nextRequest();
    assert.equal(request.body, true);
    assert.ok((await rendezvous.next()).binary.equals(body));
    assert.deepEqual(fragments.slice(-4), [
      [FRAGMENT, false], [FRAGMENT, false], [1, false], [0, true],
    ]);

    await assert.rejects(RawListener.open({ target: pointer.address }), { status: 403 });
    rendezvous.respond({ requestId: request.id, statusCode: 200 }, 'ok');
    assert.equal((await answer).body.toString(), 'ok');
    assert.equal((await rendezvous.closed).code, 1000);
  });

  test('what decides on the pointer: more than 64 KiB, or a length not known beforehand', async () => {
    const isPointer = async (size, headers) => {
      const answer = post(`/${PATH}`, Buffer.alloc(size), headers);
      const request = await listener.nextRequest();
      const rendezvous = request.method ? null : await RawListener.open({ target: request.address });
      const { id } = rendezvous ? await rendezvous.nextRequest() : request;
      await (rendezvous ?? listener).next(); // the body
      (rendezvous ?? listener).respond({ requestId: id, statusCode: 200 }, '');
      assert.equal((await answer).status, 200);
      return rendezvous !== null;
    };
    assert.equal(await isPointer(65536), false);
    assert.equal(await isPointer(65537), true);
    assert.equal(await isPointer(1, { 'Transfer-Encoding': 'chunked' }), true);
  });

  test('a response may take the rendezvous although the request did not', async () => {
    const answer = send(`/${PATH}`);
    const request = await listener.nextRequest();
    const rendezvous = await RawListener.open({ target: request.address });
    rendezvous.respond({ requestId: request.id, statusCode: 200 }, 'x'.repeat(100_000));
    assert.equal((await answer).body.length, 100_000);
  });

  test('a rendezvous that does not begin with a response is closed with 1002', async () => {
    const answer = send(`/${PATH}`);
    const request = await listener.nextRequest();
    const rendezvous = await RawListener.open({ target: request.address });
    rendezvous.socket.send('{"hello":1}');
    assert.equal((await rendezvous.closed).code, 1002);
    assert.equal((await answer).status, 500);
  });

  test('a sender that goes away closes the rendezvous with 1001', async () => {
    const request = https.request(`https://${host}/${PATH}`, {
      ca,
      headers: { ServiceBusAuthorization: sasFor(SEND) },
    });
    request.on('error', () => {});
    request.end();
    const { address } = await listener.nextRequest();
    const rendezvous = await RawListener.open({ target: address });
    request.destroy();
    assert.equal((await rendezvous.closed).code, 1001);
  });

  test('an empty binary message that belongs to nothing is tolerated, and noted', async () => {
    const answer = send(`/${PATH}`);
    const { id } = await listener.nextRequest();
    listener.respond({ requestId: id, statusCode: 204 });
    listener.socket.send(Buffer.alloc(0));
    assert.equal((await answer).status, 204);
    const again = send(`/${PATH}`);
    const request = await listener.nextRequest();
    listener.respond({ requestId: request.id, statusCode: 200 }, '');
    assert.equal((await again).status, 200);
    assert.ok(relay.status().violations.includes('a binary message that belongs to no response'));
  });

  test('a sender of WebSockets gets the refusal, and the listener 410', async () => {
    const sender = RawListener.open({
      token: sasFor(SEND),
      target: `wss://${host}/$hc/${PATH}?sb-hc-action=connect`,
    });
    sender.catch(() => {});
    const { text } = await listener.next();
    assert.match(text, /"address":"wss:\\\/\\\//); // as the service escapes it
    const { address } = JSON.parse(text).accept;

    const refusal = `${address}&sb-hc-statusCode=501&sb-hc-statusDescription=No%20WebSockets`;
    await assert.rejects(RawListener.open({ target: refusal }), { status: 410 });
    await assert.rejects(sender, { status: 501, message: /No WebSockets/ });
  });

  test('a good token renews the channel, a bad one closes it with 1008', async () => {
    const other = await RawListener.open();
    const renew = (token) => other.socket.send(JSON.stringify({ renewToken: { token } }));
    renew(sasFor(LISTEN));
    renew(sasFor(SEND));
    assert.equal((await other.closed).code, 1008);
    assert.equal(relay.status().renewals, 1);
  });

  test('a token that ends takes the channel along, after the grace', async () => {
    relay.control({ minimumTokenLife: 0, tokenGrace: 0 });
    const other = await RawListener.open({ token: sasFor(LISTEN, { lifetime: 5 }) });
    assert.equal((await other.closed).code, 1008);
    relay.control({ minimumTokenLife: 60, tokenGrace: 300 });
  });
});

describe('the knobs', () => {
  before(() => freshRelay());

  test('cut closes the listeners and lets none in until it ends', async () => {
    const listener = await RawListener.open();
    relay.control({ cut: true });
    assert.equal((await listener.closed).code, 1011);
    await assert.rejects(RawListener.open(), { status: 503 });
    relay.control({ cut: false });
    (await RawListener.open()).socket.terminate();
  });

  test('a close code is the one asked for; dropping says nothing', async () => {
    const first = await RawListener.open();
    relay.control({ closeCode: 1001, closeReason: 'gone' });
    assert.deepEqual(await first.closed, { code: 1001, reason: 'gone' });

    const second = await RawListener.open();
    relay.control({ dropListeners: true });
    assert.equal((await second.closed).code, 1006);
  });

  test('delay holds a request back', async () => {
    const listener = await RawListener.open();
    relay.control({ delay: 150 });
    const started = performance.now();
    const answer = send(`/${PATH}`);
    const { id } = await listener.nextRequest();
    assert.ok(performance.now() - started >= 145);
    listener.respond({ requestId: id, statusCode: 200 }, '');
    await answer;
  });

  test('a knob that does not exist is refused', () => {
    assert.throws(() => relay.control({ cutt: true }), /unknown knob/);
    assert.throws(() => relay.control({ cut: 'yes' }), /takes a boolean/);
  });
});

test('senders are spread over the listeners', async () => {
  freshRelay();
  const listeners = await Promise.all([RawListener.open(), RawListener.open()]);
  const served = [0, 0];
  listeners.forEach((listener, i) =>
    listener.socket.on('message', (data) => {
      served[i]++;
      listener.respond({ requestId: JSON.parse(data).request.id, statusCode: 200 }, '');
    }));
  await Promise.all(Array.from({ length: 100 }, () => send(`/${PATH}`)));
  assert.equal(served[0] + served[1], 100);
  assert.ok(served[0] > 0 && served[1] > 0);
});
