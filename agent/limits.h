/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How often something may be asked for: token buckets, and one for each account that was acted on
 * lately. In memory only; each agent counts for itself. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/macro.h"

/* So many in this time; all at once, or spread over it. A count of 0: no limit. */
typedef struct rate {
    unsigned count;
    usec_t period;
} rate;

/* Reads "10/10min", "3000/min", "5/h", "1/30s", or "off". Returns 0 or -EINVAL. */
int rate_parse(const char *text, rate *ret);

/* A bucket is the moment at which it will be full again (the generic cell rate algorithm, ITU-T
 * I.371), 0 at first. How long from `now` until something may be taken; 0: at once. */
usec_t rate_wait(rate r, usec_t bucket, usec_t now);

/* The same, and takes it where it may be taken at once. */
usec_t rate_take(rate r, usec_t *bucket, usec_t now);

/* The bucket of one rate as one of another. */
usec_t rate_convert(rate from, rate to, usec_t bucket, usec_t now);

typedef struct limits limits;

/* requests   of all kinds together
 * accounts   that change one account */
int limits_new(rate requests, rate accounts, limits **ret);
limits *limits_free(limits *l);

/* Other rates from now on. What was taken lately counts on: as much of it as the new rate allows at
 * once, and for as long as that takes at the new rate. */
void limits_set_rates(limits *l, rate requests, rate accounts, usec_t now);

/* How long to wait; 0: go on, it is counted. `now` is CLOCK_MONOTONIC. */
usec_t limits_take_request(limits *l, usec_t now);
usec_t limits_take_account(limits *l, const char *guid, usec_t now);

/* As limits_take_account(), but counts nothing. */
usec_t limits_wait_account(const limits *l, const char *guid, usec_t now);

DEFINE_CLEANUP(limits *, limits_free);
