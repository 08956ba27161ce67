/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sentences for people, built and kept. Nothing here logs. */

#include <stdbool.h>
#include <stdio.h>

#include "agent/base/macro.h"

/* Whether both say the same but for the case of letters, whatever their script: the simple case
 * mapping of the locale C.UTF-8, character by character. What is no UTF-8, and all of it where this
 * host has no such locale, is compared by the case of ASCII letters. */
bool text_is_same_but_for_case(const char *a, const char *b);

/* printf(3) into new memory; NULL where there is none. The result is free(3)d. */
char *text_format(const char *format, ...) _printf_(1, 2);

/* Puts a copy of `text` in place of what `*place` held; NULL clears it. Where memory is out,
 * `*place` becomes NULL. */
void text_replace(char **place, const char *text);

/* Adds `text` to what `*place` holds, parted by `separator`. Keeps `*place` where memory is out. */
void text_append(char **place, const char *separator, const char *text);

/* Writes `text`, cut at `max` bytes, with control characters escaped ("\x0a"), so that it cannot
 * break out of its line; UTF-8 passes. */
void text_put_escaped(FILE *f, const char *text, size_t max);

/* The same as a copy. */
char *text_escaped(const char *text, size_t max);
