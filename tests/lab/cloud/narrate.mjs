// SPDX-License-Identifier: Apache-2.0

// How the demo tells its story on a terminal. A secret is never printed: what stands in its place
// says what it is.

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = paint('1');
const faint = paint('2');
const green = paint('32');
const red = paint('31');
const blue = paint('36');

const WIDTH = 96;
const SECRETS = {
  newPassword: (value) => `(${[...value].length} characters, not shown)`,
  authorization: (value) => `(access token, ${value.length} characters, not shown)`,
};

const duration = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** Breaks a text into lines, each but the first behind `indent` spaces. */
function wrap(text, indent) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line && line.length + word.length + indent >= WIDTH) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

export const say = (text = '') => console.log(text);

export function heading(text) {
  say();
  say(`${bold(text)} ${faint('─'.repeat(Math.max(3, WIDTH - text.length - 1)))}`);
}

export const remark = (text) => say(`  ${faint(wrap(text, 2))}`);

export const good = (text) => say(`  ${green('✓')} ${wrap(text, 4)}`);

export const bad = (text) => say(`  ${red('✗')} ${wrap(text, 4)}`);

/** What goes to the agent: the members in front of the seal. */
export function sent(what, payload = {}) {
  say(`  ${blue('→')} ${wrap(what, 4)}`);
  for (const [name, value] of Object.entries(payload)) {
    const shown = SECRETS[name]?.(value) ?? JSON.stringify(value);
    say(`      ${faint(`${name}:`)} ${shown}`);
  }
}

/** What came back, the members that a reader wants. */
export function came({ status, reason, milliseconds, json }, members = []) {
  say(`  ${blue('←')} ${status} ${reason} ${faint(`after ${duration(milliseconds)}`)}`);
  for (const name of members) {
    const value = json?.[name];
    if (value === undefined || (Array.isArray(value) && !value.length)) continue;
    if (Array.isArray(value) && typeof value[0] === 'string') {
      say(`      ${faint(`${name}:`)}`);
      value.forEach((item, i) => say(`        ${i + 1}. ${wrap(item, 11)}`));
    } else say(`      ${faint(`${name}:`)} ${wrap(JSON.stringify(value), 8 + name.length)}`);
  }
}

export const took = (milliseconds) => faint(`(${duration(milliseconds)})`);
