/* SPDX-License-Identifier: Apache-2.0 */
/* The page that Prometheus reads. */

#include <inttypes.h>
#include <stdio.h>

#include "health/exposition.h"
#include "health/state.h"

static void put_relay(FILE *f, const char *name, const component *c) {
    fprintf(f, "%s{", name);
    exposition_put_label(f, "relay", component_short_name(c));
    fputs("} ", f);
}

static void put_controller(FILE *f, const char *name, const component *c) {
    fprintf(f, "%s{", name);
    exposition_put_label(f, "domain", component_short_name(c));
    fputc(',', f);
    exposition_put_label(f, "dc", c->instance);
    fputs("} ", f);
}

/* One sample for each state that there is: 1 for the one that it is in, 0 for the others. Without a
 * component, of the agent as a whole, which is never unknown. */
static void put_states(FILE *f, const char *name, const component *c, health_status is) {
    static const char *const states[] = {
        [HEALTH_PASS] = "pass",
        [HEALTH_WARN] = "warn",
        [HEALTH_FAIL] = "fail",
        [HEALTH_UNKNOWN] = "unknown",
    };

    for (size_t i = 0; i < (c ? ELEMENTSOF(states) : HEALTH_UNKNOWN); i++) {
        fprintf(f, "%s{", name);
        if (c) {
            exposition_put_label(f, "component", c->name);
            fputc(',', f);
        }
        if (c && *c->instance) {
            exposition_put_label(f, "dc", c->instance);
            fputc(',', f);
        }
        exposition_put_label(f, "status", states[i]);
        fprintf(f, "} %d\n", i == (size_t) is);
    }
}

/* The agent's own judgement, with its damping and its votes, so that no alert has to make another.
 */
static void put_status(const exposition *p, const health *h) {
    exposition_put_family(p, "writeback_overall_status", "gauge",
                          "Whether the agent as a whole is in this state (1) or not (0).");
    put_states(p->f, "writeback_overall_status", NULL, health_overall(h));

    exposition_put_family(p, "writeback_component_status", "gauge",
                          "Whether this part of the agent is in this state (1) or not (0).");
    for (size_t i = 0; i < h->components.n; i++) {
        const component *c = h->components.items[i];

        put_states(p->f, "writeback_component_status", c, c->status);
    }
}

static bool is_usable(const component *c) {
    return c->status == HEALTH_PASS || c->status == HEALTH_WARN;
}

/* The first component of this type from *index on, which then stands behind it; NULL: no more. */
static const component *next_of(const components *all, health_component_type type, size_t *index) {
    while (*index < all->n) {
        const component *c = all->items[(*index)++];

        if (c->type == type)
            return c;
    }
    return NULL;
}

static void put_relays(const exposition *p, const components *all) {
    FILE *f = p->f;
    const component *c;

    exposition_put_family(p, "writeback_relay_connected", "gauge",
                          "Whether this relay is connected.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        put_relay(f, "writeback_relay_connected", c);
        fprintf(f, "%d\n", is_usable(c));
    }

    exposition_put_family(p, "writeback_relay_reconnects_total", "counter",
                          "How often this relay came back after it was lost.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        put_relay(f, "writeback_relay_reconnects_total", c);
        fprintf(f, "%u\n", c->reconnects);
    }

    exposition_put_family(p, "writeback_relay_last_heartbeat_timestamp_seconds", "gauge",
                          "When the relay was heard last.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        if (c->last_heartbeat == 0)
            continue;
        put_relay(f, "writeback_relay_last_heartbeat_timestamp_seconds", c);
        exposition_put_seconds(f, c->last_heartbeat);
    }
}

static void put_controllers(const exposition *p, const components *all) {
    FILE *f = p->f;
    const component *c;

    exposition_put_family(p, "writeback_dc_up", "gauge",
                          "Whether this domain controller can be used.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        put_controller(f, "writeback_dc_up", c);
        fprintf(f, "%d\n", is_usable(c));
    }

    exposition_put_family(p, "writeback_dc_operation_duration_seconds", "gauge",
                          "How long the controller's last answer took.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        if (c->latency == 0)
            continue;
        put_controller(f, "writeback_dc_operation_duration_seconds", c);
        exposition_put_seconds(f, c->latency);
    }

    exposition_put_family(p, "writeback_dc_certificate_not_after_timestamp_seconds", "gauge",
                          "When the controller's certificate expires.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        if (c->not_after == 0)
            continue;
        put_controller(f, "writeback_dc_certificate_not_after_timestamp_seconds", c);
        exposition_put_seconds(f, c->not_after);
    }
}

static void put_keys(const exposition *p, const components *all) {
    const component *c;

    exposition_put_family(p, "writeback_key_not_after_timestamp_seconds", "gauge",
                          "When the agent's current keys end.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_KEYS, &i));) {
        if (c->not_after == 0)
            continue;
        fputs("writeback_key_not_after_timestamp_seconds ", p->f);
        exposition_put_seconds(p->f, c->not_after);
    }
}

static void put_tenant(const exposition *p, const health_tenant *t) {
    if (t->last_sync > 0) {
        exposition_put_family(p, "writeback_sync_last_timestamp_seconds", "gauge",
                              "When directory synchronisation ran last, by Microsoft Graph.");
        fputs("writeback_sync_last_timestamp_seconds ", p->f);
        exposition_put_seconds(p->f, t->last_sync);
    }
    if (t->knows_licence) {
        exposition_put_family(p, "writeback_licence_held", "gauge",
                              "Whether the tenant has a licence for password writeback.");
        fprintf(p->f, "writeback_licence_held %d\n", t->has_licence);
    }
    if (t->certificate_not_after > 0) {
        exposition_put_family(p, "writeback_graph_certificate_not_after_timestamp_seconds", "gauge",
                              "When the agent's own certificate for Microsoft Graph ends.");
        fputs("writeback_graph_certificate_not_after_timestamp_seconds ", p->f);
        exposition_put_seconds(p->f, t->certificate_not_after);
    }
}

