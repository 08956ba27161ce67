// SPDX-License-Identifier: Apache-2.0
'use strict';
// An HTTPS server, and an HTTP proxy beside it, that do what the test at the other end of the pipe
// says: one JSON object a line in, one JSON value a line out. It ends when the pipe is closed.
//
//   {"answer": PATH, "status": 200, "headers": {}, "body": TEXT | "size": BYTES, "cut": BOOLEAN}
//                       what PATH answers; cut: and the connection ends before the answer does
//   {"count": PATH}     how often it was asked for
//   {"last": PATH}      method, type, authorization and body of the last request
//   {"hold": BOOLEAN}   whether requests wait for their answer
//   {"up": BOOLEAN}     whether anybody listens
//   {"proxy": STATUS}   what the proxy answers; 200: it connects
const fs = require('fs');
const http = require('http');
const https = require('https');
const net = require('net');
const readline = require('readline');

const answers = new Map(), counts = new Map(), lasts = new Map(), sockets = new Set();
let held = null, proxyStatus = 200;
// It is left and taken again, so it is below those that go to whoever wants any.
let port = 20_000 + process.pid % 10_000, isTaken = false;

function answer(request, response) {
  const { status = 404, headers = {}, body = '', size, cut } = answers.get(request.url) ?? {};
  response.writeHead(status, headers);
  if (cut) response.write(body, () => response.socket.end());
  else response.end(size === undefined ? body : Buffer.alloc(size, 'x'));
}

function onRequest(request, response) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    counts.set(request.url, (counts.get(request.url) ?? 0) + 1);
    lasts.set(request.url, {
      method: request.method, type: request.headers['content-type'] ?? null,
      authorization: request.headers.authorization ?? null,
      body: Buffer.concat(chunks).toString(),
    });
    if (held) held.push(() => answer(request, response));
    else answer(request, response);
  });
}

const server = https.createServer(
  { key: fs.readFileSync('server.key'), cert: fs.readFileSync('server.pem') }, onRequest);
const proxy = http.createServer();

server.on('connection', (socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});

proxy.on('connect', (request, client) => {
  client.on('error', () => {});
  if (proxyStatus !== 200) {
    client.end(`HTTP/1.1 ${proxyStatus} No\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  counts.set('proxy', (counts.get('proxy') ?? 0) + 1);
  lasts.set('proxy', { method: request.method, authorization: request.headers.authorization ?? null });
  const upstream = net.connect(port, '127.0.0.1', () => {
    client.write('HTTP/1.1 200 OK\r\n\r\n');
    upstream.pipe(client).pipe(upstream);
  });
  upstream.on('error', () => client.destroy());
});

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const listen = () => server.listen(port, '127.0.0.1');
server.on('listening', () => {
  isTaken = true;
  say(port);
});
server.on('error', (error) => {
  if (isTaken || error.code !== 'EADDRINUSE') throw error;
  port++;
  listen();
});

function obey(order) {
  if ('answer' in order) {
    answers.set(order.answer, order);
    say(true);
  } else if ('count' in order) {
    say(counts.get(order.count) ?? 0);
  } else if ('last' in order) {
    say(lasts.get(order.last) ?? null);
  } else if ('hold' in order) {
    const ready = held ?? [];
    held = order.hold ? ready : null;
    if (!order.hold) ready.forEach((release) => release());
    say(true);
  } else if ('proxy' in order) {
    proxyStatus = order.proxy;
    say(true);
  } else if (order.up) {
    listen();
  } else {
    server.close(() => say(true));
    sockets.forEach((socket) => socket.destroy());
  }
}

proxy.listen(0, '127.0.0.1', () => {
  say(proxy.address().port);
  listen();
});
readline.createInterface({ input: process.stdin })
  .on('line', (line) => obey(JSON.parse(line)))
  .on('close', () => process.exit(0));
