/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/json.h"
#include "agent/base/outcome.h"
#include "agent/ctl/event.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"

/* By number or by name, as the log and the portal show them. */
static outcome find_event(const char *text) {
    char *end;
    long number = strtol(text, &end, 10);

    if (end != text && !*end)
        return number > 0 && number < 100000 ? outcome_from_event((int) number) : OUTCOME_INVALID;

    return event_from_name(text);
}

static json_t *shown(const char *text) {
    _cleanup_free_ char *filled = text_show_fields(text);

    return filled ? json_string(filled) : NULL;
}

static json_t *steps_array(const char *steps) {
    _cleanup_free_ char *filled = text_show_fields(steps);

    return filled ? json_lines(filled) : NULL;
}

static json_t *row_object(const outcome_info *event) {
    /* json_pack() fails where one of the new references is NULL. */
    return json_pack("{s:i, s:s, s:s, s:i, s:b, s:s, s:o, s:o, s:o}", "event", event->event, "name",
                     event->name, "messageId", event->id, "httpStatus", event->http, "retryable",
                     event->retryable, "title", event->title, "message", shown(event->message),
                     "cause", shown(event->cause), "steps", steps_array(event->steps));
}

static void print_text(const char *text) {
    _cleanup_free_ char *filled = text_show_fields(text);

    if (filled)
        text_wrap(stdout, filled, ctl_width(), "", "");
}

static ctl_colour colour_of(const outcome_info *event) {
    if (event->priority <= LOG_ERR)
        return COLOUR_RED;
    return event->priority == LOG_WARNING ? COLOUR_YELLOW : COLOUR_BOLD;
}

static int print_event(const outcome_info *event) {
    _cleanup_free_ char *steps = text_show_fields(event->steps);

    printf("%s%d %s%s\n", ctl_begin(colour_of(event)), event->event, event->name, ctl_end());
    printf("%s%s%s\n\n", ctl_begin(COLOUR_BOLD), event->title, ctl_end());
    print_text(event->message);
    putchar('\n');
    print_text(event->cause);

    if (*event->steps && steps) {
        printf("\n%sWhat to do%s\n\n", ctl_begin(COLOUR_BOLD), ctl_end());
        text_steps(stdout, steps, ctl_width(), "");
    }
    printf("\nIts entries in the log:  journalctl -u writebackd WRITEBACK_EVENT=%d\n",
           event->event);
    return EXIT_SUCCESS;
}

static int list(bool json) {
    _cleanup_(json_freep) json_t *array = NULL;

    if (!json) {
        for (outcome o = 0; o < OUTCOME_MAX_; o++)
            printf("%d  %-32s  %s\n", outcome_get(o)->event, outcome_get(o)->name,
                   outcome_get(o)->title);
        return EXIT_SUCCESS;
    }

    array = json_array();
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (json_array_append_new(array, row_object(outcome_get(o))) < 0)
            return ctl_print_json(NULL);
    return ctl_print_json(TAKE_PTR(array));
}

int ctl_explain(const ctl_options *options) {
    outcome o;

    if (options->n_arguments == 0)
        return list(options->json);
    if (options->n_arguments > 1)
        return ctl_complain(CTL_USAGE, "explain takes one event");

    o = find_event(options->arguments[0]);
    if (o == OUTCOME_INVALID)
        return ctl_complain(EXIT_FAILURE, "there is no event %s; writebackctl explain lists them",
                            options->arguments[0]);
    return options->json ? ctl_print_json(row_object(outcome_get(o))) : print_event(outcome_get(o));
}
