/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the agent as they were last told, and since when. Nothing here logs. */

#include "health/health.h"

/* A text is cut at this many bytes; it may quote what a peer said. */
#define COMPONENT_TEXT_MAX 512

typedef struct component {
    health_component_type type;
    health_status status;
    char *name;
    char *instance;
    char *output;          /* NULL: nothing to say */
    usec_t since;          /* CLOCK_REALTIME: when it came into this status */
    usec_t reported;       /* CLOCK_REALTIME: when it was told last */
    usec_t latency;        /* 0: none */
    usec_t not_after;      /* CLOCK_REALTIME; 0: none */
    unsigned reconnects;   /* of a relay */
    usec_t last_heartbeat; /* of a relay, CLOCK_REALTIME; 0: none */
    outcome event;         /* as told */
} component;

/* In the order of their types, and within a type as they came. All zero: none. */
typedef struct components {
    component **items;
    size_t n;
} components;

void components_done(components *all);

/* The component of this name and instance, or NULL. */
component *components_find(const components *all, const char *name, const char *instance);

/* Adds or updates one; `now` is CLOCK_REALTIME. Texts are made printable UTF-8. Returns 0, or
 * -ENOMEM and then nothing has changed. */
int components_report(components *all, const health_component *told, usec_t now);

void components_forget(components *all, const char *name, const char *instance);

/* The event whose steps cure this component; OUTCOME_INVALID where there is none. */
outcome component_event(const component *c);

/* What stands behind the colon of its name: "primary" of "relay:primary"; the whole name where
 * there is none. */
const char *component_short_name(const component *c);
