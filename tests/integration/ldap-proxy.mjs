// SPDX-License-Identifier: Apache-2.0

// A way to a controller on which an answer can be lost. What passes is encrypted end to end, so
// requests are told apart by counting: one request of the agent's is one TLS record.

import { once } from 'node:events';
import net from 'node:net';

const APPLICATION_DATA = 0x17;
const HEADER_SIZE = 5;

export class LdapProxy {
  #server = net.createServer((socket) => this.#connect(socket));
  #sockets = new Set();
  #fault;
  #isAway = false;

  constructor(host, port) {
    this.host = host;
    this.port = port;
  }

  async listen(port) {
    this.#server.listen(port, this.host);
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

  /**
   * The next request but `skip` is lost, once. Its connection is cut, others pass. Resolves when
   * that has happened.
   *
   *     swallowed   the controller never gets it
   *     answered    the controller gets it and answers, and the answer is lost
   *     silent      the same, but the connection stays: from now on nothing comes back on it
   */
  lose(how, skip) {
    return new Promise((resolve) => {
      this.#fault = { how, skip, resolve };
    });
  }

  #connect(client) {
    if (this.#isAway) {
      client.destroy();
      return;
    }
    const server = net.connect(this.port, this.host);
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
  }

  /** Whole records only, so that what is cut is cut between two. */
  #takeRequests(connection, data) {
    let rest = Buffer.concat([connection.rest, data]);
    while (rest.length >= HEADER_SIZE && rest.length >= HEADER_SIZE + rest.readUInt16BE(3)) {
      const size = HEADER_SIZE + rest.readUInt16BE(3);
      this.#takeRecord(connection, rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    connection.rest = rest;
  }

  #takeRecord(connection, record) {
    if (this.#fault && record[0] === APPLICATION_DATA && this.#fault.skip-- === 0) {
      connection.fault = this.#fault;
      this.#fault = undefined;
      connection.isMute = true;
      if (connection.fault.how === 'swallowed') this.#cut(connection);
    }
    if (!connection.server.destroyed) connection.server.write(record);
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
