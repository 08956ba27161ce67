/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keys.h"

#include <errno.h>
#include <jose/jwk.h>
#include <jose/openssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/base/log.h"
#include "relay/compact.h"

#define KEYS_FILE_MAX ((size_t) 64 * 1024)
#define KEYS_MAX 32

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
    secret *jwk; /* JSON text of kty, crv, x, y, d */
} agent_key;

struct agent_keys {
    agent_key keys[KEYS_MAX];
    size_t n;
    json_t *public_set;
};

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

/* Writes JSON into a secret; nothing of it stays elsewhere. */
static int json_to_secret(const json_t *j, size_t flags, secret **ret) {
    size_t size = json_dumpb(j, NULL, 0, flags);
    secret *s;
    int r;

    if (size == 0)
        return -ENOMEM;

    r = secret_new_empty(size, &s);
    if (r < 0)
        return r;

    (void) json_dumpb(j, secret_buffer(s), size, flags);
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

static const char *purpose_of(const json_t *jwk, const char **ret_use) {
    const char *use = json_get_string(jwk, "use"), *alg = json_get_string(jwk, "alg");

    for (size_t i = 0; use && alg && i < ELEMENTSOF(uses); i++)
        if (strcmp(use, uses[i].use) == 0 && strcmp(alg, uses[i].alg) == 0) {
            *ret_use = uses[i].use;
            return uses[i].purpose;
        }
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

static const char *check_key(const json_t *jwk, const char **ret_use) {
    const char *kty = json_get_string(jwk, "kty"), *crv = json_get_string(jwk, "crv");

    if (!kty || !crv || strcmp(kty, "EC") != 0 || strcmp(crv, "P-256") != 0)
        return "a key is not of type EC P-256";
    for (const char *const *m = (const char *const[]){"x", "y", "d", NULL}; *m; m++) {
        const char *text = json_get_string(jwk, *m);

        if (!text || strlen(text) != 43 || !base64url_is_valid(text, 43))
            return "a key is not whole";
    }
    if (!purpose_of(jwk, ret_use))
        return "a key's use and alg are neither enc and ECDH-ES+A256KW nor sig and ES256";
    if (!is_sound(jwk))
        return "a key's private half does not belong to its public half";
    if (!names_itself(jwk))
        return "a key's kid is not its thumbprint";
    return NULL;
}

static int add_key(agent_keys *k, const json_t *jwk, const char *use) {
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

    r = pick(jwk, private_members, &whole);
    if (r < 0)
        return r;

    k->n++;
    key->use = use;
    key->kid = strdup(json_get_string(jwk, "kid"));
    if (!key->kid)
        return -ENOMEM;
    return json_to_secret(whole, JSON_COMPACT, &key->jwk);
}

static bool has_use(const agent_keys *k, const char *use) {
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->keys[i].use, use) == 0)
            return true;
    return false;
}

int agent_keys_parse(const char *text, size_t size, agent_keys **ret, const char **ret_why) {
    _cleanup_(agent_keys_freep) agent_keys *k = NULL;
    _cleanup_(json_freep) json_t *set = NULL;
    const json_t *list;
    const char *use;
    json_t *jwk;
    size_t i;
    int r;

    assert(ret);
    assert(ret_why);

    r = json_parse(text, size, KEYS_FILE_MAX, &set, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;

    list = json_object_get(set, "keys");
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
        *ret_why = check_key(jwk, &use);
        if (*ret_why)
            return -EBADMSG;

        r = add_key(k, jwk, use);
        if (r < 0)
            return r;
    }

    if (!has_use(k, "enc") || !has_use(k, "sig")) {
        *ret_why = "a key for encryption or one for signing is missing";
        return -EBADMSG;
    }

    *ret = TAKE_PTR(k);
    return 0;
}

int agent_keys_get_private(const agent_keys *k, const char *kid, json_t **ret) {
    assert(k);
    assert(kid);
    assert(ret);

    for (size_t i = 0; i < k->n; i++) {
        const agent_key *key = &k->keys[i];
        json_t *jwk;

        if (strcmp(key->use, "enc") != 0 || strcmp(key->kid, kid) != 0)
            continue;

        jwk = json_loadb(secret_data(key->jwk), secret_size(key->jwk), 0, NULL);
        if (!jwk)
            return -ENOMEM;

        *ret = jwk;
        return 0;
    }
    return -ENOENT;
}

