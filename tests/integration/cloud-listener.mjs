// SPDX-License-Identifier: Apache-2.0

// Microsoft's own listener (hyco-https) with a handler that cloud.test.mjs talks to through the
// stand-in relay. Its own process, because it only trusts what NODE_EXTRA_CA_CERTS names.
//
//     HOST PATH RULE KEY     as arguments; tells its parent "listening"

import { load } from '../lab/cloud/packages.mjs';

const relay = load('hyco-https');
const [host, path, rule, key] = process.argv.slice(2);
const uri = `https://${host}/${path}`;

// hyco-https never ends a response that is ended with an empty buffer.
const end = (response, body) => (body.length ? response.end(body) : response.end());

const handlers = {
  '/echo': (request, response, body) => end(response, body),
  '/size': (request, response, body, query) =>
    end(response, Buffer.alloc(Number(query.get('n')), 'x')),
  '/seen': ({ method, url, headers }, response) =>
    response.end(JSON.stringify({ method, url, headers })),
  '/status': (request, response, body, query) => {
    response.writeHead(Number(query.get('code')), query.get('reason') ?? undefined, {
      'Content-Type': 'text/plain',
    });
    response.end();
  },
  '/never': () => {},
};

const server = relay.createRelayedServer(
  {
    server: `wss://${host}/$hc/${path}?sb-hc-action=listen`,
    token: () => relay.createRelayToken(uri, rule, key),
  },
  (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'https://relay');
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () =>
      handlers[pathname.slice(path.length + 1)](request, response, Buffer.concat(chunks), searchParams));
  });
server.on('listening', () => process.send('listening'));
server.on('error', (error) => process.send(`error: ${error.message}`));
server.listen();
process.on('disconnect', () => process.exit(0));
