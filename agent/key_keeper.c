/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/key_keeper.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/worker.h"

/* Looks at least this often, for clocks are set and disks are mended. */
#define PAUSE_MAX USEC_PER_HOUR

/* One look at the file, in the thread. */
typedef struct look {
    const agent_keys_options *options;
    key_keeper *keeper;
    agent_keys *keys; /* NULL: they cannot be read */
    char *why;
} look;

struct key_keeper {
    const agent_keys_options *options;
    agent_keys *keys;
    key_keeper_fn on_state;
    void *userdata;

    worker *worker;
    sd_event_source *timer, *watch;
    worker_job *looking;
    bool look_again;  /* the file changed while it was looked at */
    outcome told;     /* the trouble that was logged last; OUTCOME_INVALID: there is none */
    usec_t told_when; /* CLOCK_REALTIME */
};

/* ---- What it tells --------------------------------------------------------------------------- */

static usec_t end_of_current(const agent_keys *keys) {
    usec_t end = USEC_INFINITY;

    for (size_t i = 0; i < agent_keys_count(keys); i++) {
        agent_key_info key = agent_keys_get(keys, i);

        if (key.is_current && key.ends < end)
            end = key.ends;
    }
    return end;
}

static usec_t earlier_to_come(usec_t a, usec_t b, usec_t now) {
    return b > now && b < a ? b : a;
}

/* When there is something to do or to tell next. What is due already could not be done. */
static usec_t next_due(const key_keeper *k, usec_t now) {
    usec_t due = USEC_INFINITY;

    for (size_t i = 0; i < agent_keys_count(k->keys); i++) {
        agent_key_info key = agent_keys_get(k->keys, i);

        due = earlier_to_come(due, key.ends, now);
        if (key.is_current)
            due = earlier_to_come(due, key.made + k->options->roll_after, now);
    }
    return due;
}

static void log_trouble(key_keeper *k, const key_keeper_status *status, usec_t now) {
    outcome event = status->is_over ? OUTCOME_KEYS_EXPIRED : OUTCOME_KEYS_NOT_RENEWED;
    char date[RFC3339_MAX];

    if (event == k->told && now >= k->told_when && now < k->told_when + USEC_PER_DAY)
        return;

    k->told = event;
    k->told_when = now;
    log_event(event, {"WRITEBACK_NOT_AFTER", rfc3339_utc(status->not_after, date)},
              {"WRITEBACK_PATH", k->options->path}, {"WRITEBACK_REASON", status->reason});
}

static void tell(key_keeper *k, const char *why, usec_t now) {
    key_keeper_status status = {.not_after = end_of_current(k->keys), .reason = why};

    status.is_over = now >= status.not_after;
    if (status.reason)
        log_trouble(k, &status, now);
    else
        k->told = OUTCOME_INVALID;
    k->on_state(&status, k->userdata);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static void run_look(void *userdata) {
    look *l = userdata;

    if (agent_keys_tend(l->options, now_realtime(), &l->keys, &l->why) < 0)
        l->keys = NULL;
}

static void dispose_look(void *userdata) {
    look *l = userdata;

    (void) agent_keys_free(l->keys);
    free(l->why);
    free(l);
}

static void schedule(key_keeper *k, usec_t now) {
    usec_t pause = next_due(k, now) - now;

    if (pause > PAUSE_MAX)
        pause = PAUSE_MAX;
    if (k->look_again)
        pause = 0;
    k->look_again = false;
    (void) sd_event_source_set_time_relative(k->timer, pause);
    (void) sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
}

static void on_looked(void *userdata) {
    look *l = userdata;
    key_keeper *k = l->keeper;
    const char *why = l->why || l->keys ? l->why : "out of memory";
    usec_t now = now_realtime();

    k->looking = NULL;
    if (l->keys)
        agent_keys_replace(k->keys, TAKE_PTR(l->keys));
    tell(k, why, now);
    schedule(k, now);
}

static int begin_look(key_keeper *k) {
    look *l;
    int r;

    if (k->looking) {
        k->look_again = true;
        return 0;
    }

    l = calloc(1, sizeof(look));
    if (!l)
        return -ENOMEM;

    *l = (look){.options = k->options, .keeper = k};
    r = worker_submit(k->worker, run_look, on_looked, dispose_look, l, &k->looking);
    if (r < 0)
        free(l);
    return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    key_keeper *k = userdata;

    (void) source;
    (void) usec;

    if (begin_look(k) < 0)
        schedule(k, now_realtime());
    return 0;
}

static int on_change(sd_event_source *source, const struct inotify_event *event, void *userdata) {
    key_keeper *k = userdata;

    (void) source;

    if (event->len > 0 && strcmp(event->name, strrchr(k->options->path, '/') + 1) == 0 &&
        begin_look(k) < 0)
        schedule(k, now_realtime());
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int watch_folder(key_keeper *k, sd_event *event) {
    _cleanup_free_ char *path = strdup(k->options->path);

    if (!path)
        return -ENOMEM;
    return sd_event_add_inotify(event, &k->watch, dirname(path), IN_MOVED_TO | IN_CLOSE_WRITE,
                                on_change, k);
}

int key_keeper_new(sd_event *event, const agent_keys_options *options, agent_keys *keys,
                   key_keeper_fn on_state, void *userdata, key_keeper **ret) {
    _cleanup_(key_keeper_freep) key_keeper *k = calloc(1, sizeof(key_keeper));
    int r;

    assert(event);
    assert(options);
    assert(keys);
    assert(on_state);
    assert(ret);

    if (!k)
        return -ENOMEM;

    k->told = OUTCOME_INVALID;
    k->options = options;
    k->keys = keys;
    k->on_state = on_state;
    k->userdata = userdata;
    r = worker_new(event, "keys", &k->worker);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &k->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                       on_timer, k);
    if (r >= 0)
        r = watch_folder(k, event);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

key_keeper *key_keeper_free(key_keeper *k) {
    if (!k)
        return NULL;

    (void) worker_free(k->worker);
    (void) sd_event_source_disable_unref(k->timer);
    (void) sd_event_source_disable_unref(k->watch);
    free(k);
    return NULL;
}
