/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Distinguished names (RFC 4514), compared part by part. Nothing here logs. */

#include <stdbool.h>

/* Whether `dn` is `base` or stands below it, however the two are spelled: escapes, spaces around
 * parts and the case of ASCII letters do not count. False too where one of them is no name, or
 * memory is out. */
bool dn_is_below(const char *dn, const char *base);

/* Whether the text is a distinguished name at all. */
bool dn_is_valid(const char *dn);
