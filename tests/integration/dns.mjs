// SPDX-License-Identifier: Apache-2.0

// A name server that answers with the SRV records it is given, for what the controllers' own cannot be made to say.

import dgram from 'node:dgram';

const NXDOMAIN = 3;
const SRV = 33;

function readName(message, at) {
  const labels = [];
  while (message[at]) {
    labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
    at += 1 + message[at];
  }
  return [labels.join('.'), at + 1];
}

function writeName(name) {
  const labels = name.split('.').filter(Boolean).map((label) => [label.length, ...Buffer.from(label)]);
  return [...labels.flat(), 0];
}

const u16 = (n) => [n >> 8, n & 255];

export class NameServer {
  /** name → [{priority, weight, port, target}], or a function that gives that; the others do not exist. */
  records = {};
  /** Every name that was asked for. */
  asked = [];
  isSilent = false;
  /** Names of which nothing is said. */
  silentNames = [];
  #socket = dgram.createSocket('udp4');

  async listen(address) {
    this.#socket.on('message', (message, from) => {
      const [name, end] = readName(message, 12);
      this.asked.push(name);
      if (!this.isSilent && !this.silentNames.includes(name)) this.#socket.send(this.#answer(message, name, end), from.port, from.address);
    });
    await new Promise((resolve) => this.#socket.bind(53, address, resolve));
  }

  #answer(query, name, end) {
    const known = this.records[name];
    const records = (query.readUInt16BE(end) === SRV && (typeof known === 'function' ? known() : known)) || [];
    const answers = records.flatMap(({ priority = 0, weight = 100, port = 389, target, ttl = 600 }) => {
      const data = [...u16(priority), ...u16(weight), ...u16(port), ...writeName(target)];
      return [0xc0, 12, ...u16(SRV), ...u16(1), ...u16(ttl >> 16), ...u16(ttl & 0xffff), ...u16(data.length), ...data];
    });
    return Buffer.from([
      query[0], query[1], 0x85, 0x80 | (known ? 0 : NXDOMAIN), ...u16(1), ...u16(records.length), 0, 0, 0, 0,
      ...query.subarray(12, end + 4), ...answers]);
  }

  close() {
    this.#socket.close();
  }
}
