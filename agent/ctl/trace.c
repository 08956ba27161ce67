/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl trace: one request's story, as the journal has it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/outcome.h"
#include "agent/base/text.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/event.h"
#include "agent/ctl/journal.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"
#include "agent/ctl/when.h"

/* A request has a handful of entries; one that is sent again and again has a few more each time. */
#define ENTRIES_MAX 1000
#define GUID_LENGTH 36
/* From a tracking id to the request, from that to the ids under which it came again. */
#define ROUNDS_MAX 3

typedef struct story {
    json_t *ids;     /* under which entries are looked for */
    json_t *entries; /* as journal_next() has them, each with its "time" beside */
    usec_t oldest;   /* of the journal */
} story;

static void story_done(story *s) {
    json_decref(s->ids);
    json_decref(s->entries);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool contains(const json_t *array, const char *text) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (strcmp(json_string_value(json_array_get(array, i)), text) == 0)
            return true;
    return false;
}

/* Returns whether the entry told of an id that was not known. */
static bool learn_ids(story *s, const json_t *entry) {
    static const char *const fields[] = {"WRITEBACK_REQUEST_ID", "WRITEBACK_TRACKING_ID"};
    bool learnt = false;

    for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
        const char *id = json_get_string(entry, fields[i]);

        if (!id || contains(s->ids, id))
            continue;
        (void) json_array_append_new(s->ids, json_string(id));
        learnt = true;
    }
    return learnt;
}

static int read_entries(story *s, journal *j, bool *ret_learnt) {
    json_t *entry;
    usec_t time;
    int r;

    *ret_learnt = false;
    (void) json_array_clear(s->entries);
    r = journal_look_for(j, 0, s->ids);
    if (r < 0)
        return r;

    while (json_array_size(s->entries) < ENTRIES_MAX && (r = journal_next(j, &entry, &time)) > 0) {
        *ret_learnt |= learn_ids(s, entry);
        (void) json_object_set_new(entry, "time", json_integer((json_int_t) time));
        (void) json_array_append_new(s->entries, entry);
    }
    return r < 0 ? r : 0;
}

static int find_story(story *s, journal *j, const char *id) {
    bool learnt = true;
    int r = 0;

    s->ids = json_pack("[s]", id);
    s->entries = json_array();
    if (!s->ids || !s->entries)
        return -ENOMEM;

    s->oldest = journal_oldest(j);
    if (strlen(id) >= GUID_LENGTH) {
        _cleanup_free_ char *guid = strndup(id, GUID_LENGTH);

        r = guid ? journal_find_tracking_ids(j, guid, s->ids) : -ENOMEM;
    }
    for (int round = 0; r >= 0 && learnt && round < ROUNDS_MAX; round++)
        r = read_entries(s, j, &learnt);
    return r;
}

/* ---- What it came to ------------------------------------------------------------------------- */

static json_t *entry_at(const story *s, size_t i) {
    return json_array_get(s->entries, i);
}

/* The last value of a field: a later entry knows more. */
static const char *last_value(const story *s, const char *field) {
    for (size_t i = json_array_size(s->entries); i-- > 0;) {
        const char *value = json_get_string(entry_at(s, i), field);

        if (value)
            return value;
    }
    return NULL;
}

/* The entry that tells what it came to: a request that came again got the first answer again, so
 * the first one counts. What was refused before it could be opened has none that says so. */
static const json_t *find_end(const story *s) {
    const json_t *last = NULL;

    for (size_t i = 0; i < json_array_size(s->entries); i++) {
        const json_t *entry = entry_at(s, i);
        outcome o = event_of(entry);

        if (json_get_string(entry, "WRITEBACK_OUTCOME"))
            return entry;
        if (o != OUTCOME_INVALID && outcome_get(o)->http > 0)
            last = entry;
    }
    return last;
}

static outcome outcome_of(const json_t *end) {
    const char *name = json_get_string(end, "WRITEBACK_OUTCOME");

    return name ? event_from_name(name) : event_of(end);
}

/* The entry that bears the outcome as its own event tells the reason best. */
static const json_t *find_cause(const story *s, outcome o) {
    for (size_t i = 0; i < json_array_size(s->entries); i++)
        if (event_of(entry_at(s, i)) == o)
            return entry_at(s, i);
    return NULL;
}

/* ---- For people ------------------------------------------------------------------------------ */

