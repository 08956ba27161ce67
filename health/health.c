/* SPDX-License-Identifier: Apache-2.0 */
#include "health/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "health/blade.h"
#include "health/document.h"
#include "health/endpoints.h"
#include "health/state.h"

static void log_outage(const health *h) {
    _cleanup_free_ char *why = document_obstacles_line(h);

    log_event(OUTCOME_SERVICE_UNHEALTHY, {"WRITEBACK_REASON", why});
}

static usec_t earlier(usec_t a, usec_t b) {
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* What follows from what was told, and from time that passed. */
static void settle(health *h) {
    moment now = moment_now();
    usec_t calm = components_settle(&h->components, &now), due;

    if (!h->reloading)
        components_sweep(&h->components);
    if (outage_look(&h->outage, &h->components, now.uptime, &due))
        log_outage(h);

    if (!h->settling)
        return;
    due = earlier(calm, due);
    (void) sd_event_source_set_time(h->settling, due);
    (void) sd_event_source_set_enabled(h->settling, due > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_settling(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) source;
    (void) usec;

    settle(userdata);
    return 0;
}

/* What nobody tells is shown as not known, not left out. */
static int report_unknowns(health *h) {
    int r;

    r = health_report(
        h, &(const health_component){
               .type = COMPONENT_SYNC, .name = "sync", .instance = "", .status = HEALTH_UNKNOWN});
    if (r < 0)
        return r;
    return health_report(h, &(const health_component){.type = COMPONENT_LICENCE,
                                                      .name = "licence",
                                                      .instance = "",
                                                      .status = HEALTH_UNKNOWN});
}

int health_new(sd_event *event, const health_config *config, health **ret, char **ret_why) {
    _cleanup_(health_freep) health *h = NULL;
    int r;

    assert(event && config && config->listen && config->agent_id && config->release);
    assert(ret && ret_why);

    *ret_why = NULL;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;

    h->metrics.started = now_realtime();
    h->agent_id = strdup(config->agent_id);
    h->release = strdup(config->release);
    if (!h->agent_id || !h->release)
        return -ENOMEM;
    if (config->tenant_id) {
        h->tenant_id = strdup(config->tenant_id);
        if (!h->tenant_id)
            return -ENOMEM;
    }

    r = sd_event_add_time(event, &h->settling, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_settling, h);
    if (r < 0)
        return r;
    r = report_unknowns(h);
    if (r < 0)
        return r;

    r = endpoints_new(event, config->listen, h, &h->endpoints, ret_why);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(h);
    return 0;
}

static void forget_clocks(health *h) {
    for (size_t i = 0; i < h->n_clocks; i++)
        free(h->clock_sources[i]);
    free(h->clock_sources);
    free(h->clocks);
    h->clock_sources = NULL;
    h->clocks = NULL;
    h->n_clocks = 0;
}

health *health_free(health *h) {
    if (!h)
        return NULL;

    forget_clocks(h);
    (void) endpoints_free(h->endpoints);
    (void) sd_event_source_disable_unref(h->settling);
    components_done(&h->components);
    free(h->agent_id);
    free(h->tenant_id);
    free(h->release);
    free(h);
    return NULL;
}

int health_report(health *h, const health_component *told) {
    moment now = moment_now();
    int r;

    assert(h);

    r = components_report(&h->components, told, &now);
    if (r < 0)
        return r;

    settle(h);
    return 0;
}

void health_forget(health *h, const char *name, const char *instance) {
    assert(h && name && instance);

    if (h->reloading)
        components_let_go(&h->components, name, instance);
    else
        components_forget(&h->components, name, instance);
    settle(h);
}

void health_begin_reload(health *h) {
    assert(h);
    h->reloading = true;
}

void health_end_reload(health *h) {
    assert(h);
    h->reloading = false;
    settle(h);
}

void health_set_stopping(health *h) {
    assert(h);
    h->stopping = true;
}

health_status health_overall(const health *h) {
    assert(h);
    return blade_fold(&h->components).overall;
}

bool health_is_ready(const health *h) {
    assert(h);
    return !h->stopping && !h->reloading && blade_fold(&h->components).ready;
}

bool health_has_tried_all(const health *h) {
    assert(h);

    for (size_t i = 0; i < h->components.n; i++)
        if (h->components.items[i]->is_untried)
            return false;
    return true;
}

static const char *status_word(const component *c) {
    switch (c->is_untried ? HEALTH_UNKNOWN : c->status) {
    case HEALTH_PASS:
        return c->type == COMPONENT_RELAY ? "connected" : "ok";
    case HEALTH_WARN:
        return "ok with a warning";
    case HEALTH_FAIL:
        return "down";
    default:
        return "not tried yet";
    }
}

char *health_status_line(const health *h) {
    const metrics *m;
    uint64_t changes, unlocks, refused, failed;
    char *line = NULL;
    size_t size = 0;
    FILE *f;

    assert(h);

    f = open_memstream(&line, &size);
    if (!f)
        return NULL;

    for (size_t i = 0; i < h->components.n; i++) {
        const component *c = h->components.items[i];

        if (c->type == COMPONENT_RELAY)
            fprintf(f, "relay %s %s; ", component_short_name(c), status_word(c));
        else if (c->type == COMPONENT_CONTROLLER)
            fprintf(f, "%s %s; ", c->instance, status_word(c));
        else if (c->status == HEALTH_FAIL)
            fprintf(f, "%s down; ", c->name);
    }

    m = &h->metrics;
    changes = metrics_succeeded(m, OPERATION_CHANGE);
    unlocks = metrics_succeeded(m, OPERATION_UNLOCK);
    refused = metrics_answered(m, 4);
    failed = metrics_answered(m, 5);
    fprintf(f, "%" PRIu64 " resets", metrics_succeeded(m, OPERATION_RESET));
    if (changes > 0)
        fprintf(f, ", %" PRIu64 " changes", changes);
    if (unlocks > 0)
        fprintf(f, ", %" PRIu64 " unlocks", unlocks);
    if (refused > 0)
        fprintf(f, ", %" PRIu64 " refused", refused);
    if (failed > 0)
        fprintf(f, ", %" PRIu64 " failed", failed);

    if (fclose(f) != 0) {
        free(line);
        return NULL;
    }
    return line;
}

void health_count_request(health *h, const char *operation, outcome end, usec_t duration) {
    assert(h);
    metrics_count(&h->metrics, operation, end, duration);
    history_add(&h->history,
                &(const history_entry){.ended = now_realtime(),
                                       .duration = duration,
                                       .operation = metrics_operation_from_name(operation),
                                       .end = end});
}

char *health_digest(const health *h) {
    char *digest = NULL;
    size_t size = 0;
    FILE *f;

    assert(h);

    f = open_memstream(&digest, &size);
    if (!f)
        return NULL;

    for (size_t i = 0; i < h->components.n; i++) {
        const component *c = h->components.items[i];

        fprintf(f, "%s %s %d\n", c->name, c->instance, (int) c->status);
    }
    if (fclose(f) != 0) {
        free(digest);
        return NULL;
    }
    return digest;
}

void health_count_report(health *h, bool got_through) {
    assert(h);

    if (got_through) {
        h->metrics.reports_through++;
        h->metrics.last_report = now_realtime();
    } else {
        h->metrics.reports_failed++;
    }
}

void health_set_tenant(health *h, const health_tenant *t) {
    assert(h && t);
    h->tenant = *t;
}

void health_set_clocks(health *h, const health_clock *clocks, size_t n) {
    assert(h && (clocks || n == 0));

    forget_clocks(h);
    h->clock_sources = calloc(n + 1, sizeof(char *));
    h->clocks = calloc(n + 1, sizeof(int64_t));
    for (size_t i = 0; h->clock_sources && h->clocks && i < n; i++) {
        h->clock_sources[i] = strdup(clocks[i].source);
        if (!h->clock_sources[i])
            return;
        h->clocks[i] = clocks[i].ahead;
        h->n_clocks++;
    }
}

void health_set_requests_in_flight(health *h, unsigned n) {
    assert(h);
    h->metrics.in_flight = n;
}

void health_set_relay_counters(health *h, const char *relay, unsigned reconnects,
                               usec_t last_heartbeat) {
    assert(h && relay);

    for (size_t i = 0; i < h->components.n; i++) {
        component *c = h->components.items[i];

        if (c->type != COMPONENT_RELAY || strcmp(component_short_name(c), relay) != 0)
            continue;
        c->reconnects = reconnects;
        c->last_heartbeat = last_heartbeat;
    }
}
