/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/base/clock.h"

/* How many jobs may wait. */
#define WAITING_MAX 1024

/* The kernel's limit, with the NUL. */
#define NAME_MAX_SIZE 16

struct worker_job {
    worker_run_fn run;
    worker_done_fn done;
    worker_dispose_fn dispose;
    void *userdata;
    bool cancelled; /* the loop's alone */
    worker_job *next;
};

typedef struct job_queue {
    worker_job *head, *tail;
    size_t length;
} job_queue;

struct worker {
    worker *next; /* of all; the loop's alone */
    char name[NAME_MAX_SIZE];
    pthread_t thread;
    pthread_mutex_t lock; /* guards waiting, finished, running, owing_since, stopping, abandoned */
    pthread_cond_t wake;
    job_queue waiting, finished;
    bool running;       /* a job, in the thread */
    usec_t owing_since; /* there is work, and nothing of it got done since; 0: there is none */
    bool stopping;
    bool abandoned;  /* the thread frees all, itself included */
    int finished_fd; /* eventfd(2): the thread has put something into `finished` */
    sd_event_source *finished_source;
};

/* Those that somebody waits for. The loop's alone. */
static worker *workers;

static void queue_put(job_queue *q, worker_job *job) {
    job->next = NULL;
    if (q->tail)
        q->tail->next = job;
    else
        q->head = job;
    q->tail = job;
    q->length++;
}

static worker_job *queue_take(job_queue *q) {
    worker_job *job = q->head;

    if (!job)
        return NULL;

    q->head = job->next;
    if (!q->head)
        q->tail = NULL;
    q->length--;
    return job;
}

static void job_free(worker_job *job) {
    if (job->dispose)
        job->dispose(job->userdata);
    free(job);
}

static void dispose_of(job_queue *q) {
    for (worker_job *job; (job = queue_take(q));)
        job_free(job);
}

static void free_worker(worker *w) {
    dispose_of(&w->waiting);
    dispose_of(&w->finished);
    sd_event_source_disable_unref(w->finished_source);
    closep(&w->finished_fd);
    (void) pthread_cond_destroy(&w->wake);
    (void) pthread_mutex_destroy(&w->lock);
    free(w);
}

static void *thread_main(void *userdata) {
    worker *w = userdata;

    for (;;) {
        worker_job *job;
        bool abandoned;

        (void) pthread_mutex_lock(&w->lock);
        while (!w->waiting.head && !w->stopping)
            (void) pthread_cond_wait(&w->wake, &w->lock);
        job = w->stopping ? NULL : queue_take(&w->waiting);
        w->running = job;
        (void) pthread_mutex_unlock(&w->lock);
        if (!job)
            return NULL;

        job->run(job->userdata);

        (void) pthread_mutex_lock(&w->lock);
        queue_put(&w->finished, job);
        w->running = false;
        w->owing_since = w->waiting.head ? now_monotonic() : 0;
        abandoned = w->abandoned;
        (void) pthread_mutex_unlock(&w->lock);

        if (abandoned) {
            free_worker(w);
            return NULL;
        }
        (void) eventfd_write(w->finished_fd, 1);
    }
}

static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    worker *w = userdata;
    eventfd_t count;
    job_queue finished;

    (void) source;
    (void) revents;

    (void) eventfd_read(fd, &count);

    (void) pthread_mutex_lock(&w->lock);
    finished = w->finished;
    w->finished = (job_queue){};
    (void) pthread_mutex_unlock(&w->lock);

    for (worker_job *job; (job = queue_take(&finished));) {
        if (!job->cancelled && job->done)
            job->done(job->userdata);
        job_free(job);
    }
    return 0;
}

static int start_thread(worker *w) {
    sigset_t all, before;
    int r;

    /* Signals are the loop's. */
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&w->thread, NULL, thread_main, w);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        return r;

    (void) pthread_setname_np(w->thread, w->name);
    return 0;
}

static void link_worker(worker *w) {
    w->next = workers;
    workers = w;
}

static void unlink_worker(const worker *w) {
    worker **p = &workers;

    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
}

