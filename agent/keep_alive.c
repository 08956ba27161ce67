/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keep_alive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/worker.h"

/* Where there is no watchdog to say it. */
#define INTERVAL (60 * USEC_PER_SEC)

/* How many messages in one interval: one may be late, and one may be lost. */
#define MESSAGES 4

struct keep_alive {
    sd_event_source *timer;
    usec_t interval;
    bool is_told; /* that a thread is stuck */
};

static void tell_stuck(keep_alive *k, const char *thread, usec_t span) {
    char seconds[24];

    if (k->is_told)
        return;

    k->is_told = true;
    (void) snprintf(seconds, sizeof(seconds), "%" PRIu64, span / USEC_PER_SEC);
    log_event(OUTCOME_THREAD_STUCK, {"WRITEBACK_THREAD", thread}, {"WRITEBACK_SECONDS", seconds});
}

static bool all_get_on(keep_alive *k) {
    const char *thread;
    usec_t since = workers_owing_since(&thread), now = now_monotonic();

    if (since > 0 && now - since > KEEP_ALIVE_PATIENCE * k->interval) {
        tell_stuck(k, thread, now - since);
        return false;
    }

    if (k->is_told)
        log_text(LOG_NOTICE, "The thread that was stuck goes on.");
    k->is_told = false;
    return true;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    keep_alive *k = userdata;

    (void) usec;

    if (all_get_on(k))
        (void) sd_notify(0, "WATCHDOG=1");
    (void) sd_event_source_set_time_relative(source, k->interval / MESSAGES);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int keep_alive_new(sd_event *event, keep_alive **ret) {
    _cleanup_(keep_alive_freep) keep_alive *k = NULL;
    uint64_t interval;
    int r;

    assert(event);
    assert(ret);

    k = calloc(1, sizeof(keep_alive));
    if (!k)
        return -ENOMEM;

    r = sd_watchdog_enabled(0, &interval);
    if (r < 0)
        return r;

    k->interval = r > 0 ? interval : INTERVAL;
    r = sd_event_add_time_relative(event, &k->timer, CLOCK_MONOTONIC, 0, 0, on_timer, k);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

keep_alive *keep_alive_free(keep_alive *k) {
    if (!k)
        return NULL;

    (void) sd_event_source_disable_unref(k->timer);
    free(k);
    return NULL;
}
