/* SPDX-License-Identifier: Apache-2.0 */
/* Reload and stop: what is under way is finished first. */

#include <stdlib.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/service_parts.h"

/* Longer than any operation lives. */
#define DRAIN_TIMEOUT (60 * USEC_PER_SEC)

/* While requests drain systemd is asked for more time so often, each time for so much: an agent
 * that hangs meanwhile is ended soon, one that works is not. */
#define DRAIN_TICK (2 * USEC_PER_SEC)
#define DRAIN_EXTENSION (6 * USEC_PER_SEC)

/* Something that a drain may wait for has ended. */
void service_on_idle(void *userdata) {
    service *s = userdata;

    if (s->wish != WISH_RUN)
        (void) sd_event_source_set_enabled(s->settled, SD_EVENT_ONESHOT);
}

static bool is_quiet(const service *s) {
    const rooms *r = &s->rooms;

    if (operations_pending(r->operations) > 0)
        return false;
    for (size_t i = 0; i < r->config->n_relays; i++)
        if (!relay_is_quiet(r->relays[i].relay))
            return false;
    return true;
}

static void ask_for_time(void) {
    (void) sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long) DRAIN_EXTENSION);
}

static void stop_relays(service *s) {
    s->relays_stopped = true;
    for (size_t i = 0; i < s->rooms.config->n_relays; i++)
        relay_stop(s->rooms.relays[i].relay);
}

/* The rooms of the new configuration in the place of the old ones. */
static int take_next(service *s) {
    _cleanup_free_ char *why = NULL;

    s->wish = WISH_RUN;
    service_tear_down(s, &s->rooms);
    s->rooms = s->next;
    s->next = (rooms){};
    if (service_build(s, &why) < 0) {
        log_text(LOG_CRIT, "The agent ends: %s", why ? why : "out of memory");
        return sd_event_exit(s->event, EXIT_FAILURE);
    }
    health_end_reload(s->health);

    (void) sd_notify(0, "READY=1");
    service_tell_systemd(s);
    return 0;
}

/* Nothing is under way any more, or nothing more is waited for. */
static int end_drain(service *s) {
    (void) sd_event_source_set_enabled(s->drain_timer, SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(s->settled, SD_EVENT_OFF);
    /* For what blocks: the ledger's last write. */
    ask_for_time();

    if (s->wish == WISH_STOP)
        return sd_event_exit(s->event, 0);

    return take_next(s);
}

/* First what came is answered, and what comes is turned away; then the relays close, which takes
 * answers that have just left along. */
int service_on_settled(sd_event_source *source, void *userdata) {
    service *s = userdata;

    (void) source;

    if (!is_quiet(s))
        return 0;
    if (!s->relays_stopped)
        stop_relays(s);
    return is_quiet(s) ? end_drain(s) : 0;
}

int service_on_drain_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    service *s = userdata;

    (void) usec;

    if (now_monotonic() >= s->drain_end)
        return end_drain(s);

    ask_for_time();
    service_tell_systemd(s);
    (void) sd_event_source_set_time_relative(source, DRAIN_TICK);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void drain(service *s, service_wish wish) {
    /* A stop may come while a reload drains. */
    if (s->wish == WISH_RUN) {
        s->drain_end = now_monotonic() + DRAIN_TIMEOUT;
        s->relays_stopped = false;
    }
    s->wish = wish;
    s->rooms.api.stopping = true;
    (void) sd_event_source_set_time_relative(s->drain_timer, 0);
    (void) sd_event_source_set_enabled(s->drain_timer, SD_EVENT_ONESHOT);
    (void) sd_event_source_set_enabled(s->settled, SD_EVENT_ONESHOT);
}

/* As far as it can be said before anything that runs is touched. */
static int open_next(service *s, rooms *ret, char **ret_why) {
    config *c;
    int r = config_load(s->path, &c, ret_why);

    return r < 0 ? r : service_open_state(s, c, ret, ret_why);
}

void service_reload(service *s) {
    _cleanup_free_ char *why = NULL;
    rooms next = {};

    assert(s);

    if (s->wish == WISH_STOP)
        return;

    (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now_monotonic());
    if (open_next(s, &next, &why) < 0) {
        log_event(OUTCOME_KEPT_AS_CONFIGURED, {"WRITEBACK_REASON", why ? why : "out of memory"});
        service_tear_down(s, &next);
        (void) sd_notify(0, "READY=1");
        return;
    }

    /* They may be sealed anew already, which it could not read. */
    s->rooms.key_keeper = key_keeper_free(s->rooms.key_keeper);
    service_tear_down(s, &s->next);
    s->next = next;
    health_begin_reload(s->health);
    drain(s, WISH_RELOAD);
}

void service_stop(service *s) {
    assert(s);

    (void) sd_notify(0, "STOPPING=1");
    health_set_stopping(s->health);
    drain(s, WISH_STOP);
}
