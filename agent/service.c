/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/log.h"
#include "agent/service_parts.h"

static int add_sources(service *s) {
    int r;

    r = sd_event_add_time(s->event, &s->drain_timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC,
                          service_on_drain_timer, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->drain_timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_defer(s->event, &s->settled, service_on_settled, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->settled, SD_EVENT_OFF);
    return r;
}

static int open_health(service *s, const config *c) {
    const health_config options = {
        .listen = c->health_listen,
        .agent_id = c->agent_id,
        .tenant_id = c->tenant_id,
        .release = PACKAGE_VERSION,
    };
    _cleanup_free_ char *why = NULL;
    int r = health_new(s->event, &options, &s->health, &why);

    if (r < 0)
        log_event(OUTCOME_CONFIGURATION_ERROR, {"WRITEBACK_REASON", why ? why : strerror(-r)});
    return r;
}

int service_new(sd_event *event, const char *path, config *c, service **ret) {
    _cleanup_(service_freep) service *s = NULL;
    _cleanup_free_ char *why = NULL;
    int r;

    assert(event);
    assert(path);
    assert(c);
    assert(ret);

    s = calloc(1, sizeof(service));
    if (!s) {
        (void) config_free(c);
        return -ENOMEM;
    }

    s->event = sd_event_ref(event);
    s->path = path;
    r = add_sources(s);
    if (r >= 0)
        r = curl_glue_new(event, &s->glue);
    if (r >= 0)
        r = open_health(s, c);
    if (r >= 0)
        r = clock_watch_new(event, service_on_clock_state, s, &s->clock_watch);
    if (r < 0) {
        (void) config_free(c);
        return r;
    }

    log_event(OUTCOME_SERVICE_STARTED, {"WRITEBACK_VERSION", PACKAGE_VERSION},
              {"WRITEBACK_AGENT", c->agent_id});
    r = service_open_state(s, c, &s->rooms, &why);
    if (r >= 0)
        r = service_build(s, &why);
    if (r < 0) {
        log_text(LOG_CRIT, "The agent does not start: %s", why ? why : "out of memory");
        return r;
    }

    *ret = TAKE_PTR(s);
    return 0;
}

service *service_free(service *s) {
    if (!s)
        return NULL;

    if (s->rooms.config)
        log_event(OUTCOME_SERVICE_STOPPED, {"WRITEBACK_AGENT", s->rooms.config->agent_id});
    service_tear_down(s, &s->rooms);
    service_tear_down(s, &s->next);
    (void) password_memory_free(s->passwords);
    (void) limits_free(s->limits);
    (void) clock_watch_free(s->clock_watch);
    (void) health_free(s->health);
    (void) curl_glue_free(s->glue);
    (void) sd_event_source_disable_unref(s->drain_timer);
    (void) sd_event_source_disable_unref(s->settled);
    (void) sd_event_unref(s->event);
    free(s);
    return NULL;
}
