// SPDX-License-Identifier: Apache-2.0

// The portal's server side: it holds the list of users, gets tokens for whoever signed in, seals
// requests to the agent's key and hands the agent's answers to the page as they came.

import { readFileSync } from 'node:fs';

import { AgentUnreachable } from './client.mjs';
import { answerJson, readJson } from './http.mjs';
import { people } from './portal-people.mjs';

const beside = (name) => new URL(name, import.meta.url);

const PAGE = {
  '/': ['page/portal.html', 'text/html; charset=utf-8'],
  '/portal.css': ['page/portal.css', 'text/css; charset=utf-8'],
  '/portal.js': ['page/portal.js', 'text/javascript; charset=utf-8'],
  '/words.js': ['page/words.js', 'text/javascript; charset=utf-8'],
  '/icon.svg': ['page/icon.svg', 'image/svg+xml'],
};
const PAGE_HEADERS = {
  'Cache-Control': 'no-cache',
  'Content-Security-Policy':
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
};
const KEYS_KEPT = 60_000;

export class Portal {
  #client;
  #mint;
  #users;
  #people;
  #log;
  #keys = null; // {jwk, until}

  /**
   * client             reaches the agent (client.mjs)
   * mint(claims)       an access token from the issuer
   * users              [{userPrincipalName, displayName, jobTitle}]; users.json where it is missing
   * selfServiceClient  client id of the service among those who can sign in
   */
  constructor({ client, mint, users, selfServiceClient, log = () => {} }) {
    this.#client = client;
    this.#mint = mint;
    this.#users = users || JSON.parse(readFileSync(beside('users.json')));
    this.#people = people({ selfServiceClient });
    this.#log = log;
  }

  async handleRequest(request, response) {
    const { pathname } = new URL(request.url, 'http://portal');
    const route = `${request.method} ${pathname}`;

    if (request.method === 'GET' && Object.hasOwn(PAGE, pathname)) {
      const [file, type] = PAGE[pathname];
      response.writeHead(200, { ...PAGE_HEADERS, 'Content-Type': type });
      return response.end(readFileSync(beside(file)));
    }
    if (route === 'GET /api/people')
      return answerJson(response, 200, this.#people.map(({ id, name, title }) => ({ id, name, title })));
    if (route === 'GET /api/users') return answerJson(response, 200, this.#users);
    if (route === 'GET /api/health') return answerJson(response, 200, await this.#health());
    if (route === 'POST /api/requests') return this.#answerAsk(request, response);
    answerJson(response, 404, { error: 'not found' });
  }

  /** The body: {as, operation, user, newPassword, forceChangePasswordNextSignIn, unlockAccount}. */
  async #answerAsk(request, response) {
    // A page of another site can post plain text to a portal on loopback, but not this.
    if (request.headers['content-type'] !== 'application/json')
      return answerJson(response, 415, { error: 'application/json is expected' });

    const { as, user, ...members } = await readJson(request);
    const person = this.#people.find(({ id }) => id === as);
    if (!person) return answerJson(response, 400, { error: 'nobody is signed in' });

    const answer = await this.#ask(person, { user: { userPrincipalName: user }, ...members });
    this.#log(`${members.operation} of ${user} as ${as}: ${answer.status ?? 'no answer'}`);
    answerJson(response, 200, answer);
  }

  /** {reached: true, status, milliseconds, answer}, or {reached: false, why}. */
  async #ask(person, members) {
    try {
      const key = await this.#encryptionKey();
      const payload = this.#client.payload({
        ...members,
        authorization: await this.#mint(person.claims),
      });
      const answer = await this.#client.send(await this.#client.seal(payload, { key }));
      if (answer.json?.code === 'DecryptionError') this.#keys = null; // the agent has new ones
      return told(answer);
    } catch (error) {
      return notTold(error);
    }
  }

  async #health() {
    try {
      return told(await this.#client.health());
    } catch (error) {
      return notTold(error);
    }
  }

  async #encryptionKey() {
    if (!this.#keys || this.#keys.until < Date.now()) {
      const { keys } = await this.#client.keys();
      this.#keys = { jwk: keys.find(({ use }) => use === 'enc'), until: Date.now() + KEYS_KEPT };
    }
    return this.#keys.jwk;
  }
}

function told({ fromAgent, status, reason, json, milliseconds }) {
  if (!fromAgent) return { reached: false, why: `the relay says: ${status} ${withoutIds(reason)}` };
  return { reached: true, status, milliseconds: Math.round(milliseconds), answer: json };
}

const notTold = (error) =>
  error instanceof AgentUnreachable ? told(error.answer) : { reached: false, why: error.message };

// What the relay adds for its own support.
const withoutIds = (reason) => reason.replace(/\s*TrackingId:.*$/, '');
