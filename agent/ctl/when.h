/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Dates as administrators read and write them: in their own time zone, which is always named. */

#include "agent/base/macro.h"

#define WHEN_MAX 48

/* "2026-11-26 19:05:43.123 +0100". Returns `buffer`. */
const char *when_for_people(usec_t realtime, char buffer[static WHEN_MAX]);

/* The same as RFC 3339 has it: "2026-11-26T19:05:43.123456+01:00". Returns `buffer`. */
const char *when_for_programs(usec_t realtime, char buffer[static WHEN_MAX]);

/* A span as people say it: "84 ms", "3 s", "5 min", "2 h", "12 days". Returns `buffer`. */
const char *when_span(usec_t span, char buffer[static WHEN_MAX]);

/* A date that something is asked from: a span before `now` ("24h", "7d", with or without a minus),
 * "today", "yesterday", "2026-11-26", "2026-11-26 19:05" with or without seconds, each in the local
 * time zone; or with seconds and Z behind them in UTC, and with a T in the middle as well. Returns
 * 0 or -EINVAL. */
int when_parse(const char *text, usec_t now, usec_t *ret);
