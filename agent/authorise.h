/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may do what to whom: the contract's tables, as pure functions from facts to verdict. Logs
 * nothing. */

#include "agent/request.h"

/* Who asks, from the verified token. Strings may be NULL. */
typedef struct initiator {
    bool is_app;
    bool is_privileged_administrator; /* Global or Privileged Authentication Administrator */
    bool is_administrator;            /* those two, or User, Password, Helpdesk, Authentication */
    bool may_reset_all;               /* app role Password.Reset.All */
    bool may_unlock_all;              /* app role Account.Unlock.All */
    const char *client;               /* application id of the client that got the token */
    const char *upn;
    const char *sid; /* onprem_sid */
} initiator;

/* Whom it is about, as the directory tells it. */
typedef struct target {
    const char *upn; /* NULL: has none */
    const char *sid;
    bool is_privileged;
} target;

typedef struct verdict {
    outcome outcome;    /* OUTCOME_INVALID: allowed */
    const char *reason; /* static, for people; NULL where allowed */
} verdict;

/* What can be said before the directory is asked: is the client one that writes back, and does the
 * token give any right to the operation? A person without a role may change and check their own
 * account, which only authorise_target() can tell.
 *
 * allowed_clients  application ids beside the Azure portal's, NULL-terminated, or NULL */
verdict authorise_initiator(const initiator *who, request_operation operation,
                            char *const *allowed_clients);

/* The rest, with the account at hand. Expects that authorise_initiator() allowed. */
verdict authorise_target(const initiator *who, request_operation operation, const target *whom);

/* Whether the configuration lets the account be acted on at all, whoever asks. */
verdict authorise_scope(directory_scope scope);
