/* SPDX-License-Identifier: Apache-2.0 */
/* Whose clock is wrong: from what others' say, and the dates that they say it in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/clock_state.h"

#define MINUTE ((int64_t) USEC_PER_MINUTE)
#define SECOND ((int64_t) USEC_PER_SEC)

#define RELAY(ahead)                                                                               \
    { "relay:primary", "relay:primary", ahead }
#define ISSUER(ahead)                                                                              \
    { "issuer:entra", "issuer:entra", ahead }
#define GRAPH(ahead)                                                                               \
    { "graph", "graph", ahead }
#define DC(n, ahead)                                                                               \
    { "dc" n ".corp.example", "directory:corp.example", ahead }

#define judged(...)                                                                                \
    judge((const clock_witness[]){__VA_ARGS__},                                                    \
          sizeof((const clock_witness[]){__VA_ARGS__}) / sizeof(clock_witness))
#define told(...)                                                                                  \
    clock_describe((const clock_witness[]){__VA_ARGS__},                                           \
                   sizeof((const clock_witness[]){__VA_ARGS__}) / sizeof(clock_witness))

/* In either order: who is heard first must not matter. */
static clock_state judge(const clock_witness *witnesses, size_t n) {
    clock_witness reversed[8];
    clock_state state = clock_judge(witnesses, n);

    for (size_t i = 0; i < n; i++)
        reversed[i] = witnesses[n - 1 - i];
    assert_int_equal(clock_judge(reversed, n), state);
    return state;
}

static void this_host_is_wrong_where_most_say_so(void **state) {
    _cleanup_free_ char *why = told(RELAY(7 * MINUTE), ISSUER(7 * MINUTE + SECOND), DC("1", 0));

    (void) state;

    assert_int_equal(judged(RELAY(7 * MINUTE), ISSUER(7 * MINUTE), DC("1", 7 * MINUTE)),
                     CLOCK_IS_WRONG);
    assert_int_equal(judged(RELAY(-7 * MINUTE), DC("1", -8 * MINUTE)), CLOCK_IS_WRONG);
    assert_int_equal(judged(RELAY(7 * MINUTE), ISSUER(7 * MINUTE), DC("1", 0)), CLOCK_IS_WRONG);
    assert_string_equal(
        why, "this host's clock is 7 min ahead of those of relay:primary and issuer:entra");
}

static void one_peer_alone_accuses_nobody_but_itself(void **state) {
    _cleanup_free_ char *why = told(RELAY(0), ISSUER(SECOND), DC("1", -3 * 60 * MINUTE));
    _cleanup_free_ char *alone = told(RELAY(90 * SECOND));

    (void) state;

    assert_int_equal(judged(RELAY(0), ISSUER(0), DC("1", 7 * MINUTE)), CLOCK_IS_DOUBTFUL);
    assert_int_equal(judged(RELAY(7 * MINUTE)), CLOCK_IS_DOUBTFUL);
    assert_int_equal(judged(RELAY(0), DC("1", 7 * MINUTE)), CLOCK_IS_DOUBTFUL);
    /* Two are no majority of four. */
    assert_int_equal(judged(RELAY(7 * MINUTE), ISSUER(7 * MINUTE), GRAPH(0), DC("1", 0)),
                     CLOCK_IS_DOUBTFUL);
    /* Wrong they may both be, but not this host's clock to both sides. */
    assert_int_equal(judged(RELAY(-7 * MINUTE), DC("1", 7 * MINUTE)), CLOCK_IS_DOUBTFUL);
    assert_string_equal(why, "the clock of dc1.corp.example is 3 h ahead of this host's; "
                             "relay:primary and issuer:entra agree with this host");
    assert_string_equal(alone, "the clock of relay:primary is 90 s behind this host's; which is "
                               "wrong cannot be told");
}

static void controllers_of_one_domain_have_one_vote(void **state) {
    (void) state;

    assert_int_equal(judged(RELAY(0), ISSUER(0), DC("1", 7 * MINUTE), DC("2", 7 * MINUTE),
                            DC("3", 7 * MINUTE), DC("4", 7 * MINUTE)),
                     CLOCK_IS_DOUBTFUL);
    /* One of them that is right speaks for the domain. */
    assert_int_equal(judged(RELAY(7 * MINUTE), DC("1", 0), DC("2", 7 * MINUTE)), CLOCK_IS_DOUBTFUL);
    assert_int_equal(judged(RELAY(7 * MINUTE), DC("1", 7 * MINUTE), DC("2", 7 * MINUTE)),
                     CLOCK_IS_WRONG);
}

