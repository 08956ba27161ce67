/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Clocks and how a date is written. Nothing here logs. */

#include <time.h>

#include "agent/base/macro.h"

/* CLOCK_MONOTONIC and CLOCK_REALTIME, microseconds. */
usec_t now_monotonic(void);
usec_t now_realtime(void);

/* A span of time as people write it, "90s" or "5 min": a whole number above zero and its unit, s,
 * min, h, d or w. Returns 0, or -EINVAL where it is none or is longer than a hundred years. */
int usec_parse(const char *text, usec_t *ret);

/* Long enough for "2026-11-23T14:00:00.123456Z" and a NUL. */
#define RFC3339_MAX 32

/* Writes a date of CLOCK_REALTIME as RFC 3339 in UTC, whole seconds. Returns `buffer`. */
const char *rfc3339_utc(usec_t realtime, char buffer[static RFC3339_MAX]);
