/* SPDX-License-Identifier: Apache-2.0 */
/* Was the request seen before? */

#include "agent/operation_steps.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"

/* The first answer again. */
static void repeat(operation *op, const ledger_entry *entry) {
    op->recorded = false;
    op->status = entry->status;
    op->body = strdup(entry->body);
    operation_log_repetition(op, entry->status);
    operation_deliver(op);
}

static void on_begun(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;
    int r;

    if (operation_is_over(op))
        return;
    if (entry->r < 0) {
        operation_refuse(op, OUTCOME_LEDGER_UNAVAILABLE, entry->why);
        return;
    }

    /* What is another request leaves nothing behind. */
    r = entry->state == LEDGER_CONFLICT
            ? -EBADMSG
            : password_memory_compare(op->set->context.passwords, &op->request);
    if (r == -ENOMEM) {
        operation_refuse(op, OUTCOME_LEDGER_UNAVAILABLE,
                         "the memory for secrets is used up by other requests");
        return;
    }
    if (r < 0) {
        operation_refuse(op, OUTCOME_REQUEST_CONFLICT,
                         "the same id came with other content; use a new id for a new request");
        return;
    }

    switch (entry->state) {
    case LEDGER_DONE:
        repeat(op, entry);
        return;
    case LEDGER_SENT:
        op->sent_before = true;
        /* Without memory it is not known, and all are asked. */
        op->sent_to = entry->controller ? strdup(entry->controller) : NULL;
        break;
    default:
        op->recorded = true;
    }
    operation_authorise(op);
}

static bool same_secret(const secret *a, const secret *b) {
    return a && b ? secret_equal(a, b) : a == b;
}

/* The same id is under way already: the answer will be the same, if it is the same request. */
static bool join_leader(operation *op) {
    for (operation *other = op->set->first; other; other = other->next) {
        /* One that was answered for its time answers nobody else. */
        if (!other->keyed || !other->origin || strcmp(other->request.id, op->request.id) != 0)
            continue;

        if (memcmp(other->request.fingerprint, op->request.fingerprint, REQUEST_FINGERPRINT_SIZE) !=
                0 ||
            !same_secret(other->request.new_password, op->request.new_password) ||
            !same_secret(other->request.current_password, op->request.current_password))
            operation_refuse(
                op, OUTCOME_REQUEST_CONFLICT,
                "the same id is under way with other content; use a new id for a new request");
        else
            op->leader = other;
        return true;
    }
    return false;
}

void operation_recall(operation *op) {
    usec_t wait = limits_take_request(op->set->context.limits, now_monotonic());

    if (wait > 0) {
        operation_end_for_rate(op, "there are too many requests (RequestRate=)", wait);
        return;
    }
    if (op->request.operation == OPERATION_CHECK) {
        operation_authorise(op);
        return;
    }
    if (join_leader(op))
        return;

    op->keyed = true;
    op->waiting_for_ledger = true;
    if (ledger_begin(op->set->context.ledger, &op->request, now_realtime(), on_begun, op) < 0) {
        op->waiting_for_ledger = false;
        operation_refuse(op, OUTCOME_LEDGER_UNAVAILABLE, "too many requests wait for the disk");
    }
}
