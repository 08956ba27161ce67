// SPDX-License-Identifier: Apache-2.0

// Where agents post their health: takes any path, keeps the last documents.

import { answerJson, readJson } from './http.mjs';

const KEPT = 20;

export class Reports {
  #documents = [];
  #count = 0;
  #refuse = 0;

  async handleRequest(request, response) {
    if (request.method !== 'POST' || request.headers['content-type'] !== 'application/health+json')
      return answerJson(response, 415, { error: 'a report is a POST of application/health+json' });

    const document = await readJson(request);
    this.#count++;
    if (this.#refuse) return answerJson(response, this.#refuse, { error: 'told to refuse' });
    this.#documents.push(document);
    this.#documents.splice(0, this.#documents.length - KEPT);
    response.writeHead(204).end();
  }

  /** refuse  the status that every report is answered with; 0: they are taken */
  control({ refuse = 0, ...unknown }) {
    for (const name in unknown) throw new Error(`unknown knob '${name}'`);
    this.#refuse = refuse;
    return this.status();
  }

  /** How many came, and those that were taken. */
  status() {
    return { count: this.#count, refuse: this.#refuse, documents: this.#documents };
  }
}
