// SPDX-License-Identifier: Apache-2.0

// The clocks of the cloud's parts, as their answers' Date tells them: right, until a test sets one.
// Only the Date is wrong then; tokens are judged by the right time.

export class Clocks {
  #ahead; // seconds, by part

  constructor(parts) {
    this.#ahead = Object.fromEntries(parts.map((part) => [part, 0]));
  }

  /** The Date of `part` now, as HTTP writes it. */
  date(part) {
    return new Date(Date.now() + (this.#ahead[part] ?? 0) * 1000).toUTCString();
  }

  /** Sets how many seconds a part's clock is ahead. */
  control(parts) {
    for (const [part, ahead] of Object.entries(parts)) {
      if (!(part in this.#ahead) || typeof ahead !== 'number') throw new Error(`no clock '${part}' takes ${ahead}`);
      this.#ahead[part] = ahead;
    }
    return this.status();
  }

  status() {
    return { ...this.#ahead };
  }
}
