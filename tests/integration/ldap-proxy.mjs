// SPDX-License-Identifier: Apache-2.0

// A way to a controller on which a change, or the answer to it, can be lost. It has the
// controller's own certificate, so that it sees which request is a change: the agent may look at
// other things at any time, to keep a connection alive for instance.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';

const { env } = process;
const CA_FOLDER = `${env.WRITEBACK_LAB_SCRATCH}/ca`;

// BER tags of RFC 4511 section 4.2 and on.
const MODIFY_REQUEST = 0x66;

/** Content of the element at `at`: where it begins and ends; undefined where some is still to come. */
function element(data, at) {
  if (data.length < at + 2) return undefined;
  const short = data[at + 1];
  const n = short < 0x80 ? 0 : short - 0x80;
  const begin = at + 2 + n;
  if (data.length < begin) return undefined;
  const end = begin + (n ? data.readUIntBE(at + 2, n) : short);
  return data.length < end ? undefined : { begin, end };
}

/** The LDAP messages that are complete in `data`, and the rest. */
function messages(data) {
  const whole = [];
  for (let message; (message = element(data, 0)); data = data.subarray(message.end)) {
    const id = element(data, message.begin);
    whole.push({ bytes: data.subarray(0, message.end), operation: data[id.end] });
  }
  return { whole, rest: data };
}

export class LdapProxy {
  #server;
  #authority = readFileSync(env.WRITEBACK_LAB_DC_CA);
  #sockets = new Set();
  #fault;
  #isAway = false;
  #isHolding = false;

  /** To the controller of this host name. */
  constructor(name, port) {
    const [host] = name.split('.');
    this.name = name;
    this.port = port;
    this.#server = tls.createServer({
      cert: readFileSync(`${CA_FOLDER}/${host}.pem`),
      key: readFileSync(`${CA_FOLDER}/${host}.key`),
    }, (socket) => this.#connect(socket));
    this.#server.on('tlsClientError', () => {});
  }

  /** At the controller's own address. */
  async listen(port) {
    this.#server.listen(port, this.name);
    await once(this.#server, 'listening');
    return this;
  }

  close() {
    this.leave();
    this.#server.close();
  }

  /** As if the controller were gone, until it is back. */
  leave() {
    this.#isAway = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  comeBack() {
    this.#isAway = false;
  }

  /** Nothing passes any more, until letGo(). */
  hold() {
    this.#isHolding = true;
    for (const socket of this.#sockets) socket.pause();
  }

  letGo() {
    this.#isHolding = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /**
   * The next change but `skip` is lost, once. Its connection is cut, others pass. Resolves when
   * that has happened.
   *
   *     swallowed   the controller never gets it
   *     answered    the controller gets it and answers, and the answer is lost
   *     silent      the same, but the connection stays: from now on nothing comes back on it
   */
  lose(how, skip = 0) {
    return new Promise((resolve) => {
      this.#fault = { how, skip, resolve };
    });
  }

  #connect(client) {
    if (this.#isAway) {
      client.destroy();
      return;
    }
    const server = tls.connect({ host: this.name, port: this.port, ca: this.#authority });
    const connection = { client, server, rest: Buffer.alloc(0), isMute: false };
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (data) => this.#takeRequests(connection, data));
    server.on('data', (data) => this.#takeAnswer(connection, data));
    if (this.#isHolding) this.hold();
  }

  #takeRequests(connection, data) {
    const { whole, rest } = messages(Buffer.concat([connection.rest, data]));
    connection.rest = rest;
    for (const message of whole) this.#takeRequest(connection, message);
  }

  #takeRequest(connection, { bytes, operation }) {
    if (this.#fault && operation === MODIFY_REQUEST && this.#fault.skip-- === 0) {
      connection.fault = this.#fault;
      this.#fault = undefined;
      connection.isMute = true;
      if (connection.fault.how === 'swallowed') this.#cut(connection);
    }
    if (!connection.server.destroyed) connection.server.write(bytes);
  }

  #takeAnswer(connection, data) {
    if (!connection.isMute) connection.client.write(data);
    else if (connection.fault.how === 'answered') this.#cut(connection);
    else connection.fault.resolve();
  }

  #cut({ client, server, fault }) {
    client.destroy();
    server.destroy();
    fault.resolve();
  }
}
