/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/ctl/text.h"

/* What is said may have several lines; each is printable. */
static void put_lines(const char *text) {
    while (text) {
        const char *end = strchr(text, '\n');
        _cleanup_free_ char *line = strndup(text, end ? (size_t) (end - text) : strlen(text));

        text_put_printable(stderr, line ? line : "out of memory");
        fputc('\n', stderr);
        text = end ? end + 1 : NULL;
    }
}

int ctl_complain(int status, const char *format, ...) {
    _cleanup_free_ char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);

    fputs("writebackctl: ", stderr);
    put_lines(text ? text : "out of memory");
    return status;
}

int ctl_print_json(json_t *j) {
    int r = j ? json_dumpf(j, stdout, JSON_INDENT(2)) : -1;

    json_decref(j);
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "out of memory");
    putchar('\n');
    return EXIT_SUCCESS;
}
