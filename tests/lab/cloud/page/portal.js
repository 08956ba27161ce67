// SPDX-License-Identifier: Apache-2.0

import { asSentence, bladeReason, bladeSentence, ruleSentence, warningSentence } from './words.js';

const BLADE_EVERY = 3000;
const ACTIVITY_KEPT = 12;

const $ = (id) => document.getElementById(id);
const state = { people: [], users: [], person: null, reached: null, bladeAt: 0 };

/** element('p', {className: 'hint'}, 'text', child, …); null children are left out. */
function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

async function getJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** Asks the agent for an operation; {reached, status, milliseconds, answer} or {reached, why}. */
async function ask(operation, user, more = {}) {
  try {
    const response = await fetch('/api/requests', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ as: state.person, operation, user: user.userPrincipalName, ...more }),
    });
    return await response.json();
  } catch {
    return { reached: false, why: 'the portal itself does not answer' };
  }
}

/* ---- Users ------------------------------------------------------------------------------------- */

const initials = (name) => name.split(' ').map((word) => word[0]).join('').slice(0, 2);

function addUser(user, index) {
  const nameLine = element('div', { className: 'name' }, user.displayName);
  const mail = element('div', { className: 'mail' }, user.userPrincipalName, ' · ', user.jobTitle);
  const why = element('div', { className: 'why', id: `why-${index}` });
  const button = element('button', { type: 'button', disabled: true }, 'Reset password');
  button.setAttribute('aria-label', `Reset password of ${user.displayName}`);
  button.setAttribute('aria-describedby', why.id);
  button.addEventListener('click', () => openReset(user));

  const row = element(
    'li', { className: 'user' },
    element('div', { className: 'avatar', ariaHidden: 'true' }, initials(user.displayName)),
    element('div', {}, nameLine, mail), button, why);
  row.dataset.user = user.userPrincipalName;
  Object.assign(user, { row, nameLine, why, button });
  return row;
}

function steps(list) {
  return list?.length
    ? element('ol', { className: 'steps' }, ...list.map((step) => element('li', {}, step)))
    : null;
}

// What a refusal says: its title, and the detail where that says more.
const sentencesOf = ({ title, detail }) => [...new Set([title, detail ?? title].map(asSentence))];

function whatToDo(list) {
  return list?.length
    ? element('details', {}, element('summary', {}, 'What to do'), steps(list))
    : null;
}

function chipsOf(account = {}) {
  const words = [
    [account.enabled === false, 'Disabled'],
    [account.lockedOut, 'Locked out'],
    [account.privileged, 'Privileged'],
    [account.protected, 'Protected'],
    [account.mustChange, 'Must change password'],
  ];
  return words
    .filter(([holds]) => holds)
    .map(([, text]) => element('span', { className: 'chip' }, text));
}

function showCheck(user, { reached, why, status, answer }) {
  const allowed = reached && status === 200 && answer.allowed;
  let reasons = [];
  if (!reached) reasons = [{ title: 'The agent cannot be asked', detail: why }];
  else if (status !== 200) reasons = [answer];
  else if (!allowed) reasons = answer.reasons;

  user.reasons = reasons;
  user.button.disabled = !allowed;
  user.why.replaceChildren(
    ...reasons.map((reason) =>
      element('div', {}, ...sentencesOf(reason).map((text) => element('div', {}, text)),
        whatToDo(reason.steps))));
  user.nameLine.replaceChildren(user.displayName, ...chipsOf(answer?.account));
}

// A refusal that is about whoever asks is said once, with its steps, and not for each user again.
function showCommonReason() {
  const texts = state.users.map(({ reasons }) => reasons.map(({ title }) => title).join('\n'));
  const isCommon = texts[0] !== '' && texts.every((text) => text === texts[0]);
  $('for-all').replaceChildren();
  if (!isCommon) return;

  const [reason] = state.users[0].reasons;
  const banner = verdict('warn', '!', ...sentencesOf(reason));
  banner.lastChild.append(...[steps(reason.steps)].filter(Boolean));
  $('for-all').append(banner);
  for (const { why } of state.users) why.replaceChildren(asSentence(reason.title));
}

async function checkUsers() {
  const person = state.person;
  $('users').setAttribute('aria-busy', 'true');
  await Promise.all(
    state.users.map(async (user) => {
      const answer = await ask('check', user);
      if (person === state.person) showCheck(user, answer); // nobody else has signed in meanwhile
    }));
  if (person !== state.person) return;
  showCommonReason();
  $('users').setAttribute('aria-busy', 'false');
}

