/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When an attribute was last changed, at whichever controller that was: the stamps by which
 * controllers replicate (MS-ADTS 3.1.1.1.9), in an entry's replPropertyMetaData (MS-ADA3 2.192).
 * How they are laid out there is published by Samba (librpc/idl/drsblobs.idl, version 1 of
 * replPropertyMetaDataBlob). Nothing here logs. */

#include "agent/base/macro.h"

#define STAMP_UNICODE_PWD 0x0009005a /* ATTRTYP of 1.2.840.113556.1.4.90 */

#define STAMPS_SIZE_MAX ((size_t) 64 * 1024)

/* CLOCK_REALTIME of the controller that changed it, the fraction of a second cut off; 0 where it
 * has no stamp, or these are none that can be read. */
usec_t stamp_date(const uint8_t *stamps, size_t size, uint32_t attribute);
