/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tells systemd's watchdog that the agent works (WATCHDOG=1, sd_notify(3)), and only while it does:
 * the loop turns, and every helper thread that has work gets something done.
 *
 * A thread may take KEEP_ALIVE_PATIENCE times the unit's WatchdogSec= for one job, which is far
 * more than a slow disk or a name server that does not answer needs. One that takes longer is
 * logged (35014), and the messages stop, so that systemd restarts the agent; where it goes on
 * before that, so do they. Without a watchdog it is only logged. */

#include <systemd/sd-event.h>

#include "agent/base/macro.h"

#define KEEP_ALIVE_PATIENCE 5

typedef struct keep_alive keep_alive;

/* Takes the interval from systemd (sd_watchdog_enabled(3)). Returns 0 or negative errno. */
int keep_alive_new(sd_event *event, keep_alive **ret);

/* Takes NULL, returns NULL. */
keep_alive *keep_alive_free(keep_alive *k);

DEFINE_CLEANUP(keep_alive *, keep_alive_free);
