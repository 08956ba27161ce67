/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text for people: wrapped, and harmless to the terminal that shows it. */

#include <stddef.h>
#include <stdio.h>

/* Writes `text` with lines of at most `width` columns, `first` before the first of them and `rest`
 * before the others. A word longer than that stands whole. */
void text_wrap(FILE *f, const char *text, size_t width, const char *first, const char *rest);

/* A step is text and, at its end, commands in backquotes. Each of these stands on a line of its
 * own, whole and without the backquotes, so that it can be copied; the text is wrapped as above.
 * Changes `step`. */
void text_step(FILE *f, char *step, size_t width, const char *first, const char *rest);

/* The same for lines separated by \n, as numbered steps, indented by `indent`. */
void text_steps(FILE *f, const char *steps, size_t width, const char *indent);

/* Writes `text` with control characters replaced by "?", and cut to one line thereby. */
void text_put_printable(FILE *f, const char *text);

/* A copy with each @WRITEBACK_USER@ as <USER>. malloc(3)ed, or NULL. */
char *text_show_fields(const char *text);
