// SPDX-License-Identifier: Apache-2.0

// How the demo tells its story on a terminal. A secret is never printed: what stands in its place
// says what it is.

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = paint('1');
const faint = paint('2');
const red = paint('31');
const green = paint('32');
const yellow = paint('33');
const blue = paint('36');

const WIDTH = 96;
const SECRETS = {
  newPassword: (value) => `(${[...value].length} characters, not shown)`,
  authorization: (value) => `(access token, ${value.length} characters, not shown)`,
};

const duration = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** Breaks a text into lines: the first begins at column `start`, the others behind `indent` spaces. */
function wrap(text, indent, start = indent) {
  const lines = [];
  let line = '';
  let column = start;
  for (const word of text.split(' ')) {
    if (line && column + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '';
      column = indent;
    }
    line = line ? `${line} ${word}` : word;
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`);
}

// JSON with room to be broken at.
const spaced = (value) => JSON.stringify(value, null, 1).replace(/\s*\n\s*/g, ' ');

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
    } else say(`      ${faint(`${name}:`)} ${wrap(spaced(value), 8 + name.length)}`);
  }
}

const LEVELS = { ERROR: red, WARNING: yellow, NOTICE: bold };

/** The agent's log: what happened in colour of its level, what to do behind it. */
export function logLines(log) {
  say();
  for (const line of log.trimEnd().split('\n')) {
    const [, date, level, text] = /^(\S+T\S+Z) ([A-Z]+) (.*)/.exec(line) ?? [];
    const step = /^ +(\d+\.) (.*)/.exec(line);
    const start = `    ${date} ${level} `.length;
    if (date) say(`    ${faint(date)} ${(LEVELS[level] ?? String)(level)} ${wrap(text, 8, start)}`);
    else if (step) say(`          ${step[1]} ${wrap(step[2], 13)}`);
    else say(`        ${line.trim()}`);
  }
  say();
}

export const took = (milliseconds) => faint(`(${duration(milliseconds)})`);
