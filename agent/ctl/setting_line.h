/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lines of a configuration file, however wrong it is otherwise, and what in them may be secret.
 * Nothing here logs. */

#include <stdbool.h>

#include "agent/base/redact_url.h"

typedef enum setting_kind {
    SETTING_UNKNOWN,    /* writebackd.conf(5) has none of that name */
    SETTING_CREDENTIAL, /* names a credential, and should not be one */
    SETTING_ADDRESS,
    SETTING_OTHER,
} setting_kind;

/* A setting as inih reads it. */
typedef struct setting_line {
    char *key;
    char *first; /* what stands in its own line */
    char *value; /* with the lines that continue it, joined without a gap */
    setting_kind kind;
} setting_line;

/* Reads the one that begins at `line`, within the file's text. Returns false where none does, or
 * memory is out. */
bool setting_line_read(const char *line, setting_line *ret);
void setting_line_done(setting_line *s);

bool is_comment_line(const char *line);

/* Whether the value names a credential that is there, or would be: somebody may have written the
 * secret where its name should be. */
bool is_credential_name(const char *value);

/* Hands over the pieces of a value, as url_split() does those of an address. */
void setting_value_split(setting_kind kind, const char *value, url_piece_fn piece, void *userdata);

/* A copy without white space around it, and without a comment behind it. malloc(3)ed, or NULL. */
char *setting_trim(const char *text, size_t n);
