// SPDX-License-Identifier: Apache-2.0

// A controller whose certificate is wrong, in each way in which one can be: what the agent then says to whoever looks,
// and that it is back by itself once the certificate is right. Run in a lab:
//
//     tests/lab/run node --test tests/integration/certificates.test.mjs

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { entries } from './agent-process.mjs';
import { Client } from '../lab/cloud/client.mjs';
import { controllersInHealth, inLab, until } from './controllers.mjs';

const { env } = process;
const DC = env.WRITEBACK_LAB_DC;
const CA = env.WRITEBACK_LAB_DC_CA;
const client = Client.fromEnvironment();
const DAY = 24 * 60 * 60 * 1000;
/** The day in so many days, as an expression: the next one too, since midnight may come between. */
const dateIn = (days) => `(${[days, days + 1].map((n) => new Date(Date.now() + n * DAY).toISOString().slice(0, 10)).join('|')})`;

after(() => client.close());

/** Stops the controller, runs lines that change its folder, and starts it again. */
function restart(lines) {
  inLab(`controller_stop dc1
    sed -i '/tls priority/d' "$ROOT/lab/dc1/etc/smb.conf"
    NAMES="DNS:dc1.$DOMAIN,DNS:$DOMAIN,IP:$DC1_ADDRESS"
    # certify CA-FOLDER SAN DAYS [FROM]
    certify() {
      "$LAB/ca" "$1" leaf dc1 "\${@:2}"
      cp "$1"/dc1.{pem,key} "$ROOT/lab/tls/"
    }
    ${lines}
    controller_start dc1`);
}

const ask = (members) => client.ask({ user: { userPrincipalName: 'alice@corp.example' }, ...members },
  { wids: ['62e90394-69f5-4237-9190-012177145e10'] });

/** What the agent thinks of its controller. A request makes it look at once, without one it waits up to a minute. */
async function state() {
  await ask({ operation: 'check' });
  return (await controllersInHealth())[DC];
}

/** Waits until the agent says something of its controller that it did not say before. */
async function toldAfter(change) {
  const before = (await state()).output;
  change();
  client.close(); // the way to it may have ended meanwhile
  const { output } = await until('the agent tells of the controller', async () => {
    const now = await state();
    return now.status === 'fail' && now.output !== before && /certificate|TLS/.test(now.output) && now;
  });
  return output;
}

async function isBack() {
  await until('the controller is used again', async () => (await state()).status === 'pass');
}

// Whoever mends it needs to see which certificate it is, and what it was compared with.
const WHOSE = [/subject CN=dc1/, /issuer CN=/, /names .*DNS:dc\d\.corp\.example/, new RegExp(`checked with ${CA}`)];

const WRONG = {
  'of a CA that nobody knows': {
    lines: '"$LAB/ca" "$SCRATCH/other"; certify "$SCRATCH/other" "$NAMES" 90',
    told: [/is not trusted/, new RegExp(`is not in ${CA}`), ...WHOSE],
  },
  'that has expired': {
    lines: 'certify "$SCRATCH/ca" "$NAMES" -1',
    told: [new RegExp(`expired on ${dateIn(-1)}`), ...WHOSE],
  },
  'that is not valid yet': {
    lines: 'certify "$SCRATCH/ca" "$NAMES" 9 3',
    told: [new RegExp(`is not valid before ${dateIn(3)}`), /this host's clock/, ...WHOSE],
  },
  'for another host': {
    lines: 'certify "$SCRATCH/ca" "DNS:dc7.$DOMAIN" 90',
    told: [new RegExp(`for another name: it is not for ${DC}`), /names DNS:dc7\.corp\.example/, ...WHOSE],
  },
  'behind a TLS that is too old': {
    lines: `certify "$SCRATCH/ca" "$NAMES" 90
      sed -i '/tls enabled/a tls priority = NORMAL:-VERS-ALL:+VERS-TLS1.1' "$ROOT/lab/dc1/etc/smb.conf"`,
    told: [/TLS/, /1\.2 or later/],
  },
};

for (const [how, { lines, told }] of Object.entries(WRONG))
  test(`a certificate ${how} is told as such`, async (t) => {
    const output = await toldAfter(() => restart(lines));
    t.diagnostic(output);
    for (const words of told) assert.match(output, words);

    const entry = entries().findLast(({ event }) => event === 35032);
    assert.ok(entry.text.includes(output.replace(/^it /, '')), 'the log says the same');
    assert.match(entry.text, /What to do:[^]*CaFile=/);

    // It is this agent's only controller: nothing is sent, and the answer says why.
    const { status, json } = await ask({ operation: 'reset', newPassword: 'Never-Set-4711' });
    assert.deepEqual([status, json.code, json.retryable], [503, 'ADConfigurationError', false]);
    assert.ok(json.detail.includes(output.replace(/^it /, '')), json.detail);
  });

test('with a right one the agent is back by itself, and warns where it ends soon', async () => {
  const within = new RegExp(`^${dateIn(20)}`);
  restart('certify "$SCRATCH/ca" "$NAMES" 20');
  client.close();
  await isBack();
  const { certificateNotAfter, observedValue, observedUnit } = await state();
  assert.match(certificateNotAfter, within);
  assert.ok(observedValue > 0 && observedUnit === 'ms', 'how long it takes to answer');
  const metrics = await (await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/metrics`)).text();
  const [, ends] = /^writeback_dc_certificate_not_after_timestamp_seconds\{.*\} (\S+)$/m.exec(metrics);
  assert.match(new Date(Number(ends) * 1000).toISOString(), within);
  const warning = await until('the warning', () => entries().find(({ event }) => event === 35033));
  assert.match(warning.text, new RegExp(`WARNING .*The certificate of ${DC} expires on ${within.source.slice(1)}`));
  assert.equal((await ask({ operation: 'check' })).json.allowed, true);
});
