/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/duration.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* A hundred years; so that sums of spans and dates stay far from overflow. */
#define DURATION_MAX (36500 * USEC_PER_DAY)

static const struct {
    const char *name;
    usec_t usec;
} units[] = {
    {"s", USEC_PER_SEC}, {"min", USEC_PER_MINUTE}, {"h", USEC_PER_HOUR},
    {"d", USEC_PER_DAY}, {"w", 7 * USEC_PER_DAY},
};

int duration_parse(const char *text, usec_t *ret) {
    unsigned long long number;
    char *unit;

    assert(text);
    assert(ret);

    if (!isdigit((unsigned char) text[0]))
        return -EINVAL;
    number = strtoull(text, &unit, 10);

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        if (strcmp(units[i].name, unit) != 0)
            continue;
        if (number == 0 || number > DURATION_MAX / units[i].usec)
            return -EINVAL;

        *ret = number * units[i].usec;
        return 0;
    }
    return -EINVAL;
}
