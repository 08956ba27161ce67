/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl: arguments, and which subcommand they mean. */

#include "agent/ctl/ctl.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/macro.h"
#include "agent/config.h"
#include "agent/ctl/say.h"

static const struct {
    const char *name;
    int (*run)(const ctl_options *options);
} commands[] = {
    {"status", ctl_status}, {"check", ctl_check}, {"explain", ctl_explain}, {"trace", ctl_trace},
    {"logs", ctl_logs},     {"keys", ctl_keys},   {"verify", ctl_verify},   {"bundle", ctl_bundle},
};

static void print_help(void) {
    puts(
        "Usage: writebackctl COMMAND [OPTION...]\n"
        "\n"
        "Looks after the password writeback agent.\n"
        "\n"
        "When something is wrong\n"
        "  status             whether writeback works, and each part with its reason\n"
        "  check              goes the way of a request step by step, changes nothing, and says\n"
        "                     what would mend what is wrong; needs the agent's credentials, so root\n"
        "  trace ID           one request's story from the journal, by the id that the portal shows\n"
        "                     or by the relay's TrackingId\n"
        "  logs               what failed lately, grouped by event\n"
        "  explain [EVENT]    what an event means and what to do, by number or name;\n"
        "                     without it, all events\n"
        "  bundle [FILE]      what support needs to know, without secrets, in one file\n"
        "                     (default: writeback-HOST-DATE.tar.gz); shown before it is written\n"
        "\n"
        "Keys and receipts\n"
        "  keys list          the agent's keys: current and replaced ones, and when they end\n"
        "  keys rotate        replaces them now; a running agent takes the new ones over\n"
        "  keys retire KEY    drops a replaced key before its time\n"
        "  keys export        the public keys, as GET /v1/keys has them; with --private all of them,\n"
        "                     for another agent on the same hybrid connection\n"
        "  keys import FILE   takes over what that gave another agent (- is standard input)\n"
        "  verify FILE        whether the receipt of an answer fits its body, FILE (- is standard\n"
        "                     input), with --receipt=TEXT --keys=FILE|https://ADDRESS\n"
        "\n"
        "Options\n"
        "  --health=ADDRESS   where the agent serves its health: HOST:PORT or a Unix socket\n"
        "                     (default: Listen= of the configuration, else " CTL_DEFAULT_HEALTH
        ")\n"
        "  --config=FILE      the configuration (default: " CONFIG_PATH ")\n"
        "  --user=IDENTIFIER  check: also whether this user could be reset; a user principal name,\n"
        "                     an account name, an objectGUID or a SID\n"
        "  --since=WHEN       logs, bundle: from when on (24h, 7d, today, \"2026-11-26 19:05\";\n"
        "                     default: 24h and 7d)\n"
        "  --directory=DIR    trace, logs, bundle: the journal in DIR instead of this host's\n"
        "  --yes              bundle: write it without asking\n"
        "  --json             for programs\n"
        "  --help, --version\n"
        "\n"
        "Exit status\n"
        "  status   0 all is well, 1 something fails or warns, 2 the agent cannot be reached\n"
        "  check    0 all is well, else the first stage that fails: 78 configuration, 8 clock,\n"
        "           9 keys, 10 names, 11 relay, 12 issuer, 3 directory, 4 the agent's account,\n"
        "           5 policy hints, 6 user, 7 rights\n"
        "  trace    0 found, 1 not found, 2 the journal cannot be read; so does logs\n"
        "  verify   0 the receipt is good, 1 it is not\n"
        "The manual: man writebackctl");
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {
        {"health", required_argument, NULL, 'H'},
        {"config", required_argument, NULL, 'c'},
        {"user", required_argument, NULL, 'u'},
        {"keys", required_argument, NULL, 'k'},
        {"receipt", required_argument, NULL, 'r'},
        {"since", required_argument, NULL, 's'},
        {"directory", required_argument, NULL, 'd'},
        {"private", no_argument, NULL, 'P'},
        {"json", no_argument, NULL, 'j'},
        {"yes", no_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    ctl_options options = {0};
    const char *command;
    int c;

    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
        switch (c) {
        case 'H':
            options.health = optarg;
            break;
        case 'c':
            options.config = optarg;
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'P':
            options.with_private = true;
            break;
        case 'j':
            options.json = true;
            break;
        case 'k':
            options.keys = optarg;
            break;
        case 'r':
            options.receipt = optarg;
            break;
        case 's':
            options.since = optarg;
            break;
        case 'd':
            options.directory = optarg;
            break;
        case 'y':
            options.yes = true;
            break;
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        case 'v':
            puts("writebackctl " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            /* getopt(3) has said what is wrong. */
            return CTL_USAGE;
        }
    }

    if (optind >= argc)
        return ctl_complain(CTL_USAGE, "which command? (see writebackctl --help)");

    command = argv[optind];
    options.arguments = argv + optind + 1;
    options.n_arguments = argc - optind - 1;
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        if (strcmp(command, commands[i].name) == 0)
            return commands[i].run(&options);

    return ctl_complain(CTL_USAGE, "there is no command %s (see writebackctl --help)", command);
}
