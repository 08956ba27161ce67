/* SPDX-License-Identifier: Apache-2.0 */
#include "health/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "health/blade.h"
#include "health/state.h"

/* What is being written, and in which of the two formats. */
typedef struct page {
    FILE *f;
    metrics_format format;
} page;

static const char *const operation_names[] = {
    [OPERATION_RESET] = "reset", [OPERATION_CHANGE] = "change", [OPERATION_UNLOCK] = "unlock",
    [OPERATION_CHECK] = "check", [OPERATION_OTHER] = "other",
};

/* Their labels are numbers as OpenMetrics wants them written, in both formats: a series is known by
 * its labels. */
static const struct {
    usec_t bound;
    const char *label;
} buckets[METRICS_N_BUCKETS] = {
    {10 * USEC_PER_MSEC, "0.01"}, {25 * USEC_PER_MSEC, "0.025"}, {50 * USEC_PER_MSEC, "0.05"},
    {100 * USEC_PER_MSEC, "0.1"}, {250 * USEC_PER_MSEC, "0.25"}, {500 * USEC_PER_MSEC, "0.5"},
    {1 * USEC_PER_SEC, "1.0"},    {2500 * USEC_PER_MSEC, "2.5"}, {5 * USEC_PER_SEC, "5.0"},
    {10 * USEC_PER_SEC, "10.0"},  {30 * USEC_PER_SEC, "30.0"},   {45 * USEC_PER_SEC, "45.0"},
};

const char *metrics_operation_name(metrics_operation operation) {
    return operation_names[operation];
}

const char *metrics_result_name(outcome end) {
    if (outcome_is_success(end))
        return "succeeded";
    return outcome_get(end)->http >= 500 ? "failed" : "refused";
}

metrics_operation metrics_operation_from_name(const char *name) {
    metrics_operation operation = 0;

    while (operation < OPERATION_OTHER && (!name || strcmp(name, operation_names[operation]) != 0))
        operation++;
    return operation;
}

void metrics_count(metrics *m, const char *operation, outcome end, usec_t duration) {
    metrics_operation o = metrics_operation_from_name(operation);
    size_t bucket = 0;

    assert(end >= 0 && end < OUTCOME_MAX_);

    while (bucket < METRICS_N_BUCKETS && duration > buckets[bucket].bound)
        bucket++;

    m->requests[o][end]++;
    m->duration[o].buckets[bucket]++;
    m->duration[o].sum += duration;
}

uint64_t metrics_succeeded(const metrics *m, metrics_operation operation) {
    uint64_t n = 0;

    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (outcome_is_success(o))
            n += m->requests[operation][o];

    return n;
}

uint64_t metrics_answered(const metrics *m, int hundred) {
    uint64_t n = 0;

    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++)
        for (outcome o = 0; o < OUTCOME_MAX_; o++)
            if (outcome_get(o)->http / 100 == hundred)
                n += m->requests[operation][o];

    return n;
}

/* OpenMetrics names a counter's family without the _total of its samples. */
static void put_family(const page *p, const char *name, const char *type, const char *help) {
    size_t n = strlen(name);

    if (p->format == METRICS_OPEN && strcmp(type, "counter") == 0)
        n -= strlen("_total");
    fprintf(p->f, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int) n, name, help, (int) n, name, type);
}

/* name="value", escaped as the text format asks for. */
static void put_label(FILE *f, const char *name, const char *value) {
    fprintf(f, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') {
            fputs("\\n", f);
            continue;
        }
        if (*value == '"' || *value == '\\')
            fputc('\\', f);
        fputc(*value, f);
    }
    fputc('"', f);
}

/* Not %f: its decimal point depends on the locale. */
static void put_seconds(FILE *f, usec_t t) {
    fprintf(f, "%" PRIu64 ".%06" PRIu64 "\n", t / USEC_PER_SEC, t % USEC_PER_SEC);
}

static void put_relay(FILE *f, const char *name, const component *c) {
    fprintf(f, "%s{", name);
    put_label(f, "relay", component_short_name(c));
    fputs("} ", f);
}

static void put_controller(FILE *f, const char *name, const component *c) {
    fprintf(f, "%s{", name);
    put_label(f, "domain", component_short_name(c));
    fputc(',', f);
    put_label(f, "dc", c->instance);
    fputs("} ", f);
}

/* One sample for each state that there is: 1 for the one that it is in, 0 for the others. */
static void put_states(FILE *f, const char *name, const component *c, health_status is) {
    static const char *const states[] = {
        [HEALTH_PASS] = "pass",
        [HEALTH_WARN] = "warn",
        [HEALTH_FAIL] = "fail",
        [HEALTH_UNKNOWN] = "unknown",
    };

    for (size_t i = 0; i < ELEMENTSOF(states); i++) {
        fprintf(f, "%s{", name);
        if (c) {
            put_label(f, "component", c->name);
            fputc(',', f);
        }
        if (c && *c->instance) {
            put_label(f, "dc", c->instance);
            fputc(',', f);
        }
        put_label(f, "status", states[i]);
        fprintf(f, "} %d\n", i == (size_t) is);
    }
}

