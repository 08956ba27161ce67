/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/compact.h"

#include <errno.h>
#include <jose/b64.h>
#include <string.h>

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    if (c == '_')
        return 63;
    return -1;
}

bool base64url_is_valid(const char *text, size_t length) {
    int last = 0;

    for (size_t i = 0; i < length; i++) {
        last = value_of(text[i]);
        if (last < 0)
            return false;
    }

    /* Bits of the last character that no byte takes must be zero, so that every content has one
     * text only. */
    switch (length % 4) {
    case 1:
        return false;
    case 2:
        return (last & 0x0f) == 0;
    case 3:
        return (last & 0x03) == 0;
    default:
        return true;
    }
}

int compact_split(const char *text, size_t size, compact_part *ret_parts, size_t n) {
    const char *end = text + size;
    size_t dots = 0;

    for (size_t i = 0; i < size; i++)
        if (text[i] == '.')
            dots++;
    if (dots + 1 != n)
        return -EBADMSG;

    for (size_t i = 0; i < n; i++) {
        const char *dot = memchr(text, '.', (size_t) (end - text));
        size_t length = (size_t) ((dot ? dot : end) - text);

        if (!base64url_is_valid(text, length))
            return -EILSEQ;

        ret_parts[i] = (compact_part){.text = text, .length = length};
        if (dot)
            text = dot + 1;
    }
    return 0;
}

size_t compact_part_size(const compact_part *part) {
    return part->length * 3 / 4;
}

int compact_decode(const compact_part *part, secret **ret) {
    size_t size = compact_part_size(part);
    secret *s;
    int r;

    r = secret_new_empty(size, &s);
    if (r < 0)
        return r;

    /* The part is known to be well-formed, so this cannot fail. */
    (void) jose_b64_dec_buf(part->text, part->length, secret_buffer(s), size);
    *ret = s;
    return 0;
}

#define REFUSED(name)                                                                              \
    { name, "the header holds the parameter " name ", which is not allowed" }

static const char *describe_refused(const char *name) {
    static const struct {
        const char *name, *why;
    } known[] = {
        REFUSED("b64"), REFUSED("crit"), REFUSED("jku"), REFUSED("jwk"), REFUSED("nonce"),
        REFUSED("p2c"), REFUSED("p2s"),  REFUSED("x5c"), REFUSED("x5t"), REFUSED("x5t#S256"),
        REFUSED("epk"), REFUSED("enc"),  REFUSED("x5u"), REFUSED("zip"),
    };

    for (size_t i = 0; i < ELEMENTSOF(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].why;
    return "the header holds a parameter that is not allowed";
}

static const char *check_parameter(const char *name, const json_t *value,
                                   const header_parameter *allowed, size_t n_allowed) {
    for (size_t i = 0; i < n_allowed; i++)
        if (strcmp(allowed[i].name, name) == 0)
            return json_typeof(value) == allowed[i].type
                       ? NULL
                       : "a parameter of the header has the wrong type";

    return describe_refused(name);
}

int compact_header(const compact_part *part, const header_parameter *allowed, size_t n_allowed,
                   json_t **ret, const char **ret_why) {
    _cleanup_(secret_freep) secret *text = NULL;
    _cleanup_(json_freep) json_t *header = NULL;
    const char *name, *why;
    json_t *value;
    int r;

    if (compact_part_size(part) > COMPACT_HEADER_MAX) {
        *ret_why = "the header is larger than 4 KiB";
        return -EBADMSG;
    }

    r = compact_decode(part, &text);
    if (r < 0)
        return r;

    r = json_parse(secret_data(text), secret_size(text), COMPACT_HEADER_MAX, &header, &why);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || !json_is_object(header)) {
        *ret_why = "the header is not one JSON object with every member once";
        return -EBADMSG;
    }

    json_object_foreach(header, name, value) {
        why = check_parameter(name, value, allowed, n_allowed);
        if (why) {
            *ret_why = why;
            return -EBADMSG;
        }
    }

    *ret = TAKE_PTR(header);
    return 0;
}
