/* SPDX-License-Identifier: Apache-2.0 */
/* The account is found: is it one that may be acted on, by who asks, and by the agent? */

#include "agent/operation_steps.h"

#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"

/* What the agent lacks for a reset of this account; the other rights are for what a reset may be
 * asked to do beside it. */
static bool lacks_rights_to_reset(const directory_rights *rights, bool locked_out) {
    return !rights->right[RIGHT_RESET_PASSWORD].held ||
           (locked_out && !rights->right[RIGHT_WRITE_LOCKOUT_TIME].held);
}

static void on_rights(directory_reply *reply, void *userdata) {
    operation *op = userdata;
    const directory_rights *rights = reply->rights;
    bool locked_out = directory_account_get(op->account)->locked_out;

    op->asking = NULL;
    if (rights && lacks_rights_to_reset(rights, locked_out)) {
        operation_answer_check(op, OUTCOME_AD_PERMISSIONS, rights->missing, rights, true);
        return;
    }
    if (!rights && reply->outcome != OUTCOME_AD_PERMISSIONS) {
        operation_answer_check(op, reply->outcome, reply->detail, NULL, true);
        return;
    }

    /* Rights that may not be read may be there: nothing speaks against a reset. */
    if (!rights)
        log_text(LOG_NOTICE, "Check %s: %s", op->request.id, reply->detail);
    operation_answer_check(op, OUTCOME_INVALID, NULL, NULL, true);
}

static void look_at_rights(operation *op) {
    if (directory_check_rights(op->set->context.directories[op->home], op->account, op->deadline,
                               on_rights, op, &op->asking) < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
}

/* A check tells what would come of a reset: of a change, where it is the asker's own account. */
static void answer_check(operation *op) {
    directory *d = op->set->context.directories[op->home];
    _cleanup_free_ char *why = NULL;

    if (op->initiator.is_app && !(op->initiator.roles & ROLE_RESET_ALL))
        operation_answer_check(op, OUTCOME_INITIATOR_NOT_AUTHORIZED,
                               "the service lacks the app role Password.Reset.All", NULL, true);
    else if (directory_lacks_policy_hints(d, &why))
        operation_answer_check(op, OUTCOME_POLICY_HINTS_UNAVAILABLE, why, NULL, true);
    else if (!op->initiator.is_app && !initiator_is_administrator(&op->initiator))
        /* A change goes by the person's own rights. */
        operation_answer_check(op, OUTCOME_INVALID, NULL, NULL, true);
    else
        look_at_rights(op);
}

/* A check only asks whether it would be too often. */
static usec_t count_account(operation *op, const char *guid) {
    limits *l = op->set->context.limits;

    return op->request.operation == OPERATION_CHECK ? limits_wait_account(l, guid, now_monotonic())
                                                    : limits_take_account(l, guid, now_monotonic());
}

void operation_judge(operation *op) {
    const directory_account_info *account = directory_account_get(op->account);
    _cleanup_free_ char *logon_name =
        text_format("%s@%s", account->sam_account_name,
                    directory_domain(op->set->context.directories[op->home]));
    const target whom = {
        .upn = account->user_principal_name,
        .logon_name = logon_name,
        .sid = account->sid,
        .is_privileged = account->is_privileged,
        .scope = account->scope,
    };
    /* What was sent with a licence is settled without one too: it may have been done. */
    licence l = op->sent_before ? LICENCE_UNKNOWN : op->set->licence;
    verdict v = authorise_target(&op->initiator, op->request.operation, &whom, l);
    usec_t wait;

    if (v.outcome != OUTCOME_INVALID)
        operation_end_unless_allowed(op, v.outcome, v.reason,
                                     v.outcome == OUTCOME_TARGET_PRIVILEGED ||
                                         v.outcome == OUTCOME_LICENCE_MISSING);
    else if (!account->enabled)
        operation_end_unless_allowed(op, OUTCOME_AD_ACCOUNT_DISABLED, "the account is disabled",
                                     true);
    else if ((wait = count_account(op, account->guid)) > 0)
        operation_end_for_rate(op, "this account was acted on too often lately (AccountRate=)",
                               wait);
    else if (op->request.operation == OPERATION_CHECK)
        answer_check(op);
    else
        operation_write(op);
}
