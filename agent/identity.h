/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How people are named in the log: LogUserIdentity=. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/macro.h"

typedef enum identity_form {
    IDENTITY_UPN,  /* by name */
    IDENTITY_SID,  /* by SID, which says nothing to who has no access to the directory */
    IDENTITY_HASH, /* the same person by the same digits, which cannot be guessed from a list of
                      names, since they are keyed */
} identity_form;

typedef struct identities identities;

/* The key of IDENTITY_HASH is read from `key_path`, or made there. Blocks for the disk. Returns 0;
 * -EBADMSG where the file holds no key; or another negative errno. */
int identities_new(identity_form form, const char *key_path, identities **ret);
identities *identities_free(identities *i);

/* A person as the log has them: malloc(3)ed; NULL where nothing that may be told is known.
 *
 * name   a user principal name, or whatever else is known; may be NULL
 * sid    "S-1-5-21-…"; may be NULL */
char *identities_text(const identities *i, const char *name, const char *sid);

/* Whether names may stand in texts. */
bool identities_may_name(const identities *i);

/* Whether the directory knows an account by that text, so that a command may have it. */
bool identities_are_known(const identities *i);

DEFINE_CLEANUP(identities *, identities_free);
