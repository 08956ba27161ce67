/* SPDX-License-Identifier: Apache-2.0 */
/* Writes what is made from the one table of events (agent/base/outcome.def):
 *
 *   generate catalog    the journal's catalog (journalctl -x)
 *   generate man        writeback-events(7)
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/fill.h"
#include "agent/base/macro.h"
#include "agent/base/outcome.h"
#include "agent/base/text.h"
#include "agent/ctl/text.h"

#define CATALOG_WIDTH 78

/* ---- Catalog ----------------------------------------------------------------------------------
 * systemd.catalog: https://systemd.io/CATALOG/. The journal fills @FIELD@ from the entry,
 * and quotes nothing, so commands have the fields that the agent has quoted. */

static char *find_field(const char *name, bool in_command, const void *userdata) {
    (void) userdata;

    return text_format("@%s%s@", name, in_command ? FILL_QUOTED : "");
}

static void put_catalog_entry(const outcome_info *event) {
    _cleanup_free_ char *steps = fill_text(event->steps, find_field, NULL);

    if (!steps)
        abort();
    printf("-- %s\n", event->id);
    printf("Subject: %s (%d %s)\n", event->title, event->event, event->name);
    puts("Defined-By: writeback-agent");
    puts("Documentation: man:writeback-events(7)\n");

    text_wrap(stdout, event->message, CATALOG_WIDTH, "", "");
    putchar('\n');
    text_wrap(stdout, event->cause, CATALOG_WIDTH, "", "");
    if (*event->steps) {
        puts("\nWhat to do:\n");
        text_steps(stdout, steps, CATALOG_WIDTH, "");
    }
    putchar('\n');
}

static void put_catalog(void) {
    puts("# SPDX-License-Identifier: Apache-2.0\n"
         "# What the agent's journal entries mean and what to do about them. Generated.\n");
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        put_catalog_entry(outcome_get(o));
}

/* ---- Manual ---------------------------------------------------------------------------------- */

/* One line of running text; fields become italic names, commands in backquotes bold. */
static void put_roff(const char *text) {
    bool is_command = false;

    for (bool at_start = true; *text; at_start = false) {
        size_t place = outcome_place(text);

        if (place > 0) {
            printf("\\fI%.*s\\f%c", (int) place - 2, text + 1, is_command ? 'B' : 'R');
            text += place;
            continue;
        }
        if (*text == '`') {
            is_command = !is_command;
            fputs(is_command ? "\\fB" : "\\fR", stdout);
            text++;
            continue;
        }
        if (at_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\'')
            fputs("\\(aq", stdout);
        else
            putchar(*text);
        text++;
    }
    putchar('\n');
}

static void put_roff_steps(const char *steps) {
    for (int number = 1; *steps; number++) {
        size_t n = strcspn(steps, "\n");
        _cleanup_free_ char *step = strndup(steps, n);

        printf(".IP %d. 4\n", number);
        if (step)
            put_roff(step);
        steps += n + (steps[n] == '\n');
    }
}

static const char *level_name(int priority) {
    static const char *const names[] = {
        [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",     [LOG_CRIT] = "critical",
        [LOG_ERR] = "error",       [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",       [LOG_DEBUG] = "debug",
    };

    return names[LOG_PRI(priority)];
}

static void put_manual_entry(const outcome_info *event) {
    printf(".SS %d %s\n", event->event, event->name);
    printf(".B ");
    put_roff(event->title);
    puts(".PP");
    put_roff(event->message);
    puts(".PP");
    put_roff(event->cause);
    if (*event->steps) {
        puts(".PP\nWhat to do:");
        put_roff_steps(event->steps);
    }
    printf(".PP\nLevel: %s.", level_name(event->priority));
    if (event->http > 0)
        printf(" Answer to the portal: %d.", event->http);
    if (event->http >= 300)
        printf(" The same request %s.",
               event->retryable ? "may be sent again" : "fails again until the cause is mended");
    putchar('\n');
}

static void put_manual(void) {
    puts(
        ".\\\" SPDX-License-Identifier: Apache-2.0\n"
        ".\\\" Generated from the table of events.\n"
        ".TH WRITEBACK\\-EVENTS 7 \"\" \"" PACKAGE_STRING "\" \"Password writeback\"\n"
        ".ad l\n"
        ".nh\n"
        ".SH NAME\n"
        "writeback\\-events \\- what the password writeback agent logs, and what to do about it\n"
        ".SH DESCRIPTION\n"
        "Every request that\n"
        ".BR writebackd (8)\n"
        "gets ends in one of these events, and so does whatever happens to the agent itself.\n"
        "The number stands in the field\n"
        ".B WRITEBACK_EVENT\n"
        "of the journal entry, the name in\n"
        ".B WRITEBACK_EVENT_NAME\n"
        "and in the\n"
        ".B code\n"
        "of the answer to the portal.\n"
        "Names in italics stand for the fields of the entry, which the journal fills in.\n"
        "What is in bold is there to be typed on this host, or on a domain controller where that is\n"
        "said; what only the reader knows stands in capitals.\n"
        ".PP\n"
        ".EX\n"
        "journalctl \\-x \\-u writebackd           entries with what follows here\n"
        "journalctl WRITEBACK_EVENT=33008       all of one event\n"
        "journalctl WRITEBACK_REQUEST_ID=\\fIID\\fR     the story of one request\n"
        "writebackctl explain 33008             this text for one event\n"
        ".EE\n"
        ".SH EVENTS");
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        put_manual_entry(outcome_get(o));
    puts(".SH SEE ALSO\n"
         ".BR writebackd (8),\n"
         ".BR writebackctl (1),\n"
         ".BR journalctl (1)");
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "catalog") == 0) {
        put_catalog();
    } else if (argc == 2 && strcmp(argv[1], "man") == 0) {
        put_manual();
    } else {
        fputs("usage: generate catalog|man\n", stderr);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
