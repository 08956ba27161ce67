// SPDX-License-Identifier: Apache-2.0

// The story that tests/demo tells: a lab is up, and a cloud asks for password resets.
//
//     node story.mjs [--stay]
//
// Plays each step and checks that it came out as told. The exit status says whether all did. With
// --stay the lab stays up afterwards, until Ctrl-C; DEMO_PORTAL is where a browser finds the portal.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

import { Client } from './client.mjs';
import { binds } from './directory.mjs';
import { fetchHttps } from './http.mjs';
import { bad, bold, came, good, heading, logLines, remark, say, sent, took } from './narrate.mjs';
import { asSentence, bladeReason, bladeSentence, ruleSentence } from './page/words.js';
import { people } from './portal-people.mjs';

const env = process.env;
const BLADE_WITHIN = 90_000; // ms; the agent's ladder of retries waits up to 30 s
const ALICE = 'alice@corp.example';
const BOB = 'bob@corp.example';
const ADMINISTRATOR = 'admin-protected@corp.example';

const client = Client.fromEnvironment();
const staff = people({ selfServiceClient: env.WRITEBACK_LAB_SELF_SERVICE_CLIENT_ID });
const oldPassword = env.WRITEBACK_LAB_USER_PASSWORD;
const newPassword = `Lab-${randomBytes(9).toString('base64url')}-7q`;
let failures = 0;

function check(holds, told) {
  if (holds) return good(told);
  failures++;
  bad(`NOT AS TOLD: ${told}`);
}

/** Asks as one of the staff, and narrates it. */
async function ask(who, members, shown) {
  const person = staff.find(({ id }) => id === who);
  remark(`${person.name}, ${person.title}, asks. The token's client is ${person.claims.azp ?? 'the Azure portal'}.`);
  const answer = await client.ask(members, person.claims);
  const { jti, operation, user, newPassword: password, authorization } = answer.payload;
  sent(`POST ${env.WRITEBACK_LAB_RELAY_URL}/v1/requests, sealed to the agent's key:`, {
    jti, operation, user, ...(password && { newPassword: password }), authorization,
  });
  came(answer, shown);
  return answer;
}

async function blade() {
  const { json } = await fetchHttps(`${env.WRITEBACK_LAB_PORTAL_URL}/api/health`, {
    ca: readFileSync(env.WRITEBACK_LAB_RELAY_CA),
  });
  return json;
}

/** Waits until the blade is as asked; how long that took, or null where it never was. */
async function untilBlade(isAsAsked) {
  const began = performance.now();
  while (performance.now() - began < BLADE_WITHIN) {
    if (isAsAsked(await blade())) return performance.now() - began;
    await wait(100);
  }
  return null;
}

const isShown = ({ reached, answer }) => Boolean(reached && answer?.blade?.visible);

const PROBLEM = ['code', 'eventId', 'title', 'detail', 'reasons', 'steps'];
const SUCCESS = ['status', 'eventId', 'event', 'domainController', 'passwordLastSet', 'warnings'];

