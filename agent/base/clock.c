/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

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
        {"", USEC_PER_SEC},       {"s", USEC_PER_SEC},  {"m", USEC_PER_MINUTE},
        {"min", USEC_PER_MINUTE}, {"h", USEC_PER_HOUR}, {"d", USEC_PER_DAY},
    };
    unsigned long long n;
    char *unit;

    assert(text);
    assert(ret);

    if (!isdigit((unsigned char) *text))
        return -EINVAL;
    errno = 0;
    n = strtoull(text, &unit, 10);
    unit += strspn(unit, " ");
    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (errno != 0 || n > 365000 * USEC_PER_DAY / units[i].length)
            return -ERANGE;
        *ret = n * units[i].length;
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
