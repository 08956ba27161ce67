// SPDX-License-Identifier: Apache-2.0

// A sender that wants a WebSocket. The listener of password writeback serves HTTP only and refuses
// each; so what the stand-in carries is the refusal, not the socket.

import { refuseUpgrade, trackingId } from './relay-tracking.mjs';

const SENDER_WAITS = 30_000;

export class Accept {
  #request;
  #socket;
  #options;
  #timer;

  /** options {address(id), system, onEnd} */
  constructor(request, socket, options) {
    this.id = trackingId();
    this.#request = request;
    this.#socket = socket;
    this.#options = options;
    this.#timer = setTimeout(
      () => this.#finish({ status: 504, message: 'The listener did not accept the connection' }),
      SENDER_WAITS);
    socket.on('error', () => {});
    socket.on('close', () => this.#end());
  }

  deliver(channel) {
    const { headers, socket } = this.#request;
    const accept = {
      address: this.#options.address(this.id),
      id: this.id,
      connectHeaders: headers,
      remoteEndpoint: { address: socket.remoteAddress, port: socket.remotePort },
    };
    // The service's serialiser of this one message escapes slashes.
    channel.socket.send(JSON.stringify({ accept }).replaceAll('/', '\\/'));
  }

  /** The listener came to the address; `query` says whether it refuses, and how. Returns the
   * handshake's own end, which is a refusal by design: no socket comes of it. */
  meet(query) {
    const status = Number(query.get('sb-hc-statusCode'));
    if (!status) {
      this.#finish({ status: 501, message: 'This stand-in carries no WebSockets' });
      return { status: 501, message: 'This stand-in carries no WebSockets' };
    }
    this.#finish({ status, message: query.get('sb-hc-statusDescription') ?? 'Rejected' });
    return { status: 410, message: 'Gone' };
  }

  #finish(refusal) {
    refuseUpgrade(this.#socket, refusal, this.#options.system);
    this.#end();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#options.onEnd(this);
  }
}
