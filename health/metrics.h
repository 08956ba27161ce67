/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counters of requests, and the page that Prometheus reads (text format 0.0.4, or OpenMetrics 1.0).
 * No user, no request's id and nothing else without a bound ever becomes a label. Nothing here
 * logs.
 */

#include <stdint.h>

#include "health/health.h"

typedef enum metrics_operation {
    OPERATION_RESET,
    OPERATION_CHANGE,
    OPERATION_UNLOCK,
    OPERATION_CHECK,
    OPERATION_OTHER, /* could not be opened, or is none of these */
    OPERATION_MAX_,
} metrics_operation;

/* Upper bounds of the histogram's buckets; the last one has none. A request's deadline is 45 s. */
#define METRICS_N_BUCKETS 12

typedef struct metrics_bucket {
    usec_t bound;
    const char *label; /* the same in seconds */
} metrics_bucket;

extern const metrics_bucket metrics_buckets[METRICS_N_BUCKETS];

typedef struct metrics_histogram {
    uint64_t buckets[METRICS_N_BUCKETS + 1]; /* not cumulative */
    usec_t sum;
} metrics_histogram;

typedef struct metrics {
    uint64_t requests[OPERATION_MAX_][OUTCOME_MAX_];
    metrics_histogram duration[OPERATION_MAX_];
    unsigned in_flight;
    usec_t started; /* CLOCK_REALTIME */
    uint64_t reports_through, reports_failed;
    usec_t last_report; /* that got through, CLOCK_REALTIME; 0: none */
} metrics;

typedef enum metrics_format {
    METRICS_TEXT,
    METRICS_OPEN,
} metrics_format;

const char *metrics_operation_name(metrics_operation operation);

/* "succeeded"; "refused", answered with 4xx; "failed", with 5xx. */
const char *metrics_result_name(outcome end);

/* OTHER for what is none, and for NULL. */
metrics_operation metrics_operation_from_name(const char *name);

/* `operation` may be anything, or NULL. */
void metrics_count(metrics *m, const char *operation, outcome end, usec_t duration);

/* Requests of one operation that succeeded. */
uint64_t metrics_succeeded(const metrics *m, metrics_operation operation);

/* Requests of all operations whose answer's status is in this hundred: 4 refused, 5 failed. */
uint64_t metrics_answered(const metrics *m, int hundred);

/* The whole page. malloc(3)ed, or NULL. */
char *metrics_page(const health *h, metrics_format format);
