/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sentences for people, built and kept. Nothing here logs. */

#include "agent/base/macro.h"

/* printf(3) into new memory; NULL where there is none. The result is free(3)d. */
char *text_format(const char *format, ...) _printf_(1, 2);

/* Puts a copy of `text` in place of what `*place` held; NULL clears it. Where memory is out,
 * `*place` becomes NULL. */
void text_replace(char **place, const char *text);

/* Adds `text` to what `*place` holds, parted by `separator`. Keeps `*place` where memory is out. */
void text_append(char **place, const char *separator, const char *text);
