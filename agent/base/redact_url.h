/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Addresses as they may be shown: what stands before the @, values of the query and the fragment
 * may be keys (Azure Functions take theirs as ?code=…). Nothing here logs. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/macro.h"

/* What stands in a secret's place. */
#define REDACTED "(masked)"

/* A piece of an address, not NUL-terminated. Together the pieces are the address. */
typedef void (*url_piece_fn)(const char *text, size_t size, bool is_secret, void *userdata);

/* Hands the pieces of an address over, in their order, one that may be secret by itself. It may be
 * wrong in any way, or have no scheme, as a proxy's may; a password in it may hold what an address
 * may not. Where it cannot be told what is what, all behind the scheme is secret. */
void url_split(const char *url, url_piece_fn piece, void *userdata);

/* A copy with what may be secret masked. malloc(3)ed, or NULL. */
char *redact_url(const char *url);

/* A copy that ends before query and fragment, for commands that are to be typed; nothing else is
 * taken out. malloc(3)ed, or NULL. */
char *url_without_query(const char *url);
