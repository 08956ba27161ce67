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
    operations *o;

    assert(context);
    assert(ret);

    o = calloc(1, sizeof(operations));
    if (!o)
        return -ENOMEM;

    *o = (operations){.context = *context, .on_idle = on_idle, .userdata = userdata};
    *ret = o;
    return 0;
}

operations *operations_free(operations *o) {
    if (!o)
        return NULL;

    o->freeing = true;
    while (o->first)
        operation_free(o->first);
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
