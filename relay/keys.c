/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keys.h"

#include <errno.h>
#include <jose/jwk.h>
#include <jose/openssl.h>
#include <string.h>

#include "relay/compact.h"

/* What a key is for; the two ways a JWK says it. */
static const struct {
    const char *use, *alg, *purpose;
} uses[] = {
    {"enc", "ECDH-ES+A256KW", "encryption"},
    {"sig", "ES256", "signing"},
};

typedef struct agent_key {
    char *kid;
    const char *use;
    secret *jwk; /* JSON text of kty, crv, x, y, d; NULL: it only verifies any more */
    usec_t made, ends;
} agent_key;

struct agent_keys {
    agent_key keys[KEYS_MAX];
    size_t n;
    json_t *public_set;
};

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

const char *agent_key_purpose(const char *use) {
    return strcmp(use, uses[0].use) == 0 ? uses[0].purpose : uses[1].purpose;
}

/* Writes JSON into a secret; nothing of it stays elsewhere. */
static int json_to_secret(const json_t *j, secret **ret) {
    size_t size = json_dumpb(j, NULL, 0, JSON_COMPACT);
    secret *s;
    int r;

    if (size == 0)
        return -ENOMEM;

    r = secret_new_empty(size, &s);
    if (r < 0)
        return r;

    (void) json_dumpb(j, secret_buffer(s), size, JSON_COMPACT);
    *ret = s;
    return 0;
}

/* A new object with these members of `jwk`; -ENOMEM also where one is missing. */
static int pick(const json_t *jwk, const char *const *names, json_t **ret) {
    _cleanup_(json_freep) json_t *picked = json_object();

    for (; *names; names++)
        if (json_object_set(picked, *names, json_object_get(jwk, *names)) < 0)
            return -ENOMEM;

    *ret = TAKE_PTR(picked);
    return 0;
}

static const char *use_of(const json_t *jwk) {
    const char *use = json_get_string(jwk, "use"), *alg = json_get_string(jwk, "alg");

    for (size_t i = 0; use && alg && i < ELEMENTSOF(uses); i++)
        if (strcmp(use, uses[i].use) == 0 && strcmp(alg, uses[i].alg) == 0)
            return uses[i].use;
    return NULL;
}

/* OpenSSL looks whether the point is on the curve and the private half belongs to the public one.
 */
static bool is_sound(const json_t *jwk) {
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = jose_openssl_jwk_to_EVP_PKEY(NULL, jwk);

    return pkey != NULL;
}

static bool names_itself(const json_t *jwk) {
    _cleanup_(json_freep) json_t *thumbprint = jose_jwk_thp(NULL, jwk, "S256");

    return thumbprint && json_equal(thumbprint, json_object_get(jwk, "kid"));
}

static bool is_whole(const json_t *jwk, bool needs_private) {
    for (const char *const *m = (const char *const[]){"x", "y", "d", NULL}; *m; m++) {
        const json_t *value = json_object_get(jwk, *m);
        const char *text = json_string_value(value);

        if (!value && !needs_private && strcmp(*m, "d") == 0)
            continue;
        if (!text || strlen(text) != 43 || !base64url_is_valid(text, 43))
            return false;
    }
    return true;
}

/* Seconds since 1970, up to the year 9999; where the member is missing, `otherwise`. */
static bool get_date(const json_t *jwk, const char *name, usec_t otherwise, usec_t *ret) {
    const json_t *value = json_object_get(jwk, name);
    json_int_t seconds = json_integer_value(value);

    *ret = value ? (usec_t) seconds * USEC_PER_SEC : otherwise;
    return !value || (json_is_integer(value) && seconds >= 0 && seconds <= 253402300799);
}

/* needs_private: a signing key that was replaced has lost its private half. */
static const char *check_key(const json_t *jwk, bool needs_private) {
    const char *kty = json_get_string(jwk, "kty"), *crv = json_get_string(jwk, "crv");

    if (!kty || !crv || strcmp(kty, "EC") != 0 || strcmp(crv, "P-256") != 0)
        return "a key is not of type EC P-256";
    if (!is_whole(jwk, needs_private))
        return "a key is not whole";
    if (!is_sound(jwk))
        return "a key's private half does not belong to its public half";
    if (!names_itself(jwk))
        return "a key's kid is not its thumbprint";
    return NULL;
}

static const agent_key *current(const agent_keys *k, const char *use) {
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->keys[i].use, use) == 0)
            return &k->keys[i];
    return NULL;
}

