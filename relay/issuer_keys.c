/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/issuer_keys.h"

#include <errno.h>
#include <jose/openssl.h>
#include <string.h>

#include "relay/compact.h"
#include "relay/issuer.h"

#define RSA_BITS_MIN 2048

/* Above this OpenSSL refuses to verify (OPENSSL_RSA_MAX_MODULUS_BITS). */
#define RSA_BITS_MAX 16384

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static bool is(const json_t *jwk, const char *name, const char *value) {
    const char *text = json_get_string(jwk, name);

    return text && strcmp(text, value) == 0;
}

bool issuer_key_fits(const json_t *jwk, const char *alg) {
    const char *for_alg = json_get_string(jwk, "alg");

    assert(alg);

    if (for_alg && strcmp(for_alg, alg) != 0)
        return false;
    if (strcmp(alg, "ES256") == 0)
        return is(jwk, "kty", "EC");
    if (strcmp(alg, "RS256") == 0 || strcmp(alg, "PS256") == 0)
        return is(jwk, "kty", "RSA");
    return false;
}

/* RFC 7517 sections 4.2 and 4.3. */
static bool is_for_verifying(const json_t *jwk) {
    const json_t *operations = json_object_get(jwk, "key_ops");
    bool verifies = !operations;

    for (size_t i = 0; i < json_array_size(operations); i++) {
        const char *operation = json_string_value(json_array_get(operations, i));

        if (operation && strcmp(operation, "verify") == 0)
            verifies = true;
    }

    return verifies && (!json_object_get(jwk, "use") || is(jwk, "use", "sig"));
}

static bool fits_something(const json_t *jwk) {
    return issuer_key_fits(jwk, "RS256") || issuer_key_fits(jwk, "PS256") ||
           issuer_key_fits(jwk, "ES256");
}

/* Copies the members that make up the public key. Returns 0; -EINVAL where one is missing or
 * malformed; -ENOMEM. */
static int copy_public(const json_t *jwk, json_t **ret) {
    static const char *const rsa[] = {"n", "e", NULL}, *const ec[] = {"x", "y", NULL};
    _cleanup_(json_freep) json_t *copy = json_object();

    for (const char *const *name = is(jwk, "kty", "EC") ? ec : rsa; *name; name++) {
        const char *text = json_get_string(jwk, *name);

        if (!text || !*text || !base64url_is_valid(text, strlen(text)))
            return -EINVAL;
        if (json_object_set(copy, *name, json_object_get(jwk, *name)) < 0)
            return -ENOMEM;
    }

    for (const char *const *name = (const char *const[]){"kty", "crv", "alg", NULL}; *name; name++)
        if (json_object_get(jwk, *name) &&
            json_object_set(copy, *name, json_object_get(jwk, *name)) < 0)
            return -ENOMEM;

    *ret = TAKE_PTR(copy);
    return 0;
}

/* OpenSSL makes a key of it: the point is on the curve, the modulus has the size. */
static bool is_sound(const json_t *jwk) {
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = jose_openssl_jwk_to_EVP_PKEY(NULL, jwk);

    if (!pkey)
        return false;
    if (EVP_PKEY_base_id(pkey) == EVP_PKEY_RSA)
        return EVP_PKEY_bits(pkey) >= RSA_BITS_MIN && EVP_PKEY_bits(pkey) <= RSA_BITS_MAX;
    return is(jwk, "crv", "P-256");
}

/* Entra's keys of many tenants stand in one set, some of them for one tenant only. */
static bool is_of(const json_t *jwk, const issuer_config *config) {
    const char *name = json_get_string(jwk, "issuer");

    return !config || !name || issuer_config_names(config, name);
}

/* Returns 1 where the key was taken, 0 where it was passed over, -ENOMEM. */
static int take_key(json_t *keys, const json_t *jwk, const issuer_config *config) {
    const char *kid = json_get_string(jwk, "kid");
    _cleanup_(json_freep) json_t *copy = NULL;
    int r;

    if (!kid || json_object_get(keys, kid) || !fits_something(jwk) || !is_for_verifying(jwk) ||
        !is_of(jwk, config))
        return 0;

    r = copy_public(jwk, &copy);
    if (r == -EINVAL)
        return 0;
    if (r < 0)
        return r;

    if (!is_sound(copy))
        return 0;
    return json_object_set(keys, kid, copy) < 0 ? -ENOMEM : 1;
}

int issuer_keys_parse(const char *text, size_t size, const issuer_config *config, json_t **ret,
                      const char **ret_why) {
    _cleanup_(json_freep) json_t *set = NULL, *keys = NULL;
    const json_t *list;
    json_t *jwk;
    size_t i;
    int r;

    assert(text || size == 0);
    assert(ret);
    assert(ret_why);

    r = json_parse(text, size, ISSUER_KEYS_SIZE_MAX, &set, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;

    list = json_object_get(set, "keys");
    if (!json_is_array(list)) {
        *ret_why = "not a JWK set";
        return -EBADMSG;
    }
    if (json_array_size(list) > ISSUER_KEYS_MAX) {
        *ret_why = "more than 100 keys";
        return -EBADMSG;
    }

    keys = json_object();
    if (!keys)
        return -ENOMEM;

    json_array_foreach(list, i, jwk) {
        r = take_key(keys, jwk, config);
        if (r < 0)
            return r;
    }

    if (json_object_size(keys) == 0) {
        *ret_why = "no key that could verify a token (RSA of 2048 bits, or EC P-256, with a kid)";
        return -EBADMSG;
    }

    *ret = TAKE_PTR(keys);
    return 0;
}
