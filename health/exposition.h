/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pieces of a page for Prometheus, in either of its formats. Nothing here logs. */

#include <stdio.h>

#include "health/metrics.h"

/* What is being written, and in which of the two formats. */
typedef struct exposition {
    FILE *f;
    metrics_format format;
} exposition;

/* A family's two lines; its samples follow. A counter's name ends in "_total". */
void exposition_put_family(const exposition *p, const char *name, const char *type,
                           const char *help);

/* name="value", escaped as the text format asks for. */
void exposition_put_label(FILE *f, const char *name, const char *value);

/* The value of a sample, and the end of its line. */
void exposition_put_seconds(FILE *f, usec_t t);

/* The families that every exporter has of its own process (process_…). `started` is of
 * CLOCK_REALTIME. */
void exposition_put_process(const exposition *p, usec_t started);
