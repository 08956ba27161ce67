/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text for people: wrapped, and harmless to the terminal that shows it. */

#include <stddef.h>
#include <stdio.h>

/* Writes `text` with lines of at most `width` columns, `first` before the first of them and `rest`
 * before the others. A word longer than that stands whole. */
void text_wrap(FILE *f, const char *text, size_t width, const char *first, const char *rest);

/* The same for lines separated by \n, as numbered steps, indented by `indent`. Commands in
 * backquotes get lines of their own, whole and without the backquotes. */
void text_steps(FILE *f, const char *steps, size_t width, const char *indent);

/* Writes `text` with control characters replaced by "?", and cut to one line thereby. */
void text_put_printable(FILE *f, const char *text);

/* A copy with each @WRITEBACK_USER@ as <USER>. malloc(3)ed, or NULL. */
char *text_show_fields(const char *text);
