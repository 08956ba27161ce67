/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Search filters (RFC 4515) for the accounts that identifiers mean. Nothing here logs. */

#include "ldap/directory.h"

/* Which of the two attributes an immutable id is looked for in; other identifiers have one. */
typedef enum filter_anchor {
    ANCHOR_CONSISTENCY_GUID,
    ANCHOR_OBJECT_GUID,
} filter_anchor;

/* The filter that finds the user account with this identifier; neither computers nor trusts have
 * the sAMAccountType asked for. The identifier must have passed directory_identifier_check().
 * malloc(3)ed, or NULL where memory is out. */
char *filter_for_account(const directory_identifier *id, filter_anchor anchor);

/* Text as a filter's value: what has a meaning there is escaped. malloc(3)ed, or NULL. */
char *filter_escape(const char *text);

/* Bytes as a filter's value, all escaped. malloc(3)ed, or NULL. */
char *filter_escape_bytes(const void *data, size_t size);
