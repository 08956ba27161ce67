/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/stamps.h"

#include <endian.h>
#include <string.h>

#define STAMPS_VERSION 1
#define HEAD_SIZE 16  /* version, reserved, how many, reserved: 4 bytes each */
#define STAMP_SIZE 48 /* attribute 4, version 4, seconds 8, and by whom */
#define SECONDS_AT 8

/* 1601-01-01 to 1970-01-01 */
#define UNIX_EPOCH UINT64_C(11644473600)

static uint32_t read_32(const uint8_t *at) {
    uint32_t n;

    memcpy(&n, at, sizeof(n));
    return le32toh(n);
}

static uint64_t read_64(const uint8_t *at) {
    uint64_t n;

    memcpy(&n, at, sizeof(n));
    return le64toh(n);
}

static usec_t date_of(uint64_t seconds) {
    if (seconds <= UNIX_EPOCH || seconds - UNIX_EPOCH > UINT64_MAX / USEC_PER_SEC)
        return 0;
    return (seconds - UNIX_EPOCH) * USEC_PER_SEC;
}

usec_t stamp_date(const uint8_t *stamps, size_t size, uint32_t attribute) {
    size_t n;

    if (size < HEAD_SIZE || read_32(stamps) != STAMPS_VERSION)
        return 0;

    n = read_32(stamps + 8);
    if (n != (size - HEAD_SIZE) / STAMP_SIZE)
        return 0;

    for (const uint8_t *stamp = stamps + HEAD_SIZE; n > 0; n--, stamp += STAMP_SIZE)
        if (read_32(stamp) == attribute)
            return date_of(read_64(stamp + SECONDS_AT));
    return 0;
}
