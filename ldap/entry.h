/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of an entry that a search brought. Nothing here logs. */

#include <ldap.h>
#include <stdbool.h>

#include "agent/base/macro.h"
#include "ldap/identity.h"

typedef struct entry {
    LDAP *ld;
    LDAPMessage *message;
} entry;

/* The entry's name. malloc(3)ed, or NULL. */
char *entry_dn(entry e);

/* The attribute's first value. malloc(3)ed; NULL where it has none, or memory is out. */
char *entry_text(entry e, const char *attribute);

/* The first value's bytes, at most `capacity`. Returns how many, or -ENODATA where there is no
 * value or it is longer. */
ssize_t entry_bytes(entry e, const char *attribute, void *buffer, size_t capacity);

/* The first value's bytes, at most `limit`, to be free(3)d. Returns 0; -ENODATA where there is no
 * value or it is longer; or -ENOMEM. */
int entry_copy(entry e, const char *attribute, size_t limit, uint8_t **ret, size_t *ret_size);

/* All values that are SIDs, at most ENTRY_SIDS_MAX, to be free(3)d. Returns 0; -ENODATA where there
 * is none; or -ENOMEM. */
#define ENTRY_SIDS_MAX ((size_t) 4096)
int entry_sids(entry e, const char *attribute, security_id **ret, size_t *ret_n);

/* The first value as a whole number; `otherwise` where there is none or it is no number. */
int64_t entry_integer(entry e, const char *attribute, int64_t otherwise);

/* A date as AD keeps it (100 ns since 1601), CLOCK_REALTIME; 0 where it is none, never, or not set.
 */
usec_t entry_date(entry e, const char *attribute);

/* A date as LDAP writes it (Generalized Time), CLOCK_REALTIME; 0 where it is none. */
usec_t entry_time(entry e, const char *attribute);

/* A span of time as AD keeps it (100 ns, negative); 0 where there is none. */
usec_t entry_span(entry e, const char *attribute);

/* Whether one of the attribute's values is these bytes. */
bool entry_has_value(entry e, const char *attribute, const void *value, size_t size);

bool entry_has(entry e, const char *attribute);
