// SPDX-License-Identifier: Apache-2.0

// A stand-in for one hybrid connection of Azure Relay. It speaks what Microsoft documents in
// azure-relay/relay-hybrid-connections-protocol and what the service is known to do beyond that;
// Microsoft's own listener for Node is the witness (tests/integration/cloud.test.mjs).

import { Accept } from './relay-accept.mjs';
import { CONTROL_BODY_MAX, Exchange } from './relay-exchange.mjs';
import { readResponses } from './relay-responses.mjs';
import { refuse, refuseUpgrade, trackingId } from './relay-tracking.mjs';
import { checkSas } from './sas.mjs';
import { WebSocketServer } from './packages.mjs';

const LISTENERS_MAX = 25;
const REQUEST_BODY_MAX = 64 * 1024 * 1024;
const VIOLATIONS_KEPT = 100;

const NO_ENTITY = { status: 404, code: 'EndpointNotFound', message: 'Endpoint does not exist' };
const NO_LISTENER = {
  status: 404,
  code: 'EndpointNotFound',
  message: 'There are no listeners connected for the endpoint',
};
const FORBIDDEN = { status: 403, code: 'Forbidden', message: 'The rendezvous address is not valid any more' };
const QUOTA = { status: 403, code: 'Forbidden', message: 'QuotaExceeded: too many listeners' };
const CUT = { status: 503, code: 'InternalServerError', message: 'The service is unavailable' };
const TOO_LARGE = { status: 413, code: 'RequestEntityTooLarge', message: 'The request is too large' };

