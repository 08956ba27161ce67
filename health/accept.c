/* SPDX-License-Identifier: Apache-2.0 */
#include "health/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/macro.h"

/* How exactly a media range names `type`: 0 not at all, 1 everything, 2 the main type, 3 it alone.
 */
static int match(const char *range, size_t size, const char *type) {
    size_t main_size = strcspn(type, "/") + 1;

    if (size == 3 && strncmp(range, "*/*", 3) == 0)
        return 1;
    if (size == main_size + 1 && strncasecmp(range, type, main_size) == 0 && range[size - 1] == '*')
        return 2;
    return size == strlen(type) && strncasecmp(range, type, size) == 0 ? 3 : 0;
}

/* The q among `size` bytes of parameters. */
static double weight(const char *parameters, size_t size) {
    const char *end = parameters + size;

    for (const char *p = parameters; p < end; p += strcspn(p, ";,")) {
        p += strspn(p, "; \t");
        if (p + 1 < end && (*p == 'q' || *p == 'Q') && p[1] == '=') {
            double q = strtod(p + 2, NULL);

            return q >= 0 && q <= 1 ? q : 0;
        }
    }
    return 1;
}

double accept_weight(const char *header, const char *type) {
    int best = 0;
    double q = 0;

    assert(type);

    if (!header)
        return 1;

    for (const char *range = header; *range; range += strcspn(range, ",")) {
        size_t size, whole;
        int how;

        range += strspn(range, ", \t");
        whole = strcspn(range, ",");
        size = strcspn(range, ";, \t");
        how = match(range, size, type);
        if (how > 0 && how >= best) {
            double its = weight(range + size, whole - size);

            /* The same range may be named for several versions. */
            q = how == best && q > its ? q : its;
            best = how;
        }
    }
    return q;
}
