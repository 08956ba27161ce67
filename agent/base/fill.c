/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fill.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"
#include "agent/base/shell.h"

const char *fill_short_name(const char *name) {
    static const char prefix[] = "WRITEBACK_";

    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name;
}

char *fill_word(const char *name, const char *value) {
    char *word = value ? shell_word(value) : NULL;

    return word ? word : strdup(fill_short_name(name));
}

bool fill_has_place(const char *text, const char *name, bool in_command_only) {
    size_t length = strlen(name);
    bool in_command = false;

    for (; *text; text++) {
        in_command ^= *text == '`';
        if (outcome_place(text) == length + 2 && strncmp(text + 1, name, length) == 0 &&
            (in_command || !in_command_only))
            return true;
    }
    return false;
}

/* A backquote would begin a command, or end one. */
static void put_value(FILE *f, const char *value, bool in_text_with_commands) {
    for (; *value; value++)
        if (*value == '`' && in_text_with_commands)
            fprintf(f, "\\x%02x", (unsigned int) *value);
        else
            fputc(*value, f);
}

char *fill_text(const char *text, fill_find_fn find, const void *userdata) {
    const bool has_commands = strchr(text, '`');
    bool in_command = false;
    char *filled = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&filled, &size);

    if (!f)
        return NULL;

    while (*text) {
        size_t place = outcome_place(text);
        _cleanup_free_ char *name = place > 0 ? strndup(text + 1, place - 2) : NULL;
        _cleanup_free_ char *value = name ? find(name, in_command, userdata) : NULL;

        if (place == 0) {
            in_command ^= *text == '`';
            fputc(*text++, f);
            continue;
        }
        if (value)
            put_value(f, value, has_commands);
        text += place;
    }

    if (fclose(f) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}
