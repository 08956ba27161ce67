/* SPDX-License-Identifier: Apache-2.0 */
/* May they ask at all? Then the account is looked for. */

#include "agent/operation_steps.h"

#include <errno.h>

static void on_searched(account_search_result *result, void *userdata) {
    operation *op = userdata;

    if (result->outcome == OUTCOME_INVALID) {
        op->account = TAKE_PTR(result->account);
        op->home = result->home;
        op->searching = account_search_free(op->searching);
        operation_judge(op);
        return;
    }
    operation_end_unless_allowed(op, result->outcome, result->detail, false);
}

static void locate(operation *op) {
    const operations_context *context = &op->set->context;
    const account_search_question question = {
        .directories = context->directories,
        .n_directories = context->config->n_directories,
        .id = {.type = op->request.user_type, .value = op->request.user},
        .domain = op->request.user_domain,
        .deadline = op->deadline,
    };
    int r = account_search_new(context->event, &question, on_searched, op, &op->searching);

    if (r == -ENOENT)
        operation_end_unless_allowed(op, OUTCOME_AD_USER_NOT_FOUND,
                                     "the request names a domain that this agent does not serve",
                                     false);
    else if (r < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
}

void operation_authorise(operation *op) {
    bool is_check = op->request.operation == OPERATION_CHECK;
    const config *c = op->set->context.config;
    const client_rules clients = {
        .is_entra = issuer_config_is_entra(&c->issuers[op->issuer]),
        .allowed = c->issuer_rules[op->issuer].allowed_clients,
    };
    verdict v = authorise_initiator(&op->initiator, op->request.operation, &clients);

    if (!is_check) {
        operation_log(op, operation_events_of(op)->start, NULL, NULL);
        op->started = true;
    }
    if (v.outcome != OUTCOME_INVALID)
        operation_end_unless_allowed(op, v.outcome, v.reason, false);
    else
        locate(op);
}
