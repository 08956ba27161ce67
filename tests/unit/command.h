/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests that ask another program (`jose`, `openssl`) to be the other side. Whatever goes wrong
 * here ends the test program. */

#include "agent/base/macro.h"

/* A folder of this test program's own, made at the first call; scratch_remove() takes it away. It
 * is the working directory of all commands. */
const char *scratch(void);
void scratch_remove(void);

/* The path of `name` in it, malloc(3)ed. */
char *scratch_path(const char *name);

/* Writes a file there. */
void scratch_write(const char *name, const char *text);

/* Runs a shell command there, which must succeed, and returns what it wrote, malloc(3)ed. */
char *command(const char *format, ...) _printf_(1, 2);

/* base64url without padding, malloc(3)ed. */
char *base64url(const char *text);

/* sprintf(3) into fresh memory. */
char *format(const char *format, ...) _printf_(1, 2);
