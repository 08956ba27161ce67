/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is well and what is not, and since when: component states, the blade, the endpoints, the
 * metrics.
 *
 * The rooms do not know of it: agent/service.c tells it what they report. Nothing here asks a
 * network. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "agent/base/json.h"
#include "agent/base/outcome.h"

typedef struct health health;

typedef enum health_status {
    HEALTH_PASS,
    HEALTH_WARN,
    HEALTH_FAIL,
    /* Not looked at yet, so neither good nor bad: shown as a warning; but where requests need it
     * and nothing stands in for it, the agent is not ready, and the blade does not show. Of
     * synchronisation and licence it may stay so for good, and warns of nothing where nobody
     * asked. */
    HEALTH_UNKNOWN,
} health_status;

/* What a component is for. Relays, the controllers of one domain, and issuers are alternatives to
 * each other: as long as one of them works, the others' failure is a warning. */
typedef enum health_component_type {
    COMPONENT_RELAY,      /* "relay:primary" */
    COMPONENT_CONTROLLER, /* "directory:corp.example", one entry a controller */
    COMPONENT_ISSUER,     /* "issuer:entra" */
    COMPONENT_SYNC,
    COMPONENT_LICENCE,
    COMPONENT_KEYS,
    COMPONENT_LEDGER,
    COMPONENT_CLOCK,
} health_component_type;

/* One component as its owner sees it now. Strings are copied. */
typedef struct health_component {
    health_component_type type;
    const char *name;     /* "relay:primary"; the key in `checks` */
    const char *instance; /* the controller's host, say; "" where there is only one */
    health_status status;
    const char *output;           /* why, for people; NULL where all is well */
    bool is_unreached;            /* of a relay that fails: no word came from it, so that others may
                                     be out of reach by the same cause */
    usec_t latency;               /* of the last exchange; 0: none */
    usec_t certificate_not_after; /* CLOCK_REALTIME; 0: none */
    /* Whose steps cure a failure; one that has none: that of the type. Of synchronisation and
     * licence that are not known, it says that they were asked for in vain, which warns. */
    outcome event;
} health_component;

typedef struct health_config {
    const char *listen;    /* "127.0.0.1:8404", "[::1]:8404", or the path of a Unix socket */
    const char *agent_id;  /* serviceId */
    const char *tenant_id; /* may be NULL */
    const char *release;   /* releaseId: the agent's version */
} health_config;

/* Takes the listening socket from systemd where one was passed (sd_listen_fds(3), named "health"),
 * else opens `listen`. Synchronisation and licence are not known until they are told.
 *
 * Returns 0; -EINVAL where `listen` is no address of this host alone; or another negative errno;
 * with a malloc(3)ed text for people in *ret_why, NULL where the errno says it all. */
int health_new(sd_event *event, const health_config *config, health **ret, char **ret_why);
health *health_free(health *h);

/* Tells a component's state, for writeback_component_status too; adds it where it is new.
 * Since-when is kept here. A component that has not been tried yet, or not since a reload, is told
 * as HEALTH_UNKNOWN; one that was known before keeps its state until it is. Logs 31044 when
 * requests cannot be served for some seconds, as the loop runs (health/outage.h). Returns 0 or
 * -ENOMEM. */
int health_report(health *h, const health_component *told);

/* A component that is gone. */
void health_forget(health *h, const char *name, const char *instance);

/* A reload: not ready from the one to the other, since requests are turned away. What is forgotten
 * between them and then told again, also after the end, is the same part as before: it keeps its
 * state, since-when and history until it is tried. What is not told again is gone as soon as all
 * the others of its check were tried. */
void health_begin_reload(health *h);
void health_end_reload(health *h);

/* The agent is stopping: not ready from now on. */
void health_set_stopping(health *h);

/* Folds the components: pass, warn or fail. */
health_status health_overall(const health *h);

/* Whether requests can be served: a relay is connected, each domain has a usable controller, an
 * issuer's keys are known, and keys, ledger and clock do not fail. */
bool health_is_ready(const health *h);

/* Whether every relay, controller and issuer, the keys and the ledger have been tried, so that what
 * is told of them is known. */
bool health_has_tried_all(const health *h);

/* The document of GET /v1/health and /healthz (application/health+json,
 * draft-inadarei-api-health-check; design: the contract's blade). A new reference, or NULL where
 * memory is out. */
json_t *health_document(const health *h);

/* One line for STATUS= of sd_notify(3): "relay primary connected; dc1.corp.example ok; 3 resets, 1
 * refused". malloc(3)ed, or NULL. */
char *health_status_line(const health *h);

/* A request has ended. `operation` may be NULL where it is not known. For writeback_requests_total,
 * writeback_request_duration_seconds. */
void health_count_request(health *h, const char *operation, outcome end, usec_t duration);

/* What a report to the cloud says but for times and reasons: it differs where a part's status does.
 * malloc(3)ed, or NULL. */
char *health_digest(const health *h);

/* A report to the cloud has ended. For writeback_reports_total and
 * writeback_report_last_success_timestamp_seconds; the latter is not there before. */
void health_count_report(health *h, bool got_through);

/* What Microsoft Graph says of the tenant. For writeback_sync_last_timestamp_seconds,
 * writeback_licence_held and writeback_graph_certificate_not_after_timestamp_seconds, which are not
 * there where it is not known. */
typedef struct health_tenant {
    usec_t last_sync; /* CLOCK_REALTIME; 0: not known, or never */
    bool knows_licence, has_licence;
    usec_t certificate_not_after; /* of the agent's own, CLOCK_REALTIME; 0: none */
} health_tenant;

void health_set_tenant(health *h, const health_tenant *t);

/* How far this host's clock is ahead of another, microseconds; negative: behind. */
typedef struct health_clock {
    const char *source; /* "relay:primary", "dc1.corp.example" */
    int64_t ahead;
} health_clock;

/* All that are known; they replace those told before. Copied. For writeback_clock_offset_seconds.
 */
void health_set_clocks(health *h, const health_clock *clocks, size_t n);

/* Requests being worked on now. */
void health_set_requests_in_flight(health *h, unsigned n);

/* `relay` by its own name ("primary"); nothing happens where none was reported. For
 * writeback_relay_reconnects_total and writeback_relay_last_heartbeat_timestamp_seconds. */
void health_set_relay_counters(health *h, const char *relay, unsigned reconnects,
                               usec_t last_heartbeat);

DEFINE_CLEANUP(health *, health_free);
