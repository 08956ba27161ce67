/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Clocks and how a date is written. Nothing here logs. */

#include <time.h>

#include "agent/base/macro.h"

/* CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME, microseconds. */
usec_t now_monotonic(void);
usec_t now_realtime(void);
usec_t now_boottime(void);

/* A span of time as people write it, "90s" or "5 min": a whole number above zero and its unit, s,
 * min, h, d or w. Returns 0, or -EINVAL where it is none or is longer than a hundred years. */
int usec_parse(const char *text, usec_t *ret);

#define USEC_TEXT_MAX 32

/* A span of time for people, in its largest unit of which there are two: "119 s", "2 min", "47 h",
 * "3 days". Returns `buffer`. */
const char *usec_describe(usec_t span, char buffer[static USEC_TEXT_MAX]);

/* Long enough for "2026-11-23T14:00:00.123456Z" and a NUL. */
#define RFC3339_MAX 32

/* Writes a date of CLOCK_REALTIME as RFC 3339 in UTC, whole seconds. Returns `buffer`. */
const char *rfc3339_utc(usec_t realtime, char buffer[static RFC3339_MAX]);

/* Reads a date in UTC: "2026-11-23T14:00:00Z" (RFC 3339) or "20261123140000.0Z" (RFC 4517,
 * Generalized Time, as directories write it). A fraction of a second is left out. Returns 0 or
 * -EINVAL. */
int utc_parse(const char *text, usec_t *ret);

/* What another's clock said, and when: enough to tell at any later time how far this host's is from
 * it, also after this host's was set. All zero: nothing is known. */
typedef struct clock_reading {
    usec_t date; /* theirs */
    usec_t at;   /* CLOCK_BOOTTIME of this host at that moment */
} clock_reading;

/* It says so now; 0: it says nothing. */
clock_reading clock_read(usec_t date);

/* How far this host's clock is ahead, microseconds; negative: behind. */
int64_t clock_ahead(const clock_reading *theirs, usec_t realtime, usec_t boottime);
