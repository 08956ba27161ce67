/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
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

usec_t now_boottime(void) {
    return read_clock(CLOCK_BOOTTIME);
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

const char *usec_describe(usec_t span, char buffer[static USEC_TEXT_MAX]) {
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {{"s", USEC_PER_SEC},
                 {"min", USEC_PER_MINUTE},
                 {"h", USEC_PER_HOUR},
                 {"days", USEC_PER_DAY}};
    size_t i = 0;

    while (i + 1 < ELEMENTSOF(units) && span >= 2 * units[i + 1].length)
        i++;
    (void) snprintf(buffer, USEC_TEXT_MAX, "%llu %s", (unsigned long long) (span / units[i].length),
                    units[i].name);
    return buffer;
}

const char *rfc3339_utc(usec_t realtime, char buffer[static RFC3339_MAX]) {
    time_t seconds = (time_t) (realtime / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(buffer, RFC3339_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buffer[0] = '\0';
    return buffer;
}

int utc_parse(const char *text, usec_t *ret) {
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y%m%d%H%M%S"};

    assert(text);
    assert(ret);

    for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, formats[i], &tm);
        time_t seconds;

        if (!rest)
            continue;
        if (*rest == '.')
            rest += 1 + strspn(rest + 1, "0123456789");
        seconds = timegm(&tm);
        if (strcmp(rest, "Z") != 0 || seconds < 0)
            return -EINVAL;

        *ret = (usec_t) seconds * USEC_PER_SEC;
        return 0;
    }
    return -EINVAL;
}

clock_reading clock_read(usec_t date) {
    return (clock_reading){.date = date, .at = date > 0 ? now_boottime() : 0};
}

int64_t clock_ahead(const clock_reading *theirs, usec_t realtime, usec_t boottime) {
    assert(theirs);
    return (int64_t) realtime - (int64_t) (theirs->date + (boottime - theirs->at));
}
