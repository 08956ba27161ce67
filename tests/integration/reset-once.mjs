// SPDX-License-Identifier: Apache-2.0

// Asks for one reset and prints the answer: node tests/integration/reset-once.mjs USER

import { Client } from '../lab/cloud/client.mjs';

const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };

const client = Client.fromEnvironment();
const answer = await client.ask(
  { operation: 'reset', user: { userPrincipalName: `${process.argv[2]}@corp.example` }, newPassword: 'Ab1!-once-and-no-more' },
  PASSWORD_ADMINISTRATOR);
console.log(JSON.stringify(answer.json, null, 2));
client.close();
process.exitCode = answer.status === 200 ? 0 : 1;
