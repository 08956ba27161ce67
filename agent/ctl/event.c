/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/event.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/base/fill.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
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

/* What the agent wrote for commands counts; entries of an older release have none. */
static char *find_value(const char *name, bool in_command, const void *userdata) {
    const json_t *fields = userdata;
    _cleanup_free_ char *quoted = in_command ? text_format("%s" FILL_QUOTED, name) : NULL;
    const char *typed = quoted ? json_get_string(fields, quoted) : NULL;
    const char *value = json_get_string(fields, name);

    if (in_command)
        return typed ? text_escaped(typed, SIZE_MAX) : fill_word(name, value);
    return value ? text_escaped(value, LOG_VALUE_MAX) : text_format("<%s>", fill_short_name(name));
}

char *event_fill(const char *text, const json_t *fields) {
    return fill_text(text, find_value, fields);
}

char *event_steps(const json_t *entry, outcome o) {
    return event_fill(outcome_get(o)->steps, entry);
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
