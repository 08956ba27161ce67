/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON from the wire: bounded in size and depth, no duplicate keys, no NULs. Nothing here logs. */

#include <jansson.h>

#include "agent/base/macro.h"

#define JSON_DEPTH_MAX 16

static inline json_t *json_free(json_t *j) {
    json_decref(j);
    return NULL;
}

DEFINE_CLEANUP(json_t *, json_free);

/* Parses one object or array, nothing behind it. `limit` is in bytes; deeper nesting than
 * JSON_DEPTH_MAX is refused before anything is built.
 *
 * Returns 0; -E2BIG for the size; -ELOOP for the depth; -EINVAL where it is no JSON, with a static
 * text of what is wrong in *ret_why; -ENOMEM. The text never quotes the input. */
int json_parse(const char *text, size_t size, size_t limit, json_t **ret, const char **ret_why);

/* The same, but NULs are let through in strings: for what has to be answered though it holds some.
 * Their values are to be had by json_text() and json_get_string() only. */
int json_parse_with_nuls(const char *text, size_t size, size_t limit, json_t **ret,
                         const char **ret_why);

/* The text, or NULL where it is no string, or one that holds a NUL. Borrowed. */
const char *json_text(const json_t *j);

/* The same of the member `name`; NULL, too, where there is none. */
const char *json_get_string(const json_t *object, const char *name);

/* An array of the lines of a text, none of an empty one. A new reference, or NULL where memory is
 * out. */
json_t *json_lines(const char *text);

/* Writes it compactly. malloc(3)ed (not secret), or NULL where memory is out. */
char *json_to_text(const json_t *j);
