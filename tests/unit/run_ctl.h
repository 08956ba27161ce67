/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* writebackctl run as a program, and what it said. The working directory is the build folder. */

typedef struct ctl_run {
    char text[128 * 1024]; /* standard output, and error where the arguments say so (2>&1) */
    int status;
} ctl_run;

/* Runs ./writebackctl with arguments as a shell takes them. */
void run_ctl(ctl_run *r, const char *arguments);

/* Runs any shell command. */
void run_shell(ctl_run *r, const char *line);

/* The test fails where it does not say `what`. */
void assert_says(const ctl_run *r, const char *what);

/* The test fails where it does not say the three, one behind the other. */
void assert_says_in_order(const ctl_run *r, const char *first, const char *second,
                          const char *third);
