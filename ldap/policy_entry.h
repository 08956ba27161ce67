/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The policy in force for an account, as the directory keeps it: the fine-grained one that its
 * msDS-ResultantPSO names, else the domain's. The former is often not to be read by the agent's
 * account; then nothing is known, since the domain's does not count. Nothing here logs. */

#include "ldap/account.h"
#include "ldap/connection.h"
#include "ldap/policy.h"

/* As connection_search(). */
int policy_entry_search(connection *c, const directory_account *account, const survey_result *known,
                        connection_answer_fn fn, void *userdata, connection_request **ret);

/* Reads the answer to that search. Returns false where it does not tell the policy. */
bool policy_entry_read(const connection_answer *answer, const directory_account *account,
                       password_policy *ret);
