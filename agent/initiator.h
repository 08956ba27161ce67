/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who asks, as a verified token tells it. Pure; logs nothing. */

#include "relay/relay.h"

/* What gives a right: directory roles, of people (`wids`, by the ids that Microsoft's list of
 * built-in roles has: entra/identity/role-based-access-control/permissions-reference), and app
 * roles, of services (`roles`). */
typedef enum role {
    ROLE_GLOBAL_ADMINISTRATOR = 1 << 0,
    ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR = 1 << 1,
    ROLE_USER_ADMINISTRATOR = 1 << 2,
    ROLE_PASSWORD_ADMINISTRATOR = 1 << 3,
    ROLE_HELPDESK_ADMINISTRATOR = 1 << 4,
    ROLE_AUTHENTICATION_ADMINISTRATOR = 1 << 5,
    ROLE_RESET_ALL = 1 << 6,
    ROLE_UNLOCK_ALL = 1 << 7,
} role;

/* Any of them together. */
typedef unsigned role_set;

#define ROLES_ALL ((role_set) 0xff)
#define ROLES_OF_PRIVILEGED_ADMINISTRATORS                                                         \
    ((role_set) ROLE_GLOBAL_ADMINISTRATOR | ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR)
#define ROLES_OF_ADMINISTRATORS                                                                    \
    (ROLES_OF_PRIVILEGED_ADMINISTRATORS | ROLE_USER_ADMINISTRATOR | ROLE_PASSWORD_ADMINISTRATOR |  \
     ROLE_HELPDESK_ADMINISTRATOR | ROLE_AUTHENTICATION_ADMINISTRATOR)

/* The role as the configuration calls it ("HelpdeskAdministrator", "Password.Reset.All"), compared
 * without case; 0 where there is none of that name. */
role_set role_from_name(const char *name);

/* Strings are borrowed from the claims and may be NULL. */
typedef struct initiator {
    bool is_app;
    role_set roles;     /* that count: of people none but directory roles, of services app roles */
    role_set withheld;  /* that the token has besides, and the configuration does not let count */
    const char *client; /* that got the token */
    const char *upn;    /* as the issuer vouches for it */
    const char *preferred_name; /* which people may choose themselves: it gives no right */
    const char *sid;            /* onprem_sid */
} initiator;

/* allowed: what the configuration lets count in tokens of this issuer */
initiator initiator_read(const token_claims *claims, role_set allowed);

/* Whether the token says who it is, in any way that an account of the directory can be compared
 * with. */
bool initiator_has_name(const initiator *who);

bool initiator_is_administrator(const initiator *who);
