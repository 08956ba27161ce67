// SPDX-License-Identifier: Apache-2.0

// A stand-in for a token issuer: OpenID Connect metadata, keys, and access tokens with whatever
// claims are asked for. The tokens look like version 2.0 ones of Microsoft Entra ID.

import { randomUUID } from 'node:crypto';

import { jose } from './packages.mjs';
import { answerJson, readJson } from './http.mjs';

const AZURE_PORTAL = 'c44b4083-3bb0-49c1-b47d-974e53cbdf3c';
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const LIFETIME = 3600;

async function makePair(algorithm) {
  const { privateKey, publicKey } = await jose.generateKeyPair(algorithm, { extractable: true });
  const jwk = await jose.exportJWK(publicKey);
  const kid = await jose.calculateJwkThumbprint(jwk);
  return { privateKey, jwk: { ...jwk, kid, use: 'sig' } };
}

const makeKeys = async () => ({ rsa: await makePair('RS256'), ec: await makePair('ES256') });

export class Issuer {
  #url;
  #audience;
  #tenant;
  #log;
  #keys; // published, the newest first
  #strangers; // never published
  #outage = false;
  #counts = { metadata: 0, keys: 0, tokens: 0 };

  /** url is the issuer, without a slash at its end; audience and tenant are the claims' defaults. */
  static async create({ url, audience, tenant, log = () => {} }) {
    const issuer = new Issuer();
    issuer.#url = url;
    issuer.#audience = audience;
    issuer.#tenant = tenant;
    issuer.#log = log;
    issuer.#keys = [await makeKeys()];
    issuer.#strangers = await makeKeys();
    return issuer;
  }

  async handleRequest(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.#url);
    const route = `${request.method} ${pathname}`;

    if (route === 'POST /token') return this.#answerToken(request, response, searchParams);
    if (this.#outage) return answerJson(response, 503, { error: 'temporarily_unavailable' });
    if (route === 'GET /.well-known/openid-configuration') {
      this.#counts.metadata++;
      return answerJson(response, 200, this.#metadata());
    }
    if (route === 'GET /keys') {
      this.#counts.keys++;
      return answerJson(response, 200, this.#jwks());
    }
    answerJson(response, 404, { error: 'not_found' });
  }

  /**
   * Mints an access token. `claims` go over the defaults; one that is null goes out altogether.
   *   alg     RS256; PS256, ES256 and the like too
   *   signer  'stranger' signs with a key that is not published, under a published key's id
   */
  async mint(claims = {}, { alg = 'RS256', signer } = {}) {
    const kind = RSA_ALGORITHMS.includes(alg) ? 'rsa' : 'ec';
    const { jwk } = this.#keys[0][kind];
    const { privateKey } = signer === 'stranger' ? this.#strangers[kind] : this.#keys[0][kind];

    this.#counts.tokens++;
    return new jose.SignJWT(this.#withDefaults(claims))
      .setProtectedHeader({ typ: 'JWT', alg, kid: jwk.kid })
      .sign(privateKey);
  }

  /**
   * Makes trouble.
   *   outage    true: metadata and keys are not to be had; tokens still are
   *   rollover  true: new keys sign from now on; 'forget': and the old ones are not published any more
   */
  async control({ outage, rollover, ...unknown }) {
    for (const name in unknown) throw new Error(`unknown knob '${name}'`);
    if (outage !== undefined) this.#outage = Boolean(outage);
    if (rollover) {
      const fresh = await makeKeys();
      this.#keys = rollover === 'forget' ? [fresh] : [fresh, ...this.#keys];
    }
    this.#log(`control: ${JSON.stringify({ outage, rollover })}`);
    return this.status();
  }

  status() {
    return { outage: this.#outage, published: this.#jwks().keys.length, ...this.#counts };
  }

  #withDefaults(claims) {
    const now = Math.floor(Date.now() / 1000);
    const person = randomUUID();
    const defaults = {
      iss: this.#url,
      aud: this.#audience,
      tid: this.#tenant,
      iat: now,
      nbf: now,
      exp: now + LIFETIME,
      oid: person,
      sub: person,
      azp: AZURE_PORTAL,
      // Whoever asks for the scope profile, as Microsoft's libraries do, gets it.
      preferred_username: claims.idtyp === 'app' ? null : 'somebody@cloud.example',
      scp: claims.idtyp === 'app' ? null : 'user_impersonation', // only a person delegates
      ver: '2.0',
    };
    const all = Object.entries({ ...defaults, ...claims });
    return Object.fromEntries(all.filter(([, value]) => value !== null));
  }

  async #answerToken(request, response, query) {
    const options = { alg: query.get('alg') ?? undefined, signer: query.get('signer') ?? undefined };
    try {
      const token = await this.mint(await readJson(request), options);
      answerJson(response, 200, { token_type: 'Bearer', expires_in: LIFETIME, access_token: token });
    } catch (error) {
      answerJson(response, 400, { error: 'invalid_request', error_description: error.message });
    }
  }

  #metadata() {
    return {
      issuer: this.#url,
      jwks_uri: `${this.#url}/keys`,
      token_endpoint: `${this.#url}/token`,
      response_types_supported: ['token'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
    };
  }

  #jwks() {
    return { keys: this.#keys.flatMap(({ rsa, ec }) => [rsa.jwk, ec.jwk]) };
  }
}
