// SPDX-License-Identifier: Apache-2.0

// Shared access signatures of Azure Service Bus and Relay: making one, and the relay's check of one.
// Microsoft: azure-relay/relay-authentication-and-authorization.

import { createHmac, timingSafeEqual } from 'node:crypto';

const sign = (key, resource, expiry) =>
  createHmac('sha256', key).update(`${resource}\n${expiry}`).digest('base64');

/**
 * Makes a token for `uri` (its scheme is always written as http) in the name of a rule.
 * The key is used as the portal shows it; it is not base64-decoded first. `lifetime` is in seconds.
 */
export function createSas({ uri, rule, key, lifetime = 3600 }) {
  const { host, pathname } = new URL(uri.replace(/^\w+:/, 'http:'));
  const resource = encodeURIComponent(`http://${host}${pathname.replace(/\/*$/, '/')}`);
  const expiry = Math.floor(Date.now() / 1000) + lifetime;
  const signature = encodeURIComponent(sign(key, resource, expiry));
  return `SharedAccessSignature sr=${resource}&sig=${signature}&se=${expiry}&skn=${encodeURIComponent(rule)}`;
}

const unauthorized = (message) => ({ status: 401, code: 'TokenMissingOrInvalid', message });

function parse(token) {
  const fields = /^SharedAccessSignature (.+)$/.exec(token);
  if (!fields) return null;

  const field = (name) => new RegExp(`(?:^|&)${name}=([^&]*)`).exec(fields[1])?.[1];
  try {
    return {
      resource: field('sr'), // as received: the signature is over these very bytes
      audience: decodeURIComponent(field('sr')),
      signature: decodeURIComponent(field('sig')),
      expiry: Number(field('se')),
      rule: decodeURIComponent(field('skn')),
    };
  } catch {
    return null;
  }
}

// Scheme, port, case and a slash at the end do not count; a token for what lies above is good too.
const normal = (uri) =>
  uri.toLowerCase().replace(/^\w+:\/\//, '').replace(/:\d+/, '').replace(/\/*$/, '/');

const same = (a, b) =>
  Buffer.byteLength(a) === Buffer.byteLength(b) && timingSafeEqual(Buffer.from(a), Buffer.from(b));

/**
 * Checks a token against an entity's rules ([{name, key, rights}]).
 *
 * Returns {expiry} in Unix seconds, or the refusal {status, code, message}.
 */
export function checkSas(token, { rules, resource, right, minimumLife = 0 }) {
  if (!token) return unauthorized('MissingToken: Relay security token is required.');

  const sas = parse(token);
  if (!sas || !Number.isInteger(sas.expiry))
    return unauthorized('MalformedToken: The token is malformed.');

  const rule = rules.find(({ name }) => name.toLowerCase() === sas.rule.toLowerCase());
  if (!rule || !same(sign(rule.key, sas.resource, sas.expiry), sas.signature))
    return unauthorized('InvalidSignature: The token has an invalid signature.');

  if (sas.expiry <= Date.now() / 1000 + minimumLife)
    return unauthorized('ExpiredToken: The token is expired.');

  if (!normal(resource).startsWith(normal(sas.audience)))
    return unauthorized(
      'InvalidAudience: The authorization header contains a token with a wrong audience.');

  if (!rule.rights.includes(right))
    return {
      status: 403,
      code: 'Forbidden',
      message: `Unauthorized access. '${right}' claim(s) are required to perform this operation.`,
    };

  return { expiry: sas.expiry };
}
