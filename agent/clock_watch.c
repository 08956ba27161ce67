/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/clock_watch.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/log.h"

/* What comes together, at the start above all, is judged together. */
#define PATIENCE (2 * USEC_PER_SEC)
#define EVERY (30 * USEC_PER_SEC)
/* By then two clocks that nobody keeps have drifted apart by seconds, which do not matter here. */
#define READING_LIFE USEC_PER_DAY

typedef struct peer {
    char *name, *vote;
    clock_reading reading;
} peer;

struct clock_watch {
    sd_event_source *timer;
    clock_watch_fn told;
    void *userdata;
    peer *peers;
    size_t n_peers;
    bool is_due;       /* within PATIENCE */
    clock_state state; /* as logged last */
};

static void arm(clock_watch *w, usec_t wait) {
    (void) sd_event_source_set_time_relative(w->timer, wait);
    (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void log_change(clock_watch *w, clock_state state, const char *why) {
    static const outcome events[] = {
        [CLOCK_IS_UNKNOWN] = OUTCOME_INVALID,          [CLOCK_IS_RIGHT] = OUTCOME_INVALID,
        [CLOCK_IS_DOUBTFUL] = OUTCOME_CLOCK_DISAGREES, [CLOCK_IS_OFF] = OUTCOME_CLOCK_WRONG,
        [CLOCK_IS_WRONG] = OUTCOME_CLOCK_WRONG,
    };

    if (state == w->state)
        return;
    if (events[state] != OUTCOME_INVALID)
        log_event(events[state], {"WRITEBACK_REASON", why});
    else if (state == CLOCK_IS_RIGHT && events[w->state] != OUTCOME_INVALID)
        log_text(LOG_INFO, "This host's clock and those of its peers agree again.");
    w->state = state;
}

static void judge(clock_watch *w) {
    usec_t now = now_realtime(), boottime = now_boottime();
    _cleanup_free_ clock_witness *witnesses = calloc(w->n_peers + 1, sizeof(clock_witness));
    _cleanup_free_ char *why = NULL;
    clock_state state;
    size_t n = 0;

    if (!witnesses)
        return;
    for (size_t i = 0; i < w->n_peers; i++) {
        const peer *p = &w->peers[i];

        if (p->reading.at + READING_LIFE >= boottime)
            witnesses[n++] = (clock_witness){
                .name = p->name,
                .vote = p->vote,
                .ahead = clock_ahead(&p->reading, now, boottime),
            };
    }

    state = clock_judge(witnesses, n);
    why = clock_describe(witnesses, n);
    log_change(w, state, why);
    w->told(state, why, witnesses, n, w->userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    clock_watch *w = userdata;

    (void) source;
    (void) usec;

    w->is_due = false;
    arm(w, EVERY);
    judge(w);
    return 0;
}

int clock_watch_new(sd_event *event, clock_watch_fn told, void *userdata, clock_watch **ret) {
    _cleanup_(clock_watch_freep) clock_watch *w = NULL;
    int r;

    assert(event);
    assert(told);
    assert(ret);

    w = calloc(1, sizeof(clock_watch));
    if (!w)
        return -ENOMEM;

    w->told = told;
    w->userdata = userdata;
    r = sd_event_add_time_relative(event, &w->timer, CLOCK_MONOTONIC, EVERY, USEC_PER_SEC / 10,
                                   on_timer, w);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(w->timer, "clock-watch");

    *ret = TAKE_PTR(w);
    return 0;
}

static void peer_done(peer *p) {
    free(p->name);
    free(p->vote);
}

clock_watch *clock_watch_free(clock_watch *w) {
    if (!w)
        return NULL;

    for (size_t i = 0; i < w->n_peers; i++)
        peer_done(&w->peers[i]);
    free(w->peers);
    (void) sd_event_source_disable_unref(w->timer);
    free(w);
    return NULL;
}

static peer *find(clock_watch *w, const char *name) {
    for (size_t i = 0; i < w->n_peers; i++)
        if (strcmp(w->peers[i].name, name) == 0)
            return &w->peers[i];
    return NULL;
}

/* NULL where memory is out: then one clock less is compared. */
static peer *add(clock_watch *w, const char *name, const char *vote) {
    peer *larger = reallocarray(w->peers, w->n_peers + 1, sizeof(peer)), *p;

    if (!larger)
        return NULL;

    w->peers = larger;
    p = &larger[w->n_peers];
    *p = (peer){.name = strdup(name), .vote = strdup(vote)};
    if (!p->name || !p->vote) {
        peer_done(p);
        return NULL;
    }
    w->n_peers++;
    return p;
}

void clock_watch_note(clock_watch *w, const char *name, const char *vote, clock_reading theirs) {
    peer *p;

    assert(name);
    assert(vote);

    if (!w || theirs.date == 0)
        return;
    p = find(w, name);
    if (!p)
        p = add(w, name, vote);
    if (!p || p->reading.at == theirs.at)
        return;

    p->reading = theirs;
    if (!w->is_due)
        arm(w, PATIENCE);
    w->is_due = true;
}

void clock_watch_forget(clock_watch *w, const char *name) {
    peer *p = w ? find(w, name) : NULL;

    if (!p)
        return;

    peer_done(p);
    *p = w->peers[--w->n_peers];
    /* At a reload they go one by one and come back: those are to be judged together. */
    arm(w, PATIENCE);
    w->is_due = true;
}
