/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/operation_steps.h"

#include "agent/base/clock.h"

/* The relay gives up 60 s after it told of the request; one that was fetched has used up some. */
#define DEADLINE (45 * USEC_PER_SEC)

operation *operation_new(operations *o, relay_request *q) {
    operation *op = calloc(1, sizeof(operation));

    if (!op)
        return NULL;

    *op = (operation){.set = o,
                      .next = o->first,
                      .origin = q,
                      .began = now_monotonic(),
                      .issuer = o->context.config->n_issuers,
                      .request = {.operation = OPERATION_INVALID}};
    op->deadline = relay_request_came(q) + DEADLINE;
    o->first = op;
    o->n++;
    health_set_requests_in_flight(o->context.health, (unsigned) o->n);
    return op;
}

static void unlink_operation(operation *op) {
    operation **p = &op->set->first;

    while (*p != op)
        p = &(*p)->next;
    *p = op->next;
    op->set->n--;
}

void operation_free(operation *op) {
    operations *set = op->set;

    unlink_operation(op);
    (void) sd_event_source_disable_unref(op->watchdog);
    (void) issuer_call_free(op->verifying);
    (void) account_search_free(op->searching);
    (void) directory_call_free(op->asking);
    (void) directory_account_free(op->account);
    token_claims_done(&op->claims);
    request_done(&op->request);
    free(op->sent_to);
    free(op->body);
    free(op);

    if (set->freeing)
        return;
    health_set_requests_in_flight(set->context.health, (unsigned) set->n);
    if (set->n == 0 && set->on_idle)
        set->on_idle(set->userdata);
}