export class Relay {
  #host;
  #path;
  #rules;
  #date;
  #log;
  #channels = new Set(); // listeners: {socket, expiry, timer}
  #waiting = new Map(); // id to Exchange or Accept
  #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: REQUEST_BODY_MAX,
    maxFragments: 0, // hyco-https sends a fragment a write, in its own tests 66,000 a message
    maxBufferedChunks: 0,
  });
  #knobs = {
    cut: false, // no listener is let in
    delay: 0, // ms before a request goes to its listener
    responseTimeout: 60_000, // ms a listener has to answer
    minimumTokenLife: 60, // s that a listener's token must still be good for
    tokenGrace: 300, // s that a listener stays after its token's end
  };
  #counts = { requests: 0, renewals: 0, connects: 0 };
  #violations = [];

  /**
   * host   HOST[:PORT] by which senders and listeners reach it
   * path   of the hybrid connection
   * rules  [{name, key, rights: ['Listen', 'Send']}]
   * date   what its clock shows, as HTTP writes it
   */
  constructor({ host, path, rules, date = () => new Date().toUTCString(), log = () => {} }) {
    this.#host = host;
    this.#path = path;
    this.#rules = rules;
    this.#date = date;
    this.#log = log;
    this.#server.on('headers', (headers, request) =>
      headers.push(`TrackingId: ${trackingId(this.#query(request).get('sb-hc-id') ?? undefined)}`, `Date: ${this.#date()}`));
  }

  /** An HTTP request: a sender's. */
  async handleRequest(request, response) {
    const { pathname } = new URL(request.url, 'https://relay');
    if (!this.#isBelowPath(pathname)) return this.#refuse(response, NO_ENTITY);

    const query = this.#query(request);
    const { servicebusauthorization, authorization } = request.headers;
    const relayToken = query.get('sb-hc-token') ?? servicebusauthorization;
    const refusal = this.#check(relayToken ?? authorization, 'Send');
    if (refusal) return this.#refuse(response, refusal);

    const body = await readBody(request);
    if (!body) return this.#refuse(response, TOO_LARGE);

    const channel = this.#anyListener();
    if (!channel) return this.#refuse(response, NO_LISTENER);

    const exchange = new Exchange(request, response, body, {
      host: this.#host,
      system: this.#system,
      address: (id) => this.#address('request', id),
      spentAuthorization: relayToken === undefined,
      timeout: this.#knobs.responseTimeout,
      onEnd: ({ id }) => this.#waiting.delete(id),
      onViolation: (text) => this.#violation(text),
    });
    this.#waiting.set(exchange.id, exchange);
    this.#counts.requests++;
    const way = exchange.isPointer ? 'rendezvous' : 'control channel';
    this.#log(`${request.method} ${pathname}, ${body.length} bytes, by ${way}`);
    this.#deliver(exchange, channel);
  }

  /** A WebSocket handshake: a listener's, on a control channel or to a rendezvous, or a sender's. */
  handleUpgrade(request, socket, head) {
    const { pathname } = new URL(request.url, 'https://relay');
    if (!pathname.startsWith('/$hc/') || !this.#isBelowPath(pathname.slice('/$hc'.length)))
      return refuseUpgrade(socket, NO_ENTITY, this.#system);

    const query = this.#query(request);
    const action = query.get('sb-hc-action') ?? 'connect';
    if (action === 'listen') return this.#listen(request, socket, head);
    if (action === 'connect') return this.#connect(request, socket);
    if (action === 'request') return this.#rendezvous(request, socket, head);
    if (action === 'accept') return this.#accept(query, socket);
    refuseUpgrade(socket, { status: 400, message: `Unknown action '${action}'` }, this.#system);
  }

  /** What stands and what has happened. */
  status() {
    return {
      listeners: this.#channels.size,
      waiting: this.#waiting.size,
      ...this.#counts,
      ...this.#knobs,
      violations: this.#violations,
    };
  }

  /**
   * Makes trouble. Beside the knobs above, which stay as they are set:
   *   cut: true      also closes every listener
   *   closeCode      closes every listener with that code, and closeReason
   *   dropListeners  breaks their connections off without a word
   */
  control({ closeCode, closeReason, dropListeners, ...knobs }) {
    for (const [name, value] of Object.entries(knobs)) {
      if (!(name in this.#knobs)) throw new Error(`unknown knob '${name}'`);
      if (typeof value !== typeof this.#knobs[name])
        throw new Error(`'${name}' takes a ${typeof this.#knobs[name]}`);
    }
    Object.assign(this.#knobs, knobs);

    for (const { socket } of this.#channels) {
      if (dropListeners) socket.terminate();
      else if (closeCode) socket.close(closeCode, closeReason);
      else if (knobs.cut) socket.close(1011, 'The service is unavailable');
    }
    this.#log(`control: ${JSON.stringify({ closeCode, closeReason, dropListeners, ...knobs })}`);
    return this.status();
  }

  close() {
    for (const { socket } of this.#channels) socket.terminate();
  }

  #listen(request, socket, head) {
    const token = request.headers.servicebusauthorization ?? this.#query(request).get('sb-hc-token');
    const refusal =
      (this.#knobs.cut && CUT) ||
      this.#check(token, 'Listen', this.#knobs.minimumTokenLife) ||
      (this.#channels.size >= LISTENERS_MAX && QUOTA);
    if (refusal) {
      this.#log(`listener refused: ${refusal.status} ${refusal.message}`);
      return refuseUpgrade(socket, refusal, this.#system, this.#date());
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => this.#addListener(ws, token));
  }

  #addListener(socket, token) {
    const channel = { socket };
    this.#channels.add(channel);
    this.#counts.connects++;
    this.#log(`listener connected, ${this.#channels.size} now`);
    this.#watchExpiry(channel, token);

    socket.on('error', () => {}); // 'close' follows
    socket.on('close', (code) => {
      clearTimeout(channel.timer);
      this.#channels.delete(channel);
      this.#log(`listener gone (${code}), ${this.#channels.size} left`);
    });
    readResponses(socket, {
      onResponse: (response, body) => this.#respond(channel, response, body),
      onHead: ({ requestId }) => this.#waiting.get(requestId)?.headCame?.(),
      onRenewal: (renewed) => this.#renew(channel, renewed),
      onViolation: (text) => this.#violation(text),
    });
  }

  #respond(channel, response, body) {
    const exchange = this.#waiting.get(response.requestId);
    if (!exchange) return this.#violation('a response to a request that is not waiting');
    if (exchange.channel !== channel || exchange.isPointer)
      return this.#violation('a response that came another way than its request');
    if (body && body.length > CONTROL_BODY_MAX) {
      this.#violation('a body of more than 64 KiB on the control channel');
      return channel.socket.close(1009, 'The message is too large');
    }
    exchange.answer(response, body);
  }

  #renew(channel, token) {
    const refusal = this.#check(token, 'Listen');
    if (refusal) return channel.socket.close(1008, refusal.message);
    this.#counts.renewals++;
    this.#watchExpiry(channel, token);
    this.#log('listener renewed its token');
  }

  #watchExpiry(channel, token) {
    const { expiry } = checkSas(token, this.#demand('Listen'));
    const left = (expiry + this.#knobs.tokenGrace) * 1000 - Date.now();
    clearTimeout(channel.timer);
    channel.timer = setTimeout(
      () => channel.socket.close(1008, 'ExpiredToken: The token is expired.'),
      Math.min(left, 2 ** 31 - 1)); // what a timer can hold
  }

  #connect(request, socket) {
    const { servicebusauthorization } = request.headers;
    const token = this.#query(request).get('sb-hc-token') ?? servicebusauthorization;
    const channel = this.#anyListener();
    const refusal = this.#check(token, 'Send') || (!channel && NO_LISTENER);
    if (refusal) return refuseUpgrade(socket, refusal, this.#system);

    const accept = new Accept(request, socket, {
      system: this.#system,
      address: (id) => this.#address('accept', id),
      onEnd: ({ id }) => this.#waiting.delete(id),
    });
    this.#waiting.set(accept.id, accept);
    this.#log('a sender asks for a WebSocket');
    this.#deliver(accept, channel);
  }

  #accept(query, socket) {
    const accept = this.#waiting.get(query.get('sb-hc-id'));
    const end = accept instanceof Accept ? accept.meet(query) : FORBIDDEN;
    refuseUpgrade(socket, end, this.#system);
  }

  #rendezvous(request, socket, head) {
    const exchange = this.#waiting.get(this.#query(request).get('sb-hc-id'));
    if (!(exchange instanceof Exchange) || exchange.isMet)
      return refuseUpgrade(socket, FORBIDDEN, this.#system);

    this.#server.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => {});
      exchange.meet(ws);
    });
  }

  #deliver(what, channel) {
    if (!this.#knobs.delay) return what.deliver(channel);
    setTimeout(() => what.deliver(channel), this.#knobs.delay);
  }

  #anyListener() {
    const channels = [...this.#channels].filter(({ socket }) => socket.readyState === socket.OPEN);
    return channels[Math.floor(Math.random() * channels.length)];
  }

  #demand(right, minimumLife) {
    return { rules: this.#rules, resource: `http://${this.#host}/${this.#path}`, right, minimumLife };
  }

  // The refusal, or undefined where the token is good.
  #check(token, right, minimumLife) {
    const result = checkSas(token, this.#demand(right, minimumLife));
    return result.status ? result : undefined;
  }

  #isBelowPath(pathname) {
    return `${pathname}/`.toLowerCase().startsWith(`/${this.#path}/`.toLowerCase());
  }

  #address(action, id) {
    return `wss://${this.#host}/$hc/${this.#path}?sb-hc-action=${action}&sb-hc-id=${id}`;
  }

  #query(request) {
    return new URL(request.url, 'https://relay').searchParams;
  }

  get #system() {
    return `sb://${this.#host}/${this.#path}`;
  }

  #refuse(response, refusal) {
    this.#log(`sender refused: ${refusal.status} ${refusal.message}`);
    refuse(response, refusal, this.#system);
  }

  #violation(text) {
    this.#log(`the listener broke the protocol: ${text}`);
    this.#violations.push(text);
    this.#violations.splice(0, this.#violations.length - VIOLATIONS_KEPT);
  }
}

// The whole body; null where it is too large (it is read to its end nevertheless: the answer is
// only seen by a sender that is done sending).
async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length <= REQUEST_BODY_MAX) chunks.push(chunk);
  }
  return length <= REQUEST_BODY_MAX ? Buffer.concat(chunks) : null;
}
