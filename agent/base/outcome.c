/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/outcome.h"

#include <string.h>
#include <syslog.h>

#include "agent/base/fill.h"
#include "agent/base/macro.h"
#include "agent/base/text.h"

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

static char *show_place(const char *name, bool in_command, const void *userdata) {
    (void) userdata;

    return in_command ? fill_word(name, NULL) : text_format("<%s>", fill_short_name(name));
}

char *outcome_text(const char *text) {
    return fill_text(text, show_place, NULL);
}

bool outcome_is_success(outcome o) {
    int http = outcome_get(o)->http;

    return http >= 200 && http < 300;
}
