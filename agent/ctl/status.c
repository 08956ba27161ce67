/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/ctl/agent.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"

/* ---- Showing it ------------------------------------------------------------------------------ */

static ctl_colour colour_of(const char *status) {
    if (strcmp(status, "pass") == 0)
        return COLOUR_GREEN;
    return strcmp(status, "warn") == 0 ? COLOUR_YELLOW : COLOUR_RED;
}

static const char *text_or(const json_t *object, const char *name, const char *otherwise) {
    const char *text = json_get_string(object, name);

    return text ? text : otherwise;
}

static void print_status(const char *status) {
    fputs(ctl_begin(colour_of(status)), stdout);
    text_put_printable(stdout, status);
    fputs(ctl_end(), stdout);
}

/* "for 3 min", or "" for what is no date. */
static void print_since(const char *date) {
    struct tm tm = {0};
    const char *end = strptime(date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    long long seconds;

    if (!end || *end)
        return;

    seconds = (long long) (now_realtime() / USEC_PER_SEC) - (long long) timegm(&tm);
    if (seconds < 0)
        seconds = 0;
    printf("  since %s (", date);
    if (seconds < 120)
        printf("%lld s)", seconds);
    else if (seconds < 2LL * 3600)
        printf("%lld min)", seconds / 60);
    else if (seconds < 2LL * 86400)
        printf("%lld h)", seconds / 3600);
    else
        printf("%lld days)", seconds / 86400);
}

static void print_wrapped(const char *text, const char *first, const char *rest) {
    char *printable = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printable, &size);

    if (!f)
        return;
    text_put_printable(f, text);
    if (fclose(f) == 0)
        text_wrap(stdout, printable, ctl_width(), first, rest);
    free(printable);
}

/* What application/health+json calls a warning because it has no word for it. */
#define NOT_KNOWN "not known"

static void print_check_status(const json_t *check) {
    const char *status = text_or(check, "status", "fail");
    bool is_known = !json_is_false(json_object_get(check, "known")) || strcmp(status, "warn") != 0;

    if (is_known)
        print_status(status);
    else
        fputs(NOT_KNOWN, stdout);
    printf("%*s", (int) (sizeof(NOT_KNOWN) + 1 - strlen(is_known ? status : NOT_KNOWN)), "");
}

static void print_part_name(const char *name, const char *instance) {
    text_put_printable(stdout, name);
    if (instance) {
        putchar(' ');
        text_put_printable(stdout, instance);
    }
}

static void print_check(const char *name, const json_t *check) {
    static const char indent[] = "             ";
    const char *output = json_get_string(check, "output");
    const char *cause = json_get_string(check, "causedBy");

    fputs("  ", stdout);
    print_check_status(check);
    print_part_name(name, json_get_string(check, "componentId"));
    print_since(text_or(check, "since", ""));
    putchar('\n');
    if (output)
        print_wrapped(output, indent, indent);
    if (cause) {
        printf("%sfollows from ", indent);
        text_put_printable(stdout, cause);
        putchar('\n');
    }
}

static void print_checks(json_t *checks) {
    const char *name;
    json_t *entries, *entry;
    size_t i;

    puts("\nChecks");
    json_object_foreach(checks, name, entries) {
        json_array_foreach(entries, i, entry) {
            print_check(name, entry);
        }
    }
}

/* Each group once; what a check says of itself stands below, so only the rest is told here. */
static void print_reasons(const json_t *reasons) {
    const char *last = "";
    json_t *reason;
    size_t i;

    json_array_foreach(reasons, i, reason) {
        const char *title = text_or(reason, "title", "no reason was given");
        const char *detail = json_get_string(reason, "detail");

        if (strcmp(title, last) != 0)
            print_wrapped(title, "          ", "          ");
        last = title;
        if (detail && !json_get_string(reason, "check"))
            print_wrapped(detail, "          - ", "            ");
    }
}

static void print_blade(const json_t *blade) {
    bool visible = json_is_true(json_object_get(blade, "visible"));

    printf("Blade     %s%s%s, ", ctl_begin(visible ? COLOUR_GREEN : COLOUR_RED),
           visible ? "visible" : "hidden", ctl_end());
    text_put_printable(stdout, text_or(blade, "state", "unknown"));
    putchar('\n');
    print_reasons(json_object_get(blade, "reasons"));
}

static void print_steps(const json_t *steps) {
    char *text = NULL;
    size_t size = 0, i;
    json_t *step;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return;
    json_array_foreach(steps, i, step) {
        text_put_printable(f, json_is_string(step) ? json_string_value(step) : "");
        fputc('\n', f);
    }
    if (fclose(f) == 0)
        text_steps(stdout, text, ctl_width(), "  ");
    free(text);
}

/* The steps leave out what only the entry in the log knows. */
static void print_cure(const json_t *cure) {
    const json_t *event = json_object_get(cure, "eventId");
    const json_t *parts = json_object_get(cure, "checks");
    json_t *part;
    size_t i;

    printf("\n  %s%" JSON_INTEGER_FORMAT " ", ctl_begin(COLOUR_BOLD), json_integer_value(event));
    text_put_printable(stdout, text_or(cure, "title", ""));
    fputs(ctl_end(), stdout);
    putchar('\n');
    json_array_foreach(parts, i, part) {
        fputs("  of ", stdout);
        print_part_name(text_or(part, "check", ""), json_get_string(part, "componentId"));
        putchar('\n');
    }
    print_steps(json_object_get(cure, "steps"));
    printf("  With names and addresses filled in:\n"
           "        journalctl -x -u writebackd WRITEBACK_EVENT=%" JSON_INTEGER_FORMAT " -n 1\n",
           json_integer_value(event));
}

static void print_cures(const json_t *cures) {
    json_t *cure;
    size_t i;

    puts("\nWhat to do");
    json_array_foreach(cures, i, cure) {
        print_cure(cure);
    }
}

static void print_document(json_t *document) {
    fputs("Overall   ", stdout);
    print_status(text_or(document, "status", "fail"));
    fputs("\nAgent     ", stdout);
    text_put_printable(stdout, text_or(document, "serviceId", "unknown"));
    fputs(", release ", stdout);
    text_put_printable(stdout, text_or(document, "releaseId", "unknown"));
    putchar('\n');
    print_blade(json_object_get(document, "blade"));
    print_checks(json_object_get(document, "checks"));
    if (json_array_size(json_object_get(document, "cures")) > 0)
        print_cures(json_object_get(document, "cures"));
}

int ctl_status(const ctl_options *options) {
    _cleanup_(json_freep) json_t *document = NULL;
    _cleanup_free_ char *why = NULL;
    int r;

    if (options->n_arguments > 0)
        return ctl_complain(CTL_USAGE, "status takes no argument");

    r = agent_find_health(options, &document, &why);
    if (r < 0)
        return ctl_complain(r == -EINVAL ? CTL_CONFIG : CTL_NOT_REACHABLE, "%s",
                            why ? why : strerror(-r));

    if (options->json)
        (void) ctl_print_json(json_incref(document));
    else
        print_document(document);
    return strcmp(text_or(document, "status", "fail"), "pass") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
