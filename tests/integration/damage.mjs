// SPDX-License-Identifier: Apache-2.0

// Bad copies of good things.

/** The text with another character at this place, whichever was there. */
export const flipped = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
