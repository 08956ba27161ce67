// SPDX-License-Identifier: Apache-2.0

// How the relay tells what went wrong: a reason phrase with a tracking id, and the same as JSON.

import { randomUUID } from 'node:crypto';

/** An id as the service makes them: a GUID and the role instance that made it. */
export const trackingId = (guid = randomUUID()) => `${guid}_G${Math.floor(Math.random() * 60)}`;

// One line of ASCII, as a reason phrase must be; a listener's own words may be in it.
const sentence = ({ message }, system) =>
  `${message.replace(/[^\x20-\x7e]/g, ' ').replace(/\.?$/, '.')} TrackingId:${trackingId()}, SystemTracker:${system}, ` +
  `Timestamp:${new Date().toISOString().slice(0, 19)}`;

/** Answers an HTTP request with {status, code, message}. */
export function refuse(response, refusal, system) {
  const message = sentence(refusal, system);
  response.writeHead(refusal.status, message, {
    'Content-Type': 'application/json; charset=utf-8',
  });
  response.end(JSON.stringify({ error: { code: refusal.code, message } }));
}

/** Answers a WebSocket handshake with {status, message} and no socket. */
export function refuseUpgrade(socket, refusal, system, date = new Date().toUTCString()) {
  socket.on('error', () => {}); // the peer may be gone already
  socket.end(
    `HTTP/1.1 ${refusal.status} ${sentence(refusal, system)}\r\n` +
      `Server: Microsoft-HTTPAPI/2.0\r\nDate: ${date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}
