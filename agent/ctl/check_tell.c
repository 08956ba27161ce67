/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/ctl/check.h"
#include "agent/ctl/event.h"
#include "agent/ctl/text.h"

static const struct {
    const char *name, *title;
    int status;
} stages[] = {
    [STAGE_CONFIGURATION] = {"configuration", "Configuration", CTL_CONFIG},
    [STAGE_CLOCK] = {"clock", "Clock", CTL_CHECK_CLOCK},
    [STAGE_KEYS] = {"keys", "The agent's keys", CTL_CHECK_KEYS},
    [STAGE_NAMES] = {"names", "Names", CTL_CHECK_NAMES},
    [STAGE_RELAY] = {"relay", "Relay", CTL_CHECK_RELAY},
    [STAGE_ISSUER] = {"issuer", "Issuer of tokens", CTL_CHECK_ISSUER},
    [STAGE_DIRECTORY] = {"directory", "Directory", CTL_CHECK_DIRECTORY},
    [STAGE_ACCOUNT] = {"account", "The agent's account", CTL_CHECK_ACCOUNT},
    [STAGE_POLICY_HINTS] = {"policyHints", "Policy hints", CTL_CHECK_POLICY_HINTS},
    [STAGE_USER] = {"user", "User", CTL_CHECK_USER},
    [STAGE_RIGHTS] = {"rights", "Rights of the agent's account", CTL_CHECK_RIGHTS},
};

/* ---- While it takes time --------------------------------------------------------------------- */

static void hide_progress(check *c) {
    if (c->progress.is_shown)
        fputs("\r\x1b[K", stdout);
    c->progress.is_shown = false;
}

static int on_second(sd_event_source *source, uint64_t usec, void *userdata) {
    check *c = userdata;

    (void) usec;

    hide_progress(c);
    printf("  %s… %s (%llu s)%s", ctl_begin(COLOUR_FAINT), c->progress.doing,
           (unsigned long long) ((now_monotonic() - c->progress.since) / USEC_PER_SEC), ctl_end());
    (void) fflush(stdout);
    c->progress.is_shown = true;

    (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
    (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static void begin_progress(check *c, const char *doing) {
    if (c->steps || !isatty(STDOUT_FILENO))
        return;

    c->progress.doing = doing;
    c->progress.since = now_monotonic();
    (void) sd_event_add_time_relative(c->event, &c->progress.timer, CLOCK_MONOTONIC, USEC_PER_SEC,
                                      0, on_second, c);
}

static void end_progress(check *c) {
    hide_progress(c);
    c->progress.timer = sd_event_source_disable_unref(c->progress.timer);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) source;
    (void) usec;
    (void) userdata;
    return 0; /* it has woken the loop */
}

bool check_wait(check *c, const char *doing, usec_t deadline, check_done_fn is_done,
                const void *userdata) {
    sd_event_source *timer = NULL;

    if (is_done(userdata))
        return true;

    begin_progress(c, doing);
    (void) sd_event_add_time(c->event, &timer, CLOCK_MONOTONIC, deadline, 1, on_deadline, NULL);
    while (!is_done(userdata) && now_monotonic() < deadline)
        if (sd_event_run(c->event, UINT64_MAX) < 0)
            break;
    (void) sd_event_source_disable_unref(timer);
    end_progress(c);
    return is_done(userdata);
}

/* ---- How it went ----------------------------------------------------------------------------- */

typedef enum verdict {
    VERDICT_WELL,
    VERDICT_WRONG,
    VERDICT_NEITHER,
} verdict;

static void put_mark(verdict v) {
    static const struct {
        ctl_colour colour;
        const char *mark;
    } marks[] = {
        [VERDICT_WELL] = {COLOUR_GREEN, "✓"},
        [VERDICT_WRONG] = {COLOUR_RED, "✗"},
        [VERDICT_NEITHER] = {COLOUR_YELLOW, "!"},
    };

    printf("  %s%s%s ", ctl_begin(marks[v].colour), marks[v].mark, ctl_end());
}

static void tell_people(check *c, check_stage stage, verdict v, const char *text,
                        const char *cure) {
    if (c->progress.title != stages[stage].title)
        printf("%s%s%s\n", ctl_begin(COLOUR_BOLD), stages[stage].title, ctl_end());
    c->progress.title = stages[stage].title;

    put_mark(v);
    text_put_printable(stdout, text);
    putchar('\n');

    for (const char *line = cure; line && *line;) {
        size_t n = strcspn(line, "\n");
        _cleanup_free_ char *one = strndup(line, n);

        /* Unwrapped, since what of it is to be typed is there to be copied. */
        if (one)
            text_step(stdout, one, SIZE_MAX, "      → ", "        ");
        line += n + (line[n] == '\n');
    }
    (void) fflush(stdout);
}

static void tell_programs(check *c, check_stage stage, verdict v, const char *name,
                          const char *text, const char *cure) {
    json_t *ok = v == VERDICT_NEITHER ? json_null() : json_boolean(v == VERDICT_WELL);
    json_t *step = json_pack("{s:s, s:o, s:s, s:s, s:o}", "stage", stages[stage].name, "ok", ok,
                             "name", name, "text", text, "cure", json_lines(cure ? cure : ""));

    (void) json_array_append_new(c->steps, step);
}

static void tell(check *c, check_stage stage, verdict v, const char *name, const char *cure,
                 char *text) {
    _cleanup_free_ char *sentence = text;
    _cleanup_free_ char *filled = v == VERDICT_WELL || !cure ? NULL : event_fill(cure, c->facts);

    hide_progress(c);
    if (v == VERDICT_WRONG && c->status == EXIT_SUCCESS)
        c->status = stages[stage].status;
    if (c->steps)
        tell_programs(c, stage, v, name, sentence ? sentence : "", filled);
    else
        tell_people(c, stage, v, sentence ? sentence : name, filled);
}

void check_tell(check *c, check_stage stage, bool ok, const char *name, const char *cure,
                char *text) {
    tell(c, stage, ok ? VERDICT_WELL : VERDICT_WRONG, name, cure, text);
}

void check_note(check *c, check_stage stage, const char *name, const char *cure, char *text) {
    tell(c, stage, VERDICT_NEITHER, name, cure, text);
}

void check_know(check *c, const char *field, const char *value) {
    (void) json_object_set_new(c->facts, field, value ? json_string(value) : json_null());
}

const char *check_cure(outcome o) {
    return o == OUTCOME_INVALID ? NULL : outcome_get(o)->steps;
}

json_t *check_document(const check *c) {
    return json_pack("{s:s, s:i, s:O}", "status", c->status == EXIT_SUCCESS ? "pass" : "fail",
                     "exitStatus", c->status, "steps", c->steps);
}
