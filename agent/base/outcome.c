/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/outcome.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/macro.h"

/* 27 random digits of our own, then the event's five: every MESSAGE_ID is unique and can be read.
 */
#define MESSAGE_ID(number) "6f1d2c9b84e04a7fb35e90c1d7a" #number

static const outcome_info table[] = {
#define EVENT(symbol, number, name, priority, http, retryable, title, message, cause, steps)       \
    [OUTCOME_##                                                                                    \
        symbol] = {number, name, MESSAGE_ID(number), priority, http, retryable, title, message,    \
                   cause,  steps},
#include "agent/base/outcome.def"
#undef EVENT
};

const outcome_info *outcome_get(outcome o) {
    assert(o >= 0 && o < OUTCOME_MAX_);
    return &table[o];
}

outcome outcome_from_event(int event) {
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (table[o].event == event)
            return o;

    return OUTCOME_INVALID;
}

size_t outcome_place(const char *text) {
    static const char of_names[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t n;

    if (*text != '@')
        return 0;
    n = strspn(text + 1, of_names);
    return n > 0 && text[n + 1] == '@' ? n + 2 : 0;
}

char *outcome_text(const char *text) {
    static const char prefix[] = "WRITEBACK_";
    char *shown = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&shown, &size);

    if (!f)
        return NULL;

    while (*text) {
        size_t place = outcome_place(text);
        size_t skip = strncmp(text + 1, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;

        if (place == 0) {
            (void) fputc(*text++, f);
            continue;
        }
        fprintf(f, "<%.*s>", (int) (place - skip - 2), text + 1 + skip);
        text += place;
    }

    if (fclose(f) != 0) {
        free(shown);
        return NULL;
    }
    return shown;
}

bool outcome_is_success(outcome o) {
    int http = outcome_get(o)->http;

    return http >= 200 && http < 300;
}
