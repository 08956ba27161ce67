// SPDX-License-Identifier: Apache-2.0

// The knobs by which tests and the demo make the cloud fail: GET /control/NAME tells how that part
// stands, POST sets what the body names.

import { answerJson, readJson } from './http.mjs';

export class Control {
  #parts;

  /** parts  {name: {status(), control(knobs)}} */
  constructor(parts) {
    this.#parts = parts;
  }

  async handleRequest(request, response) {
    const name = /^\/control\/(\w+)$/.exec(request.url)?.[1];
    const part = Object.hasOwn(this.#parts, name ?? '') ? this.#parts[name] : null;
    if (!part) return answerJson(response, 404, { error: 'there is no such knob' });
    if (request.method === 'GET') return answerJson(response, 200, part.status());
    try {
      answerJson(response, 200, await part.control(await readJson(request)));
    } catch (error) {
      answerJson(response, 400, { error: error.message });
    }
  }
}
