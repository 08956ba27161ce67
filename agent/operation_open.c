/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked, and who asks. */

#include "agent/operation_steps.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"

static void on_verified(int r, const char *why, token_claims *claims, void *userdata) {
    operation *op = userdata;

    op->verifying = NULL;
    if (r == -ENOMEM) {
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
        return;
    }
    if (r < 0) {
        /* Without the issuer's keys nothing is known against the token. */
        operation_refuse(
            op, r == -EHOSTUNREACH ? OUTCOME_ISSUER_UNAVAILABLE : OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }

    op->claims = *claims;
    *claims = (token_claims){};
    op->initiator = initiator_read(&op->claims,
                                   op->set->context.config->issuer_rules[op->issuer].allowed_roles);
    operation_recall(op);
}

/* Returns false with a reason where there is none. */
static bool find_issuer(operation *op, const char **ret_why) {
    const operations_context *context = &op->set->context;
    const secret *token = op->request.authorization;
    _cleanup_free_ char *url = NULL;

    *ret_why = "authorization is no signed JWT that names its issuer";
    if (token_peek_issuer(secret_data(token), secret_size(token), &url) < 0)
        return false;

    *ret_why = "authorization is a token of an issuer that this agent is not configured for";
    for (op->issuer = 0; op->issuer < context->config->n_issuers; op->issuer++)
        if (issuer_speaks_for(context->issuers[op->issuer], url))
            return true;

    return false;
}

static void verify(operation *op) {
    issuer *const *issuers = op->set->context.issuers;
    issuer_call *call = NULL;
    const char *why;

    if (!find_issuer(op, &why)) {
        operation_refuse(op, OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }
    if (issuer_verify(issuers[op->issuer], op->request.authorization, on_verified, op, &call) < 0)
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
