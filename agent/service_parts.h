/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the service share: service.c (its life), service_rooms.c (builds the rooms and
 * tears them down), service_news.c (passes on what they tell), service_drain.c (reload and stop).
 */

#include "agent/api.h"
#include "agent/clock_watch.h"
#include "agent/host.h"
#include "agent/key_keeper.h"
#include "agent/service.h"

typedef struct service_relay {
    service *service;
    relay *relay;
} service_relay;

typedef struct service_issuer {
    service *service;
    const char *name;
} service_issuer;

typedef enum service_wish {
    WISH_RUN,
    WISH_RELOAD, /* as soon as nothing is under way */
    WISH_STOP,
} service_wish;

/* What is built from a configuration, and torn down with it. */
typedef struct rooms {
    config *config;
    char host[HOST_ID_MAX]; /* "" where it is not known */
    char *keys_path;
    bool keys_are_new; /* nothing can have been sealed to them before */
    agent_keys_options keys_options;
    agent_keys *keys;
    key_keeper *key_keeper;
    identities *identities;
    service_relay *relays;
    directory **directories;
    issuer **issuers;
    service_issuer *issuer_names;
    ledger *ledger;
    operations *operations;
    api api;
    reporter *reporter; /* NULL: no reports are configured */
    graph *graph;       /* NULL: Microsoft Graph is not configured */
} rooms;

struct service {
    sd_event *event;
    const char *path;
    curl_glue *glue;
    health *health;
    clock_watch *clock_watch;
    password_memory *passwords; /* these two outlive a reload, for what they promise does */
    limits *limits;
    rooms rooms;
    service_wish wish;
    rooms next;          /* of a reload, with what service_open_state() opens */
    usec_t drain_end;    /* CLOCK_MONOTONIC; what is not answered by then never will be */
    bool relays_stopped; /* all is answered: they only say goodbye */
    sd_event_source *drain_timer;
    sd_event_source
        *settled; /* leaves the stack of whoever answered last before rooms are torn down */
};

/* ---- service_rooms.c ------------------------------------------------------------------------- */

/* Opens what a configuration needs of its state directory: whose that is, the agent's keys, the key
 * of LogUserIdentity=hash. Then what is built already can still be kept. Takes `c` over; on failure
 * too, `ret` is the caller's to tear down. Blocks for the disk. Logs 32010 and 35061. Returns 0, or
 * negative errno with a malloc(3)ed text, or NULL where memory is out. */
int service_open_state(service *s, config *c, rooms *ret, char **ret_why);

/* All the rest of s->rooms. What was opened before a failure is torn down by the caller. Returns 0,
 * or negative errno with such a text. */
int service_build(service *s, char **ret_why);

/* Nothing is left of the rooms and their configuration; their components in health are forgotten
 * (during a reload: until they are told again). */
void service_tear_down(service *s, rooms *r);

/* ---- service_news.c -------------------------------------------------------------------------- */

/* STATUS= of sd_notify(3). */
void service_tell_systemd(service *s);

/* Tells health, the reporter and systemd of a component, whose name is `prefix`, or "prefix:name".
 */
void service_report(service *s, const char *prefix, const char *name, const char *instance,
                    health_component told);
void service_forget(service *s, const char *prefix, const char *name, const char *instance);

/* For the rooms to call; userdata is the service, of a relay and an issuer its slot above. */
void service_on_relay_state(const relay_status *status, void *userdata);
void service_on_directory_state(directory *d, void *userdata);
void service_on_issuer_state(const issuer_status *status, void *userdata);
void service_on_ledger_health(int r, const char *why, void *userdata);
void service_on_keys_state(const key_keeper_status *status, void *userdata);
void service_on_clock_state(clock_state state, const char *why, const clock_witness *witnesses,
                            size_t n, void *userdata);
void service_on_graph_state(const graph_status *status, void *userdata);

/* ---- service_drain.c ------------------------------------------------------------------------- */

/* Something that a drain may wait for has ended; `userdata` is the service. */
void service_on_idle(void *userdata);

/* Of the two sources of the service. */
int service_on_settled(sd_event_source *source, void *userdata);
int service_on_drain_timer(sd_event_source *source, uint64_t usec, void *userdata);
