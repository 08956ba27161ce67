/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/operation.h"

#include <errno.h>

#include "agent/answer.h"
#include "agent/operation_steps.h"
#include "agent/respond.h"

/* The directory answers by the deadline; so long after it, this is for a disk that does not. */
#define WATCHDOG (5 * USEC_PER_SEC)

int operations_new(const operations_context *context, operations_idle_fn on_idle, void *userdata,
                   operations **ret) {
    _cleanup_(operations_freep) operations *o = NULL;
    int r;

    assert(context);
    assert(ret);

    o = calloc(1, sizeof(operations));
    if (!o)
        return -ENOMEM;

    *o = (operations){.context = *context, .on_idle = on_idle, .userdata = userdata};
    r = password_memory_new(&o->passwords);
    if (r >= 0)
        r = limits_new(context->config->request_rate, context->config->account_rate, &o->limits);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(o);
    return 0;
}

operations *operations_free(operations *o) {
    if (!o)
        return NULL;

    o->freeing = true;
    while (o->first)
        operation_free(o->first);
    (void) password_memory_free(o->passwords);
    (void) limits_free(o->limits);
    free(o);
    return NULL;
}

void operations_set_licence(operations *o, licence l) {
    assert(o);
    o->licence = l;
}

size_t operations_pending(const operations *o) {
    assert(o);
    return o->n;
}

void operations_begin(operations *o, relay_request *q) {
    operation *op;

    assert(o);
    assert(q);

    op = operation_new(o, q);
    if (!op)
        respond_with_receipt(q, o->context.keys, NULL, outcome_get(OUTCOME_UNKNOWN_ERROR)->http,
                             PROBLEM_CONTENT_TYPE, NULL, 0, NULL);
    else if (sd_event_add_time(o->context.event, &op->watchdog, CLOCK_MONOTONIC,
                               op->deadline + WATCHDOG, USEC_PER_SEC, operation_on_watchdog,
                               op) < 0)
        operation_refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else
        operation_open(op);
}
