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

static agent_keys *open_keys(const char *path) {
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;

    assert_int_equal(agent_keys_open(path, &keys, &why), 0);
    assert_null(why);
    return keys;
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

static void second_start_finds_the_same_keys(void **state) {
    _cleanup_free_ char *path = scratch_path("second.json");
    _cleanup_(agent_keys_freep) agent_keys *made = open_keys(path), *read = open_keys(path);

    (void) state;

    assert_true(json_equal(agent_keys_public(made), agent_keys_public(read)));
}

/* Opens what must not be opened, and looks that the file is left alone. */
static void assert_refused(const char *path, int expected, const char *expected_why) {
    _cleanup_(secret_freep) secret *before = NULL, *after = NULL;
    _cleanup_free_ char *why = NULL;
    agent_keys *keys = NULL;

    assert_int_equal(file_read(path, 1 << 20, &before), 0);
    assert_int_equal(agent_keys_open(path, &keys, &why), expected);
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
    agent_keys *keys = NULL;

    (void) state;

    assert_int_equal(agent_keys_open(path, &keys, &why), -ENOENT);
    expected = format("%s cannot be written: No such file or directory", path);
    assert_string_equal(why, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_start_makes_keys_for_the_agent_alone),
        cmocka_unit_test(published_keys_are_public_and_named_by_their_thumbprint),
        cmocka_unit_test(second_start_finds_the_same_keys),
        cmocka_unit_test(keys_that_others_can_read_are_refused),
        cmocka_unit_test(damaged_keys_are_refused_and_left_alone),
        cmocka_unit_test(half_of_another_key_is_refused),
        cmocka_unit_test(one_kind_of_key_is_not_enough),
        cmocka_unit_test(missing_folder_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
