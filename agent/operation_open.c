/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked, and who asks. */

#include "agent/operation_steps.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"

#define ROLE_GLOBAL_ADMINISTRATOR "62e90394-69f5-4237-9190-012177145e10"
#define ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR "7be44c8a-adaf-4e2a-84d6-ab2649e08a13"
#define ROLE_AUTHENTICATION_ADMINISTRATOR "c4e39bd9-1100-46d3-8c65-fb160da0071f"
#define ROLE_USER_ADMINISTRATOR "fe930be7-5e62-47db-91af-98c3a49a38b1"
#define ROLE_HELPDESK_ADMINISTRATOR "729827e3-9c14-49f7-bb1b-9608f156bbb8"
#define ROLE_PASSWORD_ADMINISTRATOR "966707d0-3269-4727-9be2-8c3a10f19b9d"
#define APP_ROLE_RESET "Password.Reset.All"
#define APP_ROLE_UNLOCK "Account.Unlock.All"

static initiator read_initiator(const token_claims *claims) {
    static const char *const privileged[] = {ROLE_GLOBAL_ADMINISTRATOR,
                                             ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR};
    static const char *const others[] = {ROLE_AUTHENTICATION_ADMINISTRATOR, ROLE_USER_ADMINISTRATOR,
                                         ROLE_HELPDESK_ADMINISTRATOR, ROLE_PASSWORD_ADMINISTRATOR};
    initiator who = {
        .is_app = claims->is_app,
        .client = claims->client,
        .upn = claims->upn,
        .sid = claims->onprem_sid,
    };

    /* A service has app roles and a person directory roles, whatever else a token claims. */
    if (claims->is_app) {
        who.may_reset_all = token_claims_has_role(claims, APP_ROLE_RESET);
        who.may_unlock_all = token_claims_has_role(claims, APP_ROLE_UNLOCK);
        return who;
    }

    for (size_t i = 0; i < ELEMENTSOF(privileged); i++)
        if (token_claims_has_directory_role(claims, privileged[i]))
            who.is_privileged_administrator = who.is_administrator = true;
    for (size_t i = 0; i < ELEMENTSOF(others); i++)
        if (token_claims_has_directory_role(claims, others[i]))
            who.is_administrator = true;
    return who;
}

static void on_verified(int r, const char *why, token_claims *claims, void *userdata) {
    operation *op = userdata;

    op->verifying = NULL;
    if (r == -ENOMEM) {
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
        return;
    }
    if (r < 0) {
        operation_refuse(op, OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }

    op->claims = *claims;
    *claims = (token_claims){};
    op->initiator = read_initiator(&op->claims);
    operation_recall(op);
}

/* NULL with a reason where there is none. */
static issuer *find_issuer(const operation *op, const char **ret_why) {
    const operations_context *context = &op->set->context;
    const secret *token = op->request.authorization;
    _cleanup_free_ char *url = NULL;

    *ret_why = "authorization is no signed JWT that names its issuer";
    if (token_peek_issuer(secret_data(token), secret_size(token), &url) < 0)
        return NULL;

    *ret_why = "authorization is a token of an issuer that this agent is not configured for";
    for (size_t i = 0; i < context->config->n_issuers; i++)
        if (issuer_speaks_for(context->issuers[i], url))
            return context->issuers[i];

    return NULL;
}

static void verify(operation *op) {
    const char *why;
    issuer *i = find_issuer(op, &why);
    issuer_call *call = NULL;

    if (!i) {
        operation_refuse(op, OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }
    if (issuer_verify(i, op->request.authorization, on_verified, op, &call) < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else if (call)
        op->verifying = call;
    /* Without a call it has ended already, and the operation may be gone. */
}

void operation_open(operation *op) {
    _cleanup_(secret_freep) secret *text = NULL;
    _cleanup_free_ char *reason = NULL;
    const operations_context *context = &op->set->context;
    const char *why = NULL;
    const void *body;
    size_t size;
    outcome o;
    int r;

    body = relay_request_body(op->origin, &size);
    r = agent_keys_open_sealed(context->keys, body, size, now_realtime(), &text, &why);
    if (r < 0) {
        operation_refuse(op, r == -ENOMEM ? OUTCOME_UNKNOWN_ERROR : OUTCOME_DECRYPTION_ERROR,
                         r == -ENOMEM ? "out of memory" : why);
        return;
    }

    o = request_parse(text, &op->request, &reason);
    if (o == OUTCOME_INVALID)
        o = request_check_validity(&op->request, context->config->agent_id,
                                   context->config->tenant_id, now_realtime(), &reason);
    if (o != OUTCOME_INVALID)
        operation_refuse(op, o, reason);
    else
        verify(op);
}