int worker_new(sd_event *event, const char *name, worker **ret) {
    worker *w;
    int r;

    assert(event);
    assert(name);
    assert(ret);

    w = calloc(1, sizeof(worker));
    if (!w)
        return -ENOMEM;

    (void) snprintf(w->name, sizeof(w->name), "%s", name);
    (void) pthread_mutex_init(&w->lock, NULL);
    (void) pthread_cond_init(&w->wake, NULL);
    w->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = w->finished_fd < 0 ? -errno : 0;
    if (r >= 0)
        r = sd_event_add_io(event, &w->finished_source, w->finished_fd, EPOLLIN, on_finished, w);
    if (r >= 0)
        r = start_thread(w);
    if (r < 0) {
        sd_event_source_disable_unref(w->finished_source);
        closep(&w->finished_fd);
        free(w);
        return r;
    }

    link_worker(w);
    *ret = w;
    return 0;
}

worker *worker_free(worker *w) {
    if (!w)
        return NULL;

    (void) pthread_mutex_lock(&w->lock);
    w->stopping = true;
    (void) pthread_cond_signal(&w->wake);
    (void) pthread_mutex_unlock(&w->lock);
    (void) pthread_join(w->thread, NULL);

    unlink_worker(w);
    free_worker(w);
    return NULL;
}

static void leave(int status, void *unused) {
    (void) unused;
    (void) fflush(NULL);
    _exit(status);
}

/* At exit libraries take their tables away (OPENSSL_cleanup()) from under a thread that is left
 * behind in the middle of loading certificates. What is registered last runs first, and then
 * nothing more. */
static void leave_without_clean_up(void) {
    static bool is_registered;

    if (!is_registered)
        is_registered = on_exit(leave, NULL) == 0;
}

worker *worker_abandon(worker *w) {
    bool running;

    if (!w)
        return NULL;

    /* Sources are the loop's alone. */
    w->finished_source = sd_event_source_disable_unref(w->finished_source);

    (void) pthread_mutex_lock(&w->lock);
    running = w->running;
    if (running) {
        dispose_of(&w->waiting);
        dispose_of(&w->finished);
        w->abandoned = true;
        leave_without_clean_up();
        unlink_worker(w);
        (void) pthread_detach(w->thread);
    } else {
        /* Or it took what waits before worker_free() said so, and would be waited for. */
        w->stopping = true;
    }
    (void) pthread_mutex_unlock(&w->lock);

    return running ? NULL : worker_free(w);
}

int worker_submit(worker *w, worker_run_fn run, worker_done_fn done, worker_dispose_fn dispose,
                  void *userdata, worker_job **ret) {
    worker_job *job;
    bool full;

    assert(w);
    assert(run);

    job = malloc(sizeof(worker_job));
    if (!job)
        return -ENOMEM;

    *job = (worker_job){.run = run, .done = done, .dispose = dispose, .userdata = userdata};

    (void) pthread_mutex_lock(&w->lock);
    full = w->waiting.length >= WAITING_MAX;
    if (!w->running && !w->waiting.head)
        w->owing_since = now_monotonic();
    if (!full)
        queue_put(&w->waiting, job);
    (void) pthread_cond_signal(&w->wake);
    (void) pthread_mutex_unlock(&w->lock);

    if (full) {
        free(job);
        return -EBUSY;
    }

    if (ret)
        *ret = job;
    return 0;
}

void worker_cancel(worker_job *job) {
    assert(job);
    job->cancelled = true;
}

static usec_t owing_since(worker *w) {
    usec_t since;

    (void) pthread_mutex_lock(&w->lock);
    since = w->owing_since;
    (void) pthread_mutex_unlock(&w->lock);
    return since;
}

usec_t workers_owing_since(const char **ret_name) {
    usec_t first = 0;

    assert(ret_name);

    *ret_name = NULL;
    for (worker *w = workers; w; w = w->next) {
        usec_t since = owing_since(w);

        if (since == 0 || (first > 0 && first <= since))
            continue;
        first = since;
        *ret_name = w->name;
    }
    return first;
}
