/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/authorise.h"

#include <string.h>
#include <strings.h>

#include "agent/base/macro.h"

/* The Azure portal, which is also the Microsoft Entra admin center. */
#define AZURE_PORTAL "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"

/* Clients that offer a password reset which never reaches the directory. */
static const char *const clients_without_writeback[] = {
    "00000006-0000-0ff1-ce00-000000000000", /* Microsoft 365 admin center */
    "89bee1f7-5e6e-4d8a-9f3d-ecd601259da7", /* Office 365 shell, the admin center's frame */
    "4765445b-32c6-49b0-83e6-1d93765276ca", /* OfficeHome */
    "d3590ed6-52b3-4102-aeff-aad2292ab01c", /* Microsoft Office, its mobile apps too */
};

static const verdict allowed = {.outcome = OUTCOME_INVALID};

static verdict refused(outcome o, const char *reason) {
    return (verdict){.outcome = o, .reason = reason};
}

static bool same_id(const char *a, const char *b) {
    return a && b && strcasecmp(a, b) == 0;
}

static bool is_allowed_client(const char *client, char *const *allowed_clients) {
    if (same_id(client, AZURE_PORTAL))
        return true;

    for (char *const *id = allowed_clients; id && *id; id++)
        if (same_id(client, *id))
            return true;

    return false;
}

static verdict authorise_client(const char *client, char *const *allowed_clients) {
    if (is_allowed_client(client, allowed_clients))
        return allowed;

    for (size_t i = 0; i < ELEMENTSOF(clients_without_writeback); i++)
        if (same_id(client, clients_without_writeback[i]))
            return refused(OUTCOME_UNSUPPORTED_PORTAL,
                           "the Microsoft 365 admin center and the Office mobile apps do not write "
                           "passwords back; reset the password again in the Azure portal");

    return refused(OUTCOME_UNSUPPORTED_PORTAL,
                   "the client application that got the token is not among the allowed ones");
}

static verdict authorise_service(const initiator *who, request_operation operation) {
    switch (operation) {
    case OPERATION_RESET:
        return who->may_reset_all ? allowed
                                  : refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                                            "the service lacks the app role Password.Reset.All");
    case OPERATION_UNLOCK:
        return who->may_unlock_all ? allowed
                                   : refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                                             "the service lacks the app role Account.Unlock.All");
    case OPERATION_CHECK:
        return who->may_reset_all || who->may_unlock_all
                   ? allowed
                   : refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                             "the service has neither of the app roles Password.Reset.All and "
                             "Account.Unlock.All");
    default:
        return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                       "a password is changed by its owner, not by a service");
    }
}

static const char no_role[] =
    "the person has none of the administrator roles that may reset passwords";

verdict authorise_initiator(const initiator *who, request_operation operation,
                            char *const *allowed_clients) {
    verdict v;

    assert(who);

    v = authorise_client(who->client, allowed_clients);
    if (v.outcome != OUTCOME_INVALID)
        return v;

    if (who->is_app)
        return authorise_service(who, operation);

    if (who->is_administrator || operation == OPERATION_CHANGE || operation == OPERATION_CHECK)
        return allowed;

    return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED, no_role);
}

/* Without onprem_sid the name is all there is. */
static bool is_self(const initiator *who, const target *whom) {
    if (who->is_app)
        return false;
    if (who->sid)
        return same_id(who->sid, whom->sid);

    return same_id(who->upn, whom->upn);
}

static verdict authorise_on_oneself(const initiator *who, request_operation operation) {
    if (operation == OPERATION_CHANGE || (operation == OPERATION_CHECK && !who->is_administrator))
        return allowed;

    return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                   "nobody resets or unlocks their own account as an administrator");
}

verdict authorise_target(const initiator *who, request_operation operation, const target *whom) {
    assert(who);
    assert(whom);

    if (is_self(who, whom))
        return authorise_on_oneself(who, operation);

    if (operation == OPERATION_CHANGE)
        return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                       "a password is changed by its owner, and the token is somebody else's");

    if (!who->is_app && !who->is_administrator)
        return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED, no_role);

    if (whom->is_privileged && !who->is_privileged_administrator)
        return refused(OUTCOME_TARGET_PRIVILEGED,
                       who->is_app
                           ? "services may not act on privileged accounts"
                           : "only Global and Privileged Authentication Administrators may act on "
                             "privileged accounts");

    return allowed;
}

verdict authorise_scope(directory_scope scope) {
    switch (scope) {
    case SCOPE_INSIDE:
        return allowed;
    case SCOPE_NOT_ALLOWED:
        return refused(OUTCOME_TARGET_OUT_OF_SCOPE,
                       "it is in none of the units and groups of AllowedTargets=");
    default:
        return refused(OUTCOME_TARGET_OUT_OF_SCOPE,
                       "it is in one of the units and groups of DeniedTargets=");
    }
}
