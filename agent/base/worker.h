/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A helper thread for what can only block (name resolution, SQLite, fsync), so that the loop never
 * does.
 *
 * Jobs run one after another, in the order they came, in the thread; each one's `done` runs on the
 * loop. Nothing here logs. */

#include <systemd/sd-event.h>

#include "agent/base/macro.h"

typedef struct worker worker;
typedef struct worker_job worker_job;

/* In the thread; may block; touches nothing but `userdata` and what is its own. */
typedef void (*worker_run_fn)(void *userdata);

/* On the loop, once, after `run`; for a job that was cancelled only `dispose` is called. */
typedef void (*worker_done_fn)(void *userdata);

/* Frees `userdata`, on the loop, after `done` or where it was cancelled. May be NULL. */
typedef void (*worker_dispose_fn)(void *userdata);

/* `name` is the thread's, at most 15 characters. Returns 0 or negative errno. */
int worker_new(sd_event *event, const char *name, worker **ret);

/* Waits for the job that is running, drops the others, frees. Takes NULL, returns NULL. */
worker *worker_free(worker *w);

/* Like worker_free(), but does not wait: the thread ends when the job does that is running, and
 * calls that job's `dispose` itself. For jobs that may take long and touch nothing but their
 * `userdata`. Where one is left behind, exit(3) ends the process without the clean-up of libraries,
 * which the thread may still use. To be called on the loop. Takes NULL, returns NULL. */
worker *worker_abandon(worker *w);

/* Queues a job. Returns 0; -EBUSY where 1024 jobs wait already; -ENOMEM.
 * On failure nothing is called and `userdata` stays the caller's. */
int worker_submit(worker *w, worker_run_fn run, worker_done_fn done, worker_dispose_fn dispose,
                  void *userdata, worker_job **ret);

/* The caller is not interested any more: `done` will not be called. The job itself may still run.
 * Must not be called after `done`. */
void worker_cancel(worker_job *job);

/* Of all workers that have work, the one that has got nothing done for the longest time: since when
 * (CLOCK_MONOTONIC; a job that ended, or the first that was given to it), and its name, borrowed. 0
 * and NULL where none has work. Abandoned ones do not count: nobody waits for them. To be called on
 * the loop. */
usec_t workers_owing_since(const char **ret_name);

DEFINE_CLEANUP(worker *, worker_free);
