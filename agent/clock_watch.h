/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Compares this host's clock with those of all that the agent talks to. The rooms tell what they
 * read; nobody is asked for the time alone. */

#include <systemd/sd-event.h>

#include "agent/base/clock.h"
#include "agent/clock_state.h"

typedef struct clock_watch clock_watch;

/* Borrowed until the call returns. `why` is NULL where nothing is wrong. */
typedef void (*clock_watch_fn)(clock_state state, const char *why, const clock_witness *witnesses,
                               size_t n, void *userdata);

/* `told` is called from the loop: two seconds after something was noted, and twice a minute, since
 * this host's clock may be set at any time. Logs 35080 and 35081 on change. Returns 0 or negative
 * errno. */
int clock_watch_new(sd_event *event, clock_watch_fn told, void *userdata, clock_watch **ret);

/* Takes NULL, returns NULL. */
clock_watch *clock_watch_free(clock_watch *w);

/* The clock of `name` was read; a reading that is all zero, or the same as before, is nothing new.
 * It counts for a day. For `vote` see clock_witness. Takes NULL for `w`. */
void clock_watch_note(clock_watch *w, const char *name, const char *vote, clock_reading theirs);

/* It is not asked any more. Takes NULL for `w`. */
void clock_watch_forget(clock_watch *w, const char *name);

DEFINE_CLEANUP(clock_watch *, clock_watch_free);
