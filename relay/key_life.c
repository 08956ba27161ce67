/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/key_life.h"

#include <errno.h>
#include <jose/jwk.h>
#include <string.h>

#define SECONDS(usec) ((json_int_t) ((usec) / USEC_PER_SEC))

/* In the order in which they are put in front, so that the one for encryption comes first. */
static const struct {
    const char *use, *alg;
} uses[] = {
    {"sig", "ES256"},
    {"enc", "ECDH-ES+A256KW"},
};

/* A pair and its name, which is typed behind `writebackctl keys retire`: one that began with '-'
 * would be taken for an option. */
static json_t *make_pair(void) {
    for (;;) {
        _cleanup_(json_freep) json_t *jwk = json_pack("{s:s, s:s}", "kty", "EC", "crv", "P-256");

        if (!jwk || !jose_jwk_gen(NULL, jwk) ||
            json_object_set_new(jwk, "kid", jose_jwk_thp(NULL, jwk, "S256")) < 0)
            return NULL;
        if (json_get_string(jwk, "kid")[0] != '-')
            return TAKE_PTR(jwk);
    }
}

static json_t *make_key(size_t use, const agent_keys_options *options, usec_t now) {
    _cleanup_(json_freep) json_t *jwk = make_pair();
    _cleanup_(json_freep) json_t *about =
        json_pack("{s:s, s:s, s:I, s:I}", "use", uses[use].use, "alg", uses[use].alg, "iat",
                  SECONDS(now), "exp", SECONDS(now + options->lifetime));

    if (!jwk || !about || json_object_update(jwk, about) < 0)
        return NULL;
    return TAKE_PTR(jwk);
}

static bool is_for(const json_t *jwk, const char *use) {
    const char *text = json_get_string(jwk, "use");

    return text && strcmp(text, use) == 0;
}

static json_t *current(const json_t *list, const char *use) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is_for(json_array_get(list, i), use))
            return json_array_get(list, i);
    return NULL;
}

static bool is_current(const json_t *list, const json_t *jwk) {
    return jwk == current(list, json_get_string(jwk, "use"));
}

static json_int_t get(const json_t *jwk, const char *name) {
    return json_integer_value(json_object_get(jwk, name));
}

/* A key's end was settled when it was made; with other options since then, that may come sooner. */
static bool is_due(const json_t *jwk, const agent_keys_options *options, usec_t now) {
    json_int_t made = get(jwk, "iat"),
               rest = SECONDS(options->lifetime) - SECONDS(options->roll_after);

    return SECONDS(now) >= made + SECONDS(options->roll_after) ||
           SECONDS(now) >= get(jwk, "exp") - rest || made > SECONDS(now + USEC_PER_DAY);
}

/* What is replaced ends with its grace. Nothing is signed with it any more, so its private half
 * goes where that is all it was for. */
static int give_grace(json_t *jwk, const agent_keys_options *options, usec_t now) {
    json_int_t end = SECONDS(now + options->grace);

    if (is_for(jwk, "sig"))
        (void) json_object_del(jwk, "d");
    if (get(jwk, "exp") <= end)
        return 0;
    return json_object_set_new(jwk, "exp", json_integer(end)) < 0 ? -ENOMEM : 0;
}

static int replace(json_t *list, size_t use, const agent_keys_options *options, usec_t now) {
    json_t *old = current(list, uses[use].use);

    if (old && give_grace(old, options, now) < 0)
        return -ENOMEM;
    return json_array_insert_new(list, 0, make_key(use, options, now)) < 0 ? -ENOMEM : 0;
}

/* Files of the first version have no `exp`. */
static int complete(json_t *list, const agent_keys_options *options) {
    int changed = 0;
    json_t *jwk;
    size_t i;

    json_array_foreach(list, i, jwk) {
        if (json_object_get(jwk, "exp"))
            continue;
        if (json_object_set_new(jwk, "exp",
                                json_integer(get(jwk, "iat") + SECONDS(options->lifetime))) < 0)
            return -ENOMEM;
        changed = 1;
    }
    return changed;
}

static bool drop_ended(json_t *list, usec_t now) {
    size_t before = json_array_size(list);

    for (size_t i = before; i-- > 0;) {
        const json_t *jwk = json_array_get(list, i);

        if (!is_current(list, jwk) && get(jwk, "exp") <= SECONDS(now))
            (void) json_array_remove(list, i);
    }
    return json_array_size(list) < before;
}

int key_life_tend(json_t *set, const agent_keys_options *options, usec_t now, bool force) {
    json_t *list = json_object_get(set, "keys");
    int changed;

    assert(json_is_array(list));
    assert(options);

    changed = complete(list, options);
    for (size_t i = 0; changed >= 0 && i < ELEMENTSOF(uses); i++) {
        const json_t *jwk = current(list, uses[i].use);

        if (jwk && !force && (options->renewed_elsewhere || !is_due(jwk, options, now)))
            continue;
        if (replace(list, i, options, now) < 0)
            return -ENOMEM;
        changed = 1;
    }
    if (changed < 0)
        return changed;
    return drop_ended(list, now) || changed ? 1 : 0;
}

bool key_life_is_due(const json_t *set, const agent_keys_options *options, usec_t now) {
    const json_t *list = json_object_get(set, "keys");

    for (size_t i = 0; i < ELEMENTSOF(uses); i++) {
        const json_t *jwk = current(list, uses[i].use);

        if (jwk && is_due(jwk, options, now))
            return true;
    }
    return false;
}

static bool has(const json_t *list, const char *kid) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_get_string(json_array_get(list, i), "kid"), kid) == 0)
            return true;
    return false;
}

/* Puts what `list` has and `all` has not behind that. */
static int append_rest(json_t *all, json_t *list, const agent_keys_options *options, usec_t now) {
    json_t *jwk;
    size_t i;

    json_array_foreach(list, i, jwk) {
        if (has(all, json_get_string(jwk, "kid")))
            continue;
        if (is_current(list, jwk) && give_grace(jwk, options, now) < 0)
            return -ENOMEM;
        if (json_array_append(all, jwk) < 0)
            return -ENOMEM;
    }
    return 0;
}

int key_life_adopt(json_t *set, const json_t *theirs, const agent_keys_options *options,
                   usec_t now) {
    json_t *list = json_object_get(set, "keys");
    _cleanup_(json_freep) json_t *all = json_deep_copy(json_object_get(theirs, "keys"));
    bool changed;

    assert(json_is_array(list));
    assert(options);

    if (!all || complete(all, options) < 0 || append_rest(all, list, options, now) < 0)
        return -ENOMEM;

    (void) drop_ended(all, now);
    changed = !json_equal(all, list);
    return json_object_set(set, "keys", all) < 0 ? -ENOMEM : changed;
}

int key_life_retire(json_t *set, const char *kid) {
    json_t *list = json_object_get(set, "keys"), *jwk;
    size_t i;

    assert(kid);

    json_array_foreach(list, i, jwk) {
        const char *name = json_get_string(jwk, "kid");

        if (!name || strcmp(name, kid) != 0)
            continue;
        if (is_current(list, jwk))
            return -EBUSY;
        (void) json_array_remove(list, i);
        return 0;
    }
    return -ENOENT;
}