/* ---- Reset ------------------------------------------------------------------------------------- */

let resetting = null;

function openReset(user) {
  resetting = user;
  $('reset-who').textContent = `${user.displayName} · ${user.userPrincipalName}`;
  $('reset-form').reset();
  $('username').value = user.userPrincipalName;
  showPassword(false);
  editing(true);
  $('result').replaceChildren();
  $('reset').showModal();
  $('password').focus();
}

function showPassword(shown) {
  $('password').type = shown ? 'text' : 'password';
  $('show').textContent = shown ? 'Hide' : 'Show';
  $('show').setAttribute('aria-pressed', String(shown));
}

// After a success there is nothing left to fill in.
function editing(on) {
  $('reset-fields').hidden = !on;
  $('submit').hidden = !on;
  $('close').textContent = on ? 'Cancel' : 'Done';
  $('password').removeAttribute('aria-invalid');
}

function suggestPassword() {
  const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789';
  const random = crypto.getRandomValues(new Uint32Array(16));
  const groups = Array.from(random, (number) => alphabet[number % alphabet.length]).join('');
  $('password').value = `${groups.match(/.{4}/g).join('-')}+7Kq`; // complex whatever came
  showPassword(true);
}

async function submitReset(event) {
  event.preventDefault();
  const user = resetting;
  $('submit').disabled = true;
  $('submit').textContent = 'Resetting …';
  $('result').replaceChildren();

  const answer = await ask('reset', user, {
    newPassword: $('password').value,
    forceChangePasswordNextSignIn: $('must-change').checked,
    unlockAccount: $('unlock').checked,
  });

  $('submit').disabled = false;
  $('submit').textContent = 'Reset password';
  const succeeded = answer.reached && answer.status === 200;
  if (succeeded) {
    $('password').value = '';
    editing(false);
    $('close').focus();
  } else if (answer.answer?.code === 'ADPasswordPolicyError') {
    $('password').setAttribute('aria-invalid', 'true');
    $('password').focus();
  }
  $('result').replaceChildren(...resultNodes(user, answer));
  addActivity(user, answer, succeeded);
  if (succeeded) ask('check', user).then((check) => showCheck(user, check));
}

function verdict(kind, mark, ...paragraphs) {
  return element(
    'div', { className: `verdict ${kind}` },
    element('span', { className: 'mark', ariaHidden: 'true' }, mark),
    element('div', {}, ...paragraphs.map((text) => element('p', {}, text))));
}

function facts(pairs) {
  const list = element('dl', { className: 'facts' });
  for (const [name, value] of pairs)
    if (value !== undefined && value !== null && value !== '')
      list.append(element('dt', {}, name), element('dd', {}, String(value)));
  return list;
}

function resultNodes(user, { reached, why, status, milliseconds, answer }) {
  if (!reached)
    return [verdict('fail', '✕', 'The agent did not answer.', asSentence(why))];
  const took = `${milliseconds} ms, there and back`;

  if (status === 200)
    return [
      verdict('pass', '✓', `The password of ${user.displayName} was reset.`),
      ...answer.warnings.map((warning) => verdict('warn', '!', warningSentence(warning))),
      facts([
        ['Domain controller', answer.domainController],
        ['Password set', answer.passwordLastSet && new Date(answer.passwordLastSet).toLocaleString()],
        ['Account unlocked', answer.accountUnlocked ? 'yes' : 'was not locked'],
        ['Must change it', answer.mustChangeAtNextSignIn ? 'at the next sign-in' : 'no'],
        ['Event', `${answer.eventId} ${answer.event}`],
        ['Request', answer.id],
        ['Took', took],
      ]),
    ];

  const { reasons = [], steps: list } = answer;
  return [
    verdict('fail', '✕', ...sentencesOf(answer)),
    reasons.length ? element('h3', {}, 'Rules that it breaks') : null,
    reasons.length
      ? element('ul', { className: 'rules' }, ...reasons.map((r) => element('li', {}, ruleSentence(r))))
      : null,
    list?.length ? element('h3', {}, 'What to do') : null,
    steps(list),
    facts([
      ['Event', `${answer.eventId} ${answer.code}`],
      ['Request', answer.id],
      ['Took', took],
    ]),
  ].filter(Boolean);
}

