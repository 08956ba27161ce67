// SPDX-License-Identifier: Apache-2.0

// One HTTP request of a sender, carried to a listener and answered.
//
// A request goes down the control channel, or by a pointer to a rendezvous where its body is longer
// than 64 KiB or of a length that is not known beforehand. A response comes back where the request
// went, or by rendezvous where the listener chose so.

import { STATUS_CODES } from 'node:http';

import { readResponses } from './relay-responses.mjs';
import { refuse, trackingId } from './relay-tracking.mjs';

export const CONTROL_BODY_MAX = 64 * 1024;
const FRAGMENT = 32 * 1024;

const NOT_CARRIED = new Set([
  'connection', 'content-length', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'close',
  'keep-alive', 'proxy-connection', 'expect', 'servicebusauthorization',
]);

const NO_ANSWER = {
  status: 504,
  code: 'GatewayTimeout',
  message:
    'The request was routed to the listener but the listener did not respond in the required time',
};

const UNPROCESSABLE = {
  status: 500,
  code: 'InternalServerError',
  message: 'The service was unable to process the request',
};

/** The query without its sb-hc-…= pairs; all else stays byte for byte, as does a name with no "=". */
export function filterQuery(target) {
  const start = target.indexOf('?');
  if (start < 0) return target;

  const kept = target.slice(start + 1).split('&').filter((pair) => !/^sb-hc-[^=]*=/i.test(pair));
  return target.slice(0, start) + (kept.length ? `?${kept.join('&')}` : '');
}

// The service hands the path over with its percent-escapes resolved (azure-relay-java#83).
function unescapePath(target) {
  const [, path, query] = /^([^?]*)(.*)$/s.exec(target);
  try {
    return decodeURIComponent(path) + query;
  } catch {
    return target;
  }
}

/** The headers that reach the listener: one string a name, repeated ones joined. */
function carriedHeaders(request, { host, spentAuthorization }) {
  const headers = {};
  const spelling = new Map(); // lower case to the sender's own
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = request.rawHeaders.slice(i, i + 2);
    const lower = name.toLowerCase();
    if (NOT_CARRIED.has(lower) || (spentAuthorization && lower === 'authorization')) continue;

    if (!spelling.has(lower)) spelling.set(lower, name);
    const known = spelling.get(lower);
    headers[known] = known in headers ? `${headers[known]}, ${value}` : value;
  }
  const via = spelling.get('via') ?? 'Via';
  headers[via] = [headers[via], `1.1 ${host}`].filter(Boolean).join(', ');
  return headers;
}

export class Exchange {
  #request;
  #response;
  #body;
  #options;
  #timer;
  #rendezvous = null;
  #done = false;

  /**
   * request, response  of the HTTP server; body its whole body
   * options            {host, system, address(id), spentAuthorization, timeout, onEnd(exchange),
   *                    onViolation(text)}; system is how refusals call the relay
   */
  constructor(request, response, body, options) {
    this.id = trackingId();
    this.#request = request;
    this.#response = response;
    this.#body = body;
    this.#options = options;

    const chunked = 'transfer-encoding' in request.headers;
    this.isPointer = chunked || body.length > CONTROL_BODY_MAX;

    this.#restartTimer();
    response.on('close', () => this.#senderGone());
  }

  /** Sends the request, or the pointer to it, down a listener's control channel. */
  deliver(channel) {
    if (this.#done) return;
    this.channel = channel;
    if (this.isPointer)
      channel.socket.send(JSON.stringify({ request: { address: this.#address } }));
    else this.#sendRequest(channel.socket, (socket) => socket.send(this.#body));
  }

  /** Whether a listener came to the address, which is good for one meeting. */
  get isMet() {
    return this.#rendezvous !== null;
  }

  /** A listener opened this exchange's address. */
  meet(socket) {
    this.#rendezvous = socket;
    const onResponse = (response, body) => {
      if (response.requestId !== this.id) return this.#breach('a response to another request');
      this.answer(response, body);
      socket.close(1000);
    };
    readResponses(socket, {
      onResponse,
      onHead: () => this.#restartTimer(),
      onRenewal: () => this.#breach('renewToken on a rendezvous'),
      onViolation: (text) => this.#breach(text),
    });
    if (this.isPointer)
      this.#sendRequest(socket, (to) => {
        // As the service does: fragments without FIN, then an empty one with it.
        for (let at = 0; at < this.#body.length; at += FRAGMENT)
          to.send(this.#body.subarray(at, at + FRAGMENT), { binary: true, fin: false });
        to.send(Buffer.alloc(0), { binary: true, fin: true });
      });
  }

  /** The listener's response is here, whole. */
  answer({ statusCode, statusDescription, responseHeaders }, body) {
    const status = Number(statusCode); // a number, or digits in a string
    if (!Number.isInteger(status) || status < 200 || status > 999) {
      this.#options.onViolation(`status code ${JSON.stringify(statusCode)}`);
      return this.fail(UNPROCESSABLE);
    }

    const headers = {};
    for (const [name, value] of Object.entries(responseHeaders ?? {}))
      if (NOT_CARRIED.has(name.toLowerCase())) this.#options.onViolation(`response header ${name}`);
      else headers[name] = value;
    headers.Via = `1.1 ${this.#options.host}`;

    if (!this.#end()) return;
    try {
      this.#response.writeHead(status, statusDescription || STATUS_CODES[status] || 'Unknown', headers);
      this.#response.end(body ?? undefined);
    } catch (error) {
      this.#options.onViolation(`a response that HTTP cannot carry: ${error.message}`);
      this.#response.destroy();
    }
  }

  fail(refusal) {
    if (!this.#end()) return;
    refuse(this.#response, refusal, this.#options.system);
    this.#rendezvous?.close(1011);
  }

  headCame() {
    this.#restartTimer();
  }

  get #address() {
    return this.#options.address(this.id);
  }

  #sendRequest(socket, sendBody) {
    const hasBody = this.isPointer || this.#body.length > 0;
    const { remoteAddress, remotePort } = this.#request.socket;
    const request = {
      address: this.#address,
      id: this.id,
      requestTarget: unescapePath(filterQuery(this.#request.url)),
      method: this.#request.method,
      remoteEndpoint: { address: remoteAddress, port: remotePort },
      requestHeaders: carriedHeaders(this.#request, this.#options),
      body: hasBody,
    };
    socket.send(JSON.stringify({ request }));
    if (hasBody) sendBody(socket);
  }

  #breach(text) {
    this.#options.onViolation(text);
    this.#rendezvous.close(1002, 'A response message was expected');
    this.fail(UNPROCESSABLE);
  }

  #restartTimer() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fail(NO_ANSWER), this.#options.timeout);
  }

  #senderGone() {
    if (this.#end()) this.#rendezvous?.close(1001);
  }

  #end() {
    if (this.#done) return false;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#options.onEnd(this);
    return true;
  }
}
