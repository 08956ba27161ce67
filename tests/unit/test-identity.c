/* SPDX-License-Identifier: Apache-2.0 */
/* How people are named in the log. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/identity.h"

static char folder[] = "/tmp/test-identity-XXXXXX";
static const char name[] = "alice@corp.example";
static const char sid[] = "S-1-5-21-1-2-3-1001";

static int set_up(void **state) {
    (void) state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    _cleanup_free_ char *command = NULL;

    (void) state;
    return asprintf(&command, "rm -rf %s", folder) < 0 || system(command) != 0;
}

static identities *open_with(identity_form form, const char *key) {
    _cleanup_free_ char *path = NULL;
    identities *i;

    assert_true(asprintf(&path, "%s/%s", folder, key) > 0);
    assert_int_equal(identities_new(form, path, &i), 0);
    return i;
}

static void assert_text(const identities *i, const char *n, const char *s, const char *expected) {
    _cleanup_free_ char *text = identities_text(i, n, s);

    if (expected)
        assert_string_equal(text, expected);
    else
        assert_null(text);
}

static void by_name_or_by_sid(void **state) {
    _cleanup_(identities_freep) identities *by_name = open_with(IDENTITY_UPN, "none");
    _cleanup_(identities_freep) identities *by_sid = open_with(IDENTITY_SID, "none");

    (void) state;

    assert_text(by_name, name, sid, name);
    assert_text(by_name, NULL, sid, sid);
    assert_text(by_sid, name, sid, sid);
    /* Rather nothing than the name. */
    assert_text(by_sid, name, NULL, NULL);
    assert_true(identities_may_name(by_name));
    assert_false(identities_may_name(by_sid));
    /* writebackctl check --user= takes both. */
    assert_true(identities_are_known(by_name) && identities_are_known(by_sid));
}

static void a_hash_is_one_person_s_and_of_this_key_alone(void **state) {
    identities *first = open_with(IDENTITY_HASH, "key"), *again;
    _cleanup_(identities_freep) identities *other = open_with(IDENTITY_HASH, "other-key");
    _cleanup_free_ char *text = identities_text(first, NULL, sid), *path = NULL;
    _cleanup_free_ char *elsewhere = identities_text(other, NULL, sid);
    struct stat st;

    (void) state;

    assert_int_equal(strlen(text), 32);
    assert_false(identities_are_known(first));
    assert_int_equal(strspn(text, "0123456789abcdef"), 32);
    assert_null(strstr(text, "1001"));
    assert_text(first, name, sid, text);
    assert_text(first, name, "s-1-5-21-1-2-3-1001", text);
    assert_string_not_equal(text, elsewhere);
    assert_null(identities_free(first));

    /* After a restart it is the same. */
    again = open_with(IDENTITY_HASH, "key");
    assert_text(again, name, sid, text);
    assert_null(identities_free(again));

    assert_true(asprintf(&path, "%s/key", folder) > 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_key_that_is_none_is_refused(void **state) {
    _cleanup_free_ char *path = NULL;
    identities *none = NULL;
    FILE *f;

    (void) state;

    assert_true(asprintf(&path, "%s/short", folder) > 0);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(identities_new(IDENTITY_HASH, path, &none), -EBADMSG);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name_or_by_sid),
        cmocka_unit_test(a_hash_is_one_person_s_and_of_this_key_alone),
        cmocka_unit_test(a_key_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
