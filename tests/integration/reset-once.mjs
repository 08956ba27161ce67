// SPDX-License-Identifier: Apache-2.0

// Asks for one reset and prints the answer: node tests/integration/reset-once.mjs USER [MORE]
//
// MORE is a JSON object: `members` and `claims` go over the usual ones of request and token (a member that is null goes
// out), `sealedTo` names a file with the keys (as GET /v1/keys has them) to seal it to.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Client } from '../lab/cloud/client.mjs';

const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };

const [, , user, more = '{}'] = process.argv;
const { members, claims, sealedTo } = JSON.parse(more);
const client = Client.fromEnvironment();
const payload = client.payload({
  operation: 'reset',
  user: { userPrincipalName: `${user}@corp.example` },
  newPassword: `Ab1!${randomUUID()}`,
  authorization: await client.token({ ...PASSWORD_ADMINISTRATOR, ...claims }),
  ...members,
});
for (const name in payload) if (payload[name] === null) delete payload[name];
const key = sealedTo && JSON.parse(readFileSync(sealedTo)).keys.find(({ use }) => use === 'enc');
const answer = await client.send(await client.seal(payload, { key }));
console.log(JSON.stringify(answer.json, null, 2));
client.close();
process.exitCode = answer.status === 200 ? 0 : 1;
