/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* GUIDs and SIDs: bytes as the directory keeps them (MS-DTYP 2.3.4.2 and 2.4.2.2) and text as
 * people write them (2.3.4.3 and 2.4.2.1). Nothing here allocates or logs. */

#include <stdbool.h>

#include "agent/base/macro.h"

#define GUID_SIZE 16
#define GUID_TEXT_MAX 37

/* Revision, count, authority, and at most fifteen sub-authorities. */
#define SID_SIZE_MAX (8 + 15 * 4)
#define SID_TEXT_MAX 192

/* A SID as bytes. */
typedef struct security_id {
    uint8_t bytes[SID_SIZE_MAX];
    size_t size;
} security_id;

/* Takes "01234567-89ab-cdef-0123-456789abcdef", either case, no braces. Returns 0 or -EINVAL. */
int guid_from_text(const char *text, uint8_t ret[static GUID_SIZE]);

/* In lower case. Returns `buffer`. */
const char *guid_to_text(const uint8_t guid[static GUID_SIZE], char buffer[static GUID_TEXT_MAX]);

/* Takes "S-1-5-21-…". Returns 0 or -EINVAL. */
int sid_from_text(const char *text, uint8_t ret[static SID_SIZE_MAX], size_t *ret_size);

/* Returns 0, or -EINVAL where the bytes are no SID. */
int sid_to_text(const void *sid, size_t size, char ret[static SID_TEXT_MAX]);
