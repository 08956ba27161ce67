/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Security descriptors as the directory sends them, self-relative (MS-DTYP 2.4.6), and what one
 * lets somebody do (MS-ADTS 5.1.3.3). Nothing here allocates or logs. */

#include "ldap/identity.h"

/* What was found in the bytes, which are borrowed. */
typedef struct security_descriptor {
    const uint8_t *entries; /* of the discretionary list, checked; NULL: it has no list */
    size_t n_entries, entries_size;
    bool is_protected; /* inherits nothing from its parent: SE_DACL_PROTECTED */
} security_descriptor;

/* Returns 0, or -EBADMSG where the bytes are none: a size or an offset that leads out of them, an
 * entry of a known type that is too short, or a SID that is none. */
int security_descriptor_parse(const void *data, size_t size, security_descriptor *ret);

/* Bits of an access mask, MS-ADTS 5.1.3.2. */
#define ACCESS_WRITE_PROPERTY 0x20u
#define ACCESS_CONTROL 0x100u

#define ACCESS_TYPES_MAX 3

/* What is asked for: one bit, and the object types whose entries count. For a control access right
 * that is its own GUID (5.1.3.3.4); for an attribute its own, its property set's, if it is in one,
 * and its class's (5.1.3.3.3). An entry without an object type always counts. */
typedef struct access_wish {
    uint32_t mask;
    uint8_t types[ACCESS_TYPES_MAX][GUID_SIZE];
    size_t n_types;
} access_wish;

typedef enum access_verdict {
    ACCESS_GRANTED,
    ACCESS_NOT_GRANTED, /* no entry says anything */
    ACCESS_DENIED,      /* an entry denies it before any grants it */
} access_verdict;

/* Goes through the entries in their order; the first that counts decides. Entries for heirs only
 * are passed over, and so are those with a condition, of which only a controller can judge.
 *
 * token        every SID of who asks
 * self         the object's own, which Principal Self stands for; NULL: it has none
 * ret_denied   whom the entry names that denied it; set for ACCESS_DENIED only */
access_verdict security_descriptor_check(const security_descriptor *sd, const access_wish *wish,
                                         const security_id *token, size_t n_token,
                                         const security_id *self, security_id *ret_denied);
