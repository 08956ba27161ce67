/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl logs: what failed, grouped by event. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/fill.h"
#include "agent/base/text.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/event.h"
#include "agent/ctl/journal.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"
#include "agent/ctl/when.h"

#define DEFAULT_SPAN USEC_PER_DAY

/* Events of this and of later releases together. */
#define GROUPS_MAX 256

typedef struct group {
    json_t *last; /* entry */
    unsigned long long count;
    usec_t first;
} group;

typedef struct summary {
    usec_t since;
    group groups[GROUPS_MAX];
    size_t n_groups;
    unsigned long long succeeded; /* requests */
} summary;

static void summary_done(summary *s) {
    for (size_t i = 0; i < s->n_groups; i++)
        json_decref(s->groups[i].last);
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* A refused request has two entries, its cause and its end; the cause counts. */
static bool is_failure(const json_t *entry) {
    outcome o = event_of(entry);

    if (o != OUTCOME_INVALID && outcome_get(o)->http > 0)
        return !outcome_is_success(o);
    return *event_number(entry) && event_priority(entry) <= LOG_WARNING;
}

static group *find_group(summary *s, const json_t *entry) {
    for (size_t i = 0; i < s->n_groups; i++)
        if (strcmp(event_number(s->groups[i].last), event_number(entry)) == 0)
            return &s->groups[i];
    return s->n_groups < GROUPS_MAX ? &s->groups[s->n_groups++] : NULL;
}

static void count(summary *s, json_t *entry) {
    group *g = find_group(s, entry);

    if (!g)
        return;
    if (g->count++ == 0)
        g->first = event_time(entry);
    json_decref(g->last);
    g->last = json_incref(entry);
}

static bool is_success(const json_t *entry) {
    outcome o = event_of(entry);

    return o != OUTCOME_INVALID && outcome_is_success(o);
}

static int summarise(summary *s, journal *j) {
    json_t *entry;
    usec_t time;
    int r;

    r = journal_look_for(j, s->since, NULL);
    while (r >= 0 && (r = journal_next(j, &entry, &time)) > 0) {
        (void) json_object_set_new(entry, "time", json_integer((json_int_t) time));
        if (is_failure(entry))
            count(s, entry);
        else
            s->succeeded += is_success(entry);
        json_decref(entry);
    }
    return r;
}

/* The gravest first, then the most frequent. */
static int compare(const void *a, const void *b) {
    const group *x = a, *y = b;
    int graver = event_priority(x->last) - event_priority(y->last);

    if (graver != 0)
        return graver;
    return (x->count < y->count) - (x->count > y->count);
}

static int summarise_journal(summary *s, const char *directory, journal **ret, char **ret_why) {
    int r;

    r = journal_open(directory, ret, ret_why);
    if (r < 0)
        return r;
    r = summarise(s, *ret);
    if (r < 0) {
        *ret_why = text_format("the journal cannot be read: %s", strerror(-r));
        return r;
    }
    qsort(s->groups, s->n_groups, sizeof(group), compare);
    return 0;
}

/* ---- Showing --------------------------------------------------------------------------------- */

static const char *title_of(const group *g) {
    outcome o = event_of(g->last);

    return o == OUTCOME_INVALID ? "This release does not know the event" : outcome_get(o)->title;
}

static void print_group(const group *g) {
    const char *id = json_get_string(g->last, "WRITEBACK_REQUEST_ID");
    _cleanup_free_ char *word = id ? fill_word("ID", id) : NULL;
    char date[WHEN_MAX];

    printf("\n%s%6llu ×  ", ctl_begin(event_colour(g->last)), g->count);
    text_put_printable(stdout, event_number(g->last));
    putchar(' ');
    text_put_printable(stdout, event_name(g->last));
    printf("%s\n          %s\n", ctl_end(), title_of(g));
    printf("          first  %s\n", when_for_people(g->first, date));
    printf("          last   %s  ", when_for_people(event_time(g->last), date));
    text_put_printable(stdout, event_message(g->last));
    fputs("\n          →      writebackctl explain ", stdout);
    text_put_printable(stdout, event_number(g->last));
    if (word)
        printf("\n          →      writebackctl trace %s", word);
    putchar('\n');
}

static void print_summary(const summary *s) {
    char date[WHEN_MAX];

    printf("Since %s: %llu request%s succeeded, %s\n", when_for_people(s->since, date),
           s->succeeded, s->succeeded == 1 ? "" : "s",
           s->n_groups > 0 ? "and this failed:" : "and nothing failed.");
    for (size_t i = 0; i < s->n_groups; i++)
        print_group(&s->groups[i]);
}

static json_t *group_object(const group *g) {
    char first[WHEN_MAX], last[WHEN_MAX];

    return json_pack("{s:i, s:s, s:s, s:i, s:I, s:s, s:s, s:s, s:s*, s:s*, s:s*}", "eventId",
                     atoi(event_number(g->last)), "event", event_name(g->last), "title",
                     title_of(g), "priority", event_priority(g->last), "count",
                     (json_int_t) g->count, "first", when_for_programs(g->first, first), "last",
                     when_for_programs(event_time(g->last), last), "lastMessage",
                     event_message(g->last), "lastReason",
                     json_get_string(g->last, "WRITEBACK_REASON"), "lastRequestId",
                     json_get_string(g->last, "WRITEBACK_REQUEST_ID"), "lastTrackingId",
                     json_get_string(g->last, "WRITEBACK_TRACKING_ID"));
}

static json_t *summary_object(const summary *s) {
    json_t *failures = json_array();
    char since[WHEN_MAX];

    for (size_t i = 0; i < s->n_groups; i++)
        (void) json_array_append_new(failures, group_object(&s->groups[i]));
    return json_pack("{s:s, s:I, s:o}", "since", when_for_programs(s->since, since), "succeeded",
                     (json_int_t) s->succeeded, "failures", failures);
}

/* ---- The command ----------------------------------------------------------------------------- */

json_t *ctl_logs_document(const char *directory, usec_t since, char **ret_why) {
    _cleanup_(journal_freep) journal *j = NULL;
    _cleanup_(summary_done) summary s = {.since = since};
    int r;

    r = summarise_journal(&s, directory, &j, ret_why);
    return r < 0 ? NULL : summary_object(&s);
}

int ctl_logs(const ctl_options *options) {
    _cleanup_(journal_freep) journal *j = NULL;
    _cleanup_(summary_done) summary s = {.since = now_realtime() - DEFAULT_SPAN};
    _cleanup_free_ char *why = NULL;
    int r;

    if (options->n_arguments > 0)
        return ctl_complain(CTL_USAGE, "logs takes no argument");
    if (options->since && when_parse(options->since, now_realtime(), &s.since) < 0)
        return ctl_complain(CTL_USAGE, "--since=%s: " CTL_SINCE_EXPECTED, options->since);

    r = summarise_journal(&s, options->directory, &j, &why);
    if (r < 0)
        return ctl_complain(CTL_NOT_REACHABLE, "%s", why ? why : strerror(-r));
    if (options->json)
        return ctl_print_json(summary_object(&s));
    print_summary(&s);
    return EXIT_SUCCESS;
}
