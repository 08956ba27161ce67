/* SPDX-License-Identifier: Apache-2.0 */
/* What the rooms tell, passed on to health, to systemd and to the cloud. */

#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "agent/room_health.h"
#include "agent/service_parts.h"
#include "agent/tenant_health.h"

void service_tell_systemd(service *s) {
    _cleanup_free_ char *line = NULL;

    if (s->wish == WISH_STOP) {
        (void) sd_notifyf(0, "STATUS=Stopping; requests that are still being answered: %zu",
                          operations_pending(s->rooms.operations));
        return;
    }

    line = health_status_line(s->health);
    if (line)
        (void) sd_notifyf(0, "STATUS=%s", line);
}

/* Something about the health may have changed. */
static void after_news(service *s) {
    reporter_touch(s->rooms.reporter);
    service_tell_systemd(s);
}

static void tell(service *s, const health_component *told) {
    (void) health_report(s->health, told);
    after_news(s);
}

void service_report(service *s, const char *prefix, const char *name, const char *instance,
                    health_component told) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s%s%s", prefix, *name ? ":" : "", name) < 0)
        return;

    told.name = key;
    told.instance = instance;
    tell(s, &told);
}

/* Its clock was read; one of several instances has a vote together with the others. */
static void note_clock(service *s, const char *prefix, const char *name, const char *instance,
                       clock_reading theirs) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s:%s", prefix, name) >= 0)
        clock_watch_note(s->clock_watch, *instance ? instance : key, key, theirs);
}

void service_forget(service *s, const char *prefix, const char *name, const char *instance) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s:%s", prefix, name) < 0)
        return;
    health_forget(s->health, key, instance);
    clock_watch_forget(s->clock_watch, *instance ? instance : key);
}

void service_on_relay_state(const relay_status *status, void *userdata) {
    service_relay *r = userdata;

    health_set_relay_counters(r->service->health, relay_name(r->relay), status->reconnects,
                              status->last_heartbeat);
    note_clock(r->service, "relay", relay_name(r->relay), "", status->clock);
    service_report(r->service, "relay", relay_name(r->relay), "", relay_health(status));
}

void service_on_directory_state(directory *d, void *userdata) {
    for (size_t i = 0; i < directory_n_controllers(d); i++) {
        const controller_status *c = directory_controller(d, i);

        if (c->state == CONTROLLER_GONE) {
            service_forget(userdata, "directory", directory_domain(d), c->name);
            continue;
        }
        note_clock(userdata, "directory", directory_domain(d), c->name, c->clock);
        service_report(userdata, "directory", directory_domain(d), c->name,
                       controller_health(c, directory_needs_policy_hints(d)));
    }
}

void service_on_issuer_state(const issuer_status *status, void *userdata) {
    service_issuer *i = userdata;

    note_clock(i->service, "issuer", i->name, "", status->clock);
    service_report(i->service, "issuer", i->name, "", issuer_health(status));
}

void service_on_ledger_health(int r, const char *why, void *userdata) {
    service_report(userdata, "ledger", "", "", ledger_health(r, why));
}

void service_on_keys_state(const key_keeper_status *status, void *userdata) {
    service_report(userdata, "keys", "", "", keys_health(status));
}

void service_on_clock_state(clock_state state, const char *why, const clock_witness *witnesses,
                            size_t n, void *userdata) {
    static const health_status statuses[] = {
        [CLOCK_IS_UNKNOWN] = HEALTH_UNKNOWN, [CLOCK_IS_RIGHT] = HEALTH_PASS,
        [CLOCK_IS_DOUBTFUL] = HEALTH_WARN,   [CLOCK_IS_OFF] = HEALTH_WARN,
        [CLOCK_IS_WRONG] = HEALTH_FAIL,
    };
    service *s = userdata;
    _cleanup_free_ health_clock *clocks = calloc(n + 1, sizeof(health_clock));

    for (size_t i = 0; clocks && i < n; i++)
        clocks[i] = (health_clock){.source = witnesses[i].name, .ahead = witnesses[i].ahead};
    health_set_clocks(s->health, clocks, clocks ? n : 0);
    tell(s, &(health_component){
                .type = COMPONENT_CLOCK,
                .name = "clock",
                .instance = "",
                .status = statuses[state],
                .output = why,
                .event = state == CLOCK_IS_DOUBTFUL ? OUTCOME_CLOCK_DISAGREES : OUTCOME_CLOCK_WRONG,
            });
}

void service_on_graph_state(const graph_status *status, void *userdata) {
    service *s = userdata;

    clock_watch_note(s->clock_watch, "graph", "graph", status->clock);
    operations_set_licence(s->rooms.operations, status->state.licence);
    tenant_health_tell(s->health, &s->rooms.config->graph, status);
    after_news(s);
}
