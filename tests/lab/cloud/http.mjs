// SPDX-License-Identifier: Apache-2.0

// The few things that every HTTP server and client here does.

import https from 'node:https';

const JSON_MAX = 1024 * 1024;

export function answerJson(response, status, value) {
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Cache-Control': 'no-store',
  });
  response.end(JSON.stringify(value));
}

/** The body as a JSON object; {} where there is none. Throws where it is something else. */
export async function readJson(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > JSON_MAX) throw new Error('the body is too large');
  }
  if (text.trim() === '') return {};

  const value = JSON.parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error('the body is no JSON object');
  return value;
}

/**
 * One HTTPS request. Returns {status, reason, headers, body, json, milliseconds}; body is a Buffer,
 * json undefined where the body is none.
 */
export function fetchHttps(url, { method = 'GET', headers = {}, body, ca, agent, timeout = 90_000 } = {}) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, ca, agent, timeout }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const whole = Buffer.concat(chunks);
        resolve({
          status: response.statusCode,
          reason: response.statusMessage,
          headers: response.headers,
          body: whole,
          json: parseJson(whole),
          milliseconds: performance.now() - started,
        });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer in time`)));
    request.on('error', reject);
    request.end(body);
  });
}

function parseJson(buffer) {
  try {
    return JSON.parse(buffer);
  } catch {
    return undefined;
  }
}
