/* SPDX-License-Identifier: Apache-2.0 */
#include "health/exposition.h"

#include <inttypes.h>
#include <string.h>

/* OpenMetrics names a counter's family without the _total of its samples. */
void exposition_put_family(const exposition *p, const char *name, const char *type,
                           const char *help) {
    size_t n = strlen(name);

    if (p->format == METRICS_OPEN && strcmp(type, "counter") == 0)
        n -= strlen("_total");
    fprintf(p->f, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int) n, name, help, (int) n, name, type);
}

void exposition_put_label(FILE *f, const char *name, const char *value) {
    fprintf(f, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') {
            fputs("\\n", f);
            continue;
        }
        if (*value == '"' || *value == '\\')
            fputc('\\', f);
        fputc(*value, f);
    }
    fputc('"', f);
}

/* Not %f: its decimal point depends on the locale. */
void exposition_put_seconds(FILE *f, usec_t t) {
    fprintf(f, "%" PRIu64 ".%06" PRIu64 "\n", t / USEC_PER_SEC, t % USEC_PER_SEC);
}
