/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JOSE's compact serialisation (RFC 7515 section 7.1, RFC 7516 section 7.1), read strictly before
 * libjose sees anything of it. Nothing here logs. */

#include "agent/base/json.h"
#include "agent/base/secret.h"

/* The bytes of a header, decoded. */
#define COMPACT_HEADER_MAX ((size_t) 4096)

/* The text between two dots; borrowed. */
typedef struct compact_part {
    const char *text;
    size_t length;
} compact_part;

/* Splits `text` into exactly `n` parts, each of them base64url (RFC 4648 section 5) without
 * padding, white space or stray bits. A part may be empty. Returns 0; -EBADMSG where there are more
 * or fewer parts; -EILSEQ where one is no base64url. */
int compact_split(const char *text, size_t size, compact_part *ret_parts, size_t n);

/* True for base64url as compact_split() wants it. */
bool base64url_is_valid(const char *text, size_t length);

/* How many bytes the part holds. */
size_t compact_part_size(const compact_part *part);

/* Decodes a part that compact_split() made. Returns 0 or -ENOMEM. */
int compact_decode(const compact_part *part, secret **ret);

/* A header parameter that may be there, and the type it must have. */
typedef struct header_parameter {
    const char *name;
    json_type type;
} header_parameter;

/* Reads a protected header: one JSON object, every member once, only parameters of `allowed`.
 *
 * Returns 0; -EBADMSG with a static text in *ret_why that says what is wrong and never quotes the
 * header; -ENOMEM. */
int compact_header(const compact_part *part, const header_parameter *allowed, size_t n_allowed,
                   json_t **ret, const char **ret_why);
