/* SPDX-License-Identifier: Apache-2.0 */
/* Which passwords an id came with: the same, others, or nobody can tell. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/password_memory.h"

static int set_up(void **state) {
    int lock_error;

    (void) state;
    return secret_memory_init(&lock_error);
}

static int compare(password_memory *m, const char *id, const char *new_password,
                   const char *current_password) {
    _cleanup_(secret_freep) secret *new = NULL, *current = NULL;
    request q = {.id = (char *) (uintptr_t) id};

    assert_int_equal(secret_new(new_password, strlen(new_password), &new), 0);
    if (current_password)
        assert_int_equal(secret_new(current_password, strlen(current_password), &current), 0);
    q.new_password = new;
    q.current_password = current;
    return password_memory_compare(m, &q);
}

static void the_same_passwords_agree_and_others_do_not(void **state) {
    _cleanup_(password_memory_freep) password_memory *m = NULL;

    (void) state;

    assert_int_equal(password_memory_new(&m), 0);
    assert_int_equal(compare(m, "request-1", "new", "old"), 0);
    assert_int_equal(compare(m, "request-1", "new", "old"), 0);
    assert_int_equal(compare(m, "request-1", "other", "old"), -EBADMSG);
    assert_int_equal(compare(m, "request-1", "new", "other"), -EBADMSG);
    assert_int_equal(compare(m, "request-1", "newo", "ld"), -EBADMSG);
    assert_int_equal(compare(m, "request-1", "new", NULL), -EBADMSG);
    assert_int_equal(compare(m, "request-2", "other", NULL), 0);
}

/* 3000 a minute, for the ten minutes that a request lives, and two that clocks may differ by. */
static void what_comes_in_a_requests_life_is_remembered(void **state) {
    _cleanup_(password_memory_freep) password_memory *m = NULL;
    char id[32];

    (void) state;

    assert_int_equal(password_memory_new(&m), 0);
    assert_int_equal(compare(m, "request-1", "new", NULL), 0);
    for (unsigned i = 1; i < 3000 * 12; i++) {
        (void) snprintf(id, sizeof(id), "one-of-many-%u", i);
        assert_int_equal(compare(m, id, "new", NULL), 0);
    }
    assert_int_equal(compare(m, "request-1", "other", NULL), -EBADMSG);

    /* And then the oldest is forgotten, and no other. */
    assert_int_equal(compare(m, "request-2", "new", NULL), 0);
    assert_int_equal(compare(m, "one-of-many-1", "other", NULL), -EBADMSG);
    assert_int_equal(compare(m, "request-1", "other", NULL), 0);
}

static void without_memory_for_secrets_they_are_not_called_others(void **state) {
    _cleanup_(password_memory_freep) password_memory *m = NULL;
    _cleanup_(secret_freep) secret *password = NULL;
    request q = {.id = (char *) (uintptr_t) "request-1"};
    secret *taken[1024];
    size_t n = 0;

    (void) state;

#ifdef WRITEBACK_SANITIZERS
    skip(); /* secrets are on the ordinary heap, which has no such end */
#endif

    assert_int_equal(password_memory_new(&m), 0);
    assert_int_equal(secret_new("new", 3, &password), 0);
    q.new_password = password;
    assert_int_equal(password_memory_compare(m, &q), 0);

    for (size_t size = (size_t) 1024 * 1024; size > 0 && n < ELEMENTSOF(taken); size /= 2)
        while (n < ELEMENTSOF(taken) && secret_new_empty(size, &taken[n]) == 0)
            n++;
    assert_in_range(n, 1, ELEMENTSOF(taken) - 1);
    assert_int_equal(password_memory_compare(m, &q), -ENOMEM);

    while (n > 0)
        (void) secret_free(taken[--n]);
    assert_int_equal(password_memory_compare(m, &q), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_passwords_agree_and_others_do_not),
        cmocka_unit_test(what_comes_in_a_requests_life_is_remembered),
        cmocka_unit_test(without_memory_for_secrets_they_are_not_called_others),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
