/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The last requests, for people who look: when, what, how it ended, how long it took. Nobody's
 * name. Nothing here allocates or logs. */

#include <stddef.h>

#include "health/metrics.h"

#define HISTORY_MAX 50

typedef struct history_entry {
    usec_t ended; /* CLOCK_REALTIME */
    usec_t duration;
    metrics_operation operation;
    outcome end;
} history_entry;

/* All zero: empty. */
typedef struct history {
    history_entry entries[HISTORY_MAX];
    size_t n; /* how many there ever were */
} history;

void history_add(history *h, const history_entry *entry);

/* How many are kept; and one of them, 0 being the latest. */
size_t history_size(const history *h);
const history_entry *history_get(const history *h, size_t age);
