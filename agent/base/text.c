/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *text_format(const char *format, ...) {
    char *text;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

void text_replace(char **place, const char *text) {
    char *copy = text ? strdup(text) : NULL;

    free(*place);
    *place = copy;
}

void text_append(char **place, const char *separator, const char *text) {
    char *longer = *place ? text_format("%s%s%s", *place, separator, text) : strdup(text);

    if (!longer)
        return;

    free(*place);
    *place = longer;
}