static void a_minute_warns_and_five_fail(void **state) {
    (void) state;

    assert_int_equal(judged(RELAY(MINUTE), ISSUER(MINUTE)), CLOCK_IS_RIGHT);
    assert_int_equal(judged(RELAY(-MINUTE), ISSUER(-MINUTE)), CLOCK_IS_RIGHT);
    assert_int_equal(judged(RELAY(MINUTE + 1), ISSUER(MINUTE + 1)), CLOCK_IS_OFF);
    assert_int_equal(judged(RELAY(-MINUTE - 1), ISSUER(-MINUTE - 1)), CLOCK_IS_OFF);
    assert_int_equal(judged(RELAY(5 * MINUTE), ISSUER(5 * MINUTE)), CLOCK_IS_OFF);
    assert_int_equal(judged(RELAY(5 * MINUTE + 1), ISSUER(5 * MINUTE + 1)), CLOCK_IS_WRONG);
    /* The median: one that exaggerates does not make it worse. */
    assert_int_equal(judged(RELAY(2 * MINUTE), ISSUER(2 * MINUTE), GRAPH(90 * MINUTE)),
                     CLOCK_IS_OFF);
}

static void without_witnesses_nothing_is_known(void **state) {
    (void) state;

    assert_int_equal(clock_judge(NULL, 0), CLOCK_IS_UNKNOWN);
    assert_null(clock_describe(NULL, 0));
}

static void a_clock_that_is_set_later_is_noticed_from_an_old_reading(void **state) {
    const clock_reading theirs = {.date = 1000 * USEC_PER_SEC, .at = 10 * USEC_PER_SEC};

    (void) state;

    assert_int_equal(clock_ahead(&theirs, 1000 * USEC_PER_SEC, 10 * USEC_PER_SEC), 0);
    /* A minute later, and nothing was set. */
    assert_int_equal(clock_ahead(&theirs, 1060 * USEC_PER_SEC, 70 * USEC_PER_SEC), 0);
    assert_int_equal(clock_ahead(&theirs, 1000 * USEC_PER_SEC, 70 * USEC_PER_SEC), -60 * SECOND);
    assert_int_equal(clock_ahead(&theirs, 1100 * USEC_PER_SEC, 70 * USEC_PER_SEC), 40 * SECOND);
}

static void dates_in_utc_are_read_and_nothing_else(void **state) {
    static const char *const wrong[] = {
        "",
        "2026-11-26",
        "2026-11-26T08:30:00",
        "2026-11-26T08:30:00+01:00",
        "2026-11-26T08:30:00Zulu",
        "20261126083000",
        "20261126083000.0+0100",
        "Thu, 26 Nov 2026 08:30:00 GMT",
        "1901-01-01T00:00:00Z",
    };
    usec_t date, other;

    (void) state;

    assert_int_equal(utc_parse("2026-11-26T08:30:00Z", &date), 0);
    assert_int_equal(date, UINT64_C(1795681800) * USEC_PER_SEC);
    assert_int_equal(utc_parse("2026-11-26T08:30:00.1234567Z", &other), 0);
    assert_int_equal(date, other);
    assert_int_equal(utc_parse("20261126083000.0Z", &other), 0);
    assert_int_equal(date, other);
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        if (utc_parse(wrong[i], &date) == 0)
            fail_msg("'%s' was read", wrong[i]);
}

static void spans_are_told_in_their_largest_unit_of_which_there_are_two(void **state) {
    static const struct {
        usec_t span;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {2 * USEC_PER_MINUTE - 1, "119 s"},
        {2 * USEC_PER_MINUTE, "2 min"},
        {2 * USEC_PER_HOUR - 1, "119 min"},
        {2 * USEC_PER_HOUR, "2 h"},
        {2 * USEC_PER_DAY - 1, "47 h"},
        {2 * USEC_PER_DAY, "2 days"},
        {400 * USEC_PER_DAY, "400 days"},
    };
    char buffer[USEC_TEXT_MAX];

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_string_equal(usec_describe(cases[i].span, buffer), cases[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_host_is_wrong_where_most_say_so),
        cmocka_unit_test(one_peer_alone_accuses_nobody_but_itself),
        cmocka_unit_test(controllers_of_one_domain_have_one_vote),
        cmocka_unit_test(a_minute_warns_and_five_fail),
        cmocka_unit_test(without_witnesses_nothing_is_known),
        cmocka_unit_test(a_clock_that_is_set_later_is_noticed_from_an_old_reading),
        cmocka_unit_test(dates_in_utc_are_read_and_nothing_else),
        cmocka_unit_test(spans_are_told_in_their_largest_unit_of_which_there_are_two),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