function addActivity(user, { reached, answer, milliseconds }, succeeded) {
  const list = $('activity');
  list.querySelector('.hint:not(span)')?.remove();
  const outcome = !reached ? 'not reached' : succeeded ? answer.event : answer.code;
  const mark = element(
    'span', { className: `mark-only ${succeeded ? 'pass' : 'fail'}` }, succeeded ? '✓' : '✕');
  const person = state.people.find(({ id }) => id === state.person);
  list.prepend(
    element(
      'li', {}, mark,
      element(
        'div', {},
        element('span', {}, `${user.displayName}: ${outcome}`),
        element(
          'span', { className: 'hint' },
          [`${new Date().toLocaleTimeString()} by ${person.name}`, reached && `${milliseconds} ms`]
            .filter(Boolean).join(', ')))));
  while (list.children.length > ACTIVITY_KEPT) list.lastChild.remove();
}

/* ---- Blade ------------------------------------------------------------------------------------- */

const MARKS = { pass: ['✓', 'OK'], warn: ['!', 'Warning'], fail: ['✕', 'Failing'] };
const markOf = (status) => MARKS[status] ?? ['?', 'Not known'];

function checkRows(checks = {}) {
  const rows = Object.entries(checks).flatMap(([name, entries]) =>
    entries.map(({ componentId, status, output, observedValue, observedUnit }) => {
      const [mark, word] = markOf(status);
      const latency = observedUnit === 'ms' && observedValue ? `${observedValue.toFixed(1)} ms` : '';
      const notes = [componentId, latency, output].filter(Boolean).join(' · ');
      return element(
        'div', {},
        element('dt', {}, name, notes ? element('span', {}, notes) : null),
        element('dd', { className: `mark-only ${status}` }, `${mark} ${word}`));
    }));
  return element('dl', { className: 'checks' }, ...rows);
}

function bladeNodes({ reached, why, status, answer }) {
  if (!reached || status !== 200 || !answer?.blade)
    return ['fail', [
      verdict('fail', '✕', 'The blade is not shown: the agent cannot be reached.',
        asSentence(why ?? `it answers ${status}`)),
    ]];

  const { blade, checks, serviceId, releaseId } = answer;
  const kind = blade.visible ? answer.status : 'fail';
  const reasons = (blade.reasons ?? []).map(bladeReason);
  const [mark] = markOf(kind);
  return [kind, [
    verdict(kind, mark, bladeSentence(blade.state), ...reasons.map(asSentence)),
    checkRows(checks),
    facts([['Agent', serviceId], ['Version', releaseId]]),
  ]];
}

async function refreshBlade() {
  const health = await getJson('/api/health').catch(() => ({
    reached: false,
    why: 'the portal itself does not answer',
  }));
  const [kind, nodes] = bladeNodes(health);
  const text = nodes.map(({ outerHTML }) => outerHTML).join('');
  const body = $('blade-body');
  // Screen readers are told of changes only.
  if (body.dataset.shown !== text) {
    body.replaceChildren(...nodes);
    body.dataset.shown = text;
  }
  $('blade').dataset.state = kind;
  state.bladeAt = Date.now();

  if (state.reached !== health.reached) {
    const first = state.reached === null;
    state.reached = health.reached;
    if (!first) checkUsers();
  }
}

function showBladeAge() {
  if (!state.bladeAt) return;
  const seconds = Math.round((Date.now() - state.bladeAt) / 1000);
  $('blade-age').textContent = seconds < 1 ? 'Asked just now.' : `Asked ${seconds} s ago.`;
}

async function keepBladeFresh() {
  if (!document.hidden) await refreshBlade();
  setTimeout(keepBladeFresh, BLADE_EVERY);
}

/* ---- Start ------------------------------------------------------------------------------------- */

function signIn(id) {
  state.person = id;
  sessionStorage.setItem('person', id);
  checkUsers();
}

async function start() {
  [state.people, state.users] = await Promise.all([getJson('/api/people'), getJson('/api/users')]);

  $('person').append(
    ...state.people.map(({ id, name, title }) => element('option', { value: id }, `${name} – ${title}`)));
  const remembered = sessionStorage.getItem('person');
  if (state.people.some(({ id }) => id === remembered)) $('person').value = remembered;
  $('users').append(...state.users.map(addUser));

  $('person').addEventListener('change', ({ target }) => signIn(target.value));
  $('show').addEventListener('click', () => showPassword($('password').type === 'password'));
  $('suggest').addEventListener('click', suggestPassword);
  $('close').addEventListener('click', () => $('reset').close());
  $('reset-form').addEventListener('submit', submitReset);
  $('reset').addEventListener('close', () => ($('password').value = ''));

  signIn($('person').value);
  setInterval(showBladeAge, 1000);
  keepBladeFresh();
}

start();
