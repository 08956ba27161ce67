/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the agent as they were last told, and since when. Nothing here logs.
 *
 * Flapping is damped: what has failed COMPONENT_FLAPS times within COMPONENT_FLAP_WINDOW is not
 * called well again before it has been so for COMPONENT_CALM; until then it is shown as a warning
 * that says so. A failure is always shown at once. Whoever sets the clock changes none of these
 * spans. */

#include "health/health.h"

/* A text is cut at this many bytes; it may quote what a peer said. */
#define COMPONENT_TEXT_MAX 512

#define COMPONENT_FLAPS 3
#define COMPONENT_FLAP_WINDOW (10 * USEC_PER_MINUTE)
#define COMPONENT_CALM (5 * USEC_PER_MINUTE)

/* One moment by two clocks. */
typedef struct moment {
    usec_t date;   /* CLOCK_REALTIME: what people are told */
    usec_t uptime; /* CLOCK_BOOTTIME: what spans are measured with */
} moment;

moment moment_now(void);

/* For people, of a part whose state is from before a reload. */
#define COMPONENT_NOT_TRIED_AGAIN                                                                  \
    "Not looked at again yet since the configuration was read; it was so before"

typedef struct component {
    health_component_type type;
    health_status status; /* as shown */
    health_status told;
    bool is_untried; /* nobody has looked at it yet, or not again since a reload: then the rest is
                        as it was before */
    bool is_let_go;  /* a reload took it away, unless it is told again */
    char *name;
    char *instance;
    char *output;                     /* NULL: nothing to say */
    usec_t failures[COMPONENT_FLAPS]; /* when it failed last, CLOCK_BOOTTIME; a ring */
    size_t n_failures;
    bool is_flapping; /* one failure too many */
    usec_t calm; /* when what comes and goes may be called well again, CLOCK_BOOTTIME; only where it
                    does not fail now */
    bool was_in_outage;    /* a cause of the outage that was logged last (health/outage.h) */
    usec_t since;          /* CLOCK_REALTIME: when it came into this status */
    usec_t reported;       /* CLOCK_REALTIME: when it was told last */
    usec_t latency;        /* 0: none */
    usec_t not_after;      /* CLOCK_REALTIME; 0: none */
    unsigned reconnects;   /* of a relay */
    usec_t last_heartbeat; /* of a relay, CLOCK_REALTIME; 0: none */
    bool is_unreached;     /* as told */
    outcome event;         /* as told; of what comes and goes, that of `failure` */
    outcome failure;       /* the event that its last failure began with */
} component;

/* In the order of their types, and within a type as they came. All zero: none. */
typedef struct components {
    component **items;
    size_t n;
} components;

void components_done(components *all);

/* The component of this name and instance, or NULL. */
component *components_find(const components *all, const char *name, const char *instance);

/* Adds or updates one. Texts are made printable UTF-8. A part whose state
 * is known and that is told as not tried yet (HEALTH_UNKNOWN, of all but synchronisation, licence
 * and clock) keeps that state. Returns 0, or -ENOMEM and then nothing has changed. */
int components_report(components *all, const health_component *told, const moment *now);

/* Ends the damping of those that have been well for long enough. Returns when the next one may be,
 * CLOCK_BOOTTIME; 0: none is damped, or those that are fail. */
usec_t components_settle(components *all, const moment *now);

void components_forget(components *all, const char *name, const char *instance);

/* It is gone, unless it is told again: components_sweep() forgets it as soon as all others of its
 * check that were told since have been tried. */
void components_let_go(components *all, const char *name, const char *instance);
void components_sweep(components *all);

/* Whether an event was told with it whose steps cure it. */
bool component_has_event(const component *c);

/* The event whose steps cure this component; OUTCOME_INVALID where there is none. */
outcome component_event(const component *c);

/* Why it does not do its work, for people. Borrowed. */
const char *component_why(const component *c);

/* What stands behind the colon of its name: "primary" of "relay:primary"; the whole name where
 * there is none. */
const char *component_short_name(const component *c);
