/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One account, looked for in all domains at once.
 *
 * All domains that may have it are asked side by side, so that one that does not answer costs the
 * others nothing, and for a time of its own (ACCOUNT_SEARCH_PATIENCE), so that the rest of the
 * request's is left for the change.
 *
 * Whether a domain that did not answer might hold a second match is decided by the identifier:
 *
 * - SID, objectGUID: no. Both are given once in the world (MS-DTYP 2.3.4, 2.4.2). The first match
 *   ends the search.
 *
 * - sAMAccountName: no. The request names its domain, and no other is asked.
 *
 * - userPrincipalName that ends in the name of the domain that has it: it ought not to. The name
 *   belongs to that domain, and within a forest it is unique (MS-ADTS 3.1.1.5.1.3).
 *
 * - immutable id: it ought not to. Where two accounts have the same, an administrator has copied it
 *   to move one person from the one to the other.
 *
 * - any other userPrincipalName: yes. A suffix of an organisation's own can be used in several
 *   forests, and there by somebody else.
 *
 * Where it ought not to, the others are given ACCOUNT_SEARCH_GRACE after the match, in which all
 * that are there answer, so that two matches are seen; then the match counts, and the log says
 * which domain was not heard. Where it may, all must have answered, or the answer is
 * OUTCOME_AD_NOT_REACHABLE. */

#include "ldap/directory.h"

/* A domain that has a controller which answers needs a fraction of it; this is time to try a second
 * one, and one that has just come back. */
#define ACCOUNT_SEARCH_PATIENCE (12 * USEC_PER_SEC)
#define ACCOUNT_SEARCH_GRACE (2 * USEC_PER_SEC)

typedef struct account_search account_search;

typedef struct account_search_question {
    directory *const *directories; /* borrowed until done */
    size_t n_directories;
    directory_identifier id; /* borrowed until done */
    const char *domain;      /* only this one; NULL: any */
    usec_t deadline;         /* CLOCK_MONOTONIC; of the request */
} account_search_question;

/* How a search ended. */
typedef struct account_search_result {
    /* OUTCOME_INVALID: found. OUTCOME_AD_USER_NOT_FOUND: each domain has said so.
     * OUTCOME_AD_MULTI_MATCH. Else a domain could not be asked, and what it said counts: rather
     * what may pass (OUTCOME_AD_NOT_REACHABLE) than what must be mended, since the account may be
     * where nobody has answered. */
    outcome outcome;
    const char *detail;         /* for people; borrowed until `done` returns */
    directory_account *account; /* the callee's to take with TAKE_PTR */
    size_t home;                /* index of the directory that has it */
} account_search_result;

typedef void (*account_search_fn)(account_search_result *result, void *userdata);

/* `done` is called once, never from here, after ACCOUNT_SEARCH_PATIENCE or at the deadline at the
 * latest; where only one domain is asked, not before the deadline. The callee may free the search.
 *
 * Returns 0; -ENOENT where none of the directories is the domain asked for; -EINVAL where
 * directory_identifier_check() would refuse the identifier; or another negative errno. Logs a
 * notice where a match counted before all had answered. */
int account_search_new(sd_event *event, const account_search_question *question,
                       account_search_fn done, void *userdata, account_search **ret);

/* Cancels. Takes NULL, returns NULL. */
account_search *account_search_free(account_search *s);

DEFINE_CLEANUP(account_search *, account_search_free);
