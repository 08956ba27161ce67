/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/event.h"

#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/ctl/when.h"

static const char *text_of(const json_t *entry, const char *field) {
    const char *text = json_get_string(entry, field);

    return text ? text : "";
}

usec_t event_time(const json_t *entry) {
    return (usec_t) json_integer_value(json_object_get(entry, "time"));
}

outcome event_of(const json_t *entry) {
    return outcome_from_event(atoi(event_number(entry)));
}

outcome event_from_name(const char *name) {
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (strcasecmp(outcome_get(o)->name, name) == 0)
            return o;
    return OUTCOME_INVALID;
}

const char *event_number(const json_t *entry) {
    return text_of(entry, "WRITEBACK_EVENT");
}

const char *event_name(const json_t *entry) {
    return text_of(entry, "WRITEBACK_EVENT_NAME");
}

const char *event_message(const json_t *entry) {
    return text_of(entry, "MESSAGE");
}

int event_priority(const json_t *entry) {
    const char *text = text_of(entry, "PRIORITY");

    return *text >= '0' && *text <= '7' ? *text - '0' : LOG_INFO;
}

ctl_colour event_colour(const json_t *entry) {
    int priority = event_priority(entry);

    if (priority <= LOG_ERR)
        return COLOUR_RED;
    return priority <= LOG_NOTICE ? COLOUR_YELLOW : COLOUR_BOLD;
}

/* ---- What cures it --------------------------------------------------------------------------- */

char *event_fill(const char *text, const json_t *fields) {
    char *filled = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&filled, &size);

    if (!f)
        return NULL;
    while (*text) {
        size_t n = outcome_place(text);
        _cleanup_free_ char *place = n > 0 ? strndup(text, n) : NULL;
        _cleanup_free_ char *name = place ? strndup(place + 1, n - 2) : NULL;
        const char *value = name ? json_get_string(fields, name) : NULL;
        _cleanup_free_ char *shown = place && !value ? outcome_text(place) : NULL;

        if (n == 0)
            fputc(*text, f);
        else
            fputs(value ? value : shown ? shown : "?", f);
        text += n > 0 ? n : 1;
    }
    if (fclose(f) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}

/* The agent escapes what it logs, but what is shown here may have been written by others. */
static void make_printable(char *text) {
    for (; *text; text++)
        if (((unsigned char) *text < 0x20 && *text != '\n') || *text == 0x7f)
            *text = '?';
}

char *event_steps(const json_t *entry, outcome o) {
    char *steps = event_fill(outcome_get(o)->steps, entry);

    if (steps)
        make_printable(steps);
    return steps;
}

json_t *event_steps_array(const json_t *entry, outcome o) {
    _cleanup_free_ char *steps = event_steps(entry, o);

    return steps ? json_lines(steps) : NULL;
}

/* ---- For programs ---------------------------------------------------------------------------- */

json_t *event_object(json_t *entry) {
    char date[WHEN_MAX];
    json_t *object =
        json_pack("{s:s, s:i, s:s, s:i, s:s}", "time", when_for_programs(event_time(entry), date),
                  "eventId", atoi(event_number(entry)), "event", event_name(entry), "priority",
                  event_priority(entry), "message", event_message(entry));
    json_t *fields = json_copy(entry);

    (void) json_object_del(fields, "time");
    (void) json_object_set_new(object, "fields", fields);
    return object;
}
