/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's own keys: made once, kept for itself, never lost by accident. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "relay/relay.h"
#include "tests/unit/command.h"

static int set_up(void **state) {
    (void) state;
    json_set_alloc_funcs(malloc, secret_mfree);
    log_set_max_level(LOG_WARNING);
    (void) scratch();
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    scratch_remove();
    return 0;
}

/* 2023-11-14T22:13:20Z: the first start. */
#define START ((usec_t) 1700000000 * USEC_PER_SEC)
#define DAY(n) (START + (n) *USEC_PER_DAY)

static agent_keys_options options_for(const char *path) {
    return (agent_keys_options){
        .path = path,
        .lifetime = AGENT_KEYS_LIFETIME,
        .roll_after = AGENT_KEYS_ROLL_AFTER,
        .grace = AGENT_KEYS_GRACE,
    };
}

static agent_keys *open_keys_at(const agent_keys_options *options, usec_t now) {
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;
    int r = agent_keys_open(options, now, &keys, &why);

    if (why)
        fail_msg("%s", why);
    assert_int_equal(r, 0);
    return keys;
}

static agent_keys *open_keys(const char *path) {
    const agent_keys_options options = options_for(path);

    return open_keys_at(&options, START);
}

static const char *member(const json_t *set, size_t i, const char *name) {
    return json_get_string(json_array_get(json_object_get(set, "keys"), i), name);
}

static void first_start_makes_keys_for_the_agent_alone(void **state) {
    _cleanup_free_ char *path = scratch_path("first.json");
    _cleanup_(agent_keys_freep) agent_keys *keys = open_keys(path);
    struct stat st;

    (void) state;

    assert_non_null(keys);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777U, 0600);
}

static void published_keys_are_public_and_named_by_their_thumbprint(void **state) {
    static const char *const names[] = {"kty", "crv", "x", "y", "use", "alg", "kid"};
    _cleanup_free_ char *path = scratch_path("published.json");
    _cleanup_(agent_keys_freep) agent_keys *keys = open_keys(path);
    const json_t *set = agent_keys_public(keys), *list = json_object_get(set, "keys");

    (void) state;

    assert_int_equal(json_object_size(set), 1);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(set, 0, "use"), "enc");
    assert_string_equal(member(set, 0, "alg"), "ECDH-ES+A256KW");
    assert_string_equal(member(set, 1, "use"), "sig");
    assert_string_equal(member(set, 1, "alg"), "ES256");

    for (size_t i = 0; i < 2; i++) {
        const json_t *key = json_array_get(list, i);
        _cleanup_free_ char *text = json_to_text(key), *thumbprint = NULL;

        assert_int_equal(json_object_size(key), ELEMENTSOF(names));
        for (size_t n = 0; n < ELEMENTSOF(names); n++)
            assert_non_null(json_get_string(key, names[n]));

        scratch_write("one.jwk", text);
        thumbprint = command("jose jwk thp -i one.jwk -a S256");
        assert_string_equal(member(set, i, "kid"), thumbprint);
    }
}

/* One in 64 would be; these are enough that hardly ever none is. */
static void no_key_is_named_like_an_option(void **state) {
    (void) state;

    for (size_t i = 0; i < 250; i++) {
        _cleanup_free_ char *path = scratch_path("named.json");
        _cleanup_(agent_keys_freep) agent_keys *keys = open_keys(path);

        for (size_t k = 0; k < agent_keys_count(keys); k++)
            assert_true(agent_keys_get(keys, k).kid[0] != '-');
        assert_int_equal(unlink(path), 0);
    }
}

static void second_start_finds_the_same_keys(void **state) {
    _cleanup_free_ char *path = scratch_path("second.json");
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys(path), *read = open_keys(path);

    (void) state;

    assert_true(json_equal(agent_keys_public(made), agent_keys_public(read)));
}

/* Opens what must not be opened, and looks that the file is left alone. */
static void assert_refused(const char *path, int expected, const char *expected_why) {
    _cleanup_(secret_freep) secret *before = NULL, *after = NULL;
    const agent_keys_options options = options_for(path);
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;

    assert_int_equal(file_read(path, 1 << 20, &before), 0);
    assert_int_equal(agent_keys_open(&options, START, &keys, &why), expected);
    assert_string_equal(why, expected_why);
    assert_int_equal(file_read(path, 1 << 20, &after), 0);
    assert_true(secret_equal(before, after));
}

static void keys_that_others_can_read_are_refused(void **state) {
    _cleanup_free_ char *path = scratch_path("open.json"), *why = NULL;

    (void) state;

    (void) agent_keys_free(open_keys(path));
    assert_int_equal(chmod(path, 0640), 0);
    why =
        format("%s is open to others than its owner (mode 0640); make sure that nobody has copied "
               "it, then: chmod 600 %s",
               path, path);
    assert_refused(path, -EPERM, why);
}

