/* SPDX-License-Identifier: Apache-2.0 */
/* May they ask at all? Then the account is looked for. */

#include "agent/operation_steps.h"

#include <string.h>
#include <strings.h>

static void on_located(directory_reply *reply, void *userdata);

/* A SAM account name says in which domain; any other identifier may be in each. */
static bool may_be_in(const operation *op, size_t index) {
    const char *domain = directory_domain(op->set->context.directories[index]);

    return !op->request.user_domain || strcasecmp(op->request.user_domain, domain) == 0;
}

/* All domains have been asked. */
static void on_all_located(operation *op) {
    if (op->account)
        operation_judge(op);
    else if (op->not_found == OUTCOME_INVALID)
        operation_end_unless_allowed(op, OUTCOME_AD_USER_NOT_FOUND,
                                     "the request names a domain that this agent does not serve",
                                     false);
    else
        operation_end_unless_allowed(op, op->not_found, op->not_found_why, false);
}

static void locate(operation *op) {
    const directory_identifier id = {.type = op->request.user_type, .value = op->request.user};
    const operations_context *context = &op->set->context;

    while (op->asked < context->config->n_directories && !may_be_in(op, op->asked))
        op->asked++;
    if (op->asked == context->config->n_directories) {
        on_all_located(op);
        return;
    }

    if (directory_locate(context->directories[op->asked], &id, op->deadline, on_located, op,
                         &op->asking) < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
}

/* Where one domain has not got the account and another could not be asked, the latter is the
 * answer. */
static void note_not_found(operation *op, const directory_reply *reply) {
    if (op->not_found != OUTCOME_INVALID && reply->outcome == OUTCOME_AD_USER_NOT_FOUND)
        return;

    op->not_found = reply->outcome;
    free(op->not_found_why);
    op->not_found_why = reply->detail ? strdup(reply->detail) : NULL;
}

static void on_located(directory_reply *reply, void *userdata) {
    operation *op = userdata;

    op->asking = NULL;
    if (reply->outcome == OUTCOME_AD_MULTI_MATCH || (reply->account && op->account)) {
        operation_end_unless_allowed(op, OUTCOME_AD_MULTI_MATCH, reply->detail, false);
        return;
    }

    if (reply->account) {
        op->account = TAKE_PTR(reply->account);
        op->home = op->asked;
    } else {
        note_not_found(op, reply);
    }
    op->asked++;
    locate(op);
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