static int add_key(agent_keys *k, const json_t *jwk, const agent_key *with) {
    static const char *const public_members[] = {"kty", "crv", "x", "y", "use", "alg", "kid", NULL};
    static const char *const private_members[] = {"kty", "crv", "x", "y", "d", NULL};
    _cleanup_(json_freep) json_t *whole = NULL, *public = NULL;
    agent_key *key = &k->keys[k->n];
    int r;

    r = pick(jwk, public_members, &public);
    if (r < 0)
        return r;
    if (json_array_append(json_object_get(k->public_set, "keys"), public) < 0)
        return -ENOMEM;

    k->n++;
    *key = *with;
    key->kid = strdup(json_get_string(jwk, "kid"));
    if (!key->kid)
        return -ENOMEM;
    if (!json_object_get(jwk, "d"))
        return 0;

    r = pick(jwk, private_members, &whole);
    return r < 0 ? r : json_to_secret(whole, &key->jwk);
}

/* Checks a key and adds it. */
static int read_key(agent_keys *k, const json_t *jwk, usec_t lifetime, const char **ret_why) {
    agent_key key = {.use = use_of(jwk)};

    if (!key.use)
        *ret_why = "a key's use and alg are neither enc and ECDH-ES+A256KW nor sig and ES256";
    else if (!get_date(jwk, "iat", 0, &key.made) ||
             !get_date(jwk, "exp", key.made + lifetime, &key.ends))
        *ret_why = "a key's iat or exp is not a date";
    else
        *ret_why = check_key(jwk, strcmp(key.use, "enc") == 0 || !current(k, key.use));
    return *ret_why ? -EBADMSG : add_key(k, jwk, &key);
}

int agent_keys_from_json(const json_t *set, usec_t lifetime, agent_keys **ret,
                         const char **ret_why) {
    _cleanup_(agent_keys_freep) agent_keys *k = NULL;
    const json_t *list = json_object_get(set, "keys");
    json_t *jwk;
    size_t i;
    int r;

    assert(ret);
    assert(ret_why);

    if (!json_is_array(list) || json_array_size(list) > KEYS_MAX) {
        *ret_why = "not a JWK set of at most 32 keys";
        return -EBADMSG;
    }

    k = calloc(1, sizeof(agent_keys));
    if (!k)
        return -ENOMEM;
    k->public_set = json_pack("{s:[]}", "keys");
    if (!k->public_set)
        return -ENOMEM;

    json_array_foreach(list, i, jwk) {
        r = read_key(k, jwk, lifetime, ret_why);
        if (r < 0)
            return r;
    }

    if (!current(k, "enc") || !current(k, "sig")) {
        *ret_why = "a key for encryption or one for signing is missing";
        return -EBADMSG;
    }

    *ret = TAKE_PTR(k);
    return 0;
}

int agent_keys_parse(const char *text, size_t size, usec_t lifetime, agent_keys **ret,
                     const char **ret_why) {
    _cleanup_(json_freep) json_t *set = NULL;
    int r;

    assert(ret);
    assert(ret_why);

    r = json_parse(text, size, AGENT_KEYS_FILE_MAX, &set, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    return agent_keys_from_json(set, lifetime, ret, ret_why);
}

static int load(const agent_key *key, json_t **ret) {
    *ret = json_loadb(secret_data(key->jwk), secret_size(key->jwk), 0, NULL);
    return *ret ? 0 : -ENOMEM;
}

int agent_keys_get_private(const agent_keys *k, const char *kid, usec_t now, json_t **ret) {
    assert(k);
    assert(kid);
    assert(ret);

    for (size_t i = 0; i < k->n; i++) {
        const agent_key *key = &k->keys[i];

        if (strcmp(key->use, "enc") == 0 && strcmp(key->kid, kid) == 0)
            return now >= key->ends ? -EKEYEXPIRED : load(key, ret);
    }
    return -ENOENT;
}

int agent_keys_get_signing(const agent_keys *k, const char **ret_kid, json_t **ret) {
    const agent_key *key;

    assert(k);
    assert(ret_kid);
    assert(ret);

    key = current(k, "sig");
    assert(key && key->jwk);
    *ret_kid = key->kid;
    return load(key, ret);
}

static void empty(agent_keys *k) {
    for (size_t i = 0; i < k->n; i++) {
        free(k->keys[i].kid);
        (void) secret_free(k->keys[i].jwk);
    }
    json_decref(k->public_set);
}

agent_keys *agent_keys_free(agent_keys *k) {
    if (!k)
        return NULL;

    empty(k);
    free(k);
    return NULL;
}

void agent_keys_replace(agent_keys *k, agent_keys *with) {
    assert(k);
    assert(with);

    empty(k);
    *k = *with;
    free(with);
}

const json_t *agent_keys_public(const agent_keys *k) {
    assert(k);
    return k->public_set;
}

size_t agent_keys_count(const agent_keys *k) {
    assert(k);
    return k->n;
}

agent_key_info agent_keys_get(const agent_keys *k, size_t i) {
    const agent_key *key;

    assert(k);
    assert(i < k->n);

    key = &k->keys[i];
    return (agent_key_info){
        .kid = key->kid,
        .use = key->use,
        .is_current = key == current(k, key->use),
        .made = key->made,
        .ends = key->ends,
    };
}
