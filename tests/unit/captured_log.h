/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the code under test writes to the log, kept to be looked at. Whatever goes wrong here ends
 * the test program. */

#include <stdio.h>

typedef struct captured_log {
    FILE *file;
    int stderr_fd;
} captured_log;

/* From here on standard error goes to a file, and the log to standard error. */
void captured_log_begin(captured_log *l);
void captured_log_end(captured_log *l);

/* In how many lines so far the text stands. */
int captured_log_count(const captured_log *l, const char *text);
