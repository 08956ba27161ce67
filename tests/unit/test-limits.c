/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: how often is often enough, and when to come again. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/limits.h"

#define START (1000 * USEC_PER_SEC)

static const rate three_a_minute = {3, USEC_PER_MINUTE};
static const rate no_limit = {0, USEC_PER_SEC};

static void so_many_at_once_and_then_one_by_one(void **state) {
    usec_t bucket = 0, now = START;

    (void) state;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rate_take(three_a_minute, &bucket, now), 0);
    assert_int_equal(rate_take(three_a_minute, &bucket, now), 20 * USEC_PER_SEC);

    now += 20 * USEC_PER_SEC - 1;
    assert_int_equal(rate_take(three_a_minute, &bucket, now), 1);
    now += 1;
    assert_int_equal(rate_wait(three_a_minute, bucket, now), 0);
    assert_int_equal(rate_take(three_a_minute, &bucket, now), 0);
    assert_int_equal(rate_take(three_a_minute, &bucket, now), 20 * USEC_PER_SEC);
}

/* Whoever waits as long as he was told is let through, and nobody gets more than the rate. */
static void the_wait_told_is_the_wait_needed(void **state) {
    static const rate rates[] = {
        {1, 1}, {1, USEC_PER_HOUR}, {7, 10 * USEC_PER_SEC}, {999983, USEC_PER_SEC}};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rates); i++) {
        usec_t bucket = 0, now = START;
        uint64_t taken = 0;

        for (unsigned k = 0; k < 10000; k++) {
            usec_t wait = rate_take(rates[i], &bucket, now);

            if (wait == 0)
                taken++;
            else
                now += wait;
        }
        assert_true(taken >= 4999);
        assert_true(taken <= rates[i].count + (now - START) / (rates[i].period / rates[i].count));
    }
}

static void a_bucket_does_not_overflow_with_time(void **state) {
    usec_t bucket = 0, now = START;

    (void) state;

    assert_int_equal(rate_take(three_a_minute, &bucket, now), 0);
    now += USEC_PER_DAY;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rate_take(three_a_minute, &bucket, now), 0);
    assert_true(rate_take(three_a_minute, &bucket, now) > 0);
}

static void without_a_limit_nothing_waits(void **state) {
    usec_t bucket = 0;

    (void) state;

    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(rate_take(no_limit, &bucket, START), 0);
}

static void each_account_has_its_own_limit(void **state) {
    _cleanup_(limits_freep) limits *l = NULL;

    (void) state;

    assert_int_equal(limits_new(no_limit, three_a_minute, &l), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(limits_take_account(l, "alice", START), 0);
    assert_int_equal(limits_wait_account(l, "alice", START), 20 * USEC_PER_SEC);
    assert_int_equal(limits_take_account(l, "alice", START), 20 * USEC_PER_SEC);
    assert_int_equal(limits_wait_account(l, "bob", START), 0);
    assert_int_equal(limits_take_account(l, "bob", START), 0);
    assert_int_equal(limits_take_request(l, START), 0);
}

static void one_limit_is_everybody_s(void **state) {
    _cleanup_(limits_freep) limits *l = NULL;

    (void) state;

    assert_int_equal(limits_new(three_a_minute, no_limit, &l), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(limits_take_request(l, START), 0);
    assert_int_equal(limits_take_request(l, START), 20 * USEC_PER_SEC);
}

static void what_was_taken_counts_on_at_another_rate(void **state) {
    static const rate ten_an_hour = {10, USEC_PER_HOUR}, two_a_minute = {2, USEC_PER_MINUTE};
    _cleanup_(limits_freep) limits *l = NULL;

    (void) state;

    assert_int_equal(limits_new(no_limit, three_a_minute, &l), 0);
    assert_int_equal(limits_take_account(l, "alice", START), 0);
    assert_int_equal(limits_take_account(l, "alice", START), 0);

    /* Unchanged. */
    limits_set_rates(l, no_limit, three_a_minute, START);
    assert_int_equal(limits_take_account(l, "alice", START), 0);
    assert_int_equal(limits_take_account(l, "alice", START), 20 * USEC_PER_SEC);

    /* Three of ten are taken. */
    limits_set_rates(l, no_limit, ten_an_hour, START);
    for (unsigned i = 3; i < 10; i++)
        assert_int_equal(limits_take_account(l, "alice", START), 0);
    assert_int_equal(limits_take_account(l, "alice", START), 6 * USEC_PER_MINUTE);

    /* More than ever may be are not, so nobody waits for hours that nobody asked for. */
    limits_set_rates(l, no_limit, two_a_minute, START);
    assert_int_equal(limits_take_account(l, "alice", START), 30 * USEC_PER_SEC);
    assert_int_equal(limits_take_account(l, "bob", START), 0);

    limits_set_rates(l, no_limit, no_limit, START);
    assert_int_equal(limits_take_account(l, "alice", START), 0);
}

/* However many other accounts are acted on, one that is over its limit stays so. */
static void a_crowd_does_not_make_an_account_forgotten(void **state) {
    _cleanup_(limits_freep) limits *l = NULL;
    char guid[16];

    (void) state;

    assert_int_equal(limits_new(no_limit, three_a_minute, &l), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(limits_take_account(l, "alice", START), 0);
    for (unsigned i = 0; i < 10000; i++) {
        (void) snprintf(guid, sizeof(guid), "user%u", i);
        assert_int_equal(limits_take_account(l, guid, START + 1), 0);
    }
    assert_true(limits_take_account(l, "alice", START + 1) > 0);
}

static void rates_are_read_as_they_are_written(void **state) {
    static const struct {
        const char *text;
        unsigned count;
        usec_t period;
    } good[] = {
        {"10/10min", 10, 10 * USEC_PER_MINUTE},
        {"3000/min", 3000, USEC_PER_MINUTE},
        {"5/h", 5, USEC_PER_HOUR},
        {"1/30s", 1, 30 * USEC_PER_SEC},
        {"off", 0, USEC_PER_SEC},
    };
    static const char *const bad[] = {
        "",     "10",      "10/",     "/min", "0/min",    "-1/s",   "10/0min",
        "10/m", "10/min ", "1.5/min", "+1/s", "10 / min", "10/-1s", "99999999999999999999/s"};
    rate r;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(good); i++) {
        assert_int_equal(rate_parse(good[i].text, &r), 0);
        assert_int_equal(r.count, good[i].count);
        assert_int_equal(r.period, good[i].period);
    }
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(rate_parse(bad[i], &r), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_at_once_and_then_one_by_one),
        cmocka_unit_test(the_wait_told_is_the_wait_needed),
        cmocka_unit_test(a_bucket_does_not_overflow_with_time),
        cmocka_unit_test(without_a_limit_nothing_waits),
        cmocka_unit_test(each_account_has_its_own_limit),
        cmocka_unit_test(one_limit_is_everybody_s),
        cmocka_unit_test(what_was_taken_counts_on_at_another_rate),
        cmocka_unit_test(a_crowd_does_not_make_an_account_forgotten),
        cmocka_unit_test(rates_are_read_as_they_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
