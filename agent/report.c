/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/http_fetch.h"
#include "agent/base/log.h"
#include "agent/base/redact_url.h"
#include "agent/base/shell.h"

#define TIMEOUT (20 * USEC_PER_SEC)
#define ANSWER_MAX ((size_t) 64 * 1024)

struct reporter {
    sd_event *event;
    curl_glue *glue;
    const report_config *config;
    health *health;
    char *address; /* the URL without its query, for the log */
    sd_event_source *timer;
    usec_t due;        /* CLOCK_MONOTONIC, of the timer */
    usec_t first_by;   /* CLOCK_MONOTONIC, when the first is sent at last */
    http_fetch *fetch; /* under way, or NULL */
    char *digest;      /* what the last report said */
    usec_t ended;      /* CLOCK_MONOTONIC, when the last one did; 0: none yet */
    unsigned failures; /* in a row */
    char *told;        /* why, as logged; NULL: all is well */
};

void report_config_done(report_config *c) {
    free(c->url);
    free(c->ca_file);
    free(c->proxy);
    *c = (report_config){0};
}

static void arm(reporter *r, usec_t due) {
    r->due = due;
    (void) sd_event_source_set_time(r->timer, due);
    (void) sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

/* For what belongs together to be told together. */
static usec_t short_pause(const reporter *r) {
    return r->config->interval / 60;
}

/* How long to wait after the last report, where there is a reason to send another. */
static usec_t gap(const reporter *r) {
    usec_t wait = r->config->interval / 10;

    for (unsigned i = 1; i < r->failures && wait < r->config->interval; i++)
        wait *= 2;
    return wait < r->config->interval ? wait : r->config->interval;
}

static void tell_failure(reporter *r, const char *reason) {
    _cleanup_free_ char *options = NULL;

    if (r->told && strcmp(r->told, reason) == 0)
        return;

    options = shell_curl_options(r->config->ca_file, r->config->proxy);
    free(r->told);
    r->told = strdup(reason);
    log_event(OUTCOME_REPORT_ERROR, {"WRITEBACK_ADDRESS", r->address},
              {"WRITEBACK_CURL_OPTIONS_QUOTED", options}, {"WRITEBACK_REASON", reason});
}

static void tell_success(reporter *r) {
    if (!r->told)
        return;

    free(r->told);
    r->told = NULL;
    log_text(LOG_INFO, "The health report to %s gets through again.", r->address);
}

static void end(reporter *r, const char *why) {
    r->ended = now_monotonic();
    health_count_report(r->health, !why);
    if (why) {
        r->failures++;
        tell_failure(r, why);
    } else {
        r->failures = 0;
        tell_success(r);
    }

    arm(r, r->ended + (why ? gap(r) : r->config->interval));
    reporter_touch(r);
}

static void on_done(const char *error, long status, const char *body, size_t size, void *userdata) {
    reporter *r = userdata;
    char refusal[64];

    (void) body;
    (void) size;

    r->fetch = NULL;
    if (!error && (status < 200 || status >= 300)) {
        (void) snprintf(refusal, sizeof(refusal), "it answered with status %ld", status);
        error = refusal;
    }
    end(r, error);
}

static int send_report(reporter *r) {
    _cleanup_(json_freep) json_t *document = health_document(r->health);
    _cleanup_free_ char *body = document ? json_to_text(document) : NULL;
    const http_fetch_options options = {
        .url = r->config->url,
        .ca_file = r->config->ca_file,
        .proxy = r->config->proxy,
        .content_type = "application/health+json",
        .body = body,
        .limit = ANSWER_MAX,
        .timeout = TIMEOUT,
    };

    free(r->digest);
    r->digest = health_digest(r->health);
    if (!body || !r->digest)
        return -ENOMEM;

    return http_fetch_start(r->glue, &options, on_done, r, &r->fetch);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    reporter *r = userdata;
    int k;

    (void) source;
    (void) usec;

    /* The cloud need not hear of each start that nothing is known yet. */
    if (!r->digest && !health_has_tried_all(r->health) && now_monotonic() < r->first_by) {
        arm(r, now_monotonic() + short_pause(r));
        return 0;
    }

    k = send_report(r);
    if (k < 0)
        end(r, strerrordesc_np(-k));
    return 0;
}

void reporter_touch(reporter *r) {
    _cleanup_free_ char *digest = NULL;
    usec_t due;

    /* The end of the one that is under way looks again. */
    if (!r || r->fetch)
        return;

    digest = health_digest(r->health);
    if (!digest || (r->digest && strcmp(digest, r->digest) == 0))
        return;

    due = now_monotonic() + short_pause(r);
    if (r->ended > 0 && due < r->ended + gap(r))
        due = r->ended + gap(r);
    if (due < r->due)
        arm(r, due);
}

int reporter_new(sd_event *event, curl_glue *glue, const report_config *config, health *h,
                 reporter **ret) {
    _cleanup_(reporter_freep) reporter *r = NULL;
    int k;

    assert(event && glue && h && ret);
    assert(config && config->url && config->interval > 0);

    r = calloc(1, sizeof(reporter));
    if (!r)
        return -ENOMEM;

    r->event = sd_event_ref(event);
    r->glue = glue;
    r->config = config;
    r->health = h;
    r->address = url_without_query(config->url);
    if (!r->address)
        return -ENOMEM;

    k = sd_event_add_time(event, &r->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10, on_timer, r);
    if (k < 0)
        return k;

    r->first_by = now_monotonic() + config->interval / 10;
    arm(r, now_monotonic() + short_pause(r));
    *ret = TAKE_PTR(r);
    return 0;
}

reporter *reporter_free(reporter *r) {
    if (!r)
        return NULL;

    (void) http_fetch_free(r->fetch);
    (void) sd_event_source_disable_unref(r->timer);
    (void) sd_event_unref(r->event);
    free(r->address);
    free(r->digest);
    free(r->told);
    free(r);
    return NULL;
}
