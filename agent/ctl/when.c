/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/when.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"

const char *when_for_people(usec_t realtime, char buffer[static WHEN_MAX]) {
    time_t seconds = (time_t) (realtime / USEC_PER_SEC);
    char date[24] = "", zone[8] = "";
    struct tm tm;

    if (localtime_r(&seconds, &tm)) {
        (void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        (void) strftime(zone, sizeof(zone), "%z", &tm);
    }
    (void) snprintf(buffer, WHEN_MAX, "%s.%03llu %s", date,
                    (unsigned long long) (realtime % USEC_PER_SEC / USEC_PER_MSEC), zone);
    return buffer;
}

const char *when_for_programs(usec_t realtime, char buffer[static WHEN_MAX]) {
    time_t seconds = (time_t) (realtime / USEC_PER_SEC);
    char date[24] = "", zone[8] = "";
    struct tm tm;

    if (localtime_r(&seconds, &tm)) {
        (void) strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        (void) strftime(zone, sizeof(zone), "%z", &tm);
    }
    /* RFC 3339 wants a colon within the offset, strftime(3) has none. */
    (void) snprintf(buffer, WHEN_MAX, "%s.%06llu%.3s:%s", date,
                    (unsigned long long) (realtime % USEC_PER_SEC), zone,
                    strlen(zone) == 5 ? zone + 3 : "");
    return buffer;
}

const char *when_span(usec_t span, char buffer[static WHEN_MAX]) {
    static const struct {
        usec_t up_to, unit;
        const char *name;
    } units[] = {
        {2 * USEC_PER_SEC, USEC_PER_MSEC, "ms"},     {2 * USEC_PER_MINUTE, USEC_PER_SEC, "s"},
        {2 * USEC_PER_HOUR, USEC_PER_MINUTE, "min"}, {2 * USEC_PER_DAY, USEC_PER_HOUR, "h"},
        {USEC_INFINITY, USEC_PER_DAY, "days"},
    };
    size_t i = 0;

    while (span > units[i].up_to)
        i++;
    (void) snprintf(buffer, WHEN_MAX, "%llu %s", (unsigned long long) (span / units[i].unit),
                    units[i].name);
    return buffer;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int from_midnight(usec_t now, int days_back, usec_t *ret) {
    time_t seconds = (time_t) (now / USEC_PER_SEC);
    struct tm tm;

    if (!localtime_r(&seconds, &tm))
        return -EINVAL;
    tm.tm_mday -= days_back;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    seconds = mktime(&tm);
    if (seconds < 0)
        return -EINVAL;
    *ret = (usec_t) seconds * USEC_PER_SEC;
    return 0;
}

static int from_date(const char *text, usec_t *ret) {
    static const struct {
        const char *format;
        bool utc;
    } forms[] = {
        {"%Y-%m-%dT%H:%M:%SZ", true}, {"%Y-%m-%d %H:%M:%S", false}, {"%Y-%m-%dT%H:%M:%S", false},
        {"%Y-%m-%d %H:%M", false},    {"%Y-%m-%dT%H:%M", false},    {"%Y-%m-%d", false},
    };

    for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
        struct tm tm = {.tm_isdst = forms[i].utc ? 0 : -1};
        const char *end = strptime(text, forms[i].format, &tm);
        time_t seconds;

        if (!end || *end)
            continue;
        seconds = forms[i].utc ? timegm(&tm) : mktime(&tm);
        if (seconds < 0)
            return -EINVAL;
        *ret = (usec_t) seconds * USEC_PER_SEC;
        return 0;
    }
    return -EINVAL;
}

int when_parse(const char *text, usec_t now, usec_t *ret) {
    usec_t span;

    assert(text);
    assert(ret);

    if (strcmp(text, "today") == 0 || strcmp(text, "yesterday") == 0)
        return from_midnight(now, *text == 'y', ret);
    if (usec_parse(text + (*text == '-'), &span) == 0) {
        *ret = span < now ? now - span : 0;
        return 0;
    }
    return from_date(text, ret);
}
