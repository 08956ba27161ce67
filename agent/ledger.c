/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ledger.h"

#include <errno.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/worker.h"
#include "agent/ledger_file.h"

/* How many may wait for the disk. */
#define WAITING_MAX 1024
/* How many are committed together. */
#define BATCH_MAX 256
#define RETRY_INTERVAL (10 * USEC_PER_SEC)

/* A step of one request: made on the loop, carried out in the thread, told on the loop. */
typedef struct job {
    ledger_step step; /* first, so that a list of steps is one of jobs */
    ledger_done_fn done;
    void *userdata;
} job;

/* What the thread works on. */
typedef struct batch {
    ledger_step *steps;
    char *set_aside;
    int r;
    char *why;
} batch;

struct ledger {
    worker *worker;
    bool is_busy; /* the thread has the file and the batch */
    ledger_file *file;
    batch batch;
    ledger_step *waiting, **last;
    size_t n_waiting;
    sd_event_source *retry;
    ledger_health_fn on_health;
    void *userdata;
    int health; /* as told last; 1: nothing yet */
};

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void free_jobs(ledger_step *first) {
    for (ledger_step *s = first, *next; s; s = next) {
        next = s->next;
        free(s->id);
        free(s->body);
        free(s->controller);
        free(s->why);
        free(s->known_body);
        free(s->known_controller);
        free((job *) s);
    }
}

static void tell_jobs(const ledger_step *first) {
    for (const ledger_step *s = first; s; s = s->next) {
        const job *j = (const job *) s;

        if (j->done)
            j->done(&s->entry, j->userdata);
    }
}

/* Takes at most BATCH_MAX of those that wait. */
static ledger_step *take_waiting(ledger *l) {
    ledger_step *first = l->waiting, **end = &l->waiting;
    size_t n = 0;

    while (*end && n < BATCH_MAX) {
        end = &(*end)->next;
        n++;
    }
    l->waiting = *end;
    *end = NULL;
    if (!l->waiting)
        l->last = &l->waiting;
    l->n_waiting -= n;
    return first;
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void run_batch(void *userdata) {
    ledger *l = userdata;

    l->batch.r = ledger_file_commit(l->file, l->batch.steps, &l->batch.set_aside, &l->batch.why);
}

static void batch_done(batch *b) {
    free_jobs(b->steps);
    free(b->set_aside);
    free(b->why);
}

static void retry_later(ledger *l) {
    (void) sd_event_source_set_time_relative(l->retry, RETRY_INTERVAL);
    (void) sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
}

static void tell_health(ledger *l, int r, const char *why) {
    if (r < 0)
        retry_later(l);
    if (l->health == r)
        return;

    l->health = r;
    if (l->on_health)
        l->on_health(r, r < 0 && !why ? "out of memory" : why, l->userdata);
}

static void start_batch(ledger *l);

static void on_batch(void *userdata) {
    ledger *l = userdata;
    batch b = l->batch;

    /* First of all the disk is given its next work. */
    l->batch = (batch){};
    l->is_busy = false;
    if (l->waiting)
        start_batch(l);

    if (b.set_aside)
        log_event(OUTCOME_LEDGER_SET_ASIDE, {"WRITEBACK_PATH", b.set_aside});
    tell_health(l, b.r, b.why);
    tell_jobs(b.steps);
    batch_done(&b);
}

/* Hands over what waits; where nothing does, the file is only proved to be writable. */
static void start_batch(ledger *l) {
    if (!l->batch.steps)
        l->batch.steps = take_waiting(l);

    if (worker_submit(l->worker, run_batch, on_batch, NULL, l, NULL) < 0)
        retry_later(l);
    else
        l->is_busy = true;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    ledger *l = userdata;

    (void) source;
    (void) usec;

    if (!l->is_busy)
        start_batch(l);
    return 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static job *new_job(ledger_step_kind kind, const char *id, ledger_done_fn done, void *userdata) {
    job *j = calloc(1, sizeof(job));

    if (!j)
        return NULL;

    *j = (job){.step = {.kind = kind, .id = strdup(id)}, .done = done, .userdata = userdata};
    if (!j->step.id) {
        free(j);
        return NULL;
    }
    return j;
}

static int submit(ledger *l, job *j) {
    if (l->n_waiting >= WAITING_MAX) {
        free_jobs(&j->step);
        return -EBUSY;
    }

    *l->last = &j->step;
    l->last = &j->step.next;
    l->n_waiting++;
    if (!l->is_busy)
        start_batch(l);
    return 0;
}

int ledger_begin(ledger *l, const request *q, usec_t now, ledger_done_fn done, void *userdata) {
    job *j;

    assert(l);
    assert(q);

    j = new_job(STEP_BEGIN, q->id, done, userdata);
    if (!j)
        return -ENOMEM;

    memcpy(j->step.fingerprint, q->fingerprint, sizeof(j->step.fingerprint));
    j->step.now = now;
    j->step.issued = q->issued;
    j->step.expires = q->expires;
    return submit(l, j);
}

int ledger_mark_sent(ledger *l, const char *id, const char *controller, ledger_done_fn done,
                     void *userdata) {
    job *j;

    assert(l);
    assert(id);
    assert(controller);

    j = new_job(STEP_MARK_SENT, id, done, userdata);
    if (!j)
        return -ENOMEM;

    j->step.controller = strdup(controller);
    if (!j->step.controller) {
        free_jobs(&j->step);
        return -ENOMEM;
    }
    return submit(l, j);
}

int ledger_finish(ledger *l, const char *id, bool is_final, int status, const char *body,
                  ledger_done_fn done, void *userdata) {
    job *j;

    assert(l);
    assert(id);
    assert(body);

    j = new_job(is_final ? STEP_FINISH : STEP_FINISH_FOR_NOW, id, done, userdata);
    if (!j)
        return -ENOMEM;

    j->step.status = status;
    j->step.body = strdup(body);
    if (!j->step.body) {
        free_jobs(&j->step);
        return -ENOMEM;
    }
    return submit(l, j);
}

/* ---- Life ------------------------------------------------------------------------------------ */

int ledger_new(sd_event *event, const ledger_config *config, ledger **ret) {
    _cleanup_(ledger_freep) ledger *l = NULL;
    int r;

    assert(event);
    assert(config);
    assert(ret);

    l = calloc(1, sizeof(ledger));
    if (!l)
        return -ENOMEM;

    l->last = &l->waiting;
    l->on_health = config->on_health;
    l->userdata = config->userdata;
    l->health = 1;
    r = ledger_file_new(config, &l->file);
    if (r >= 0)
        r = worker_new(event, "ledger", &l->worker);
    if (r >= 0)
        r = sd_event_add_time(event, &l->retry, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_retry, l);
    if (r >= 0)
        r = sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
    if (r < 0)
        return r;

    start_batch(l);
    *ret = TAKE_PTR(l);
    return 0;
}

ledger *ledger_free(ledger *l) {
    if (!l)
        return NULL;

    (void) worker_free(l->worker);
    (void) sd_event_source_disable_unref(l->retry);
    batch_done(&l->batch);
    free_jobs(l->waiting);
    (void) ledger_file_free(l->file);
    free(l);
    return NULL;
}
