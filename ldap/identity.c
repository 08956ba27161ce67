/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/identity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SID_SUB_AUTHORITIES_MAX 15

/* Where the bytes of a GUID stand in its text: the first three fields are little-endian. */
static const uint8_t guid_order[GUID_SIZE] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool dash_before(size_t byte) {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

int guid_from_text(const char *text, uint8_t ret[static GUID_SIZE]) {
    uint8_t guid[GUID_SIZE];

    assert(text);

    for (size_t i = 0; i < GUID_SIZE; i++) {
        int high, low;

        if (dash_before(i) && *text++ != '-')
            return -EINVAL;

        high = hex_digit(text[0]);
        if (high < 0)
            return -EINVAL;
        low = hex_digit(text[1]);
        if (low < 0)
            return -EINVAL;

        guid[guid_order[i]] = (uint8_t) (high << 4 | low);
        text += 2;
    }

    if (*text != '\0')
        return -EINVAL;

    memcpy(ret, guid, GUID_SIZE);
    return 0;
}

const char *guid_to_text(const uint8_t guid[static GUID_SIZE], char buffer[static GUID_TEXT_MAX]) {
    char *p = buffer;

    for (size_t i = 0; i < GUID_SIZE; i++)
        p += sprintf(p, "%s%02x", dash_before(i) ? "-" : "", guid[guid_order[i]]);
    return buffer;
}

/* Reads a decimal number of at most `max`, with no sign, and moves on behind it. */
static int read_number(const char **text, uint64_t max, uint64_t *ret) {
    uint64_t n = 0;
    const char *p = *text;

    if (!isdigit((unsigned char) *p))
        return -EINVAL;

    for (; isdigit((unsigned char) *p); p++) {
        uint64_t digit = (uint64_t) (*p - '0');

        if (n > (max - digit) / 10)
            return -EINVAL;
        n = n * 10 + digit;
    }

    *text = p;
    *ret = n;
    return 0;
}

int sid_from_text(const char *text, uint8_t ret[static SID_SIZE_MAX], size_t *ret_size) {
    uint8_t sid[SID_SIZE_MAX] = {1};
    uint64_t authority, sub;
    size_t n = 0;

    assert(text);
    assert(ret_size);

    /* An authority beyond 32 bits would be written in hexadecimal; no directory has one. */
    if (strncmp(text, "S-1-", 4) != 0)
        return -EINVAL;
    text += 4;
    if (read_number(&text, UINT32_MAX, &authority) < 0)
        return -EINVAL;

    for (size_t i = 0; i < 4; i++)
        sid[4 + i] = (uint8_t) (authority >> (24 - 8 * i));

    while (*text == '-') {
        text++;
        if (n == SID_SUB_AUTHORITIES_MAX || read_number(&text, UINT32_MAX, &sub) < 0)
            return -EINVAL;

        for (size_t i = 0; i < 4; i++)
            sid[8 + n * 4 + i] = (uint8_t) (sub >> (8 * i));
        n++;
    }

    if (*text != '\0' || n == 0)
        return -EINVAL;

    sid[1] = (uint8_t) n;
    *ret_size = 8 + n * 4;
    memcpy(ret, sid, *ret_size);
    return 0;
}

int sid_to_text(const void *sid, size_t size, char ret[static SID_TEXT_MAX]) {
    const uint8_t *b = sid;
    uint64_t authority = 0;
    char *p = ret;

    assert(sid || size == 0);

    if (size < 8 || b[0] != 1 || b[1] > SID_SUB_AUTHORITIES_MAX || size != 8 + (size_t) b[1] * 4)
        return -EINVAL;

    for (size_t i = 2; i < 8; i++)
        authority = authority << 8 | b[i];
    if (authority > UINT32_MAX)
        return -EINVAL;

    p += sprintf(p, "S-1-%" PRIu64, authority);
    for (size_t i = 8; i < size; i += 4)
        p += sprintf(p, "-%" PRIu32,
                     (uint32_t) b[i] | (uint32_t) b[i + 1] << 8 | (uint32_t) b[i + 2] << 16 |
                         (uint32_t) b[i + 3] << 24);
    return 0;
}