static void replace(char **text, const char *old, const char *new) {
    char *at = strstr(*text, old);
    char *replaced;

    assert_non_null(at);
    replaced = format("%.*s%s%s", (int) (at - *text), *text, new, at + strlen(old));
    free(*text);
    *text = replaced;
}

static void damaged_keys_are_refused_and_left_alone(void **state) {
    static const struct {
        const char *old, *new, *why;
    } rows[] = {
        {"{", "", "not JSON"},
        {"\"keys\"", "\"locks\"", "not a JWK set of at most 32 keys"},
        {"P-256", "P-384", "a key is not of type EC P-256"},
        {"\"d\"", "\"e\"", "a key is not whole"},
        {"\"d\": \"", "\"d\": \"AA", "a key is not whole"},
        {"\"enc\"", "\"both\"",
         "a key's use and alg are neither enc and ECDH-ES+A256KW nor sig and ES256"},
        {"\"kid\": \"", "\"kid\": \"x", "a key's kid is not its thumbprint"},
        {"\"kty\"", "\"kid\": \"twice\", \"kty\"", "a member stands there twice"},
        {"]", "], \"more\": {", "it ends in the middle"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *path = scratch_path("damaged.json"), *text = NULL, *why = NULL;

        (void) remove(path);
        (void) agent_keys_free(open_keys(path));
        text = command("cat damaged.json");
        replace(&text, rows[i].old, rows[i].new);
        scratch_write("damaged.json", text);

        why =
            format("%s does not hold the agent's keys: %s. It is left as it is: restore it from a "
                   "backup, or move it away to have new keys made",
                   path, rows[i].why);
        assert_refused(path, -EBADMSG, why);
    }
}

static json_t *load(const char *path) {
    json_t *set = json_load_file(path, 0, NULL);

    assert_non_null(set);
    return set;
}

static void save(const char *path, const json_t *set) {
    assert_int_equal(json_dump_file(set, path, 0), 0);
}

static void half_of_another_key_is_refused(void **state) {
    _cleanup_free_ char *path = scratch_path("half.json"), *why = NULL;
    _cleanup_(json_freep) json_t *set = NULL;
    json_t *enc, *sig;

    (void) state;

    (void) agent_keys_free(open_keys(path));
    set = load(path);
    enc = json_array_get(json_object_get(set, "keys"), 0);
    sig = json_array_get(json_object_get(set, "keys"), 1);
    assert_int_equal(json_object_set(enc, "d", json_object_get(sig, "d")), 0);
    save(path, set);

    why = format("%s does not hold the agent's keys: a key's private half does not belong to its "
                 "public half. It is left as it is: restore it from a backup, or move it away to "
                 "have new keys made",
                 path);
    assert_refused(path, -EBADMSG, why);
}

static void one_kind_of_key_is_not_enough(void **state) {
    _cleanup_free_ char *path = scratch_path("one.json"), *why = NULL;
    _cleanup_(json_freep) json_t *set = NULL;

    (void) state;

    (void) agent_keys_free(open_keys(path));
    set = load(path);
    assert_int_equal(json_array_remove(json_object_get(set, "keys"), 1), 0);
    save(path, set);

    why = format("%s does not hold the agent's keys: a key for encryption or one for signing is "
                 "missing. It is left as it is: restore it from a backup, or move it away to have "
                 "new keys made",
                 path);
    assert_refused(path, -EBADMSG, why);
}

static void missing_folder_is_told(void **state) {
    _cleanup_free_ char *path = scratch_path("nowhere/keys.json"), *why = NULL, *expected = NULL;
    const agent_keys_options options = options_for(path);
    agent_keys *keys = NULL;

    (void) state;

    assert_int_equal(agent_keys_open(&options, START, &keys, &why), -ENOENT);
    expected = format("%s/nowhere cannot be opened: No such file or directory", scratch());
    assert_string_equal(why, expected);
}

/* ---- Keys with a life ------------------------------------------------------------------------ */

/* A request sealed to the key `kid` of these. */
static char *seal_to(const agent_keys *keys, const char *kid) {
    const json_t *list = json_object_get(agent_keys_public(keys), "keys");

    for (size_t i = 0; i < json_array_size(list); i++) {
        _cleanup_free_ char *text = json_to_text(json_array_get(list, i)), *template = NULL;

        if (strcmp(member(agent_keys_public(keys), i, "kid"), kid) != 0)
            continue;
        scratch_write("to.jwk", text);
        scratch_write("plain", "{}");
        template = format("{\"protected\":{\"kid\":\"%s\",\"alg\":\"ECDH-ES+A256KW\","
                          "\"enc\":\"A256GCM\"}}",
                          kid);
        scratch_write("template", template);
        return command("jose jwe enc -i template -k to.jwk -I plain -c");
    }
    fail_msg("no key %s", kid);
    return NULL;
}

static void assert_opens(const agent_keys *keys, const char *jwe, usec_t now,
                         const char *expected) {
    _cleanup_(secret_freep) secret *plain = NULL;
    const char *why = NULL;
    int r = agent_keys_open_sealed(keys, jwe, strlen(jwe), now, &plain, &why);

    if (expected) {
        assert_int_equal(r, -EBADMSG);
        assert_string_equal(why, expected);
    } else {
        if (r < 0)
            fail_msg("%s", why);
        assert_string_equal(secret_data(plain), "{}");
    }
}

/* The kid of the first published key of this use. */
static char *first(const agent_keys *keys, const char *use) {
    const json_t *set = agent_keys_public(keys);

    for (size_t i = 0;; i++)
        if (strcmp(member(set, i, "use"), use) == 0)
            return strdup(member(set, i, "kid"));
}

static void keys_are_replaced_on_the_right_day_and_the_new_ones_come_first(void **state) {
    _cleanup_free_ char *path = scratch_path("roll.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *before = NULL,
                                           *after = NULL, *again = NULL;
    _cleanup_free_ char *old_enc = first(made, "enc"), *old_sig = first(made, "sig"),
                        *new_enc = NULL, *new_sig = NULL;

    (void) state;

    before = open_keys_at(&options, DAY(150) - USEC_PER_SEC);
    assert_true(json_equal(agent_keys_public(made), agent_keys_public(before)));

    after = open_keys_at(&options, DAY(150));
    new_enc = first(after, "enc");
    new_sig = first(after, "sig");
    assert_int_equal(agent_keys_count(after), 4);
    assert_string_not_equal(new_enc, old_enc);
    assert_string_not_equal(new_sig, old_sig);
    assert_string_equal(member(agent_keys_public(after), 0, "kid"), new_enc);
    assert_string_equal(member(agent_keys_public(after), 1, "kid"), new_sig);
    for (size_t i = 0; i < 4; i++) {
        agent_key_info key = agent_keys_get(after, i);

        assert_int_equal(key.is_current, i < 2);
        assert_int_equal(key.made, i < 2 ? DAY(150) : START);
        assert_int_equal(key.ends, i < 2 ? DAY(330) : DAY(180));
    }

    again = open_keys_at(&options, DAY(150) + USEC_PER_SEC);
    assert_true(json_equal(agent_keys_public(after), agent_keys_public(again)));
}

static void replaced_key_opens_requests_through_its_grace_and_not_a_second_longer(void **state) {
    _cleanup_free_ char *path = scratch_path("grace.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *rolled = NULL,
                                           *later = NULL;
    _cleanup_free_ char *old = first(made, "enc"), *jwe = seal_to(made, old), *new = NULL,
                        *fresh = NULL;

    (void) state;

    rolled = open_keys_at(&options, DAY(150));
    new = first(rolled, "enc");
    fresh = seal_to(rolled, new);
    assert_opens(rolled, jwe, DAY(150), NULL);
    assert_opens(rolled, fresh, DAY(150), NULL);
    assert_opens(rolled, jwe, DAY(180) - 1, NULL);
    assert_opens(rolled, jwe, DAY(180), "the header's kid is that of a key which has ended");

    later = open_keys_at(&options, DAY(180));
    assert_int_equal(agent_keys_count(later), 2);
    assert_opens(later, jwe, DAY(180), "the header's kid is not that of a key of this agent");
    assert_opens(later, fresh, DAY(180), NULL);
}

static void grace_can_be_shorter_than_the_life_that_is_left(void **state) {
    _cleanup_free_ char *path = scratch_path("short.json");
    agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = NULL, *rolled = NULL;

    (void) state;

    options.grace = USEC_PER_HOUR;
    made = open_keys_at(&options, START);
    rolled = open_keys_at(&options, DAY(150));
    assert_int_equal(agent_keys_get(rolled, 2).ends, DAY(150) + USEC_PER_HOUR);
}

static void replaced_signing_key_is_published_and_cannot_sign(void **state) {
    _cleanup_free_ char *path = scratch_path("signing.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *rolled = NULL;
    _cleanup_free_ char *old = first(made, "sig");
    _cleanup_(json_freep) json_t *set = NULL;
    const json_t *list;
    bool published = false;

    (void) state;

    rolled = open_keys_at(&options, DAY(150));
    for (size_t i = 0; i < agent_keys_count(rolled); i++)
        published |= strcmp(member(agent_keys_public(rolled), i, "kid"), old) == 0;
    assert_true(published);

    set = load(path);
    list = json_object_get(set, "keys");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *jwk = json_array_get(list, i);

        assert_int_equal(!json_object_get(jwk, "d"), strcmp(json_get_string(jwk, "kid"), old) == 0);
    }
}

static void key_that_nobody_replaced_opens_nothing_after_its_end(void **state) {
    _cleanup_free_ char *path = scratch_path("expired.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START);
    _cleanup_free_ char *kid = first(made, "enc"), *jwe = seal_to(made, kid);

    (void) state;

    assert_opens(made, jwe, DAY(180) - 1, NULL);
    assert_opens(made, jwe, DAY(180), "the header's kid is that of a key which has ended");
}

/* A clock that was years ahead for a while must not leave keys that never end. */
static void keys_from_the_future_are_replaced(void **state) {
    _cleanup_free_ char *path = scratch_path("future.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *early = open_keys_at(&options, DAY(5000)),
                                           *now = open_keys_at(&options, START), *later = NULL;

    (void) state;

    assert_int_equal(agent_keys_count(now), 4);
    assert_int_equal(agent_keys_get(now, 0).made, START);
    assert_int_equal(agent_keys_get(now, 2).ends, DAY(30));
    later = open_keys_at(&options, DAY(30));
    assert_int_equal(agent_keys_count(later), 2);
}

static void keys_of_the_first_version_get_an_end(void **state) {
    _cleanup_free_ char *path = scratch_path("old.json");
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *read = NULL,
                                           *rolled = NULL;
    _cleanup_(json_freep) json_t *set = load(path);

    (void) state;

    for (size_t i = 0; i < 2; i++)
        (void) json_object_del(json_array_get(json_object_get(set, "keys"), i), "exp");
    save(path, set);

    read = open_keys_at(&options, DAY(1));
    assert_int_equal(agent_keys_get(read, 0).ends, DAY(180));
    assert_true(json_equal(agent_keys_public(made), agent_keys_public(read)));
    rolled = open_keys_at(&options, DAY(200));
    assert_int_equal(agent_keys_count(rolled), 2);
}

static void a_longer_life_does_not_let_a_key_of_before_expire(void **state) {
    _cleanup_free_ char *path = scratch_path("longer.json");
    agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *kept = NULL,
                                           *rolled = NULL;

    (void) state;

    options.lifetime = 360 * USEC_PER_DAY;
    options.roll_after = 300 * USEC_PER_DAY;
    kept = open_keys_at(&options, DAY(120) - USEC_PER_SEC);
    assert_int_equal(agent_keys_count(kept), 2);
    rolled = open_keys_at(&options, DAY(120));
    assert_int_equal(agent_keys_count(rolled), 4);
}

static void rotating_by_hand_replaces_at_once_and_loses_nothing(void **state) {
    _cleanup_free_ char *path = scratch_path("by-hand.json"), *why = NULL;
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START);
    _cleanup_free_ char *old = first(made, "enc"), *jwe = seal_to(made, old);
    agent_keys *rotated = NULL;

    (void) state;

    assert_int_equal(agent_keys_rotate(&options, DAY(1), &rotated, &why), 0);
    assert_int_equal(agent_keys_count(rotated), 4);
    assert_int_equal(agent_keys_get(rotated, 2).ends, DAY(31));

    /* As a running agent takes them over. */
    agent_keys_replace(made, rotated);
    assert_int_equal(agent_keys_count(made), 4);
    assert_opens(made, jwe, DAY(1), NULL);
}

static void only_replaced_keys_can_be_retired(void **state) {
    _cleanup_free_ char *path = scratch_path("retire.json"), *why = NULL, *expected = NULL;
    const agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&options, START), *rotated = NULL,
                                           *left = NULL, *none = NULL;
    _cleanup_free_ char *old = first(made, "enc"), *jwe = seal_to(made, old);

    (void) state;

    assert_int_equal(agent_keys_retire(&options, old, &none, &why), -EBUSY);
    expected = format("key %s is in use; rotate the keys first", old);
    assert_string_equal(why, expected);
    free(TAKE_PTR(why));

    assert_int_equal(agent_keys_rotate(&options, DAY(1), &rotated, &why), 0);
    assert_int_equal(agent_keys_retire(&options, old, &left, &why), 0);
    assert_int_equal(agent_keys_count(left), 3);
    assert_opens(left, jwe, DAY(1), "the header's kid is not that of a key of this agent");
    assert_int_equal(agent_keys_retire(&options, old, &none, &why), -ENOENT);
}

static void rotating_without_end_is_refused_before_the_file_is_spoilt(void **state) {
    _cleanup_free_ char *path = scratch_path("many.json"), *why = NULL;
    const agent_keys_options options = options_for(path);
    int r = 0;

    (void) state;

    (void) agent_keys_free(open_keys_at(&options, START));
    for (int i = 0; i < 16 && r == 0; i++) {
        agent_keys *keys = NULL;

        r = agent_keys_rotate(&options, DAY(1), &keys, &why);
        (void) agent_keys_free(keys);
    }
    assert_int_equal(r, -E2BIG);
    assert_non_null(strstr(why, "there are 32 keys already"));
    (void) agent_keys_free(open_keys_at(&options, DAY(1)));
}

static void keys_that_are_due_but_cannot_be_written_stay_in_use(void **state) {
    _cleanup_free_ char *first_path = scratch_path("small.json"), *name = format("%0250d", 0),
                        *path = scratch_path(name), *why = NULL;
    const agent_keys_options first_options = options_for(first_path), options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&first_options, START),
                                           *kept = NULL;
    _cleanup_free_ char *kid = first(made, "enc"), *jwe = seal_to(made, kid);

    (void) state;

    /* A name that leaves no room for that of the temporary file beside it: root cannot write it
     * either. */
    free(command("cp -p small.json %s", name));
    assert_int_equal(agent_keys_open(&options, DAY(150), &kept, &why), 0);
    assert_non_null(strstr(why, "cannot be written: File name too long"));
    assert_int_equal(agent_keys_count(kept), 2);
    assert_opens(kept, jwe, DAY(150), NULL);
}

static void running_agent_makes_no_keys_where_theirs_have_gone(void **state) {
    _cleanup_free_ char *path = scratch_path("gone.json"), *why = NULL;
    const agent_keys_options options = options_for(path);
    agent_keys *keys = NULL;

    (void) state;

    (void) agent_keys_free(open_keys_at(&options, START));
    assert_int_equal(remove(path), 0);
    assert_int_equal(agent_keys_tend(&options, START, &keys, &why), -ENOENT);
    assert_non_null(strstr(why, "has gone"));
    assert_int_equal(remove(path), -1);
}

/* ---- Sealed at rest -------------------------------------------------------------------------- */

#define SEAL "0123456789abcdef0123456789abcdef"

static secret *seal_of(const char *text) {
    secret *s = NULL;

    assert_int_equal(secret_new(text, AGENT_KEYS_SEAL_SIZE, &s), 0);
    return s;
}

static void keys_are_sealed_as_soon_as_there_is_a_seal(void **state) {
    _cleanup_free_ char *path = scratch_path("sealed.json"), *text = NULL, *opened = NULL;
    agent_keys_options options = options_for(path);
    _cleanup_(secret_freep) secret *seal = seal_of(SEAL);
    _cleanup_(agent_keys_freep) agent_keys *plain = open_keys_at(&options, START), *sealed = NULL,
                                           *again = NULL;
    struct stat st;

    (void) state;

    options.seal = seal;
    sealed = open_keys_at(&options, START);
    again = open_keys_at(&options, START);
    assert_true(json_equal(agent_keys_public(plain), agent_keys_public(sealed)));
    assert_true(json_equal(agent_keys_public(plain), agent_keys_public(again)));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777U, 0600);

    text = command("cat sealed.json");
    assert_null(strstr(text, "\"d\""));
    /* What opens it without the agent, as the manual says. */
    scratch_write("seal.jwk",
                  "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}");
    opened = command("jose jwe dec -i sealed.json -k seal.jwk");
    assert_non_null(strstr(opened, "\"d\""));
}

static void sealed_keys_are_not_opened_by_another_host(void **state) {
    _cleanup_free_ char *path = scratch_path("foreign.json"), *why = NULL;
    agent_keys_options options = options_for(path);
    _cleanup_(secret_freep) secret *seal = seal_of(SEAL), *other = seal_of("x" SEAL);
    agent_keys *keys = NULL;

    (void) state;

    options.seal = seal;
    (void) agent_keys_free(open_keys_at(&options, START));

    options.seal = other;
    assert_int_equal(agent_keys_open(&options, START, &keys, &why), -EKEYREJECTED);
    assert_non_null(strstr(why, "was sealed with another credential than the one"));
    free(TAKE_PTR(why));

    options.seal = NULL;
    assert_int_equal(agent_keys_open(&options, START, &keys, &why), -ENOKEY);
    assert_non_null(strstr(why, "is sealed, and the credential that opens it was not given"));
}

static void sealed_keys_that_were_changed_are_refused(void **state) {
    _cleanup_free_ char *path = scratch_path("changed.json"), *text = NULL, *why = NULL;
    agent_keys_options options = options_for(path);
    _cleanup_(secret_freep) secret *seal = seal_of(SEAL);
    agent_keys *keys = NULL;

    (void) state;

    options.seal = seal;
    (void) agent_keys_free(open_keys_at(&options, START));
    text = command("cat changed.json");
    text[100] = text[100] == 'A' ? 'B' : 'A';
    scratch_write("changed.json", text);
    assert_int_equal(agent_keys_open(&options, START, &keys, &why), -EKEYREJECTED);
    free(TAKE_PTR(why));

    scratch_write("changed.json", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..A");
    assert_int_equal(agent_keys_open(&options, START, &keys, &why), -EBADMSG);
    assert_non_null(strstr(why, "it is neither JSON nor sealed by the agent"));
}

/* ---- Shared by the agents of one hybrid connection ------------------------------------------- */

static secret *export_of(const agent_keys_options *options) {
    _cleanup_free_ char *why = NULL;
    secret *text = NULL;

    if (agent_keys_export(options, &text, &why) < 0)
        fail_msg("%s", why);
    return text;
}

static secret *secret_of(const char *text) {
    secret *s = NULL;

    assert_int_equal(secret_new(text, strlen(text), &s), 0);
    return s;
}

static agent_keys *import_at(const agent_keys_options *options, const secret *text, usec_t now) {
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;
    int r = agent_keys_import(options, text, now, &keys, &why);

    if (r < 0)
        fail_msg("%s", why);
    return keys;
}

/* Looks that it is refused, and that the file stays as it was. */
static void assert_not_imported(const agent_keys_options *options, const secret *text, usec_t now,
                                int expected, const char *expected_why) {
    _cleanup_(secret_freep) secret *before = NULL, *after = NULL;
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;

    assert_int_equal(file_read(options->path, 1 << 20, &before), 0);
    assert_int_equal(agent_keys_import(options, text, now, &keys, &why), expected);
    assert_non_null(why);
    if (!strstr(why, expected_why))
        fail_msg("%s", why);
    assert_int_equal(file_read(options->path, 1 << 20, &after), 0);
    assert_true(secret_equal(before, after));
}

static void imported_keys_become_the_current_ones_and_those_of_before_open_still(void **state) {
    _cleanup_free_ char *path = scratch_path("giver.json"), *other = scratch_path("taker.json");
    const agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *theirs = open_keys_at(&giver, START),
                                           *own = open_keys_at(&taker, START), *shared = NULL,
                                           *later = NULL;
    _cleanup_(secret_freep) secret *text = export_of(&giver);
    _cleanup_free_ char *their_enc = first(theirs, "enc"), *their_sig = first(theirs, "sig"),
                        *own_enc = first(own, "enc"), *to_them = seal_to(theirs, their_enc),
                        *to_us = seal_to(own, own_enc), *kid = NULL, *sig = NULL;
    struct stat st;

    (void) state;

    shared = import_at(&taker, text, DAY(1));
    kid = first(shared, "enc");
    sig = first(shared, "sig");
    assert_string_equal(kid, their_enc);
    assert_string_equal(sig, their_sig);
    assert_opens(shared, to_them, DAY(1), NULL);
    assert_opens(shared, to_us, DAY(1), NULL);
    assert_opens(shared, to_us, DAY(31) - 1, NULL);
    assert_opens(shared, to_us, DAY(31), "the header's kid is that of a key which has ended");
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_mode & 07777U, 0600);

    later = open_keys_at(&taker, DAY(31));
    assert_true(json_equal(agent_keys_public(later), agent_keys_public(theirs)));
}

/* A receipt names the key of the agent that was exported, whoever signs. */
static void imported_keys_sign_as_the_other_agent_does(void **state) {
    _cleanup_free_ char *path = scratch_path("signer.json"), *other = scratch_path("other.json");
    const agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *theirs = open_keys_at(&giver, START),
                                           *own = open_keys_at(&taker, START), *shared = NULL;
    _cleanup_(secret_freep) secret *text = export_of(&giver);
    _cleanup_free_ char *receipt = NULL, *jwks = json_to_text(agent_keys_public(theirs));
    receipt_info told = {0};
    const char *why = NULL;

    (void) state;

    shared = import_at(&taker, text, START);
    assert_int_equal(agent_keys_sign(shared, NULL, START, "{}", 2, &receipt), 0);
    assert_int_equal(receipt_verify(receipt, "{}", 2, jwks, strlen(jwks), &told, &why), 0);
    receipt_info_done(&told);
}

static void the_same_keys_a_second_time_change_nothing(void **state) {
    _cleanup_free_ char *path = scratch_path("giver2.json"), *other = scratch_path("taker2.json");
    const agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *theirs = open_keys_at(&giver, START),
                                           *own = open_keys_at(&taker, START), *once = NULL,
                                           *twice = NULL, *back = NULL;
    _cleanup_(secret_freep) secret *text = export_of(&giver), *shared = NULL;
    struct stat before, after;

    (void) state;

    once = import_at(&taker, text, DAY(1));
    assert_int_equal(stat(other, &before), 0);
    twice = import_at(&taker, text, DAY(2));
    assert_int_equal(stat(other, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_true(json_equal(agent_keys_public(once), agent_keys_public(twice)));

    /* And the other way round: the one that gave them away learns of the other's old ones. */
    shared = export_of(&taker);
    back = import_at(&giver, shared, DAY(2));
    assert_true(json_equal(agent_keys_public(back), agent_keys_public(twice)));
}

static void keys_that_were_replaced_at_the_other_agent_come_along(void **state) {
    _cleanup_free_ char *path = scratch_path("giver3.json"), *other = scratch_path("taker3.json"),
                        *why = NULL;
    const agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys_at(&giver, START), *rotated = NULL,
                                           *shared = NULL, *again = NULL;
    _cleanup_free_ char *old = first(made, "enc"), *jwe = seal_to(made, old);
    _cleanup_(secret_freep) secret *before = export_of(&giver), *after = NULL;

    (void) state;

    assert_int_equal(agent_keys_rotate(&giver, DAY(1), &rotated, &why), 0);
    after = export_of(&giver);

    /* To an agent that has no keys yet. */
    shared = import_at(&taker, after, DAY(1));
    assert_true(json_equal(agent_keys_public(shared), agent_keys_public(rotated)));
    assert_opens(shared, jwe, DAY(31) - 1, NULL);
    assert_opens(shared, jwe, DAY(31), "the header's kid is that of a key which has ended");

    /* And to one that has those of before, as at every renewal. */
    (void) agent_keys_free(TAKE_PTR(shared));
    assert_int_equal(remove(other), 0);
    shared = import_at(&taker, before, DAY(1));
    again = import_at(&taker, after, DAY(1));
    assert_true(json_equal(agent_keys_public(again), agent_keys_public(rotated)));
}

static void sealed_keys_are_shared_by_agents_with_the_same_seal_alone(void **state) {
    _cleanup_free_ char *path = scratch_path("giver4.json"), *other = scratch_path("taker4.json");
    agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(secret_freep) secret *seal = seal_of(SEAL), *wrong = seal_of("x" SEAL), *text = NULL,
                                   *line = NULL;
    _cleanup_(agent_keys_freep) agent_keys *theirs = NULL, *own = open_keys_at(&taker, START),
                                           *shared = NULL;
    _cleanup_free_ char *ended = NULL, *file = NULL, *kid = NULL, *jwe = NULL;

    (void) state;

    giver.seal = seal;
    theirs = open_keys_at(&giver, START);
    text = export_of(&giver);
    assert_null(strstr(secret_data(text), "\"d\""));

    assert_not_imported(&taker, text, START, -ENOKEY,
                        "these keys are sealed, and this agent is given no credential");
    taker.seal = wrong;
    assert_not_imported(&taker, text, START, -EKEYREJECTED,
                        "these keys were sealed with another credential than the one that this "
                        "agent is given");

    /* As it comes through a shell. */
    ended = format("%s\n", secret_data(text));
    line = secret_of(ended);
    taker.seal = seal;
    shared = import_at(&taker, line, START);
    kid = first(theirs, "enc");
    jwe = seal_to(theirs, kid);
    assert_opens(shared, jwe, START, NULL);
    file = command("cat taker4.json");
    assert_null(strstr(file, "\"d\""));
}

static void what_are_no_keys_of_an_agent_is_not_imported(void **state) {
    _cleanup_free_ char *path = scratch_path("giver5.json"), *other = scratch_path("taker5.json");
    agent_keys_options giver = options_for(path), taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *theirs = open_keys_at(&giver, START),
                                           *own = open_keys_at(&taker, START), *sealed_keys = NULL;
    _cleanup_(secret_freep) secret *seal = seal_of(SEAL), *clear = export_of(&giver),
                                   *sealed = NULL, *cut = NULL, *cut_sealed = NULL, *public = NULL,
                                   *empty = NULL, *deep = NULL, *half = NULL;
    _cleanup_free_ char *jwks = json_to_text(agent_keys_public(theirs)),
                        *text = strdup(secret_data(clear)), *brackets = format("%040d", 0);

    (void) state;

    giver.seal = seal;
    sealed_keys = open_keys_at(&giver, START);
    sealed = export_of(&giver);

    assert_int_equal(secret_new(secret_data(clear), secret_size(clear) / 2, &cut), 0);
    assert_not_imported(&taker, cut, START, -EBADMSG, "it ends in the middle");
    assert_int_equal(secret_new(secret_data(sealed), secret_size(sealed) - 1, &cut_sealed), 0);
    taker.seal = seal;
    assert_not_imported(&taker, cut_sealed, START, -EBADMSG, "or its end is missing");

    public = secret_of(jwks);
    assert_not_imported(&taker, public, START, -EBADMSG,
                        "these keys are public only: export them with --private");
    empty = secret_of("\n");
    assert_not_imported(&taker, empty, START, -EBADMSG, "there is nothing in it");
    memset(brackets, '[', strlen(brackets));
    deep = secret_of(brackets);
    assert_not_imported(&taker, deep, START, -EBADMSG, "nothing was imported: ");
    replace(&text, "\"d\"", "\"e\"");
    half = secret_of(text);
    assert_not_imported(&taker, half, START, -EBADMSG, "a key is not whole");

    assert_not_imported(&taker, clear, DAY(180), -EKEYEXPIRED, "these keys have ended");
    assert_not_imported(&taker, clear, START - 2 * USEC_PER_DAY, -EBADMSG,
                        "a key was made in the future");
}

static void keys_that_are_renewed_elsewhere_are_not_replaced_here(void **state) {
    _cleanup_free_ char *path = scratch_path("giver6.json"), *other = scratch_path("taker6.json"),
                        *why = NULL;
    const agent_keys_options giver = options_for(path);
    agent_keys_options taker = options_for(other);
    _cleanup_(agent_keys_freep) agent_keys *theirs = open_keys_at(&giver, START), *shared = NULL,
                                           *due = NULL, *renewed = NULL, *taken = NULL;
    _cleanup_(secret_freep) secret *text = export_of(&giver), *fresh = NULL;

    (void) state;

    taker.renewed_elsewhere = true;
    shared = import_at(&taker, text, START);

    assert_int_equal(agent_keys_tend(&taker, DAY(150), &due, &why), 0);
    assert_string_equal(why, "another agent renews them (Renew=no), and its new ones have not been "
                             "imported");
    assert_true(json_equal(agent_keys_public(due), agent_keys_public(theirs)));

    renewed = open_keys_at(&giver, DAY(150));
    fresh = export_of(&giver);
    (void) agent_keys_free(import_at(&taker, fresh, DAY(150)));
    taken = open_keys_at(&taker, DAY(150));
    assert_true(json_equal(agent_keys_public(taken), agent_keys_public(renewed)));
}

/* An agent has to start with something. */
static void the_first_keys_are_made_here_all_the_same(void **state) {
    _cleanup_free_ char *path = scratch_path("taker7.json");
    agent_keys_options options = options_for(path);
    _cleanup_(agent_keys_freep) agent_keys *keys = NULL;

    (void) state;

    options.renewed_elsewhere = true;
    keys = open_keys_at(&options, START);
    assert_int_equal(agent_keys_count(keys), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_start_makes_keys_for_the_agent_alone),
        cmocka_unit_test(published_keys_are_public_and_named_by_their_thumbprint),
        cmocka_unit_test(no_key_is_named_like_an_option),
        cmocka_unit_test(second_start_finds_the_same_keys),
        cmocka_unit_test(keys_that_others_can_read_are_refused),
        cmocka_unit_test(damaged_keys_are_refused_and_left_alone),
        cmocka_unit_test(half_of_another_key_is_refused),
        cmocka_unit_test(one_kind_of_key_is_not_enough),
        cmocka_unit_test(missing_folder_is_told),
        cmocka_unit_test(keys_are_replaced_on_the_right_day_and_the_new_ones_come_first),
        cmocka_unit_test(replaced_key_opens_requests_through_its_grace_and_not_a_second_longer),
        cmocka_unit_test(grace_can_be_shorter_than_the_life_that_is_left),
        cmocka_unit_test(replaced_signing_key_is_published_and_cannot_sign),
        cmocka_unit_test(key_that_nobody_replaced_opens_nothing_after_its_end),
        cmocka_unit_test(keys_from_the_future_are_replaced),
        cmocka_unit_test(keys_of_the_first_version_get_an_end),
        cmocka_unit_test(a_longer_life_does_not_let_a_key_of_before_expire),
        cmocka_unit_test(rotating_by_hand_replaces_at_once_and_loses_nothing),
        cmocka_unit_test(only_replaced_keys_can_be_retired),
        cmocka_unit_test(rotating_without_end_is_refused_before_the_file_is_spoilt),
        cmocka_unit_test(keys_that_are_due_but_cannot_be_written_stay_in_use),
        cmocka_unit_test(running_agent_makes_no_keys_where_theirs_have_gone),
        cmocka_unit_test(keys_are_sealed_as_soon_as_there_is_a_seal),
        cmocka_unit_test(sealed_keys_are_not_opened_by_another_host),
        cmocka_unit_test(sealed_keys_that_were_changed_are_refused),
        cmocka_unit_test(imported_keys_become_the_current_ones_and_those_of_before_open_still),
        cmocka_unit_test(imported_keys_sign_as_the_other_agent_does),
        cmocka_unit_test(the_same_keys_a_second_time_change_nothing),
        cmocka_unit_test(keys_that_were_replaced_at_the_other_agent_come_along),
        cmocka_unit_test(sealed_keys_are_shared_by_agents_with_the_same_seal_alone),
        cmocka_unit_test(what_are_no_keys_of_an_agent_is_not_imported),
        cmocka_unit_test(keys_that_are_renewed_elsewhere_are_not_replaced_here),
        cmocka_unit_test(the_first_keys_are_made_here_all_the_same),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
