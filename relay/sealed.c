/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jose/b64.h>
#include <jose/jwe.h>
#include <string.h>

#include "relay/compact.h"
#include "relay/keys.h"

/* The parts of a compact JWE (RFC 7516 section 7.1). */
enum { HEADER, ENCRYPTED_KEY, IV, CIPHERTEXT, TAG, PARTS };

/* Sizes of A256GCM (RFC 7518 section 5.3) and of a 256-bit key wrapped by A256KW (section 4.4). */
#define IV_SIZE 12
#define TAG_SIZE 16
#define WRAPPED_KEY_SIZE 40

/* P-256's coordinates as base64url. */
#define COORDINATE_LENGTH 43

static const header_parameter allowed[] = {
    {"alg", JSON_STRING}, {"enc", JSON_STRING}, {"kid", JSON_STRING}, {"typ", JSON_STRING},
    {"cty", JSON_STRING}, {"epk", JSON_OBJECT}, {"apu", JSON_STRING}, {"apv", JSON_STRING},
};

static bool is(const json_t *object, const char *name, const char *value) {
    const char *text = json_get_string(object, name);

    return text && strcmp(text, value) == 0;
}

static bool is_base64url(const char *text) {
    return base64url_is_valid(text, strlen(text));
}

static bool is_coordinate(const char *text) {
    return text && strlen(text) == COORDINATE_LENGTH && is_base64url(text);
}

/* That the point is on the curve is looked after by OpenSSL's EC_KEY_check_key(), in libjose. */
static bool is_public_key(const json_t *epk) {
    return json_object_size(epk) == 4 && is(epk, "kty", "EC") && is(epk, "crv", "P-256") &&
           is_coordinate(json_get_string(epk, "x")) && is_coordinate(json_get_string(epk, "y"));
}

static bool is_absent_or_base64url(const json_t *header, const char *name) {
    const char *text = json_get_string(header, name);

    return !text || is_base64url(text);
}

static const char *check_header(const json_t *header, bool *ret_wraps) {
    bool wraps = is(header, "alg", "ECDH-ES+A256KW");

    if (!wraps && !is(header, "alg", "ECDH-ES"))
        return "the header's alg is not ECDH-ES+A256KW or ECDH-ES";
    if (!is(header, "enc", "A256GCM"))
        return "the header's enc is not A256GCM";
    if (!is_public_key(json_object_get(header, "epk")))
        return "the header's epk is not a public key of type EC P-256";
    if (!is_absent_or_base64url(header, "apu") || !is_absent_or_base64url(header, "apv"))
        return "the header's apu or apv is not base64url";
    if (!json_get_string(header, "kid"))
        return "the header has no kid";

    *ret_wraps = wraps;
    return NULL;
}

static const char *check_sizes(const compact_part parts[static PARTS], bool wraps) {
    if (compact_part_size(&parts[ENCRYPTED_KEY]) != (wraps ? WRAPPED_KEY_SIZE : 0))
        return "the encrypted key has the wrong size";
    if (compact_part_size(&parts[IV]) != IV_SIZE)
        return "the initialization vector has the wrong size";
    if (compact_part_size(&parts[TAG]) != TAG_SIZE)
        return "the authentication tag has the wrong size";
    return NULL;
}

/* What libjose works on: everything but the ciphertext, which is fed to it. */
static json_t *to_json(const compact_part parts[static PARTS]) {
    static const char *const names[PARTS] = {
        [HEADER] = "protected", [ENCRYPTED_KEY] = "encrypted_key", [IV] = "iv", [TAG] = "tag"};
    _cleanup_(json_freep) json_t *jwe = json_object();

    for (size_t i = 0; i < PARTS; i++)
        if (names[i] && parts[i].length > 0 &&
            json_object_set_new(jwe, names[i], json_stringn(parts[i].text, parts[i].length)) < 0)
            return NULL;

    return TAKE_PTR(jwe);
}

/* The plain text goes straight from OpenSSL into the secret. It is only handed out once the tag was
 * found right. */
static int decrypt(const compact_part parts[static PARTS], const json_t *key, secret **ret) {
    size_t size = compact_part_size(&parts[CIPHERTEXT]);
    jose_io_auto_t *sink = NULL, *opener = NULL, *decoder = NULL;
    _cleanup_(secret_freep) secret *plain = NULL;
    _cleanup_(json_freep) json_t *jwe = to_json(parts);
    int r;

    if (!jwe)
        return -ENOMEM;

    r = secret_new_empty(size, &plain);
    if (r < 0)
        return r;

    sink = jose_io_buffer(NULL, secret_buffer(plain), &size);
    if (!sink)
        return -ENOMEM;

    opener = jose_jwe_dec_io(NULL, jwe, NULL, key, sink);
    if (!opener)
        return -EBADMSG;

    decoder = jose_b64_dec_io(opener);
    if (!decoder)
        return -ENOMEM;

    if (!decoder->feed(decoder, parts[CIPHERTEXT].text, parts[CIPHERTEXT].length) ||
        !decoder->done(decoder))
        return -EBADMSG;

    secret_truncate(plain, size);
    *ret = TAKE_PTR(plain);
    return 0;
}

static int refuse(const char *why, const char **ret_why) {
    *ret_why = why;
    return -EBADMSG;
}

int agent_keys_open_sealed(const agent_keys *k, const char *jwe, size_t size, usec_t now,
                           secret **ret, const char **ret_why) {
    _cleanup_(json_freep) json_t *header = NULL, *key = NULL;
    compact_part parts[PARTS];
    bool wraps = false;
    const char *why;
    int r;

    assert(k);
    assert(jwe || size == 0);
    assert(ret);
    assert(ret_why);

    if (size > RELAY_BODY_MAX)
        return refuse("it is larger than 256 KiB", ret_why);

    r = compact_split(jwe, size, parts, PARTS);
    if (r == -EILSEQ)
        return refuse("a part of it is not base64url without padding", ret_why);
    if (r < 0)
        return refuse("it is not a compact JWE, five parts with dots between them", ret_why);

    r = compact_header(&parts[HEADER], allowed, ELEMENTSOF(allowed), &header, ret_why);
    if (r < 0)
        return r;

    why = check_header(header, &wraps);
    if (!why)
        why = check_sizes(parts, wraps);
    if (why)
        return refuse(why, ret_why);

    r = agent_keys_get_private(k, json_get_string(header, "kid"), now, &key);
    if (r == -ENOENT)
        return refuse("the header's kid is not that of a key of this agent", ret_why);
    if (r == -EKEYEXPIRED)
        return refuse("the header's kid is that of a key which has ended", ret_why);
    if (r < 0)
        return r;

    r = decrypt(parts, key, ret);
    if (r == -EBADMSG)
        return refuse("the key named does not open it: it was sealed with another, or changed on "
                      "its way",
                      ret_why);
    return r;
}
