/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl bundle: what support needs to know, in one file, shown before it is written. */

#include "agent/ctl/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"
#include "agent/ctl/when.h"

/* "writeback-HOST-20261126T190543Z", in which nothing is that a file's name may not have. */
static char *folder_name(const bundle *b) {
    time_t seconds = (time_t) (b->made / USEC_PER_SEC);
    char date[24] = "";
    struct tm tm;
    char *name;

    if (gmtime_r(&seconds, &tm))
        (void) strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
    name = text_format("writeback-%s-%s", b->host, date);
    for (char *c = name; c && *c; c++)
        if (*c == '/')
            *c = '_';
    return name;
}

/* ---- Showing --------------------------------------------------------------------------------- */

static void print_listing(const bundle *b, const char *path) {
    printf("%s%s%s would hold\n", ctl_begin(COLOUR_BOLD), path, ctl_end());
    for (size_t i = 0; i < b->n_members; i++)
        printf("  %-32s %8zu bytes  %s\n", b->members[i].name, strlen(b->members[i].text),
               b->members[i].what);
    puts(
        "\nSecrets are masked: the relay's key, the account's password, the agent's own keys are\n"
        "not in it. Users stand in it as LogUserIdentity= has them in the log, and names of hosts\n"
        "and domains as they are.");
}

/* The texts have several lines, which stay; what else might act on the terminal does not. */
static void print_member(const bundle_member *m) {
    printf("\n%s==== %s ====%s\n", ctl_begin(COLOUR_BOLD), m->name, ctl_end());
    for (const char *line = m->text; *line;) {
        size_t n = strcspn(line, "\n");
        _cleanup_free_ char *one = strndup(line, n);

        text_put_printable(stdout, one ? one : "");
        putchar('\n');
        line += n + (line[n] == '\n');
    }
}

static json_t *bundle_object(const bundle *b, const char *path, bool is_written) {
    json_t *members = json_array(), *object;

    for (size_t i = 0; i < b->n_members; i++) {
        const bundle_member *m = &b->members[i];

        (void) json_array_append_new(
            members, json_pack("{s:s, s:s, s:I, s:s}", "name", m->name, "what", m->what, "size",
                               (json_int_t) strlen(m->text), "content", m->text));
    }
    object = json_pack("{s:s, s:b, s:o}", "file", path, "written", is_written, "members", members);
    return object;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Returns whether it shall be written. */
static bool ask(const bundle *b) {
    char answer[16];

    for (;;) {
        fputs("\nWrite it? [y]es, [n]o, [s]how all of it first: ", stdout);
        (void) fflush(stdout);
        if (!fgets(answer, sizeof(answer), stdin))
            return false;
        if (*answer == 'y' || *answer == 'Y')
            return true;
        if (*answer == 'n' || *answer == 'N')
            return false;
        if (*answer == 's' || *answer == 'S')
            for (size_t i = 0; i < b->n_members; i++)
                print_member(&b->members[i]);
    }
}

static bool is_wanted(const bundle *b, const ctl_options *options) {
    if (options->yes)
        return true;
    if (options->json)
        return false;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        for (size_t i = 0; i < b->n_members; i++)
            print_member(&b->members[i]);
        (void) ctl_complain(0, "nothing was written; with --yes it is");
        return false;
    }
    return ask(b);
}

/* ---- The command ----------------------------------------------------------------------------- */

static int write_it(const bundle *b, const char *path, const char *folder, bool json) {
    _cleanup_free_ char *why = NULL;
    int r = bundle_write(b, path, folder, &why);

    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "%s: %s", path, why ? why : strerror(-r));
    if (json)
        return ctl_print_json(bundle_object(b, path, true));
    printf("\nWritten: %s (only its owner can read it). Fill in description.txt, and send both.\n",
           path);
    return EXIT_SUCCESS;
}

static int show_and_write(const bundle *b, const ctl_options *options) {
    _cleanup_free_ char *folder = folder_name(b), *path = NULL;

    path = options->n_arguments > 0 ? strdup(options->arguments[0])
           : folder                 ? text_format("%s.tar.gz", folder)
                                    : NULL;
    if (!folder || !path)
        return ctl_complain(EXIT_FAILURE, "out of memory");

    if (!options->json)
        print_listing(b, path);
    if (is_wanted(b, options))
        return write_it(b, path, folder, options->json);
    return options->json ? ctl_print_json(bundle_object(b, path, false)) : EXIT_FAILURE;
}

int ctl_bundle(const ctl_options *options) {
    _cleanup_(bundle_done) bundle b = {0};
    usec_t since;
    int r;

    if (options->n_arguments > 1)
        return ctl_complain(CTL_USAGE, "bundle takes one file at most");
    if (options->since && when_parse(options->since, now_realtime(), &since) < 0)
        return ctl_complain(CTL_USAGE, "--since=%s: " CTL_SINCE_EXPECTED, options->since);
    if (options->n_arguments == 1 && access(options->arguments[0], F_OK) == 0)
        return ctl_complain(EXIT_FAILURE, "%s is there already", options->arguments[0]);

    if (isatty(STDERR_FILENO) && !options->json)
        fputs("Looking at everything, as writebackctl check does; up to a minute …\n", stderr);
    r = bundle_collect(&b, options);
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "%s", strerror(-r));
    return show_and_write(&b, options);
}
