/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/encoding.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

int base64_decode(const char *text, size_t length, void *buffer, size_t capacity,
                  size_t *ret_size) {
    _cleanup_(secret_freep) secret *whole = NULL;
    _cleanup_free_ char *again = NULL;
    size_t size;
    int r;

    assert(text || length == 0);
    assert(buffer);
    assert(ret_size);

    if (length % 4 != 0 || length > INT32_MAX)
        return -EINVAL;

    r = secret_new_empty(length / 4 * 3 + 1, &whole);
    if (r < 0)
        return r;

    if (length > 0 && EVP_DecodeBlock((unsigned char *) secret_buffer(whole),
                                      (const unsigned char *) text, (int) length) < 0)
        return -EINVAL;

    /* EVP_DecodeBlock counts the padding as zero bytes and forgives white space and stray bits;
     * what does not encode to the same text again was not strict base64. */
    size = length / 4 * 3;
    if (length > 0 && text[length - 1] == '=')
        size--;
    if (length > 1 && text[length - 2] == '=')
        size--;

    again = base64_encode(secret_data(whole), size);
    if (!again)
        return -ENOMEM;
    r = strlen(again) == length && memcmp(again, text, length) == 0 ? 0 : -EINVAL;
    explicit_bzero(again, strlen(again));
    if (r < 0)
        return r;

    if (size > capacity)
        return -ENOBUFS;

    memcpy(buffer, secret_data(whole), size);
    *ret_size = size;
    return 0;
}

char *base64_encode(const void *data, size_t size) {
    char *text;

    if (size > INT32_MAX / 2)
        return NULL;

    text = malloc((size + 2) / 3 * 4 + 1);
    if (!text)
        return NULL;

    (void) EVP_EncodeBlock((unsigned char *) text, data, (int) size);
    return text;
}

/* Decodes one character. Returns its length in bytes, or 0 where there is no valid one. */
static size_t utf8_decode(const unsigned char *p, size_t left, uint32_t *ret) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length;
    uint32_t c;

    if (p[0] < 0x80) {
        *ret = p[0];
        return 1;
    }

    if ((p[0] & 0xe0) == 0xc0)
        length = 2, c = p[0] & 0x1fu;
    else if ((p[0] & 0xf0) == 0xe0)
        length = 3, c = p[0] & 0x0fu;
    else if ((p[0] & 0xf8) == 0xf0)
        length = 4, c = p[0] & 0x07u;
    else
        return 0;

    if (length > left)
        return 0;

    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }

    if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;

    *ret = c;
    return length;
}

bool utf8_is_valid(const char *text, size_t size) {
    uint32_t c;

    for (size_t i = 0, n; i < size; i += n) {
        n = utf8_decode((const unsigned char *) text + i, size - i, &c);
        if (n == 0)
            return false;
    }
    return true;
}

static size_t put_unit(char *out, uint32_t unit) {
    out[0] = (char) (unit & 0xff);
    out[1] = (char) (unit >> 8);
    return 2;
}

int utf8_to_utf16le(const char *text, size_t size, secret **ret, size_t *ret_units) {
    _cleanup_(secret_freep) secret *s = NULL;
    size_t used = 0;
    int r;

    assert(text || size == 0);
    assert(ret);

    if (size > SIZE_MAX / 4)
        return -ENOMEM;

    /* No character needs more bytes in UTF-16 than twice those it has in UTF-8. */
    r = secret_new_empty(size * 2, &s);
    if (r < 0)
        return r;

    for (size_t i = 0, n; i < size; i += n) {
        uint32_t c;

        n = utf8_decode((const unsigned char *) text + i, size - i, &c);
        if (n == 0 || c == 0)
            return -EINVAL;

        if (c < 0x10000) {
            used += put_unit(secret_buffer(s) + used, c);
        } else {
            used += put_unit(secret_buffer(s) + used, 0xd800 + ((c - 0x10000) >> 10));
            used += put_unit(secret_buffer(s) + used, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }

    secret_truncate(s, used);
    if (ret_units)
        *ret_units = used / 2;
    *ret = TAKE_PTR(s);
    return 0;
}
