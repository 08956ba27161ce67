// SPDX-License-Identifier: Apache-2.0

// A way into a lab, whose network is its own: node forward.mjs SOCKET [PORT]
//
// Listens on 127.0.0.1:PORT (0, the default, is any), prints "http://127.0.0.1:PORT/" and carries
// each connection to the Unix socket SOCKET, which need not be there yet. Ends on SIGTERM.

import net from 'node:net';

const [socketPath, port = '0'] = process.argv.slice(2);
if (!socketPath) {
  console.error('usage: node forward.mjs SOCKET [PORT]');
  process.exit(2);
}

const server = net.createServer((near) => {
  const far = net.connect(socketPath);
  near.pipe(far).pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
});
server.on('error', (error) => {
  console.error(`forward: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${server.address().port}/`));
