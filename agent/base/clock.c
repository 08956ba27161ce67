/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

static usec_t read_clock(clockid_t id) {
    struct timespec t;

    /* Fails only for a clock that does not exist. */
    (void) clock_gettime(id, &t);
    return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000;
}

usec_t now_monotonic(void) {
    return read_clock(CLOCK_MONOTONIC);
}

usec_t now_realtime(void) {
    return read_clock(CLOCK_REALTIME);
}

const char *rfc3339_utc(usec_t realtime, char buffer[static RFC3339_MAX]) {
    time_t seconds = (time_t) (realtime / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(buffer, RFC3339_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buffer[0] = '\0';
    return buffer;
}
