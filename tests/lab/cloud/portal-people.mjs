// SPDX-License-Identifier: Apache-2.0

// Who can sign in to the portal, and what their access tokens say. Role template ids and client ids
// are Microsoft's (Microsoft Entra built-in roles; first-party applications).

const ROLES = {
  'Password Administrator': '966707d0-3269-4727-9be2-8c3a10f19b9d',
  'Helpdesk Administrator': '729827e3-9c14-49f7-bb1b-9608f156bbb8',
  'Authentication Administrator': 'c4e39bd9-1100-46d3-8c65-fb160da0071f',
  'User Administrator': 'fe930be7-5e62-47db-91af-98c3a49a38b1',
  'Privileged Authentication Administrator': '7be44c8a-adaf-4e2a-84d6-ab2649e08a13',
  'Global Administrator': '62e90394-69f5-4237-9190-012177145e10',
};
const MICROSOFT_365_ADMIN_CENTER = '00000006-0000-0ff1-ce00-000000000000';

// Object ids that stay the same from one run to the next.
const objectId = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

/** [{id, name, title, claims}] */
export function people({ selfServiceClient }) {
  const person = (number, id, name, title, claims = {}) => ({
    id,
    name,
    title,
    claims: {
      name,
      upn: `${name.split(' ')[0].toLowerCase()}@corp.example`,
      oid: objectId(number),
      sub: objectId(number),
      ...claims,
    },
  });
  const administrator = (number, id, name, role, more) =>
    person(number, id, name, role, { wids: [ROLES[role]], ...more });

  return [
    administrator(1, 'password-administrator', 'Paula Price', 'Password Administrator'),
    administrator(2, 'helpdesk-administrator', 'Henry Hill', 'Helpdesk Administrator'),
    administrator(3, 'authentication-administrator', 'Anton Ames', 'Authentication Administrator'),
    administrator(4, 'user-administrator', 'Uma Usher', 'User Administrator'),
    administrator(
      5, 'privileged-authentication-administrator', 'Priya Pell',
      'Privileged Authentication Administrator'),
    administrator(6, 'global-administrator', 'Gloria Grant', 'Global Administrator'),
    person(7, 'no-role', 'Nora North', 'A person without a role'),
    {
      ...administrator(6, 'microsoft-365', 'Gloria Grant', 'Global Administrator', {
        azp: MICROSOFT_365_ADMIN_CENTER,
      }),
      title: 'Global Administrator, from the Microsoft 365 admin center',
    },
    {
      id: 'self-service',
      name: 'Self-service',
      title: 'A service with Password.Reset.All and Account.Unlock.All',
      claims: {
        idtyp: 'app',
        azp: selfServiceClient,
        oid: objectId(8),
        sub: objectId(8),
        roles: ['Password.Reset.All', 'Account.Unlock.All'],
      },
    },
  ];
}
