/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks after the agent's keys while it runs: has them replaced when they are due (or tells that
 * they are, where another agent renews them) and dropped when they have ended, and takes over what
 * `writebackctl keys` made of their file. The disk is left to a thread. */

#include <systemd/sd-event.h>

#include "relay/relay.h"

typedef struct key_keeper key_keeper;

typedef struct key_keeper_status {
    bool is_over;       /* a current key has ended */
    const char *reason; /* what is not as it should be; NULL: all is well. Borrowed */
    usec_t not_after;   /* CLOCK_REALTIME: when the first of the current keys ends */
} key_keeper_status;

typedef void (*key_keeper_fn)(const key_keeper_status *status, void *userdata);

/* `options` and `keys` are borrowed; the keys are replaced in place. Logs 35051 and 35052, each at
 * most once a day. Tells the state at every look, the first time with the next turn of the loop.
 * Returns 0 or negative errno. */
int key_keeper_new(sd_event *event, const agent_keys_options *options, agent_keys *keys,
                   key_keeper_fn on_state, void *userdata, key_keeper **ret);

/* Waits for the disk where it is being written to. Takes NULL, returns NULL. */
key_keeper *key_keeper_free(key_keeper *k);

DEFINE_CLEANUP(key_keeper *, key_keeper_free);
