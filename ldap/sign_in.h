/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a password is somebody's: one bind, on a connection of its own, which ends with it.
 *
 * A wrong one counts towards the lockout of the account. Nothing here logs. */

#include "ldap/answer.h"
#include "ldap/controller.h"

typedef struct sign_in sign_in;

/* `tried` tells whether the bind was sent; without it nothing has been counted. The callee may free
 * the sign_in. */
typedef void (*sign_in_done_fn)(password_verdict v, bool tried, void *userdata);

/* dn         copied
 * password   borrowed until done
 *
 * Returns 0 or negative errno. */
int sign_in_new(controller *c, const char *dn, const secret *password, sign_in_done_fn done,
                void *userdata, sign_in **ret);

/* Takes NULL, returns NULL. */
sign_in *sign_in_free(sign_in *s);

DEFINE_CLEANUP(sign_in *, sign_in_free);
