/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the agent's own account may do to an account, told by looking: from the access lists of the
 * account and of the domain, and from whom the agent is in its session. Changes nothing, logs
 * nothing. */

#include "ldap/call.h"

typedef struct rights_look rights_look;

/* rights    what was found, the callee's to free with rights_free(); NULL: it could not be told
 * o         OUTCOME_INVALID; or OUTCOME_AD_PERMISSIONS where the agent's account may not read it,
 *           OUTCOME_AD_NOT_REACHABLE where the connection was lost, OUTCOME_UNKNOWN_ERROR
 * problem   then: why, a sentence's end that follows the controller's name; borrowed
 *
 * The callee may free the look. */
typedef void (*rights_done_fn)(directory_rights *rights, outcome o, const char *problem,
                               void *userdata);

/* Begins to look over a controller that can be used.
 *
 * config    of the domain; borrowed
 * account   borrowed; NULL: only at the domain
 *
 * Returns 0 or negative errno; `done` is not called from here, and only once. */
int rights_look_new(const controller *c, const directory_config *config,
                    const directory_account *account, rights_done_fn done, void *userdata,
                    rights_look **ret);

/* Takes NULL, returns NULL. */
rights_look *rights_look_free(rights_look *l);

directory_rights *rights_free(directory_rights *r);

DEFINE_CLEANUP(directory_rights *, rights_free);
DEFINE_CLEANUP(rights_look *, rights_look_free);