/* The agent's own judgement, with its damping and its votes, so that no alert has to make another.
 */
static void put_status(const page *p, const health *h) {
    put_family(p, "writeback_overall_status", "gauge",
               "Whether the agent as a whole is in this state (1) or not (0).");
    put_states(p->f, "writeback_overall_status", NULL, health_overall(h));

    put_family(p, "writeback_component_status", "gauge",
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

static void put_relays(const page *p, const components *all) {
    FILE *f = p->f;
    const component *c;

    put_family(p, "writeback_relay_connected", "gauge", "Whether this relay is connected.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        put_relay(f, "writeback_relay_connected", c);
        fprintf(f, "%d\n", is_usable(c));
    }

    put_family(p, "writeback_relay_reconnects_total", "counter",
               "How often this relay came back after it was lost.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        put_relay(f, "writeback_relay_reconnects_total", c);
        fprintf(f, "%u\n", c->reconnects);
    }

    put_family(p, "writeback_relay_last_heartbeat_timestamp_seconds", "gauge",
               "When the relay was heard last.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_RELAY, &i));) {
        if (c->last_heartbeat == 0)
            continue;
        put_relay(f, "writeback_relay_last_heartbeat_timestamp_seconds", c);
        put_seconds(f, c->last_heartbeat);
    }
}

static void put_controllers(const page *p, const components *all) {
    FILE *f = p->f;
    const component *c;

    put_family(p, "writeback_dc_up", "gauge", "Whether this domain controller can be used.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        put_controller(f, "writeback_dc_up", c);
        fprintf(f, "%d\n", is_usable(c));
    }

    put_family(p, "writeback_dc_operation_duration_seconds", "gauge",
               "How long the controller's last answer took.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        if (c->latency == 0)
            continue;
        put_controller(f, "writeback_dc_operation_duration_seconds", c);
        put_seconds(f, c->latency);
    }

    put_family(p, "writeback_dc_certificate_not_after_timestamp_seconds", "gauge",
               "When the controller's certificate expires.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_CONTROLLER, &i));) {
        if (c->not_after == 0)
            continue;
        put_controller(f, "writeback_dc_certificate_not_after_timestamp_seconds", c);
        put_seconds(f, c->not_after);
    }
}

static void put_keys(const page *p, const components *all) {
    const component *c;

    put_family(p, "writeback_key_not_after_timestamp_seconds", "gauge",
               "When the agent's current keys end.");
    for (size_t i = 0; (c = next_of(all, COMPONENT_KEYS, &i));) {
        if (c->not_after == 0)
            continue;
        fputs("writeback_key_not_after_timestamp_seconds ", p->f);
        put_seconds(p->f, c->not_after);
    }
}

static void put_tenant(const page *p, const health_tenant *t) {
    if (t->last_sync > 0) {
        put_family(p, "writeback_sync_last_timestamp_seconds", "gauge",
                   "When directory synchronisation ran last, by Microsoft Graph.");
        fputs("writeback_sync_last_timestamp_seconds ", p->f);
        put_seconds(p->f, t->last_sync);
    }
    if (t->knows_licence) {
        put_family(p, "writeback_licence_held", "gauge",
                   "Whether the tenant has a licence for password writeback.");
        fprintf(p->f, "writeback_licence_held %d\n", t->has_licence);
    }
    if (t->certificate_not_after > 0) {
        put_family(p, "writeback_graph_certificate_not_after_timestamp_seconds", "gauge",
                   "When the agent's own certificate for Microsoft Graph ends.");
        fputs("writeback_graph_certificate_not_after_timestamp_seconds ", p->f);
        put_seconds(p->f, t->certificate_not_after);
    }
}

static void put_clocks(const page *p, const health *h) {
    put_family(p, "writeback_clock_offset_seconds", "gauge",
               "How far this host's clock is ahead of another's.");
    for (size_t i = 0; i < h->n_clocks; i++) {
        int64_t ahead = h->clocks[i];

        fputs("writeback_clock_offset_seconds{", p->f);
        put_label(p->f, "source", h->clock_sources[i]);
        fputs(ahead < 0 ? "} -" : "} ", p->f);
        put_seconds(p->f, (usec_t) (ahead < 0 ? -ahead : ahead));
    }
}

static void put_request_count(FILE *f, const char *operation, const char *result,
                              const char *reason, uint64_t n) {
    fputs("writeback_requests_total{", f);
    put_label(f, "operation", operation);
    fputc(',', f);
    put_label(f, "outcome", result);
    fputc(',', f);
    put_label(f, "reason", reason);
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
static void put_requests(const page *p, const metrics *m) {
    FILE *f = p->f;

    put_family(p, "writeback_requests_total", "counter", "Requests answered, by how they ended.");
    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++) {
        if (operation != OPERATION_OTHER)
            put_request_count(f, operation_names[operation], "succeeded", "",
                              metrics_succeeded(m, operation));
        for (outcome o = 0; o < OUTCOME_MAX_; o++)
            if (is_refusal(o))
                put_request_count(f, operation_names[operation], metrics_result_name(o),
                                  outcome_get(o)->name, m->requests[operation][o]);
    }

    put_family(p, "writeback_requests_in_flight", "gauge", "Requests being worked on now.");
    fprintf(f, "writeback_requests_in_flight %u\n", m->in_flight);
}

static void put_histogram(FILE *f, const char *operation, const metrics_histogram *histogram) {
    uint64_t n = 0;

    for (size_t i = 0; i < METRICS_N_BUCKETS; i++) {
        n += histogram->buckets[i];
        fprintf(f,
                "writeback_request_duration_seconds_bucket{operation=\"%s\",le=\"%s\"} %" PRIu64
                "\n",
                operation, buckets[i].label, n);
    }
    n += histogram->buckets[METRICS_N_BUCKETS];
    fprintf(f,
            "writeback_request_duration_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
            "writeback_request_duration_seconds_sum{operation=\"%s\"} ",
            operation, n, operation);
    put_seconds(f, histogram->sum);
    fprintf(f, "writeback_request_duration_seconds_count{operation=\"%s\"} %" PRIu64 "\n",
            operation, n);
}

static void put_durations(const page *p, const metrics *m) {
    FILE *f = p->f;
    put_family(p, "writeback_request_duration_seconds", "histogram",
               "From a request's arrival to its answer.");
    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++)
        put_histogram(f, operation_names[operation], &m->duration[operation]);
}

static void put_reports(const page *p, const metrics *m) {
    put_family(p, "writeback_reports_total", "counter", "Health reports to the cloud.");
    fprintf(p->f,
            "writeback_reports_total{outcome=\"succeeded\"} %" PRIu64 "\n"
            "writeback_reports_total{outcome=\"failed\"} %" PRIu64 "\n",
            m->reports_through, m->reports_failed);

    if (m->reports_through == 0 && m->reports_failed == 0)
        return;
    put_family(p, "writeback_report_last_success_timestamp_seconds", "gauge",
               "When a health report got through last; 0: none did.");
    fputs("writeback_report_last_success_timestamp_seconds ", p->f);
    put_seconds(p->f, m->last_report);
}

static void put_memory(const page *p) {
    FILE *f = p->f;
    unsigned long long pages, resident;
    long page_size = sysconf(_SC_PAGESIZE);
    FILE *statm = fopen("/proc/self/statm", "re");

    if (!statm)
        return;

    if (fscanf(statm, "%llu %llu", &pages, &resident) == 2 && page_size > 0) {
        put_family(p, "process_virtual_memory_bytes", "gauge", "Virtual memory size.");
        fprintf(f, "process_virtual_memory_bytes %llu\n", pages * (unsigned long long) page_size);
        put_family(p, "process_resident_memory_bytes", "gauge", "Resident memory size.");
        fprintf(f, "process_resident_memory_bytes %llu\n",
                resident * (unsigned long long) page_size);
    }
    (void) fclose(statm);
}

static void put_file_descriptors(const page *p) {
    FILE *f = p->f;
    DIR *folder = opendir("/proc/self/fd");
    struct rlimit limit;
    /* The folder's own descriptor is none of ours. */
    int n = -1;

    if (!folder)
        return;

    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        n += entry->d_name[0] != '.';
    (void) closedir(folder);

    put_family(p, "process_open_fds", "gauge", "Open file descriptors.");
    fprintf(f, "process_open_fds %d\n", n);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        put_family(p, "process_max_fds", "gauge", "Most file descriptors that may be open.");
        fprintf(f, "process_max_fds %llu\n", (unsigned long long) limit.rlim_cur);
    }
}

