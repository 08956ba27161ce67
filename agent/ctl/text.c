/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/text.h"

#include <stdbool.h>
#include <string.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"

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

void text_step(FILE *f, char *step, size_t width, const char *first, const char *rest) {
    char *command = strchr(step, '`');

    if (command)
        *command++ = '\0';
    text_wrap(f, step, width, first, rest);

    while (command) {
        size_t n = strcspn(command, "`");
        char *next = command[n] ? strchr(command + n + 1, '`') : NULL;

        fprintf(f, "%s    %.*s\n", rest, (int) n, command);
        command = next ? next + 1 : NULL;
    }
}

void text_steps(FILE *f, const char *steps, size_t width, const char *indent) {
    for (int number = 1; *steps; number++) {
        size_t n = strcspn(steps, "\n");
        _cleanup_free_ char *step = strndup(steps, n);
        char first[32], rest[32];

        (void) snprintf(first, sizeof(first), "%s%2d. ", indent, number);
        (void) snprintf(rest, sizeof(rest), "%s    ", indent);
        if (step)
            text_step(f, step, width, first, rest);
        steps += n + (steps[n] == '\n');
    }
}

void text_put_printable(FILE *f, const char *text) {
    for (; *text; text++)
        fputc((unsigned char) *text < 0x20 || *text == 0x7f ? '?' : *text, f);
}

char *text_show_fields(const char *text) {
    return outcome_text(text);
}
