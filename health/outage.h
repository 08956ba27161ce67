/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When it is time to say that password writeback cannot work (31044). Nothing here logs.
 *
 * Once for each outage, however long it lasts and whatever else joins it, and not before it has
 * lasted for OUTAGE_PATIENCE: what comes back at once has said so itself. A part that comes and
 * goes does not begin a new one each time; another that fails meanwhile does. Neither the tenant's
 * synchronisation and licence nor what was not tried yet makes an outage. */

#include "health/components.h"

#define OUTAGE_PATIENCE (5 * USEC_PER_SEC)

/* All zero: none. */
typedef struct outage {
    usec_t began; /* CLOCK_BOOTTIME; 0: there is none */
    bool is_told;
} outage;

/* To be called when any part may have changed, and when *ret_due has come. Returns whether to log
 * now; *ret_due is CLOCK_BOOTTIME, 0 where nothing is waited for. */
bool outage_look(outage *o, components *all, usec_t now, usec_t *ret_due);
