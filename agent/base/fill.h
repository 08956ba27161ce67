/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The texts of the table of events (agent/base/outcome.def) with values in the places of @FIELD@,
 * the one way in which they are filled. Values come from anybody: a portal, an issuer, DNS. What
 * stands in a command, which is between backquotes, will be typed by root. Nothing here logs. */

#include <stdbool.h>

/* Behind a field's name: the journal's field that has what stands for it in commands. The journal
 * fills its catalog itself and quotes nothing, so entries bear both. */
#define FILL_QUOTED "_QUOTED"

/* What stands in the place of `name`: malloc(3)ed, or NULL where memory is out.
 *
 * in_command   the place is in one: fill_word() of the value */
typedef char *(*fill_find_fn)(const char *name, bool in_command, const void *userdata);

/* A copy of `text` with its places filled; in a text with commands, backquotes in other places are
 * escaped. malloc(3)ed, or NULL where memory is out. */
char *fill_text(const char *text, fill_find_fn find, const void *userdata);

/* What stands for `name` in a command: the value as one word of the shell (agent/base/shell.h).
 * Where that cannot be, or `value` is NULL, the reader has to put it in: then the name in capitals,
 * "USER" of WRITEBACK_USER. malloc(3)ed, or NULL where memory is out. */
char *fill_word(const char *name, const char *value);

/* Whether a place of `name` is in the text; in a command of it, where only those are asked for. */
bool fill_has_place(const char *text, const char *name, bool in_command_only);

/* "DC" of "WRITEBACK_DC". Borrowed from `name`. */
const char *fill_short_name(const char *name);
