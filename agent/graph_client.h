/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One look at the tenant after the other: a token, where none is at hand; the organization; the
 * subscriptions, page by page. One request at a time. Nothing here logs. */

#include "agent/graph.h"

typedef struct graph_client graph_client;

/* What a look has brought. Borrowed until the call returns. */
typedef struct graph_result {
    const char *why; /* it did not come to its end; NULL: it did */
    outcome event;   /* then: OUTCOME_GRAPH_UNREACHABLE or OUTCOME_GRAPH_REFUSED */
    usec_t wait;     /* asked for by a Retry-After; 0: nothing */
    bool knows_sync; /* it came as far as this */
    tenant_organization organization;
    licence licence; /* of a look that came to its end */
} graph_result;

typedef void (*graph_looked_fn)(const graph_result *result, void *userdata);

/* Everything given is borrowed. Returns 0 or -ENOMEM. */
int graph_client_new(curl_glue *glue, const graph_config *config, graph_looked_fn done,
                     void *userdata, graph_client **ret);

/* Takes NULL, returns NULL. A look under way ends without a word. */
graph_client *graph_client_free(graph_client *c);

/* Begins a look, where none is under way. `done` is called once; it may be so from inside this call
 * where memory is out. */
void graph_client_look(graph_client *c);

/* What the clock said that answered last. */
clock_reading graph_client_clock(const graph_client *c);

/* The cloud's own time, by that clock; this host's where none is known. CLOCK_REALTIME. */
usec_t graph_client_time(const graph_client *c);

DEFINE_CLEANUP(graph_client *, graph_client_free);
