/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When to connect again. Pure: no clock, no randomness of its own. */

#include <stdbool.h>

#include "agent/base/macro.h"

/* A connection that lived this long was a good one; the next trouble starts from the beginning. */
#define BACKOFF_GOOD_AFTER USEC_PER_MINUTE

typedef struct backoff {
    unsigned failures;      /* steps taken on the ladder */
    unsigned refusals;      /* of them, those that only an administrator can mend */
    bool retried_new_token; /* a new token was tried at once, and once only */
} backoff;

/* How a connection or an attempt ended. */
typedef struct backoff_end {
    int status;          /* HTTP status that refused the connection; 0: none */
    unsigned close_code; /* of the relay's CLOSE; 0: none */
    usec_t up;           /* how long it was connected; 0: not at all */
} backoff_end;

/* How long to wait: 0, 1, 2, 5, 10, 30, 30 … s; after 401, 403, 404 30, 60, 120, 300, 300 … s; each
 * within 20 % more or less, taken from `random` (any number). The token may just have run out, so
 * after a CLOSE of 1008 and after a 401 the first wait is 0. */
usec_t backoff_next(backoff *b, const backoff_end *end, uint32_t random);
