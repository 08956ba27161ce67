// SPDX-License-Identifier: Apache-2.0

// A real OpenID Connect server (the npm package oidc-provider), beside the lab's stand-in, and what a portal
// does to get tokens from it: for itself, and for a person who signs in.

import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { fetchHttps } from '../lab/cloud/http.mjs';
import { jose, packagesFolder } from '../lab/cloud/packages.mjs';

const PORT = 9443;
const REDIRECT = 'https://portal.lab.example/signed-in';

const importPackage = (name, file) =>
  import(pathToFileURL(path.join(packagesFolder, 'node_modules', name, file)));

export class OpenIdServer {
  url = `https://login.lab.example:${PORT}`;
  #options;
  #ca;
  #server;
  #jwks;

  /** caFolder: of tests/lab/ca; clientId; audience of access tokens; claims(isPerson) are added to them. */
  static async start(options) {
    const { default: Provider } = await importPackage('oidc-provider', 'lib/index.js');
    const server = new OpenIdServer();
    server.#options = options;
    server.#ca = readFileSync(`${options.caFolder}/ca.pem`);
    server.#jwks = { keys: [await privateJwk('RS256'), await privateJwk('ES256')] };
    const provider = new Provider(server.url, server.#configuration());
    server.#server = https.createServer({
      cert: readFileSync(`${options.caFolder}/cloud.pem`),
      key: readFileSync(`${options.caFolder}/cloud.key`),
    }, (request, response) => {
      // Whoever signs in has done so.
      if (!request.url.startsWith('/interaction/')) return provider.callback()(request, response);
      provider.interactionFinished(request, response, { login: { accountId: 'person-1' } })
        .catch((error) => response.writeHead(500).end(error.message));
    });
    await new Promise((resolve) => server.#server.listen(PORT, '127.0.0.10', resolve));
    return server;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** The public keys, as it publishes them. */
  async jwks() {
    return (await fetchHttps(`${this.url}/jwks`, { ca: this.#ca })).json;
  }

  /** The portal's own access token. */
  async serviceToken() {
    return (await this.#token({ grant_type: 'client_credentials', resource: this.#options.audience })).access_token;
  }

  /** What the portal gets when a person has signed in: {access_token, id_token}. */
  async personTokens() {
    const query = new URLSearchParams({
      client_id: this.#options.clientId, redirect_uri: REDIRECT, response_type: 'code',
      scope: 'openid reset', resource: this.#options.audience,
    });
    const code = await this.#follow(`${this.url}/auth?${query}`);
    return this.#token({
      grant_type: 'authorization_code', code, redirect_uri: REDIRECT, resource: this.#options.audience,
    });
  }

  async #token(form) {
    const { clientId, clientSecret } = this.#options;
    const answer = await fetchHttps(`${this.url}/token`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded',
        Authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
      },
      body: new URLSearchParams(form).toString(),
      ca: this.#ca,
    });
    if (answer.status !== 200) throw new Error(answer.body.toString());
    return answer.json;
  }

  /** As a browser: from redirect to redirect with its cookies, until the portal is reached. */
  async #follow(url) {
    const cookies = new Map();
    for (let i = 0; i < 10; i++) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await fetchHttps(url, { headers: { cookie }, ca: this.#ca });
      for (const line of answer.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        cookies.set(name, value);
      }
      if (!answer.headers.location) throw new Error(`${answer.status} at ${url}: ${answer.body}`);
      url = new URL(answer.headers.location, url).href;
      if (url.startsWith(REDIRECT)) return new URL(url).searchParams.get('code');
    }
    throw new Error('redirected without end');
  }

  #configuration() {
    const { clientId, clientSecret, audience, claims } = this.#options;
    return {
      jwks: this.#jwks,
      clients: [{
        client_id: clientId, client_secret: clientSecret, redirect_uris: [REDIRECT],
        grant_types: ['authorization_code', 'client_credentials'], response_types: ['code'],
      }],
      cookies: { keys: ['lab'] },
      pkce: { required: () => false },
      interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      extraTokenClaims: (ctx, token) => claims('accountId' in token && Boolean(token.accountId)),
      async loadExistingGrant({ oidc }) {
        const grant = new oidc.provider.Grant({ clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope('openid');
        grant.addResourceScope(audience, 'reset');
        await grant.save();
        return grant;
      },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: 'reset', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
          }),
        },
      },
    };
  }
}

async function privateJwk(alg) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = await jose.exportJWK(privateKey);
  return { ...jwk, alg, use: 'sig', kid: await jose.calculateJwkThumbprint(jwk) };
}
