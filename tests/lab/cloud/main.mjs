// SPDX-License-Identifier: Apache-2.0

// The stand-in cloud: node main.mjs FOLDER
//
// Serves on CLOUD_ADDRESS (127.0.0.10), by the name that is asked for:
//   https://relay.lab.example    Azure Relay with one hybrid connection, "writeback"
//   https://login.lab.example    the token issuer, for the agent itself too
//   https://graph.lab.example    Microsoft Graph
//   https://report.lab.example   where agents report their health
//   https://portal.lab.example   the portal
// with CLOUD_CA_FOLDER's cloud.pem and cloud.key, to be trusted by its ca.pem; graph.pem there, if
// any, is the agent's own certificate. The knobs for faults are at
// http://CLOUD_ADDRESS:8090/control/relay, …/issuer, …/graph, …/reports and …/clocks, on that
// address only.
//
// Prints "ready" once it serves and FOLDER/cloud.env is written, which a shell can source. Logs to
// FOLDER/cloud.log. Ends on SIGTERM.

import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

import { Client } from './client.mjs';
import { Clocks } from './clocks.mjs';
import { Control } from './control.mjs';
import { Graph } from './graph.mjs';
import { Issuer } from './issuer.mjs';
import { Portal } from './portal.mjs';
import { Relay } from './relay.mjs';
import { Reports } from './reports.mjs';
import { createSas } from './sas.mjs';

const RELAY = 'relay.lab.example';
const LOGIN = 'login.lab.example';
const GRAPH = 'graph.lab.example';
const REPORT = 'report.lab.example';
const PORTAL = 'portal.lab.example';
const HYBRID_CONNECTION = 'writeback';
const CONTROL_PORT = 8090;
const HTTP_METADATA_MAX = 32 * 1024; // what the relay carries of headers
const SEND_TOKEN_LIFETIME = 7 * 24 * 3600;

const AUDIENCE = 'api://writeback-lab';
const TENANT = '5f1d4b0e-6c0a-4d3e-9a51-0b8e7c2d9f36';
const SELF_SERVICE_CLIENT = '8b0c7a52-1f3e-4f0b-8a67-3d5e2c9b4a10';
const AGENT_CLIENT = 'd7c53f2e-90a4-4b58-b1c6-5e0f8a3d2b77';
const AGENT_SECRET = 'Agent~Secret&of=the+lab';

