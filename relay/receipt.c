/* SPDX-License-Identifier: Apache-2.0 */
/* Receipts: RFC 7515, appendix F, detached content. */

#include <errno.h>
#include <jose/b64.h>
#include <jose/jws.h>
#include <stdio.h>
#include <string.h>

#include "relay/compact.h"
#include "relay/issuer_keys.h"
#include "relay/keys.h"

enum { HEADER, PAYLOAD, SIGNATURE, PARTS };

/* A receipt has a few hundred bytes. */
#define RECEIPT_MAX ((size_t) 8 * 1024)

static const header_parameter allowed[] = {
    {"alg", JSON_STRING},  {"kid", JSON_STRING}, {"typ", JSON_STRING},
    {"iat", JSON_INTEGER}, {"jti", JSON_STRING},
};

/* {"payload": base64url(body)}, as libjose takes it. */
static json_t *with_payload(const void *body, size_t size) {
    _cleanup_(json_freep) json_t *jws = json_object();

    if (json_object_set_new(jws, "payload", jose_b64_enc(body, size)) < 0)
        return NULL;
    return TAKE_PTR(jws);
}

int agent_keys_sign(const agent_keys *k, const char *id, usec_t now, const void *body, size_t size,
                    char **ret) {
    _cleanup_(json_freep) json_t *key = NULL, *jws = with_payload(body, size), *template = NULL;
    const char *kid;
    int r;

    assert(k);
    assert(body || size == 0);
    assert(ret);

    r = agent_keys_get_signing(k, &kid, &key);
    if (r < 0)
        return r;

    template = json_pack("{s:{s:s, s:s, s:I, s:s*}}", "protected", "alg", "ES256", "kid", kid,
                         "iat", (json_int_t) (now / USEC_PER_SEC), "jti", id);
    if (!jws || !template || !jose_jws_sig(NULL, jws, template, key))
        return -ENOMEM;

    if (asprintf(ret, "%s..%s", json_get_string(jws, "protected"),
                 json_get_string(jws, "signature")) < 0)
        return -ENOMEM;
    return 0;
}

void receipt_info_done(receipt_info *r) {
    assert(r);

    free(r->kid);
    free(r->id);
    *r = (receipt_info){0};
}

static int refuse(const char *why, const char **ret_why) {
    *ret_why = why;
    return -EBADMSG;
}

static int read_header(const compact_part parts[static PARTS], json_t **ret, const char **ret_why) {
    _cleanup_(json_freep) json_t *header = NULL;
    const char *alg;
    int r;

    r = compact_header(&parts[HEADER], allowed, ELEMENTSOF(allowed), &header, ret_why);
    if (r < 0)
        return r;

    alg = json_get_string(header, "alg");
    if (!alg || strcmp(alg, "ES256") != 0)
        return refuse("the receipt's alg is not ES256", ret_why);
    if (!json_get_string(header, "kid") || json_integer_value(json_object_get(header, "iat")) <= 0)
        return refuse("the receipt's header has no kid or no iat", ret_why);

    *ret = TAKE_PTR(header);
    return 0;
}

static int check_signature(const compact_part parts[static PARTS], const void *body, size_t size,
                           const json_t *jwk, const char **ret_why) {
    _cleanup_(json_freep) json_t *jws = with_payload(body, size);

    if (json_object_set_new(jws, "protected",
                            json_stringn(parts[HEADER].text, parts[HEADER].length)) < 0 ||
        json_object_set_new(jws, "signature",
                            json_stringn(parts[SIGNATURE].text, parts[SIGNATURE].length)) < 0)
        return -ENOMEM;

    if (!issuer_key_fits(jwk, "ES256") || !jose_jws_ver(NULL, jws, NULL, jwk, true))
        return refuse("the key named did not sign this body: one of the two was changed", ret_why);
    return 0;
}

int receipt_verify(const char *text, const void *body, size_t size, const char *keys,
                   size_t keys_size, receipt_info *ret, const char **ret_why) {
    _cleanup_(json_freep) json_t *header = NULL, *set = NULL;
    _cleanup_(receipt_info_done) receipt_info told = {0};
    compact_part parts[PARTS];
    const char *kid, *id;
    const json_t *jwk;
    int r;

    assert(text);
    assert(body || size == 0);
    assert(keys || keys_size == 0);
    assert(ret);
    assert(ret_why);

    if (strlen(text) > RECEIPT_MAX || compact_split(text, strlen(text), parts, PARTS) < 0 ||
        parts[PAYLOAD].length != 0)
        return refuse("it is no detached JWS: a header, two dots, a signature", ret_why);

    r = read_header(parts, &header, ret_why);
    if (r < 0)
        return r;
    r = issuer_keys_parse(keys, keys_size, NULL, &set, ret_why);
    if (r < 0)
        return r;

    kid = json_get_string(header, "kid");
    jwk = json_object_get(set, kid);
    if (!jwk)
        return refuse("the key that the receipt names (kid) is not among the keys given", ret_why);
    r = check_signature(parts, body, size, jwk, ret_why);
    if (r < 0)
        return r;

    id = json_get_string(header, "jti");
    told = (receipt_info){
        .kid = strdup(kid),
        .id = id ? strdup(id) : NULL,
        .issued = (usec_t) json_integer_value(json_object_get(header, "iat")) * USEC_PER_SEC,
    };
    if (!told.kid || (id && !told.id))
        return -ENOMEM;

    *ret = told;
    told = (receipt_info){0};
    return 0;
}