static void print_pair(const char *label, const char *value, const char *more) {
    if (!value)
        return;
    printf("  %-12s", label);
    text_put_printable(stdout, value);
    if (more) {
        fputs(", ", stdout);
        text_put_printable(stdout, more);
    }
    putchar('\n');
}

static void print_who(const story *s) {
    _cleanup_free_ char *client = NULL, *code = NULL;
    const char *application = last_value(s, "WRITEBACK_CLIENT");
    const char *result = last_value(s, "WRITEBACK_LDAP_RESULT");
    const char *initiator = last_value(s, "WRITEBACK_INITIATOR");

    if (application)
        client = text_format("by application %s", application);
    print_pair("asked by", initiator ? initiator : last_value(s, "WRITEBACK_INITIATOR_ID"), client);
    print_pair("for", last_value(s, "WRITEBACK_USER"), last_value(s, "WRITEBACK_OPERATION"));
    print_pair("relay", last_value(s, "WRITEBACK_RELAY"), last_value(s, "WRITEBACK_TRACKING_ID"));
    print_pair("controller", last_value(s, "WRITEBACK_DC"), last_value(s, "WRITEBACK_DOMAIN"));
    if (result)
        code = text_format("LDAP result %s", result);
    print_pair("it said", code, last_value(s, "WRITEBACK_AD_ERROR"));
    print_pair("host", last_value(s, "_HOSTNAME"), NULL);
}

static void print_outcome(const json_t *end, outcome o) {
    const char *duration = json_get_string(end, "WRITEBACK_DURATION_USEC");
    const char *status = json_get_string(end, "WRITEBACK_STATUS");
    char span[WHEN_MAX];

    if (!end) {
        printf("  %-12s%sno end is in the journal%s: it is still under way, or the agent was ended "
               "meanwhile.\n%14sSent again with the same id it is not done twice.\n",
               "outcome", ctl_begin(COLOUR_YELLOW), ctl_end(), "");
        return;
    }

    printf("  %-12s%s", "outcome",
           ctl_begin(o != OUTCOME_INVALID && outcome_is_success(o) ? COLOUR_GREEN : COLOUR_RED));
    if (o == OUTCOME_INVALID)
        text_put_printable(stdout, event_name(end));
    else
        printf("%d %s", outcome_get(o)->event, outcome_get(o)->name);
    fputs(ctl_end(), stdout);
    if (status)
        printf(", answered with status %d", atoi(status));
    if (duration)
        printf(" after %s", when_span(strtoull(duration, NULL, 10), span));
    putchar('\n');
}

static void print_step(const json_t *entry, const json_t *before) {
    const char *run = json_get_string(entry, "_SYSTEMD_INVOCATION_ID");
    const char *run_before = before ? json_get_string(before, "_SYSTEMD_INVOCATION_ID") : NULL;
    char date[WHEN_MAX];

    if (run && run_before && strcmp(run, run_before) != 0)
        printf("  %s--- the service was started anew ---%s\n", ctl_begin(COLOUR_FAINT), ctl_end());
    printf("  %s%s%s  %s", ctl_begin(COLOUR_FAINT), when_for_people(event_time(entry), date),
           ctl_end(), ctl_begin(event_colour(entry)));
    text_put_printable(stdout, event_number(entry));
    putchar(' ');
    text_put_printable(stdout, event_name(entry));
    fputs(ctl_end(), stdout);
    fputs("\n      ", stdout);
    text_put_printable(stdout, event_message(entry));
    putchar('\n');
}

static void print_story(const story *s) {
    const json_t *end = find_end(s), *cause;
    outcome o = end ? outcome_of(end) : OUTCOME_INVALID;

    printf("%sRequest ", ctl_begin(COLOUR_BOLD));
    text_put_printable(stdout, last_value(s, "WRITEBACK_REQUEST_ID")
                                   ? last_value(s, "WRITEBACK_REQUEST_ID")
                                   : json_string_value(json_array_get(s->ids, 0)));
    puts(ctl_end());
    print_who(s);
    print_outcome(end, o);

    printf("\n%sWhat happened%s\n", ctl_begin(COLOUR_BOLD), ctl_end());
    for (size_t i = 0; i < json_array_size(s->entries); i++)
        print_step(entry_at(s, i), i > 0 ? entry_at(s, i - 1) : NULL);

    cause = o == OUTCOME_INVALID || outcome_is_success(o) ? NULL : find_cause(s, o);
    if (o != OUTCOME_INVALID && !outcome_is_success(o) && *outcome_get(o)->steps) {
        _cleanup_free_ char *steps = event_steps(cause ? cause : end, o);

        printf("\n%sWhat to do%s\n", ctl_begin(COLOUR_BOLD), ctl_end());
        text_steps(stdout, steps ? steps : "", ctl_width(), " ");
    }
}