async function main() {
  const folder = process.argv[2];
  if (!folder) throw new Error('usage: node main.mjs FOLDER');
  const address = process.env.CLOUD_ADDRESS ?? '127.0.0.10';
  const port = Number(process.env.CLOUD_PORT ?? 443);
  const caFolder = process.env.CLOUD_CA_FOLDER ?? path.join(folder, 'ca');

  mkdirSync(folder, { recursive: true });
  const log = openLog(path.join(folder, 'cloud.log'));
  const at = (name) => (port === 443 ? name : `${name}:${port}`);
  const relayUrl = `https://${at(RELAY)}/${HYBRID_CONNECTION}`;
  const issuerUrl = `https://${at(LOGIN)}`;
  const graphUrl = `https://${at(GRAPH)}`;
  const graphTokenUrl = `${issuerUrl}/${TENANT}/oauth2/v2.0/token`;
  const agentCertificate = path.join(caFolder, 'graph.pem');
  const clocks = new Clocks(['relay', 'issuer', 'graph']);

  const listenRule = { name: 'listen-rule', key: newKey(), rights: ['Listen'] };
  const sendRule = { name: 'send-rule', key: newKey(), rights: ['Send'] };
  const sendToken = () =>
    createSas({ uri: relayUrl, rule: sendRule.name, key: sendRule.key, lifetime: SEND_TOKEN_LIFETIME });

  const relay = new Relay({
    host: at(RELAY),
    path: HYBRID_CONNECTION,
    rules: [listenRule, sendRule],
    date: () => clocks.date('relay'),
    log: log.as('relay'),
  });
  const issuer = await Issuer.create({
    url: issuerUrl,
    audience: AUDIENCE,
    tenant: TENANT,
    log: log.as('issuer'),
  });
  const graph = new Graph({
    url: graphUrl,
    tokenUrl: graphTokenUrl,
    client: AGENT_CLIENT,
    certificate: existsSync(agentCertificate) ? readFileSync(agentCertificate) : null,
    secret: AGENT_SECRET,
    log: log.as('graph'),
  });
  const client = new Client({
    relayUrl,
    ca: readFileSync(path.join(caFolder, 'ca.pem')),
    sendToken,
    issuerUrl,
    recipient: TENANT,
  });
  const portal = new Portal({
    client,
    mint: (claims) => issuer.mint(claims),
    users: process.env.PORTAL_USERS && JSON.parse(readFileSync(process.env.PORTAL_USERS)),
    selfServiceClient: SELF_SERVICE_CLIENT,
    log: log.as('portal'),
  });

  const front = https.createServer({
    cert: readFileSync(path.join(caFolder, 'cloud.pem')),
    key: readFileSync(path.join(caFolder, 'cloud.key')),
    maxHeaderSize: HTTP_METADATA_MAX,
  });
  const reports = new Reports();
  const targets = {
    [RELAY]: dated(relay, () => clocks.date('relay')),
    [LOGIN]: dated(login(issuer, graph), () => clocks.date('issuer')),
    [GRAPH]: dated(graph, () => clocks.date('graph')),
    [REPORT]: reports,
    [PORTAL]: portal,
  };
  serveByName(front, targets, log.as('front'));
  await listen(front, { port, host: address });

  const control = http.createServer();
  serve(control, () => new Control({ relay, issuer, graph, reports, clocks }), log.as('control'));
  await listen(control, { port: CONTROL_PORT, host: address });

  if (process.env.PORTAL_SOCKET) {
    const beside = http.createServer();
    serve(beside, () => portal, log.as('portal'));
    rmSync(process.env.PORTAL_SOCKET, { force: true });
    await listen(beside, { path: process.env.PORTAL_SOCKET });
  }

  writeEnvironment(path.join(folder, 'cloud.env'), {
    WRITEBACK_LAB_RELAY_URL: relayUrl,
    WRITEBACK_LAB_RELAY_CA: path.resolve(caFolder, 'ca.pem'),
    WRITEBACK_LAB_SEND_TOKEN: sendToken(),
    WRITEBACK_LAB_LISTEN_CONNECTION_STRING:
      `Endpoint=sb://${at(RELAY)}/;SharedAccessKeyName=${listenRule.name};` +
      `SharedAccessKey=${listenRule.key};EntityPath=${HYBRID_CONNECTION}`,
    WRITEBACK_LAB_ISSUER: issuerUrl,
    WRITEBACK_LAB_AUDIENCE: AUDIENCE,
    WRITEBACK_LAB_TENANT_ID: TENANT,
    WRITEBACK_LAB_SELF_SERVICE_CLIENT_ID: SELF_SERVICE_CLIENT,
    WRITEBACK_LAB_GRAPH_URL: graphUrl,
    WRITEBACK_LAB_GRAPH_TOKEN_URL: graphTokenUrl,
    WRITEBACK_LAB_AGENT_CLIENT_ID: AGENT_CLIENT,
    WRITEBACK_LAB_AGENT_CLIENT_SECRET: AGENT_SECRET,
    WRITEBACK_LAB_REPORT_URL: `https://${at(REPORT)}/agents`,
    WRITEBACK_LAB_PORTAL_URL: `https://${at(PORTAL)}`,
    WRITEBACK_LAB_CONTROL_URL: `http://${address}:${CONTROL_PORT}/control`,
    WRITEBACK_LAB_CLOUD_LOG: path.resolve(folder, 'cloud.log'),
  });
  process.on('SIGTERM', () => process.exit(0));
  console.log('ready');
}

// As the portal of Azure shows keys: 32 bytes in base64.
const newKey = () => randomBytes(32).toString('base64');

function openLog(file) {
  const stream = createWriteStream(file, { flags: 'a' });
  return {
    as: (who) => (text) => stream.write(`${new Date().toISOString()} ${who}: ${text}\n`),
  };
}

const listen = (server, where) =>
  new Promise((resolve, reject) => server.once('error', reject).listen(where, resolve));

/** Wires a server to whoever pick(request) names: an object with handleRequest, handleUpgrade. */
function serve(server, pick, log) {
  server.on('request', (request, response) => {
    Promise.resolve(pick(request).handleRequest(request, response)).catch((error) => {
      log(`${request.method} ${request.url.split('?')[0]}: ${error.message}`);
      response.destroy();
    });
  });
  server.on('upgrade', (request, socket, head) => {
    const target = pick(request);
    if (!target.handleUpgrade) return socket.destroy();
    try {
      target.handleUpgrade(request, socket, head);
    } catch (error) {
      log(`a handshake: ${error.message}`);
      socket.destroy();
    }
  });
}

/** The login server: tokens for Graph are the stand-in Entra's, all else is the issuer's. */
const login = (issuer, graph) => ({
  handleRequest: (request, response) =>
    graph.takesToken(request) ? graph.handleToken(request, response) : issuer.handleRequest(request, response),
});

/** The same target, whose answers have the date that its clock shows. */
const dated = (target, date) => ({
  handleRequest: (request, response) => {
    response.setHeader('Date', date());
    return target.handleRequest(request, response);
  },
  handleUpgrade: target.handleUpgrade?.bind(target),
});

const nobody = {
  async handleRequest(request, response) {
    response.writeHead(421).end();
  },
};

const serveByName = (server, targets, log) =>
  serve(server, ({ headers }) => targets[headers.host?.split(':')[0].toLowerCase()] ?? nobody, log);

function writeEnvironment(file, variables) {
  const lines = Object.entries(variables).map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 }); // holds keys
}

main().catch((error) => {
  console.error(`cloud: ${error.message}`);
  process.exit(1);
});
