// SPDX-License-Identifier: Apache-2.0

// A stand-in for Microsoft Graph, and for the part of Microsoft Entra that an application gets its
// token for it from: client credentials, by a certificate's assertion or a secret, verified as the
// documentation says that Entra does (entra/identity-platform/certificate-credentials).

import { createHash, randomBytes, X509Certificate } from 'node:crypto';

import { answerJson } from './http.mjs';
import { jose } from './packages.mjs';

const P1 = { servicePlanId: '41781fb2-bc02-4b7c-bd55-b576c07bb09d', servicePlanName: 'AAD_PREMIUM' };
const EXCHANGE = { servicePlanId: 'efb87545-963c-4e0d-99df-69c6916d9eb0', servicePlanName: 'EXCHANGE_S_ENTERPRISE' };
const SKUS = {
  E3: { capabilityStatus: 'Enabled', servicePlans: [EXCHANGE] },
  P1: { capabilityStatus: 'Enabled', servicePlans: [EXCHANGE, P1] },
};

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SKEW = 300; // s
const FORM_MAX = 64 * 1024;

export class Graph {
  #url;
  #tokenUrl;
  #client;
  #certificate; // null: none is registered
  #secret;
  #log;
  #tokens = new Map(); // token to its end, ms
  #seen = new Set(); // ids of assertions
  #counts = { tokens: 0, refused: 0, organization: 0, subscribedSkus: 0 };
  #lastProof = null; // 'PS256', 'RS256' or 'secret'
  #last = {}; // assertion and token, as they went over the wire
  #knobs = {
    outage: false, // 503 from Graph
    retryAfter: 0, // s, with 429 from Graph
    syncEnabled: true,
    syncAge: 600, // s since the last synchronisation; -1: it never ran
    skus: ['E3', 'P1'],
    pageSize: 100,
    tokenLifetime: 3600, // s
    refuse: '', // an AADSTS… code for whoever asks for a token
    deny: false, // 403 from Graph: the permission is missing
    raw: '', // what Graph answers instead of a document
  };

  /**
   * url          of Graph, without a slash at its end; tokenUrl of the token endpoint
   * client       application id;  certificate (PEM) and secret are registered for it
   */
  constructor({ url, tokenUrl, client, certificate, secret, log = () => {} }) {
    this.#url = url;
    this.#tokenUrl = tokenUrl;
    this.#client = client;
    this.#certificate = certificate ? new X509Certificate(certificate) : null;
    this.#secret = secret;
    this.#log = log;
  }

  /** Whether a request to the login server is for its token endpoint. */
  takesToken(request) {
    return request.method === 'POST' && request.url === new URL(this.#tokenUrl).pathname;
  }

  async handleToken(request, response) {
    try {
      if (this.#knobs.refuse) throw new Refused(`${this.#knobs.refuse}: The stand-in was told to refuse.`);
      await this.#verify(await readForm(request));
      const token = `graph.${randomBytes(48).toString('base64url')}`;
      this.#last.token = token;
      this.#tokens.set(token, Date.now() + this.#knobs.tokenLifetime * 1000);
      this.#counts.tokens++;
      answerJson(response, 200, {
        token_type: 'Bearer', expires_in: this.#knobs.tokenLifetime, access_token: token,
      });
    } catch (error) {
      this.#counts.refused++;
      this.#log(`no token: ${error.message}`);
      answerJson(response, error instanceof Refused ? 401 : 400, {
        error: error instanceof Refused ? 'invalid_client' : 'invalid_request',
        error_description: `${error.message} Trace ID: ${randomBytes(8).toString('hex')} Timestamp: ${new Date().toISOString()}`,
      });
    }
  }

  async handleRequest(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.#url);
    const what = /^\/v1\.0\/(organization|subscribedSkus)$/.exec(pathname)?.[1];
    const { outage, retryAfter, deny, raw } = this.#knobs;

    if (what) this.#counts[what]++;
    if (outage) return answerJson(response, 503, graphError('serviceNotAvailable', 'Try later.'));
    if (retryAfter) {
      response.setHeader('Retry-After', retryAfter);
      return answerJson(response, 429, graphError('TooManyRequests', 'Slow down.'));
    }
    if (!what || request.method !== 'GET')
      return answerJson(response, 404, graphError('Request_ResourceNotFound', 'There is nothing here.'));
    if (!(this.#tokens.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]) > Date.now()))
      return answerJson(response, 401, graphError('InvalidAuthenticationToken', 'Access token has expired or is not yet valid.'));
    if (deny)
      return answerJson(response, 403, graphError('Authorization_RequestDenied', 'Insufficient privileges to complete the operation.'));
    if (raw) return response.writeHead(200, { 'Content-Type': 'text/html' }).end(raw);
    answerJson(response, 200, what === 'organization' ? this.#organization() : this.#subscribedSkus(searchParams));
  }

  /** Makes trouble: sets the knobs above; `revoke` takes all tokens back; `certificate` (PEM) is registered from now on. */
  control({ revoke, certificate, ...knobs }) {
    for (const [name, value] of Object.entries(knobs)) {
      if (!(name in this.#knobs)) throw new Error(`unknown knob '${name}'`);
      if (typeof value !== typeof this.#knobs[name]) throw new Error(`'${name}' takes a ${typeof this.#knobs[name]}`);
    }
    Object.assign(this.#knobs, knobs);
    if (revoke) this.#tokens.clear();
    if (certificate) this.#certificate = new X509Certificate(certificate);
    return this.status();
  }

  status() {
    return { ...this.#counts, ...this.#knobs, lastProof: this.#lastProof, last: this.#last };
  }

  async #verify(form) {
    if (form.get('grant_type') !== 'client_credentials') throw new Error('AADSTS70003: The grant type is not supported.');
    if (form.get('scope') !== `${this.#url}/.default`) throw new Error('AADSTS1002012: The scope is not valid.');
    if (form.get('client_id') !== this.#client)
      throw new Refused(`AADSTS700016: Application with identifier '${form.get('client_id')}' was not found.`);
    if (form.has('client_secret')) return this.#verifySecret(form.get('client_secret'));
    if (form.get('client_assertion_type') !== JWT_BEARER) throw new Error('AADSTS50027: The assertion type is unknown.');
    return this.#verifyAssertion(form.get('client_assertion'));
  }

  #verifySecret(secret) {
    if (secret !== this.#secret) throw new Refused('AADSTS7000215: Invalid client secret provided. Ensure it is its value.');
    this.#lastProof = 'secret';
  }

  async #verifyAssertion(assertion) {
    this.#last.assertion = assertion;
    const thumbprint = this.#certificate && createHash('sha256').update(this.#certificate.raw).digest('base64url');
    if (jose.decodeProtectedHeader(assertion)['x5t#S256'] !== thumbprint)
      throw new Refused('AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application.');

    const { payload, protectedHeader } = await jose.jwtVerify(assertion, this.#certificate.publicKey, {
      algorithms: ['PS256', 'RS256'], typ: 'JWT', issuer: this.#client, subject: this.#client,
      audience: this.#tokenUrl, requiredClaims: ['exp', 'nbf', 'iat', 'jti'], clockTolerance: SKEW,
    }).catch((error) => {
      throw new Refused(`AADSTS700024: Client assertion is not within its valid time range or not valid: ${error.message}`);
    });
    if (payload.exp - payload.nbf > 600) throw new Refused('AADSTS700024: The assertion is good for too long.');
    if (this.#seen.has(payload.jti)) throw new Refused('AADSTS50013: The assertion was seen before.');
    this.#seen.add(payload.jti);
    this.#lastProof = protectedHeader.alg;
  }

  #organization() {
    const { syncEnabled, syncAge } = this.#knobs;
    const last = new Date(Date.now() - syncAge * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
    return {
      '@odata.context': `${this.#url}/v1.0/$metadata#organization(onPremisesSyncEnabled,onPremisesLastSyncDateTime)`,
      value: [{ onPremisesSyncEnabled: syncEnabled || null, onPremisesLastSyncDateTime: syncAge < 0 ? null : last }],
    };
  }

  #subscribedSkus(query) {
    const { skus, pageSize } = this.#knobs;
    const from = Number(query.get('$skiptoken') ?? 0);
    const next = `${this.#url}/v1.0/subscribedSkus?$skiptoken=${from + pageSize}`;
    return {
      '@odata.context': `${this.#url}/v1.0/$metadata#subscribedSkus(capabilityStatus,servicePlans)`,
      ...(from + pageSize < skus.length && { '@odata.nextLink': next }),
      value: skus.slice(from, from + pageSize).map((name) => SKUS[name]),
    };
  }
}

/** What the client is refused for, in Entra's words. */
class Refused extends Error {}

const graphError = (code, message) => ({ error: { code, message } });

async function readForm(request) {
  let text = '';
  if (request.headers['content-type'] !== 'application/x-www-form-urlencoded')
    throw new Error('AADSTS900144: The request body must be a form.');
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > FORM_MAX) throw new Error('AADSTS900144: The request body is too large.');
  }
  return new URLSearchParams(text);
}
