/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Spans of time as people write them. Nothing here logs. */

#include "agent/base/macro.h"

/* Reads "180d": a whole number above zero and its unit, s, min, h, d or w. Returns 0 or -EINVAL. */
int duration_parse(const char *text, usec_t *ret);
