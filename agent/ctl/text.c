/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/macro.h"

/* Columns of UTF-8 text; every character we use is one wide. */
static size_t columns(const char *text, size_t n) {
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char) text[i] & 0xc0) != 0x80;
    return count;
}

void text_wrap(FILE *f, const char *text, size_t width, const char *first, const char *rest) {
    size_t used = columns(first, strlen(first));
    bool at_start = true;

    fputs(first, f);
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t n = strcspn(text, " ");

        if (!at_start && used + 1 + columns(text, n) > width) {
            fprintf(f, "\n%s", rest);
            used = columns(rest, strlen(rest));
            at_start = true;
        }
        if (!at_start) {
            fputc(' ', f);
            used++;
        }
        fwrite(text, 1, n, f);
        used += columns(text, n);
        at_start = false;
        text += n;
    }
    fputc('\n', f);
}

void text_steps(FILE *f, const char *steps, size_t width, const char *indent) {
    for (int number = 1; *steps; number++) {
        size_t n = strcspn(steps, "\n");
        _cleanup_free_ char *step = strndup(steps, n);
        char first[32], rest[32];

        (void) snprintf(first, sizeof(first), "%s%2d. ", indent, number);
        (void) snprintf(rest, sizeof(rest), "%s    ", indent);
        if (step)
            text_wrap(f, step, width, first, rest);
        steps += n + (steps[n] == '\n');
    }
}

void text_put_printable(FILE *f, const char *text) {
    for (; *text; text++)
        fputc((unsigned char) *text < 0x20 || *text == 0x7f ? '?' : *text, f);
}

char *text_show_fields(const char *text) {
    static const char prefix[] = "WRITEBACK_";
    char *shown = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&shown, &size);

    if (!f)
        return NULL;

    while (*text) {
        const char *end =
            *text == '@' && isupper((unsigned char) text[1]) ? strchr(text + 1, '@') : NULL;
        const char *name = text + 1;

        if (!end) {
            fputc(*text++, f);
            continue;
        }
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            name += strlen(prefix);
        fprintf(f, "<%.*s>", (int) (end - name), name);
        text = end + 1;
    }

    if (fclose(f) != 0) {
        free(shown);
        return NULL;
    }
    return shown;
}
