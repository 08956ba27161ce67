/* SPDX-License-Identifier: Apache-2.0 */
/* What was sent before is settled; then one modify, of which is recorded first where it goes. */

#include "agent/operation_steps.h"

#include "agent/answer.h"

static void on_done(directory_reply *reply, void *userdata) {
    operation *op = userdata;
    outcome success = operation_events_of(op)->success;

    op->asking = NULL;
    if (reply->outcome != OUTCOME_INVALID) {
        operation_refuse_by_directory(op, reply->outcome, reply->detail, reply);
        return;
    }

    operation_log_end(op, success, reply->detail, reply, success);
    operation_finish(op, success,
                     answer_done(success, op->request.operation, op->request.id, reply));
}

static int begin_reset(operation *op, directory *d, const directory_attempt *attempt) {
    directory_reset_flags flags = 0;

    if (op->request.unlock)
        flags |= RESET_UNLOCK;
    if (op->request.must_change)
        flags |= RESET_MUST_CHANGE;

    return directory_reset(d, op->account, op->request.new_password, flags, attempt, on_done, op,
                           &op->asking);
}

/* ---- Recorded before it leaves --------------------------------------------------------------- */

static void on_marked_sent(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;

    if (operation_is_over(op))
        return;

    directory_call_go_on(op->asking, entry->r < 0 ? OUTCOME_LEDGER_UNAVAILABLE : OUTCOME_INVALID,
                         entry->why);
}

static void on_sending(const char *controller, void *userdata) {
    operation *op = userdata;

    op->waiting_for_ledger = true;
    if (ledger_mark_sent(op->set->context.ledger, op->request.id, controller, on_marked_sent, op) <
        0) {
        op->waiting_for_ledger = false;
        directory_call_go_on(op->asking, OUTCOME_LEDGER_UNAVAILABLE,
                             "too many requests wait for the disk");
    }
}

/* ---- The modify ------------------------------------------------------------------------------ */

static int begin_in_directory(operation *op) {
    directory *d = op->set->context.directories[op->home];
    directory_attempt attempt = {
        .issued = op->request.issued,
        .sent_before = op->sent_before,
        .sent_to = op->sent_to,
        .deadline = op->deadline,
        .on_sending = on_sending,
    };

    switch (op->request.operation) {
    case OPERATION_CHANGE:
        return directory_change(d, op->account, op->request.current_password,
                                op->request.new_password, &attempt, on_done, op, &op->asking);
    case OPERATION_UNLOCK:
        return directory_unlock(d, op->account, &attempt, on_done, op, &op->asking);
    default:
        return begin_reset(op, d, &attempt);
    }
}

void operation_write(operation *op) {
    if (begin_in_directory(op) < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else
        op->recorded = true;
}