const steps = {
  async 'a. The On-premises integration blade appears'() {
    sent(`GET ${env.WRITEBACK_LAB_RELAY_URL}/v1/health`);
    const after = await untilBlade(isShown);
    const { status, milliseconds, answer } = await blade();
    came({ status, reason: 'OK', milliseconds, json: answer }, ['status', 'serviceId', 'blade']);
    check(after !== null, `the portal shows the blade: ${bladeSentence(answer?.blade?.state ?? 'notConfigured')}`);
  },

  async 'b. A Password Administrator resets a user'() {
    check(await binds(ALICE, oldPassword), `${ALICE} can sign in at the directory with the old password`);
    const { status, json } = await ask(
      'password-administrator',
      { operation: 'reset', user: { userPrincipalName: ALICE }, newPassword },
      SUCCESS);
    check(status === 200 && json.eventId === 31010, 'the agent says that it is done');
    check(await binds(ALICE, newPassword), 'the directory lets her in with the new password');
    check(!(await binds(ALICE, oldPassword)), 'and no longer with the old one');
  },

  async 'c. A password that breaks the policy is refused, and each broken rule is named'() {
    const refuse = async (user, password) => {
      const { status, json } = await ask(
        'password-administrator',
        { operation: 'reset', user: { userPrincipalName: user }, newPassword: password },
        PROBLEM);
      check(status === 422 && json.code === 'ADPasswordPolicyError', 'the policy refuses it');
      const reasons = json?.reasons ?? [];
      for (const reason of reasons) remark(`In words: ${ruleSentence(reason)}`);
      return (name, figure) =>
        reasons.some(({ rule, required }) => rule === name && (!figure || required === figure));
    };

    remark(`${ALICE} again: a short and simple password, and hers is of a moment ago.`);
    const hers = await refuse(ALICE, 'abc');
    check(hers('minimumPasswordLength', 7), 'the 7 characters of the domain are named');
    check(hers('passwordComplexity'), 'so is the complexity');
    check(hers('minimumPasswordAge', 86400), 'and the day that a password must be in force');
    check(await binds(ALICE, newPassword), 'the password from before is still in force');

    remark(`${BOB} is under a fine-grained policy of his own.`);
    const his = await refuse(BOB, 'Only-14-chars!');
    check(his('minimumPasswordLength', 15), 'its 15 characters are named');
    check(await binds(BOB, oldPassword), 'his old password is still in force');
  },

  async 'd. The same reset, asked for from the Microsoft 365 admin center'() {
    const { status, json } = await ask(
      'microsoft-365',
      { operation: 'reset', user: { userPrincipalName: ALICE }, newPassword: `${newPassword}2` },
      PROBLEM);
    check(status === 403 && json.code === 'UnsupportedPortal', 'it is refused: that portal does not write back');
    check(
      /again in the Azure portal/.test(json?.steps?.join('\n')),
      "the answer gives the support article's advice: reset the password again in the Azure portal");
    check(await binds(ALICE, newPassword), 'the password from before is still in force');
  },

  async 'e. A User Administrator may not reset a domain administrator'() {
    const { status, json } = await ask(
      'user-administrator',
      { operation: 'reset', user: { userPrincipalName: ADMINISTRATOR }, newPassword },
      PROBLEM);
    check(status === 403 && json.code === 'TargetPrivileged', 'it is refused: the account is privileged');
    check(!(await binds(ADMINISTRATOR, newPassword)), 'the new password is not in force');
  },

  async 'f. The relay is cut: the blade goes, with its reason, and comes back'() {
    sent('the relay closes its listeners and lets none in');
    await client.control('relay', { cut: true });
    const gone = await untilBlade((now) => !isShown(now));
    const { why } = await blade();
    check(gone !== null && why, `the blade is gone ${took(gone ?? 0)}. ${asSentence(why ?? 'nobody says why')}`);

    const health = await untilAgentKnows();
    const reasons = (health?.blade?.reasons ?? []).map(bladeReason);
    check(reasons.some((reason) => /relay/.test(reason)), `the agent on its host: ${reasons.join('; ') || 'nothing'}`);

    // What is back within seconds is none to the log.
    await untilLogged(' 31044 ');
    sent('the relay is mended');
    await client.control('relay', { cut: false });
    const back = await untilBlade(isShown);
    check(back !== null, `the blade is back ${took(back ?? 0)}, without anybody touching the agent`);
  },

  async 'g. The log of all this, as an administrator reads it'() {
    const log = readFileSync(env.WRITEBACK_LAB_LOG, 'utf8');
    remark(`journalctl -u writebackd, were this a service. Each entry has fields, too; they are left out here.`);
    logLines(log.replace(/^ +WRITEBACK_.*\n/gm, ''));
    for (const [event, told] of [
      ['31010 ResetUserPasswordByAdminSuccess', 'the reset'],
      ['33008 ADPasswordPolicyError', 'the refusal by the policy'],
      ['35002 UnsupportedPortal', 'the portal that does not write back'],
      ['35003 TargetPrivileged', 'the privileged account'],
      ['32002 ServiceBusError', 'the relay that was cut'],
      ['31044 PasswordResetService', 'what that meant'],
    ])
      check(log.includes(event), `the log has ${told}: ${event}`);
    check(![oldPassword, newPassword].some((secret) => log.includes(secret)), 'no password is in it');
    check(!/eyJ[\w-]+\./.test(log), 'and no token');
  },
};

/** The agent's own health document, once it says why the blade does not show. */
async function untilAgentKnows() {
  const began = performance.now();
  let health;
  while (performance.now() - began < BLADE_WITHIN) {
    health = await fetch(`${env.WRITEBACK_LAB_HEALTH_URL}/healthz`).then((answer) => answer.json());
    if (health.blade?.reasons?.length) break;
    await wait(100);
  }
  return health;
}

async function untilLogged(text) {
  for (const end = Date.now() + BLADE_WITHIN; Date.now() < end; await wait(100))
    if (readFileSync(env.WRITEBACK_LAB_LOG, 'utf8').includes(text)) return;
}

async function play() {
  const began = performance.now();
  const failed = [];
  for (const [title, step] of Object.entries(steps)) {
    heading(title);
    const before = failures;
    try {
      await step();
    } catch (error) {
      failures++;
      bad(`NOT AS TOLD: ${error.message}`);
    }
    if (failures > before) failed.push(title);
  }
  client.close();

  const count = Object.keys(steps).length;
  heading(`${count - failed.length} of ${count} steps came out as told`);
  failed.forEach((title) => bad(title));
  remark(`Played in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
}

async function stay() {
  say();
  say(`The lab stays up. The portal: ${bold(env.DEMO_PORTAL ?? env.WRITEBACK_LAB_PORTAL_URL)}`);
  remark('Sign in as somebody else at the top right of the page. Ctrl-C ends it.');
  const keepAlive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
  clearInterval(keepAlive);
  say();
}

await play();
if (process.argv.includes('--stay')) await stay();
process.exitCode = failures ? 1 : 0;
