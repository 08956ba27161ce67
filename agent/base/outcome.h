/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Outcomes and events: the words in which every room says what happened.
 *
 * One row of agent/base/outcome.def each. A row with an HTTP status ends a request; the others are
 * only logged. Nothing here logs. */

#include <stdbool.h>
#include <stddef.h>

typedef enum outcome {
#define EVENT(symbol, number, name, priority, http, retryable, title, message, cause, steps)       \
    OUTCOME_##symbol,
#include "agent/base/outcome.def"
#undef EVENT
    OUTCOME_MAX_,
    OUTCOME_INVALID = -1,
} outcome;

typedef struct outcome_info {
    int event;           /* number, 31001 and up */
    const char *name;    /* the answer's `code`; WRITEBACK_EVENT_NAME in the journal */
    const char *id;      /* MESSAGE_ID, 32 hexadecimal digits that end in the number */
    int priority;        /* syslog(3) level */
    int http;            /* 0: never an answer */
    bool retryable;      /* the same request may succeed with nothing mended */
    const char *title;   /* one line for people */
    const char *message; /* with @FIELD@ places */
    const char *cause;
    const char *steps; /* lines separated by \n; commands in backquotes; "" where there is nothing
                          to do */
} outcome_info;

/* Never NULL for a valid outcome; asserts on an invalid one. */
const outcome_info *outcome_get(outcome o);

/* By event number; OUTCOME_INVALID where there is none. */
outcome outcome_from_event(int event);

/* The length of the @FIELD@ that a text begins with; 0 where it begins with none. */
size_t outcome_place(const char *text);

/* A text of a row for those who have no entry to fill it from: each @WRITEBACK_DC@ is shown as
 * <DC>, and in commands as DC. malloc(3)ed, or NULL where memory is out. */
char *outcome_text(const char *text);

/* True for an answer in the 2xx range. */
bool outcome_is_success(outcome o);
