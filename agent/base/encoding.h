/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Base64 (RFC 4648 section 4, strict), UTF-8 and UTF-16. Nothing here logs. */

#include "agent/base/secret.h"

/* Standard base64 with padding, no white space, no stray bits. The result's size is written to
 * ret_size. Returns 0, -EINVAL where it is none, -ENOBUFS where it is longer than `capacity` bytes.
 */
int base64_decode(const char *text, size_t length, void *buffer, size_t capacity, size_t *ret_size);

/* malloc(3)ed and NUL-terminated, or NULL. */
char *base64_encode(const void *data, size_t size);

/* True for well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
bool utf8_is_valid(const char *text, size_t size);

/* UTF-8 to UTF-16LE, as Active Directory stores text. Returns 0, -EINVAL where it is no valid UTF-8
 * or holds NUL, or -ENOMEM. `*ret_units` counts UTF-16 code units. */
int utf8_to_utf16le(const char *text, size_t size, secret **ret, size_t *ret_units);
