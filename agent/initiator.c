/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/initiator.h"

#include <strings.h>

static const struct {
    role role;
    const char *name;
    const char *id; /* in `wids`; NULL: an app role, which stands in `roles` by its name */
} roles[] = {
    {ROLE_GLOBAL_ADMINISTRATOR, "GlobalAdministrator", "62e90394-69f5-4237-9190-012177145e10"},
    {ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR, "PrivilegedAuthenticationAdministrator",
     "7be44c8a-adaf-4e2a-84d6-ab2649e08a13"},
    {ROLE_USER_ADMINISTRATOR, "UserAdministrator", "fe930be7-5e62-47db-91af-98c3a49a38b1"},
    {ROLE_PASSWORD_ADMINISTRATOR, "PasswordAdministrator", "966707d0-3269-4727-9be2-8c3a10f19b9d"},
    {ROLE_HELPDESK_ADMINISTRATOR, "HelpdeskAdministrator", "729827e3-9c14-49f7-bb1b-9608f156bbb8"},
    {ROLE_AUTHENTICATION_ADMINISTRATOR, "AuthenticationAdministrator",
     "c4e39bd9-1100-46d3-8c65-fb160da0071f"},
    {ROLE_RESET_ALL, "Password.Reset.All", NULL},
    {ROLE_UNLOCK_ALL, "Account.Unlock.All", NULL},
};

role_set role_from_name(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(roles); i++)
        if (strcasecmp(roles[i].name, name) == 0)
            return roles[i].role;

    return 0;
}

/* A service has app roles and a person directory roles, whatever else a token claims. */
static role_set read_roles(const token_claims *claims) {
    role_set found = 0;

    for (size_t i = 0; i < ELEMENTSOF(roles); i++)
        if (claims->is_app ? !roles[i].id && token_claims_has_role(claims, roles[i].name)
                           : roles[i].id && token_claims_has_directory_role(claims, roles[i].id))
            found |= roles[i].role;

    return found;
}

/* A claim that says nothing is none. */
static const char *said(const char *claim) {
    return claim && *claim ? claim : NULL;
}

initiator initiator_read(const token_claims *claims, role_set allowed) {
    role_set found = read_roles(claims);

    return (initiator){
        .is_app = claims->is_app,
        .roles = found & allowed,
        .withheld = found & ~allowed,
        .client = claims->client,
        .upn = said(claims->upn),
        .preferred_name = said(claims->preferred_name),
        .sid = said(claims->onprem_sid),
    };
}

bool initiator_has_name(const initiator *who) {
    return who->sid || who->upn || who->preferred_name;
}

bool initiator_is_administrator(const initiator *who) {
    return (who->roles & ROLES_OF_ADMINISTRATORS) != 0;
}
