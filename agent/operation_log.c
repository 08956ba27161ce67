/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log of an operation. */

#include "agent/operation_steps.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"

/* By this, and the issuer, somebody is the same whatever they are called. What issuers beside Entra
 * make a subject of may be a name. */
static char *initiator_id(const operation *op) {
    if (op->claims.object_id)
        return strdup(op->claims.object_id);

    return identities_text(op->set->context.identities, op->claims.subject, NULL);
}

static const char *issuer_name(const operation *op) {
    const config *c = op->set->context.config;

    return op->issuer < c->n_issuers ? c->issuers[op->issuer].name : NULL;
}

/* Who asks, as LogUserIdentity= has it; services and people without a name go by their id. */
static char *initiator_text(const operation *op) {
    const token_claims *claims = &op->claims;
    const char *name = claims->upn ? claims->upn : claims->preferred_name;
    char *text = NULL;

    if (claims->is_app && claims->client)
        return strdup(claims->client);
    if (name || claims->onprem_sid)
        text = identities_text(op->set->context.identities, name, claims->onprem_sid);
    return text ? text : initiator_id(op);
}

/* On whom. Until the account is found there is only what the request calls it. */
static char *user_text(const operation *op) {
    const directory_account_info *account = op->account ? directory_account_get(op->account) : NULL;
    const char *name = op->request.user;
    const char *sid = op->request.user_type == IDENTIFIER_SID ? name : NULL;

    if (account) {
        name =
            account->user_principal_name ? account->user_principal_name : account->sam_account_name;
        sid = account->sid;
    }
    return identities_text(op->set->context.identities, name, sid);
}

/* A hash is no name that a command takes: the reader has to put it in. */
static const char *user_in_commands(const operation *op) {
    return identities_are_known(op->set->context.identities) ? NULL : "USER";
}

static bool mentions(const char *text, const char *name) {
    return name && *name && strcasestr(text, name);
}

/* Where names may not be told, neither may a text of the directory's that has one in it. */
static const char *reason_for_log(const operation *op, outcome o, const char *reason) {
    const directory_account_info *account = op->account ? directory_account_get(op->account) : NULL;

    if (!reason || identities_may_name(op->set->context.identities))
        return reason;

    if (mentions(reason, op->request.user) || mentions(reason, op->claims.upn) ||
        mentions(reason, op->claims.preferred_name) ||
        (account &&
         (mentions(reason, account->dn) || mentions(reason, account->user_principal_name) ||
          mentions(reason, account->sam_account_name))))
        return outcome_get(o)->title;
    return reason;
}

static const char *domain_of(const operation *op) {
    if (op->set->context.config->n_directories == 1 || op->account)
        return directory_domain(op->set->context.directories[op->home]);
    return "the configured domains";
}

static const char *controller_of(const operation *op, const directory_reply *reply) {
    if (reply && reply->controller)
        return reply->controller;
    return op->account ? directory_account_get(op->account)->controller : NULL;
}

/* The entry of `event`. Where it is the request's last one, `result` is what it came to and
 * `status` how it was answered; else OUTCOME_INVALID and 0. */
static void log_entry(const operation *op, outcome event, const char *reason,
                      const directory_reply *reply, outcome result, int status) {
    _cleanup_free_ char *user = user_text(op), *asker = initiator_text(op),
                        *asker_id = initiator_id(op);
    char duration[32], ldap_result[16] = "", ad_error[16] = "", answered[16] = "";

    (void) snprintf(duration, sizeof(duration), "%llu",
                    (unsigned long long) (now_monotonic() - op->began));
    if (reply && reply->ldap_result >= 0)
        (void) snprintf(ldap_result, sizeof(ldap_result), "%d", reply->ldap_result);
    if (reply && reply->ad_error != 0)
        (void) snprintf(ad_error, sizeof(ad_error), "0x%08x", reply->ad_error);
    if (status > 0)
        (void) snprintf(answered, sizeof(answered), "%d", status);

    log_event(event, {"WRITEBACK_REQUEST_ID", op->request.id},
              {"WRITEBACK_OPERATION", request_operation_name(op->request.operation)},
              {"WRITEBACK_OUTCOME", result != OUTCOME_INVALID ? outcome_get(result)->name : NULL},
              {"WRITEBACK_STATUS", *answered ? answered : NULL}, {"WRITEBACK_USER", user},
              {"WRITEBACK_USER_QUOTED", user_in_commands(op)}, {"WRITEBACK_INITIATOR", asker},
              {"WRITEBACK_INITIATOR_ID", asker_id}, {"WRITEBACK_ISSUER", issuer_name(op)},
              {"WRITEBACK_CLIENT", op->claims.client},
              {"WRITEBACK_REASON", reason_for_log(op, event, reason)},
              {"WRITEBACK_DOMAIN", domain_of(op)}, {"WRITEBACK_DC", controller_of(op, reply)},
              {"WRITEBACK_LDAP_RESULT", *ldap_result ? ldap_result : NULL},
              {"WRITEBACK_AD_ERROR", *ad_error ? ad_error : NULL},
              {"WRITEBACK_DURATION_USEC", duration},
              {"WRITEBACK_RELAY", op->origin ? relay_request_relay_name(op->origin) : NULL},
              {"WRITEBACK_TRACKING_ID", op->origin ? relay_request_tracking_id(op->origin) : NULL},
              {"TRACE_ID", op->request.trace_id}, {"SPAN_ID", op->request.span_id});
}

void operation_log(const operation *op, outcome event, const char *reason,
                   const directory_reply *reply) {
    log_entry(op, event, reason, reply, OUTCOME_INVALID, 0);
}

void operation_log_end(const operation *op, outcome event, const char *reason,
                       const directory_reply *reply, outcome result) {
    log_entry(op, event, reason, reply, result, outcome_get(result)->http);
}

void operation_log_repetition(const operation *op, int status) {
    log_entry(op, OUTCOME_REQUEST_REPEATED, NULL, NULL, OUTCOME_REQUEST_REPEATED, status);
}

const operation_events *operation_events_of(const operation *op) {
    static const operation_events by_service = {
        OUTCOME_PASSWORD_RESET_START, OUTCOME_PASSWORD_RESET_SUCCESS, OUTCOME_PASSWORD_RESET_FAIL};
    static const operation_events events[] = {
        [OPERATION_RESET] = {OUTCOME_ADMIN_RESET_START, OUTCOME_ADMIN_RESET_SUCCESS,
                             OUTCOME_ADMIN_RESET_FAIL},
        [OPERATION_CHANGE] = {OUTCOME_CHANGE_PASSWORD_START, OUTCOME_CHANGE_PASSWORD_SUCCESS,
                              OUTCOME_CHANGE_PASSWORD_FAIL},
        [OPERATION_UNLOCK] = {OUTCOME_UNLOCK_START, OUTCOME_UNLOCK_SUCCESS, OUTCOME_UNLOCK_FAIL},
    };

    assert(op->request.operation != OPERATION_CHECK);
    return op->initiator.is_app && op->request.operation == OPERATION_RESET
               ? &by_service
               : &events[op->request.operation];
}