static void put_clocks(const exposition *p, const health *h) {
    exposition_put_family(p, "writeback_clock_offset_seconds", "gauge",
                          "How far this host's clock is ahead of another's.");
    for (size_t i = 0; i < h->n_clocks; i++) {
        int64_t ahead = h->clocks[i];

        fputs("writeback_clock_offset_seconds{", p->f);
        exposition_put_label(p->f, "source", h->clock_sources[i]);
        fputs(ahead < 0 ? "} -" : "} ", p->f);
        exposition_put_seconds(p->f, (usec_t) (ahead < 0 ? -ahead : ahead));
    }
}

static void put_request_count(FILE *f, const char *operation, const char *result,
                              const char *reason, uint64_t n) {
    fputs("writeback_requests_total{", f);
    exposition_put_label(f, "operation", operation);
    fputc(',', f);
    exposition_put_label(f, "outcome", result);
    fputc(',', f);
    exposition_put_label(f, "reason", reason);
    fprintf(f, "} %" PRIu64 "\n", n);
}

/* What the api answers before it is any operation's end; it is not counted. */
static bool is_of_no_operation(outcome o) {
    return o == OUTCOME_UNKNOWN_PATH || o == OUTCOME_METHOD_NOT_ALLOWED ||
           o == OUTCOME_CONTENT_TOO_LARGE || o == OUTCOME_UNSUPPORTED_MEDIA_TYPE;
}

static bool is_refusal(outcome o) {
    return outcome_get(o)->http >= 400 && !is_of_no_operation(o);
}

/* All of them from the start: a counter that appeared with its first request would not have grown
 * by it, and no alert would see it. */
static void put_requests(const exposition *p, const metrics *m) {
    FILE *f = p->f;

    exposition_put_family(p, "writeback_requests_total", "counter",
                          "Requests answered, by how they ended.");
    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++) {
        if (operation != OPERATION_OTHER)
            put_request_count(f, metrics_operation_name(operation), "succeeded", "",
                              metrics_succeeded(m, operation));
        for (outcome o = 0; o < OUTCOME_MAX_; o++)
            if (is_refusal(o))
                put_request_count(f, metrics_operation_name(operation), metrics_result_name(o),
                                  outcome_get(o)->name, m->requests[operation][o]);
    }

    exposition_put_family(p, "writeback_requests_in_flight", "gauge",
                          "Requests being worked on now.");
    fprintf(f, "writeback_requests_in_flight %u\n", m->in_flight);
}

static void put_histogram(FILE *f, const char *operation, const metrics_histogram *histogram) {
    uint64_t n = 0;

    for (size_t i = 0; i < METRICS_N_BUCKETS; i++) {
        n += histogram->buckets[i];
        fprintf(f,
                "writeback_request_duration_seconds_bucket{operation=\"%s\",le=\"%s\"} %" PRIu64
                "\n",
                operation, metrics_buckets[i].label, n);
    }
    n += histogram->buckets[METRICS_N_BUCKETS];
    fprintf(f,
            "writeback_request_duration_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
            "writeback_request_duration_seconds_sum{operation=\"%s\"} ",
            operation, n, operation);
    exposition_put_seconds(f, histogram->sum);
    fprintf(f, "writeback_request_duration_seconds_count{operation=\"%s\"} %" PRIu64 "\n",
            operation, n);
}

static void put_durations(const exposition *p, const metrics *m) {
    FILE *f = p->f;
    exposition_put_family(p, "writeback_request_duration_seconds", "histogram",
                          "From a request's arrival to its answer.");
    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++)
        put_histogram(f, metrics_operation_name(operation), &m->duration[operation]);
}

static void put_reports(const exposition *p, const metrics *m) {
    exposition_put_family(p, "writeback_reports_total", "counter", "Health reports to the cloud.");
    fprintf(p->f,
            "writeback_reports_total{outcome=\"succeeded\"} %" PRIu64 "\n"
            "writeback_reports_total{outcome=\"failed\"} %" PRIu64 "\n",
            m->reports_through, m->reports_failed);

    if (m->reports_through == 0 && m->reports_failed == 0)
        return;
    exposition_put_family(p, "writeback_report_last_success_timestamp_seconds", "gauge",
                          "When a health report got through last; 0: none did.");
    fputs("writeback_report_last_success_timestamp_seconds ", p->f);
    exposition_put_seconds(p->f, m->last_report);
}

char *metrics_page(const health *h, metrics_format format) {
    char *text = NULL;
    size_t size = 0;
    exposition p = {.f = open_memstream(&text, &size), .format = format};

    if (!p.f)
        return NULL;

    exposition_put_family(&p, "writeback_build_info", "gauge", "The agent's version.");
    fputs("writeback_build_info{", p.f);
    exposition_put_label(p.f, "version", h->release);
    fputs("} 1\n", p.f);
    exposition_put_family(&p, "writeback_ready", "gauge", "Whether requests can be served.");
    fprintf(p.f, "writeback_ready %d\n", health_is_ready(h));

    put_status(&p, h);
    put_relays(&p, &h->components);
    put_controllers(&p, &h->components);
    put_keys(&p, &h->components);
    put_tenant(&p, &h->tenant);
    put_clocks(&p, h);
    put_requests(&p, &h->metrics);
    put_durations(&p, &h->metrics);
    put_reports(&p, &h->metrics);
    exposition_put_process(&p, h->metrics.started);
    if (format == METRICS_OPEN)
        fputs("# EOF\n", p.f);

    if (fclose(p.f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