static int print_nothing(const story *s, const char *id) {
    char date[WHEN_MAX];

    (void) ctl_complain(EXIT_FAILURE, "the journal has nothing of %s. That may mean:", id);
    fprintf(stderr,
            "  - the request never arrived here: another agent took it, or it got no further than\n"
            "    the relay. Look on the other agents' hosts; and: writebackctl status\n");
    if (s->oldest > 0)
        fprintf(stderr,
                "  - it is older than the journal, which begins at %s;\n"
                "    journald.conf(5) says how much is kept\n",
                when_for_people(s->oldest, date));
    fputs("  - the id is misspelt: it is the one that the portal shows, or a TrackingId\n", stderr);
    return EXIT_FAILURE;
}

/* ---- For programs ---------------------------------------------------------------------------- */

static json_t *story_object(const story *s) {
    const json_t *end = find_end(s), *cause;
    outcome o = end ? outcome_of(end) : OUTCOME_INVALID;
    json_t *steps = json_array(), *entries = json_array(), *object;
    const char *duration = end ? json_get_string(end, "WRITEBACK_DURATION_USEC") : NULL;
    const char *status = end ? json_get_string(end, "WRITEBACK_STATUS") : NULL;

    for (size_t i = 0; i < json_array_size(s->entries); i++)
        (void) json_array_append_new(entries, event_object(entry_at(s, i)));
    if (o != OUTCOME_INVALID && !outcome_is_success(o)) {
        cause = find_cause(s, o);
        json_decref(steps);
        steps = event_steps_array(cause ? cause : end, o);
    }

    object = json_pack(
        "{s:O, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:o, s:o}", "ids", s->ids,
        "requestId", last_value(s, "WRITEBACK_REQUEST_ID"), "operation",
        last_value(s, "WRITEBACK_OPERATION"), "user", last_value(s, "WRITEBACK_USER"), "initiator",
        last_value(s, "WRITEBACK_INITIATOR"), "client", last_value(s, "WRITEBACK_CLIENT"), "relay",
        last_value(s, "WRITEBACK_RELAY"), "trackingId", last_value(s, "WRITEBACK_TRACKING_ID"),
        "domainController", last_value(s, "WRITEBACK_DC"), "steps", steps, "entries", entries);
    if (object && o != OUTCOME_INVALID) {
        (void) json_object_set_new(object, "code", json_string(outcome_get(o)->name));
        (void) json_object_set_new(object, "eventId", json_integer(outcome_get(o)->event));
    }
    if (object && status)
        (void) json_object_set_new(object, "status", json_integer(atoi(status)));
    if (object && duration)
        (void) json_object_set_new(object, "durationUsec",
                                   json_integer(strtoll(duration, NULL, 10)));
    return object;
}

/* ---- The command ----------------------------------------------------------------------------- */

int ctl_trace(const ctl_options *options) {
    _cleanup_(journal_freep) journal *j = NULL;
    _cleanup_(story_done) story s = {0};
    _cleanup_free_ char *why = NULL;
    const char *id;
    int r;

    if (options->n_arguments != 1 || !*options->arguments[0])
        return ctl_complain(CTL_USAGE, "trace takes one id: that of a request, or the relay's "
                                       "TrackingId (see writebackctl --help)");

    id = options->arguments[0];
    r = journal_open(options->directory, &j, &why);
    if (r < 0)
        return ctl_complain(CTL_NOT_REACHABLE, "%s", why ? why : strerror(-r));

    r = find_story(&s, j, id);
    if (r < 0)
        return ctl_complain(CTL_NOT_REACHABLE, "the journal cannot be read: %s", strerror(-r));
    if (json_array_size(s.entries) == 0)
        return print_nothing(&s, id);
    if (options->json)
        return ctl_print_json(story_object(&s));
    print_story(&s);
    return EXIT_SUCCESS;
}
