/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* A hundred years; so that sums of spans and dates stay far from overflow. */
#define SPAN_MAX (36500 * USEC_PER_DAY)

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

int usec_parse(const char *text, usec_t *ret) {
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {
        {"s", USEC_PER_SEC}, {"min", USEC_PER_MINUTE}, {"h", USEC_PER_HOUR},
        {"d", USEC_PER_DAY}, {"w", 7 * USEC_PER_DAY},
    };
    unsigned long long number;
    char *unit;

    assert(text);
    assert(ret);

    if (!isdigit((unsigned char) text[0]))
        return -EINVAL;
    number = strtoull(text, &unit, 10);
    unit += strspn(unit, " ");

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        if (strcmp(units[i].name, unit) != 0)
            continue;
        if (number == 0 || number > SPAN_MAX / units[i].length)
            return -EINVAL;

        *ret = number * units[i].length;
        return 0;
    }
    return -EINVAL;
}

const char *rfc3339_utc(usec_t realtime, char buffer[static RFC3339_MAX]) {
    time_t seconds = (time_t) (realtime / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(buffer, RFC3339_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buffer[0] = '\0';
    return buffer;
}
