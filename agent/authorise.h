/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may do what to whom: the contract's tables, as pure functions from facts to verdict. Logs
 * nothing. */

#include "agent/initiator.h"
#include "agent/licence.h"
#include "agent/request.h"

/* Which clients may bring tokens of the initiator's issuer. */
typedef struct client_rules {
    bool is_entra; /* ids are application ids: the Azure portal's is allowed besides, and of some
                      others of Microsoft's it is known that they do not write back */
    char *const *allowed; /* NULL-terminated, or NULL */
} client_rules;

/* Whom it is about, as the directory tells it. */
typedef struct target {
    const char *upn;        /* NULL: has none */
    const char *logon_name; /* NAME@DOMAIN, by which it can sign in whatever its upn is (MS-ADTS
                               5.1.1.1.1); NULL: not known */
    const char *sid;
    bool is_privileged;
    directory_scope scope;
} target;

typedef struct verdict {
    outcome outcome;    /* OUTCOME_INVALID: allowed */
    const char *reason; /* static, for people; NULL where allowed */
} verdict;

/* What can be said before the directory is asked: is the client one that writes back, and does the
 * token give any right to the operation? A person without a role may change and check their own
 * account, which only authorise_target() can tell. */
verdict authorise_initiator(const initiator *who, request_operation operation,
                            const client_rules *clients);

/* The rest, with the account at hand. Expects that authorise_initiator() allowed. What speaks
 * against it is told in this order: who asks, the account's privileges, the scope that the
 * configuration draws, the tenant's licence. */
verdict authorise_target(const initiator *who, request_operation operation, const target *whom,
                         licence l);
