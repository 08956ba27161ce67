/* SPDX-License-Identifier: Apache-2.0 */
#include "health/metrics.h"

#include <string.h>

static const char *const operation_names[] = {
    [OPERATION_RESET] = "reset", [OPERATION_CHANGE] = "change", [OPERATION_UNLOCK] = "unlock",
    [OPERATION_CHECK] = "check", [OPERATION_OTHER] = "other",
};

/* The labels are numbers as OpenMetrics wants them written, in both formats: a series is known by
 * its labels. */
const metrics_bucket metrics_buckets[METRICS_N_BUCKETS] = {
    {10 * USEC_PER_MSEC, "0.01"}, {25 * USEC_PER_MSEC, "0.025"}, {50 * USEC_PER_MSEC, "0.05"},
    {100 * USEC_PER_MSEC, "0.1"}, {250 * USEC_PER_MSEC, "0.25"}, {500 * USEC_PER_MSEC, "0.5"},
    {1 * USEC_PER_SEC, "1.0"},    {2500 * USEC_PER_MSEC, "2.5"}, {5 * USEC_PER_SEC, "5.0"},
    {10 * USEC_PER_SEC, "10.0"},  {30 * USEC_PER_SEC, "30.0"},   {45 * USEC_PER_SEC, "45.0"},
};

const char *metrics_operation_name(metrics_operation operation) {
    return operation_names[operation];
}

const char *metrics_result_name(outcome end) {
    if (outcome_is_success(end))
        return "succeeded";
    return outcome_get(end)->http >= 500 ? "failed" : "refused";
}

metrics_operation metrics_operation_from_name(const char *name) {
    metrics_operation operation = 0;

    while (operation < OPERATION_OTHER && (!name || strcmp(name, operation_names[operation]) != 0))
        operation++;
    return operation;
}

void metrics_count(metrics *m, const char *operation, outcome end, usec_t duration) {
    metrics_operation o = metrics_operation_from_name(operation);
    size_t bucket = 0;

    assert(end >= 0 && end < OUTCOME_MAX_);

    while (bucket < METRICS_N_BUCKETS && duration > metrics_buckets[bucket].bound)
        bucket++;

    m->requests[o][end]++;
    m->duration[o].buckets[bucket]++;
    m->duration[o].sum += duration;
}

uint64_t metrics_succeeded(const metrics *m, metrics_operation operation) {
    uint64_t n = 0;

    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (outcome_is_success(o))
            n += m->requests[operation][o];

    return n;
}

uint64_t metrics_answered(const metrics *m, int hundred) {
    uint64_t n = 0;

    for (metrics_operation operation = 0; operation < OPERATION_MAX_; operation++)
        for (outcome o = 0; o < OUTCOME_MAX_; o++)
            if (outcome_get(o)->http / 100 == hundred)
                n += m->requests[operation][o];

    return n;
}
