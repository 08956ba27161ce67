/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bodies of answers, as the contract has them. All return malloc(3)ed compact JSON, or NULL
 * where memory is out. Nothing here logs. */

#include "agent/base/problem.h"
#include "agent/request.h"
#include "ldap/directory.h"

#define SUCCESS_CONTENT_TYPE "application/json"

/* application/problem+json (RFC 9457).
 *
 * id       jti; NULL where it is not known
 * detail   for people; NULL: the outcome's title alone
 * reply    of the directory, for `reasons` and for `steps` that name a missing right; NULL: none */
char *answer_problem(outcome o, const char *id, const char *detail, const directory_reply *reply);

/* A reset, change or unlock that was done. */
char *answer_done(outcome o, request_operation operation, const char *id,
                  const directory_reply *reply);

/* A check.
 *
 * refusal  OUTCOME_INVALID: a reset would be allowed
 * rights   of the agent's account, whose steps take the place of the refusal's where rights are
 *          what it is about; NULL where they were not looked at
 * account  NULL where it was not found, or the asker may not look at it */
char *answer_check(const char *id, outcome refusal, const char *reason,
                   const directory_rights *rights, const directory_account_info *account);