static void put_process(const page *p, const metrics *m) {
    FILE *f = p->f;
    struct timespec cpu;

    put_family(p, "process_start_time_seconds", "gauge", "When the process started.");
    fputs("process_start_time_seconds ", f);
    put_seconds(f, m->started);

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
        put_family(p, "process_cpu_seconds_total", "counter", "Processor time spent.");
        fputs("process_cpu_seconds_total ", f);
        put_seconds(f, (usec_t) cpu.tv_sec * USEC_PER_SEC + (usec_t) cpu.tv_nsec / 1000);
    }
    put_memory(p);
    put_file_descriptors(p);
}

char *metrics_page(const health *h, metrics_format format) {
    char *text = NULL;
    size_t size = 0;
    page p = {.f = open_memstream(&text, &size), .format = format};

    if (!p.f)
        return NULL;

    put_family(&p, "writeback_build_info", "gauge", "The agent's version.");
    fputs("writeback_build_info{", p.f);
    put_label(p.f, "version", h->release);
    fputs("} 1\n", p.f);
    put_family(&p, "writeback_ready", "gauge", "Whether requests can be served.");
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
    put_process(&p, &h->metrics);
    if (format == METRICS_OPEN)
        fputs("# EOF\n", p.f);

    if (fclose(p.f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
