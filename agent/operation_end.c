/* SPDX-License-Identifier: Apache-2.0 */
/* How an operation ends: recorded, answered, logged, counted. */

#include "agent/operation_steps.h"

#include <errno.h>
#include <stdio.h>

#include "agent/answer.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/respond.h"

static unsigned long long in_whole_seconds(usec_t span) {
    return (span + USEC_PER_SEC - 1) / USEC_PER_SEC;
}

/* `answered` is the operation itself, or its leader. */
static void respond(operation *op, const operation *answered) {
    char seconds[24];
    const relay_header retry_after = {"Retry-After", seconds};

    if (!op->origin)
        return;

    (void) snprintf(seconds, sizeof(seconds), "%llu", in_whole_seconds(answered->retry_after));
    respond_with_receipt(TAKE_PTR(op->origin), op->set->context.keys, op->request.id,
                         answered->status,
                         answered->status < 300 ? SUCCESS_CONTENT_TYPE : PROBLEM_CONTENT_TYPE,
                         &retry_after, answered->retry_after > 0 ? 1 : 0, answered->body);
}

void operation_deliver(operation *op) {
    operations *set = op->set;

    for (operation *other = set->first, *next; other; other = next) {
        next = other->next;
        if (other->leader == op) {
            operation_log_repetition(other, op->status);
            respond(other, op);
            operation_free(other);
        }
    }
    respond(op, op);
    if (!op->waiting_for_ledger)
        operation_free(op);
}

/* What is not final needs no record: until there is one the entry says less, and a repetition looks
 * again. */
static void tell_not_recorded(const operation *op, const char *why) {
    char status[16];

    if (!op->is_final)
        return;

    (void) snprintf(status, sizeof(status), "%d", op->status);
    log_event(OUTCOME_ANSWER_NOT_RECORDED, {"WRITEBACK_REQUEST_ID", op->request.id},
              {"WRITEBACK_OPERATION", request_operation_name(op->request.operation)},
              {"WRITEBACK_STATUS", status}, {"WRITEBACK_REASON", why});
}

static void on_finish_recorded(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;

    op->waiting_for_ledger = false;
    if (entry->r < 0)
        tell_not_recorded(op, entry->why);
    operation_deliver(op);
}

/* The answer is known. What was recorded is recorded to its end before the answer leaves, or it is
 * told that this cannot be; a request whose outcome is unknown stays "sent", so that a repetition
 * is told the same. */
void operation_finish(operation *op, outcome o, char *body) {
    const outcome_info *info = outcome_get(o);

    op->is_final = !info->retryable;
    op->status = info->http;
    op->body = body;
    health_count_request(op->set->context.health, request_operation_name(op->request.operation), o,
                         now_monotonic() - op->began);

    if (op->recorded && o != OUTCOME_OUTCOME_UNKNOWN) {
        int r = body ? ledger_finish(op->set->context.ledger, op->request.id, op->is_final,
                                     op->status, body, on_finish_recorded, op)
                     : -ENOMEM;

        op->waiting_for_ledger = r >= 0;
        if (r >= 0)
            return;
        tell_not_recorded(op,
                          r == -EBUSY ? "too many requests wait for the disk" : "out of memory");
    }
    operation_deliver(op);
}

void operation_refuse_by_directory(operation *op, outcome o, const char *reason,
                                   const directory_reply *reply) {
    if (op->started) {
        operation_log(op, o, reason, reply);
        operation_log_end(op, operation_events_of(op)->failure, outcome_get(o)->title, reply, o);
    } else {
        operation_log_end(op, o, reason, reply, o);
    }
    operation_finish(op, o, answer_problem(o, op->request.id, reason, reply));
}

void operation_refuse(operation *op, outcome o, const char *reason) {
    operation_refuse_by_directory(op, o, reason, NULL);
}

void operation_answer_check(operation *op, outcome refusal, const char *reason,
                            const directory_rights *rights, bool show_account) {
    const directory_account_info *account =
        show_account && op->account ? directory_account_get(op->account) : NULL;

    operation_log_end(op, OUTCOME_CHECK_ANSWERED,
                      refusal == OUTCOME_INVALID ? "allowed" : outcome_get(refusal)->name, NULL,
                      OUTCOME_CHECK_ANSWERED);
    operation_finish(op, OUTCOME_CHECK_ANSWERED,
                     answer_check(op->request.id, refusal, reason, rights, account));
}

void operation_end_unless_allowed(operation *op, outcome refusal, const char *reason,
                                  bool show_account) {
    if (op->request.operation == OPERATION_CHECK)
        operation_answer_check(op, refusal, reason, NULL, show_account);
    else
        operation_refuse(op, refusal, reason);
}

void operation_end_for_rate(operation *op, const char *what, usec_t wait) {
    _cleanup_free_ char *reason = NULL;

    op->retry_after = wait;
    if (asprintf(&reason, "%s; come again in %llu s", what, in_whole_seconds(wait)) < 0)
        reason = NULL;
    operation_end_unless_allowed(op, OUTCOME_TOO_MANY_REQUESTS, reason, true);
}

/* Too late: whatever is under way has not ended by its own deadline. */
int operation_on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
    operation *op = userdata;

    (void) source;
    (void) usec;

    /* The outcome is known, and only its record is late: tell it. */
    if (op->body) {
        operation_deliver(op);
        return 0;
    }

    op->verifying = issuer_call_free(op->verifying);
    op->searching = account_search_free(op->searching);
    op->asking = directory_call_free(op->asking);
    op->recorded = false;
    operation_refuse(op,
                     op->waiting_for_ledger ? OUTCOME_LEDGER_UNAVAILABLE : OUTCOME_UNKNOWN_ERROR,
                     op->waiting_for_ledger ? "the disk did not answer within 50 s"
                                            : "the request was not worked off within 50 s");
    return 0;
}

bool operation_is_over(operation *op) {
    op->waiting_for_ledger = false;
    if (op->origin)
        return false;

    operation_free(op);
    return true;
}
