/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/authorise.h"

#include <string.h>
#include <strings.h>

#include "agent/base/text.h"

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

static bool is_allowed_client(const char *client, const client_rules *rules) {
    if (rules->is_entra && same_id(client, AZURE_PORTAL))
        return true;

    /* A GUID is the same in capitals; what another issuer calls its clients need not be (RFC 6749
     * section 2.2). */
    for (char *const *id = rules->allowed; client && id && *id; id++)
        if (rules->is_entra ? same_id(client, *id) : strcmp(client, *id) == 0)
            return true;

    return false;
}

static verdict authorise_client(const char *client, const client_rules *rules) {
    if (is_allowed_client(client, rules))
        return allowed;

    for (size_t i = 0; rules->is_entra && i < ELEMENTSOF(clients_without_writeback); i++)
        if (same_id(client, clients_without_writeback[i]))
            return refused(OUTCOME_UNSUPPORTED_PORTAL,
                           "the Microsoft 365 admin center and the Office mobile apps do not write "
                           "passwords back; reset the password again in the Azure portal");

    return refused(OUTCOME_UNSUPPORTED_PORTAL,
                   "the client application that got the token is not in AllowedClients= of the "
                   "token's issuer");
}

static verdict refused_for_roles(const initiator *who, const char *reason) {
    return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                   who->withheld ? "the role that the token has does not count in tokens of its "
                                   "issuer (AllowedRoles=)"
                                 : reason);
}

static verdict authorise_service(const initiator *who, request_operation operation) {
    switch (operation) {
    case OPERATION_RESET:
        return who->roles & ROLE_RESET_ALL
                   ? allowed
                   : refused_for_roles(who, "the service lacks the app role Password.Reset.All");
    case OPERATION_UNLOCK:
        return who->roles & ROLE_UNLOCK_ALL
                   ? allowed
                   : refused_for_roles(who, "the service lacks the app role Account.Unlock.All");
    case OPERATION_CHECK:
        return who->roles & (ROLE_RESET_ALL | ROLE_UNLOCK_ALL)
                   ? allowed
                   : refused_for_roles(who, "the service has neither of the app roles "
                                            "Password.Reset.All and Account.Unlock.All");
    default:
        return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                       "a password is changed by its owner, not by a service");
    }
}

static verdict refused_for_no_role(const initiator *who) {
    return refused_for_roles(
        who, "the person has none of the administrator roles that may reset passwords");
}

verdict authorise_initiator(const initiator *who, request_operation operation,
                            const client_rules *clients) {
    verdict v;

    assert(who);
    assert(clients);

    v = authorise_client(who->client, clients);
    if (v.outcome != OUTCOME_INVALID)
        return v;

    if (who->is_app)
        return authorise_service(who, operation);

    /* Who knows nothing of the asker cannot keep them from their own account. */
    if (initiator_is_administrator(who) && operation != OPERATION_CHANGE &&
        !initiator_has_name(who))
        return refused(
            OUTCOME_INITIATOR_NOT_AUTHORIZED,
            "the token does not say who asks (onprem_sid, upn or preferred_username), and nobody "
            "resets their own account as an administrator; let the portal ask for the scope profile, "
            "or add the optional claims onprem_sid and upn to the access token of this agent's API "
            "(App registrations, Token configuration)");

    if (initiator_is_administrator(who) || operation == OPERATION_CHANGE ||
        operation == OPERATION_CHECK)
        return allowed;

    return refused_for_no_role(who);
}

/* Whether the account is certainly the asker's own. Without onprem_sid the name is all there is. */
static bool is_self(const initiator *who, const target *whom) {
    if (who->is_app)
        return false;
    if (who->sid)
        return same_id(who->sid, whom->sid);

    return same_id(who->upn, whom->upn);
}

static bool is_called(const target *whom, const char *name) {
    return name && ((whom->upn && text_is_same_but_for_case(name, whom->upn)) ||
                    (whom->logon_name && text_is_same_but_for_case(name, whom->logon_name)));
}

/* Whether it may be. A name that people choose themselves proves nothing, but who bears one of the
 * account's is taken at their word. A cloud name that is none of them tells nothing either way:
 * only onprem_sid does. */
static bool may_be_self(const initiator *who, const target *whom) {
    if (who->is_app)
        return false;
    if (who->sid)
        return is_self(who, whom);

    return is_called(whom, who->upn) || is_called(whom, who->preferred_name);
}

static verdict authorise_on_own_account(const initiator *who, request_operation operation) {
    if (operation == OPERATION_CHANGE ||
        (operation == OPERATION_CHECK && !initiator_is_administrator(who)))
        return allowed;

    return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                   "nobody resets or unlocks their own account as an administrator");
}

static verdict authorise_on_other_account(const initiator *who, request_operation operation,
                                          const target *whom) {
    if (operation == OPERATION_CHANGE)
        return refused(
            OUTCOME_INITIATOR_NOT_AUTHORIZED,
            "a password is changed by its owner, and the token does not show (onprem_sid, "
            "upn) that this is who asks");

    if (!who->is_app && !initiator_is_administrator(who))
        return refused_for_no_role(who);

    if (may_be_self(who, whom))
        return refused(OUTCOME_INITIATOR_NOT_AUTHORIZED,
                       "nobody resets or unlocks their own account as an administrator");

    if (whom->is_privileged && !(who->roles & ROLES_OF_PRIVILEGED_ADMINISTRATORS))
        return refused(OUTCOME_TARGET_PRIVILEGED,
                       who->is_app
                           ? "services may not act on privileged accounts"
                           : "only Global and Privileged Authentication Administrators may act on "
                             "privileged accounts");

    return allowed;
}

static verdict authorise_scope(directory_scope scope) {
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

/* A tenant of which nothing is known may have one. */
static verdict authorise_licence(licence l) {
    return l == LICENCE_MISSING
               ? refused(OUTCOME_LICENCE_MISSING,
                         "no subscription of the tenant includes password writeback")
               : allowed;
}

verdict authorise_target(const initiator *who, request_operation operation, const target *whom,
                         licence l) {
    verdict v;

    assert(who);
    assert(whom);

    v = is_self(who, whom) ? authorise_on_own_account(who, operation)
                           : authorise_on_other_account(who, operation, whom);
    if (v.outcome == OUTCOME_INVALID)
        v = authorise_scope(whom->scope);
    if (v.outcome == OUTCOME_INVALID)
        v = authorise_licence(l);
    return v;
}
