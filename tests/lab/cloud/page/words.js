// SPDX-License-Identifier: Apache-2.0

// What the agent's answers say, in sentences. Used by the page and by the demo's narration.

/** The agent's own words, which may be half a sentence, as a whole one. */
export const asSentence = (text) =>
  text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.');

const plural = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`;

function period(seconds) {
  for (const [unit, length] of [['day', 86400], ['hour', 3600], ['minute', 60]])
    if (seconds >= length && seconds % length === 0) return plural(seconds / length, unit);
  return plural(seconds, 'second');
}

// A camelCase name that is not known here, as words.
const asWords = (name) => {
  const words = name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
  return words[0].toUpperCase() + words.slice(1);
};

const RULES = {
  minimumPasswordLength: (required) =>
    required ? `It needs at least ${plural(required, 'character')}.` : 'It is too short.',
  passwordComplexity: () =>
    'It needs three of: capital letters, small letters, digits, other characters; and no part of the name.',
  passwordHistory: (required) =>
    required ? `It is one of the last ${plural(required, 'password')}.` : 'It was used before.',
  minimumPasswordAge: (required) =>
    required
      ? `The password in force is too young: it must be ${period(required)} old.`
      : 'The password in force is too young.',
  passwordFilter: () => 'A password filter on the domain controller refuses it.',
  userCannotChangePassword: () => 'The user is not allowed to change the password.',
};

/** A broken rule of the password policy, {rule, required}, as a sentence. */
export const ruleSentence = ({ rule, required }) =>
  RULES[rule]?.(required) ?? `${asWords(rule)}${required ? `: ${required}` : ''}.`;

const WARNINGS = {
  accountStillLocked: 'The account is still locked out.',
  mustChangeAtNextSignInNotSet: 'That it must be changed at the next sign-in could not be set.',
  mustChangeAtNextSignInUnknown: 'Whether it must be changed at the next sign-in could not be found out.',
  passwordHistoryNotEnforced: 'The password history was not looked at: the controller cannot do so.',
  passwordAlreadySet: 'An earlier attempt of this very request had set it already.',
  answerLost: 'The domain controller’s answer was lost; the agent looked, and found it done.',
};

/** A warning beside a success. */
export const warningSentence = (warning) => WARNINGS[warning] ?? `${asWords(warning)}.`;

const BLADE = {
  upAndRunning: 'Your on-premises writeback client is up and running.',
  updateAvailable:
    'Your on-premises writeback client is online and connected. A newer version is available.',
  temporarilyUnavailable: 'Your on-premises writeback client cannot do its work at the moment.',
  notConfigured: 'Your on-premises writeback client is not properly configured.',
  notEnabled: 'On-premises integration has not been enabled.',
};

/** The blade's state. */
export const bladeSentence = (state) => BLADE[state] ?? `${asWords(state)}.`;

/** A reason why the blade does not show: {group, title, check, componentId, detail}. */
export const bladeReason = ({ title, check, componentId, detail }) => {
  const where = [check, componentId].filter(Boolean).join(' ');
  return [title, [where, detail].filter(Boolean).join(': ')].filter(Boolean).join(' — ');
};
