/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the subcommands of writebackctl share. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/base/json.h"

/* What was given on the command line. */
typedef struct ctl_options {
    const char *health;    /* address of the health endpoint; NULL: as configured */
    const char *config;    /* NULL: the default, which may be missing */
    const char *user;      /* of check; NULL: none */
    const char *keys;      /* of verify: a file or an https:// address */
    const char *receipt;   /* of verify */
    const char *since;     /* of logs and bundle; NULL: their own default */
    const char *directory; /* of the journal; NULL: this host's */
    bool with_private;     /* of keys export: the private halves, too */
    bool json;
    bool yes;         /* of bundle: write it without asking */
    char **arguments; /* behind the subcommand */
    int n_arguments;
} ctl_options;

/* Where systemd keeps the credentials of the running service (systemd.exec(5)). */
#define CTL_SERVICE_CREDENTIALS "/run/credentials/writebackd.service"
/* Where they are kept. */
#define CTL_CREDENTIALS SYSCONFDIR "/writeback/credentials"

/* Exit status; the manual tells the meanings. */
#define CTL_NOT_REACHABLE 2
#define CTL_CHECK_DIRECTORY 3
#define CTL_CHECK_ACCOUNT 4
#define CTL_CHECK_POLICY_HINTS 5
#define CTL_CHECK_USER 6
#define CTL_CHECK_RIGHTS 7
#define CTL_CHECK_CLOCK 8
#define CTL_CHECK_KEYS 9
#define CTL_CHECK_NAMES 10
#define CTL_CHECK_RELAY 11
#define CTL_CHECK_ISSUER 12
#define CTL_USAGE 64 /* EX_USAGE of sysexits(3) */
#define CTL_CONFIG 78

/* Each writes to standard output and returns the exit status; what goes wrong goes to standard
 * error. */
int ctl_status(const ctl_options *options);
int ctl_explain(const ctl_options *options);
int ctl_check(const ctl_options *options);
int ctl_keys(const ctl_options *options);
int ctl_verify(const ctl_options *options);
int ctl_trace(const ctl_options *options);
int ctl_logs(const ctl_options *options);
int ctl_bundle(const ctl_options *options);

/* What check and logs write with --json: a new reference; or NULL, of logs with a malloc(3)ed text
 * in *ret_why. */
json_t *ctl_check_document(const ctl_options *options);
json_t *ctl_logs_document(const char *directory, usec_t since, char **ret_why);

/* What --since= takes, for the text that says so (agent/ctl/when.h). */
#define CTL_SINCE_EXPECTED                                                                         \
    "expected is a span such as 24h or 7d, today, yesterday, or a date such as \"2026-11-26 19:05\""

/* ---- config.c -------------------------------------------------------------------------------- */

#define CTL_DEFAULT_HEALTH "127.0.0.1:8404"

/* Listen= of [Health] in `path` and its drop-ins; CTL_DEFAULT_HEALTH where it is not set. `path`
 * NULL is the default configuration, which may be missing. malloc(3)ed.
 *
 * Returns 0; -EINVAL, or another negative errno, with a malloc(3)ed text in *ret_why. */
int ctl_read_listen(const char *path, char **ret, char **ret_why);

/* ---- terminal.c ------------------------------------------------------------------------------ */

typedef enum ctl_colour {
    COLOUR_NONE,
    COLOUR_BOLD,
    COLOUR_FAINT,
    COLOUR_GREEN,
    COLOUR_YELLOW,
    COLOUR_RED,
} ctl_colour;

/* The sequences that begin and end a colour: "" unless standard output is a terminal that can. */
const char *ctl_begin(ctl_colour colour);
const char *ctl_end(void);

/* Columns of the terminal, between 40 and 100; 80 where there is none. */
size_t ctl_width(void);