/* `iat` tells a later version how old the key is; it is not published. */
static json_t *make_key(const char *use, const char *alg) {
    _cleanup_(json_freep) json_t *jwk = json_pack("{s:s, s:s}", "kty", "EC", "crv", "P-256");

    if (!jwk || !jose_jwk_gen(NULL, jwk))
        return NULL;

    if (json_object_set_new(jwk, "use", json_string(use)) < 0 ||
        json_object_set_new(jwk, "alg", json_string(alg)) < 0 ||
        json_object_set_new(jwk, "iat",
                            json_integer((json_int_t) (now_realtime() / USEC_PER_SEC))) < 0 ||
        json_object_set_new(jwk, "kid", jose_jwk_thp(NULL, jwk, "S256")) < 0)
        return NULL;

    return TAKE_PTR(jwk);
}

static int make_set(secret **ret) {
    _cleanup_(json_freep) json_t *set = json_pack("{s:[]}", "keys");

    for (size_t i = 0; i < ELEMENTSOF(uses); i++)
        if (json_array_append_new(json_object_get(set, "keys"),
                                  make_key(uses[i].use, uses[i].alg)) < 0)
            return -ENOMEM;

    return json_to_secret(set, JSON_INDENT(2), ret);
}

static _printf_(3, 4) int explain(int r, char **ret_why, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    if (vasprintf(ret_why, format, ap) < 0)
        r = -ENOMEM;
    va_end(ap);
    return r;
}

static int read_keys(const char *path, const struct stat *st, agent_keys **ret, char **ret_why) {
    _cleanup_(secret_freep) secret *text = NULL;
    const char *why = NULL;
    int r;

    if (!S_ISREG(st->st_mode))
        return explain(-EINVAL, ret_why, "%s is not a file", path);
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return explain(-EPERM, ret_why,
                       "%s is open to others than its owner (mode %04o); make sure that nobody has "
                       "copied it, then: chmod 600 %s",
                       path, st->st_mode & 07777U, path);

    r = file_read(path, KEYS_FILE_MAX, &text);
    if (r < 0)
        return explain(r, ret_why, "%s cannot be read: %s", path, strerror(-r));

    r = agent_keys_parse(secret_data(text), secret_size(text), ret, &why);
    if (r == -EBADMSG)
        return explain(
            r, ret_why,
            "%s does not hold the agent's keys: %s. It is left as it is: restore it from "
            "a backup, or move it away to have new keys made",
            path, why);
    return r;
}

static int make_keys(const char *path, agent_keys **ret, char **ret_why) {
    _cleanup_(agent_keys_freep) agent_keys *k = NULL;
    _cleanup_(secret_freep) secret *text = NULL;
    const char *why = NULL;
    int r;

    log_event(OUTCOME_ONBOARDING_START, {"WRITEBACK_PATH", path});

    r = make_set(&text);
    if (r < 0)
        return explain(r, ret_why, "keys cannot be made: %s", strerror(-r));

    r = agent_keys_parse(secret_data(text), secret_size(text), &k, &why);
    if (r < 0)
        return explain(r, ret_why, "keys cannot be made: %s", why ? why : strerror(-r));

    r = file_write_atomically(path, secret_data(text), secret_size(text));
    if (r < 0)
        return explain(r, ret_why, "%s cannot be written: %s", path, strerror(-r));

    for (size_t i = 0; i < k->n; i++)
        log_event(OUTCOME_KEY_PAIR_CREATED, {"WRITEBACK_KEY_ID", k->keys[i].kid},
                  {"WRITEBACK_KEY_USE", uses[i].purpose});
    log_event(OUTCOME_ONBOARDING_SUCCESS, {"WRITEBACK_PATH", path});

    *ret = TAKE_PTR(k);
    return 0;
}

int agent_keys_open(const char *path, agent_keys **ret, char **ret_why) {
    struct stat st;

    assert(path);
    assert(ret);
    assert(ret_why);

    *ret_why = NULL;
    if (stat(path, &st) == 0)
        return read_keys(path, &st, ret, ret_why);
    if (errno == ENOENT)
        return make_keys(path, ret, ret_why);
    return explain(-errno, ret_why, "%s cannot be read: %m", path);
}

agent_keys *agent_keys_free(agent_keys *k) {
    if (!k)
        return NULL;

    for (size_t i = 0; i < k->n; i++) {
        free(k->keys[i].kid);
        (void) secret_free(k->keys[i].jwk);
    }
    json_decref(k->public_set);
    free(k);
    return NULL;
}

const json_t *agent_keys_public(const agent_keys *k) {
    assert(k);
    return k->public_set;
}
