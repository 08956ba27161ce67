// SPDX-License-Identifier: Apache-2.0

// What a portal does, for the portal here, for the demo and for the tests: get the agent's keys
// through the relay, seal a request to them, send it, read the answer.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';

import { fetchHttps } from './http.mjs';
import { jose } from './packages.mjs';

const REQUEST_LIFE = 120;

export class Client {
  #options;
  #agent = new https.Agent({ keepAlive: true });

  /**
   * relayUrl     https://HOST/PATH of the hybrid connection, without a slash at its end
   * ca           PEM that relay and issuer are trusted by
   * sendToken    shared access signature with the right to send, or a function that makes one
   * issuerUrl    whose tokens token() asks for
   * recipient    the `aud` of requests: the agent's id or its tenant's
   * controlUrl   of the stand-in cloud, for control()
   */
  constructor(options) {
    this.#options = options;
  }

  /** From what tests/lab/run puts into the environment. */
  static fromEnvironment(env = process.env) {
    return new Client({
      relayUrl: env.WRITEBACK_LAB_RELAY_URL,
      ca: readFileSync(env.WRITEBACK_LAB_RELAY_CA),
      sendToken: env.WRITEBACK_LAB_SEND_TOKEN,
      issuerUrl: env.WRITEBACK_LAB_ISSUER,
      recipient: env.WRITEBACK_LAB_TENANT_ID,
      controlUrl: env.WRITEBACK_LAB_CONTROL_URL,
    });
  }

  /**
   * One request through the relay, as fetchHttps() answers it, and `fromAgent`: whether the answer
   * is the agent's. What the relay itself says carries no Via.
   */
  async request(method, path, { headers = {}, body } = {}) {
    const { relayUrl, sendToken } = this.#options;
    const token = typeof sendToken === 'function' ? sendToken() : sendToken;
    const answer = await this.#fetch(`${relayUrl}${path}`, {
      method,
      headers: {
        ServiceBusAuthorization: token,
        ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }),
        ...headers,
      },
      body,
    });
    return { ...answer, fromAgent: 'via' in answer.headers };
  }

  health() {
    return this.request('GET', '/v1/health');
  }

  /** The agent's public keys ({keys: […]}). Throws where it cannot be asked. */
  async keys() {
    const answer = await this.request('GET', '/v1/keys');
    if (answer.status !== 200) throw new AgentUnreachable(answer);
    return answer.json;
  }

  /** An access token with these claims over the issuer's defaults; query {alg, signer}. */
  async token(claims = {}, query = {}) {
    const answer = await this.#fetch(
      `${this.#options.issuerUrl}/token?${new URLSearchParams(query)}`,
      { method: 'POST', body: JSON.stringify(claims) });
    if (answer.status !== 200) throw new Error(answer.json?.error_description ?? answer.reason);
    return answer.json.access_token;
  }

  /** What is sealed: the members over a new id, times and recipient; an undefined one goes out. */
  payload(members) {
    const now = Math.floor(Date.now() / 1000);
    return {
      jti: randomUUID(),
      iat: now,
      exp: now + REQUEST_LIFE,
      aud: this.#options.recipient,
      ...members,
    };
  }

  /** Seals a payload (an object or a text) to the agent's key; `header` goes over the usual one. */
  async seal(payload, { header = {}, key } = {}) {
    const jwk = key ?? (await this.keys()).keys.find(({ use }) => use === 'enc');
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    return new jose.CompactEncrypt(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: jwk.kid, ...header })
      .encrypt(await jose.importJWK(jwk, 'ECDH-ES+A256KW'));
  }

  /** Posts a sealed request. */
  send(jwe) {
    return this.request('POST', '/v1/requests', {
      headers: { 'Content-Type': 'application/jose' },
      body: jwe,
    });
  }

  /** All of it: asks for an operation as somebody (the claims of the token). */
  async ask(members, claims) {
    const payload = this.payload({ ...members, authorization: await this.token(claims) });
    const answer = await this.send(await this.seal(payload));
    return { ...answer, payload };
  }

  /** Turns the stand-in's knobs: what is 'relay' or 'issuer'. Without knobs, tells how it stands. */
  async control(what, knobs) {
    const method = knobs ? 'POST' : 'GET';
    const body = knobs && JSON.stringify(knobs);
    const response = await fetch(`${this.#options.controlUrl}/${what}`, { method, body });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }

  close() {
    this.#agent.destroy();
  }

  #fetch(url, options) {
    return fetchHttps(url, { ...options, ca: this.#options.ca, agent: this.#agent });
  }
}

/** The agent's keys could not be had; `answer` is what came instead, of the relay or of the agent. */
export class AgentUnreachable extends Error {
  constructor(answer) {
    super(`${answer.status} ${answer.reason}`);
    this.answer = answer;
  }
}
