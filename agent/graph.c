/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/graph.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/random.h"
#include "agent/base/shell.h"
#include "agent/base/text.h"
#include "agent/graph_client.h"

#define RETRY_FIRST (30 * USEC_PER_SEC)
#define CERTIFICATE_WARNING (30 * USEC_PER_DAY)

struct graph {
    const graph_config *config;
    graph_state_fn on_state;
    void *userdata;
    graph_client *client;
    sd_event_source *timer; /* of the next look */
    unsigned failures;      /* in a row */
    tenant_facts facts;
    tenant_state told;  /* what was logged last */
    char *told_failure; /* the same; NULL: none */
    usec_t warned;      /* of the certificate's end, CLOCK_BOOTTIME; 0: never */
};

void graph_config_done(graph_config *c) {
    assert(c);

    free(c->url);
    free(c->token_url);
    free(c->client_id);
    free(c->thumbprint);
    (void) secret_free(c->key);
    (void) secret_free(c->client_secret);
    free(c->ca_file);
    free(c->proxy);
    *c = (graph_config){0};
}

/* ---- The log --------------------------------------------------------------------------------- */

static void log_sync(const graph *g, tenant_sync state, const char *why) {
    switch (state) {
    case TENANT_SYNC_IS_LATE:
    case TENANT_SYNC_IS_STALE:
        log_event(OUTCOME_SYNC_STALE, {"WRITEBACK_REASON", why});
        break;
    case TENANT_SYNC_IS_OFF:
        log_event(OUTCOME_SYNC_OFF, {"WRITEBACK_REASON", why});
        break;
    case TENANT_SYNC_IS_CURRENT:
        if (g->told.sync != TENANT_SYNC_IS_UNKNOWN)
            log_text(LOG_INFO, "Directory synchronisation runs again.");
        break;
    default:
        break;
    }
}

static void log_licence(const graph *g, licence state, const char *why) {
    if (state == LICENCE_MISSING)
        log_event(OUTCOME_LICENCE_MISSING, {"WRITEBACK_REASON", why});
    else if (state == LICENCE_HELD && g->told.licence == LICENCE_MISSING)
        log_text(LOG_INFO, "The tenant has a licence for password writeback now.");
}

/* Once, as long as the reason stays the same. */
static void log_failure(graph *g) {
    const char *why = g->facts.sync_why ? g->facts.sync_why : g->facts.licence_why;

    if (why && (!g->told_failure || strcmp(g->told_failure, why) != 0)) {
        _cleanup_free_ char *options = shell_curl_options(g->config->ca_file, g->config->proxy);

        log_event(g->facts.event, {"WRITEBACK_ADDRESS", g->config->url},
                  {"WRITEBACK_CURL_OPTIONS_QUOTED", options}, {"WRITEBACK_REASON", why});
    } else if (!why && g->told_failure) {
        log_text(LOG_INFO, "Microsoft Graph answers again.");
    }

    free(g->told_failure);
    g->told_failure = why ? strdup(why) : NULL;
}

static bool certificate_ends_soon(const graph *g) {
    usec_t ends = g->config->not_after;

    return ends > 0 && ends <= graph_client_time(g->client) + CERTIFICATE_WARNING;
}

/* Once a day. */
static void warn_of_certificate(graph *g) {
    usec_t now = now_boottime();
    char date[RFC3339_MAX];

    if (!certificate_ends_soon(g) || (g->warned > 0 && now < g->warned + USEC_PER_DAY))
        return;

    g->warned = now;
    log_event(OUTCOME_GRAPH_CERTIFICATE_EXPIRES, {"WRITEBACK_CLIENT", g->config->client_id},
              {"WRITEBACK_NOT_AFTER", rfc3339_utc(g->config->not_after, date)});
}

/* ---- The end of a look ----------------------------------------------------------------------- */

static usec_t next_pause(const graph *g, usec_t asked_to_wait) {
    usec_t wait = g->failures > 0 ? RETRY_FIRST : g->config->interval;

    for (unsigned i = 1; i < g->failures && wait < g->config->interval; i++)
        wait *= 2;
    if (wait > g->config->interval)
        wait = g->config->interval;
    wait = with_jitter(wait);
    return wait > asked_to_wait ? wait : asked_to_wait;
}

static void tell(graph *g) {
    usec_t now = graph_client_time(g->client);
    tenant_state state = tenant_fold(&g->facts, now);
    _cleanup_free_ char *sync_why = tenant_describe_sync(&g->facts, state.sync, now);
    _cleanup_free_ char *licence_why = tenant_describe_licence(&g->facts, state.licence);

    log_failure(g);
    warn_of_certificate(g);
    if (state.sync != g->told.sync)
        log_sync(g, state.sync, sync_why);
    if (state.licence != g->told.licence)
        log_licence(g, state.licence, licence_why);
    g->told = state;

    g->on_state(&(const graph_status){.state = state,
                                      .last_sync = state.sync == TENANT_SYNC_IS_UNKNOWN
                                                       ? 0
                                                       : g->facts.organization.last_sync,
                                      .sync_why = sync_why,
                                      .licence_why = licence_why,
                                      .failure = g->facts.event,
                                      .certificate_ends_soon = certificate_ends_soon(g),
                                      .clock = graph_client_clock(g->client)},
                g->userdata);
}

static void learn(graph *g, const graph_result *result) {
    tenant_facts *f = &g->facts;
    usec_t now = graph_client_time(g->client);

    if (result->knows_sync) {
        f->organization = result->organization;
        f->sync_seen = now;
    }
    if (!result->why) {
        f->licence = result->licence;
        f->licence_seen = now;
    }
    text_replace(&f->sync_why, result->knows_sync ? NULL : result->why);
    text_replace(&f->licence_why, result->why);
    f->event = result->event;
}

static void on_looked(const graph_result *result, void *userdata) {
    graph *g = userdata;

    g->failures = result->why ? g->failures + 1 : 0;
    (void) sd_event_source_set_time_relative(g->timer, next_pause(g, result->wait));
    (void) sd_event_source_set_enabled(g->timer, SD_EVENT_ONESHOT);
    learn(g, result);
    tell(g);
}

/* ---- The door -------------------------------------------------------------------------------- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    graph *g = userdata;

    (void) source;
    (void) usec;

    graph_client_look(g->client);
    return 0;
}

int graph_new(sd_event *event, curl_glue *glue, const graph_config *config, graph_state_fn on_state,
              void *userdata, graph **ret) {
    _cleanup_(graph_freep) graph *g = NULL;
    int r;

    assert(event && glue && on_state && ret);
    assert(config && config->url && config->interval > 0);

    g = calloc(1, sizeof(graph));
    if (!g)
        return -ENOMEM;

    g->config = config;
    g->on_state = on_state;
    g->userdata = userdata;

    r = graph_client_new(glue, config, on_looked, g, &g->client);
    if (r < 0)
        return r;

    /* The first look begins with the next turn of the loop. */
    r = sd_event_add_time_relative(event, &g->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10,
                                   on_timer, g);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(g->timer, "graph-look");

    *ret = TAKE_PTR(g);
    return 0;
}

graph *graph_free(graph *g) {
    if (!g)
        return NULL;

    (void) graph_client_free(g->client);
    (void) sd_event_source_disable_unref(g->timer);
    tenant_facts_done(&g->facts);
    free(g->told_failure);
    free(g);
    return NULL;
}
