/* SPDX-License-Identifier: Apache-2.0 */

/* The directory room where answers are lost: what a controller that is not asked again has done. */

#include <errno.h>
#include <inttypes.h>
#include <ldap.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "tests/unit/directory_fixture.h"

/* ---- No answer ------------------------------------------------------------------------------- */

static void a_reset_without_an_answer_is_unknown_and_never_sent_again(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    result r;

    start(f, (double_script){.hints = HINTS, .reset = {.manner = DOUBLE_IS_SILENT}}, &second);
    r = reset_within(f, "Correct-Horse-4711", 0, SHORT_PATIENCE);

    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_true(r.reply.sent);
    assert_int_equal(r.reply.ldap_result, -1);
    assert_int_equal(double_get_count(f->first).resets, 1);
    assert_int_equal(double_get_count(f->second).resets, 0);
}

static void a_connection_cut_after_the_reset_is_looked_into_and_nothing_repeated(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    result r;

    start(f, (double_script){.hints = HINTS, .reset = {.manner = DOUBLE_HANGS_UP}}, &second);
    r = reset(f);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_string_equal(r.controller, double_name(f->first));
    assert_int_equal(double_get_count(f->first).resets, 1);
    assert_int_equal(double_get_count(f->second).resets, 0);
}

static void nonsense_after_the_reset_is_looked_into(void **state) {
    fixture *f = *state;
    static const double_manner manners[] = {DOUBLE_SENDS_GARBAGE, DOUBLE_SENDS_TOO_MUCH};

    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(manners); i++) {
        result r;

        double_get_script(f->first)->reset.manner = manners[i];
        r = reset(f);
        assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
        assert_non_null(strstr(r.detail, "was not done"));
    }
}

static void a_search_does_not_wait_for_a_reset_that_hangs(void **state) {
    fixture *f = *state;
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    _cleanup_(secret_freep) secret *password = NULL;
    directory_call *call;
    result found, slow = {}, quick;

    start(f, (double_script){.hints = HINTS, .reset = {.manner = DOUBLE_IS_STUCK}}, NULL);
    found = locate(f);
    assert_int_equal(secret_new("Correct-Horse-4711", 18, &password), 0);
    assert_int_equal(
        directory_reset(f->directory, found.account, password, 0, &attempt, on_done, &slow, &call),
        0);
    while (double_get_count(f->first).resets == 0)
        assert_true(sd_event_run(f->event, 20 * USEC_PER_MSEC) >= 0);

    quick = locate(f);
    assert_outcome(&quick, OUTCOME_INVALID);
    assert_false(slow.done);
    directory_call_free(call);
    directory_account_free(quick.account);
    directory_account_free(found.account);
}

static void a_late_answer_to_a_cancelled_reset_does_no_harm(void **state) {
    fixture *f = *state;
    _cleanup_(secret_freep) secret *s = NULL;
    bool never = false;
    directory_call *call;
    result found, r = {};

    start(f, (double_script){.hints = HINTS, .reset = {.manner = DOUBLE_ANSWERS_LATE}}, NULL);
    found = locate(f);
    assert_int_equal(secret_new("Correct-Horse-4711", 18, &s), 0);
    assert_int_equal(directory_reset(f->directory, found.account, s, 0,
                                     &(directory_attempt){.deadline = now_monotonic() + PATIENCE},
                                     on_done, &r, &call),
                     0);
    while (double_get_count(f->first).resets == 0)
        assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
    directory_call_free(call);
    directory_account_free(found.account);

    run_until(f, &never, USEC_PER_SEC);
    assert_false(r.done);
    r = locate(f);
    assert_outcome(&r, OUTCOME_INVALID);
    directory_account_free(r.account);
    assert_int_equal(double_get_count(f->first).connections, 2);
}

static void what_is_done_stays_done_though_the_rest_fails(void **state) {
    fixture *f = *state;
    static const struct {
        double_answer answer;
        usec_t patience;
        bool is_known;
    } must_change[] = {
        {{.result = 53, .text = "0000052D: Unwilling to perform - x is too young to change!"},
         PATIENCE,
         true},
        {{.manner = DOUBLE_HANGS_UP}, PATIENCE, true}, /* the account shows it */
        {{.manner = DOUBLE_IS_SILENT}, SHORT_PATIENCE, false},
    };

    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(must_change); i++) {
        result r;

        double_get_script(f->first)->must_change = must_change[i].answer;
        r = reset_within(f, "Correct-Horse-4711", RESET_MUST_CHANGE, must_change[i].patience);
        assert_outcome(&r, OUTCOME_INVALID);
        assert_int_equal(r.reply.must_change_failed, must_change[i].is_known);
        assert_int_equal(r.reply.must_change_unknown, !must_change[i].is_known);
        assert_false(r.reply.must_change);
        assert_true(r.reply.password_last_set != 0);
    }
}

/* Its answer could not be waited for. */
static void with_seconds_left_nothing_is_sent(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS}, NULL);
    r = reset_within(f, "Correct-Horse-4711", 0, 2 * USEC_PER_SEC);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_false(r.reply.sent);
    assert_non_null(strstr(r.detail, "nothing was sent"));

    /* Nor where the deadline is past. */
    r = reset_within(f, "Correct-Horse-4711", 0, 0);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_false(r.reply.sent);
    assert_int_equal(double_get_count(f->first).resets, 0);
}

/* ---- Another controller's word for what was not answered ------------------------------------- */

/* Every connection to it is cut, and every new one. */
static void fall_away(controller_double *d) {
    double_get_script(d)->search.manner = DOUBLE_HANGS_UP;
    double_get_script(d)->bind.manner = DOUBLE_HANGS_UP;
    double_get_script(d)->reset.manner = DOUBLE_HANGS_UP;
}

/* A reset at a controller that falls away with it, so that the other one is looked at. */
static result reset_and_lose(fixture *f, const char *first_date, double_script second,
                             directory_attempt attempt, usec_t patience) {
    result found, r;

    start(f, (double_script){.hints = HINTS, .password_last_set = first_date}, &second);
    found = locate(f);
    assert_outcome(&found, OUTCOME_INVALID);
    assert_string_equal(found.controller, double_name(f->first));

    fall_away(f->first);
    attempt.deadline = now_monotonic() + patience;
    r = reset_found(f, found.account, "Correct-Horse-4711", 0, attempt);
    directory_account_free(found.account);
    return r;
}

/* It has not even heard of the reset before this one. To a locked account Windows says 775 whatever
 * the password is. */
static void an_older_date_at_another_controller_is_no_sign_of_a_reset(void **state) {
    fixture *f = *state;
    result r;

    r = reset_and_lose(f, "133000000000000000",
                       (double_script){.hints = HINTS,
                                       .password_last_set = "132900000000000000",
                                       .sign_in = {.result = 49, .text = REFUSED "775, v4563"}},
                       (directory_attempt){}, SHORT_PATIENCE);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_int_equal(double_get_count(f->second).sign_ins, 0);
}

/* "Must change" hid the date that the account was found with. */
static void a_date_at_another_controller_is_no_sign_where_the_one_before_is_hidden(void **state) {
    fixture *f = *state;
    result r;

    r = reset_and_lose(f, "0",
                       (double_script){.hints = HINTS,
                                       .password_last_set = "132900000000000000",
                                       .sign_in = {.result = 49, .text = REFUSED "52e, v4563"}},
                       (directory_attempt){}, SHORT_PATIENCE);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_int_equal(double_get_count(f->second).sign_ins, 0);
}

/* A later date is a sign, of this reset or of another; the password tells, and it is tried once. */
static void another_controller_is_believed_that_it_was_done_and_nothing_else(void **state) {
    fixture *f = *state;
    static const struct {
        int result;
        const char *text;
        outcome outcome;
        usec_t patience;
    } answers[] = {
        {0, "", OUTCOME_INVALID, PATIENCE},
        {49, REFUSED "773, v4563", OUTCOME_INVALID, PATIENCE},
        {49, REFUSED "775, v4563", OUTCOME_OUTCOME_UNKNOWN, SHORT_PATIENCE},
        {49, REFUSED "52e, v4563", OUTCOME_OUTCOME_UNKNOWN, SHORT_PATIENCE},
    };

    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        char now[32];
        double_script second = {.hints = HINTS,
                                .password_last_set = date_of(now_realtime(), now),
                                .sign_in = {.result = answers[i].result, .text = answers[i].text}};
        result r = reset_and_lose(f, "133000000000000000", second, (directory_attempt){},
                                  answers[i].patience);

        assert_outcome(&r, answers[i].outcome);
        assert_true(double_get_count(f->second).sign_ins <= 1);
        assert_int_equal(double_get_count(f->second).resets, 0);
        stop(f);
    }
}

/* It was set just before the request was issued, so it is the one that the controller which is away
 * may have replaced. Which one the request was sent to is not known. */
static void that_an_earlier_attempt_was_not_done_is_not_believed_to_another_controller(
    void **state) {
    fixture *f = *state;
    directory_attempt attempt = {.issued = now_realtime(), .sent_before = true};
    char before[32];
    result r;

    r = reset_and_lose(
        f, "133000000000000000",
        (double_script){.hints = HINTS,
                        .password_last_set = date_of(attempt.issued - 20 * USEC_PER_SEC, before),
                        .sign_in = {.result = 49, .text = REFUSED "52e, v4563"}},
        attempt, SHORT_PATIENCE);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_true(double_get_count(f->second).sign_ins <= 1);
    assert_int_equal(double_get_count(f->second).resets, 0);
}

/* ---- What an earlier attempt has sent -------------------------------------------------------- */

/* Long enough for a "not done" to be believed, by whom it may be believed. */
#define LONG_ENOUGH (5 * USEC_PER_SEC)

static directory_attempt again(const char *sent_to, usec_t patience) {
    return (directory_attempt){.issued = now_realtime() - 5 * USEC_PER_SEC,
                               .sent_before = true,
                               .sent_to = sent_to,
                               .deadline = now_monotonic() + patience};
}

static void what_was_sent_to_one_that_is_away_is_not_sent_to_another(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    _cleanup_free_ char *name = NULL;
    directory_attempt attempt;
    result r;

    start(f, (double_script){.hints = HINTS}, &second);
    name = strdup(double_name(f->first));
    f->first = double_free(f->first);

    attempt = again(name, LONG_ENOUGH);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_string_equal(r.controller, name);
    assert_non_null(strstr(r.detail, name));
    assert_int_equal(double_get_count(f->second).resets, 0);

    /* One that is not the domain's any more will never say anything. */
    attempt = again("dc9.corp.example", LONG_ENOUGH);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_int_equal(double_get_count(f->second).resets, 0);

    /* The one that has not done it may say so. */
    attempt = again(double_name(f->second), 6 * PATIENCE);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_int_equal(double_get_count(f->second).resets, 1);
}

static void where_it_is_not_known_whom_it_was_sent_to_all_must_say_that_it_was_not_done(
    void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    directory_attempt attempt;
    result r;

    start(f, (double_script){.hints = HINTS}, &second);
    attempt = again(NULL, 6 * PATIENCE);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_false(r.reply.already_set);
    assert_int_equal(double_get_count(f->first).resets, 1);

    f->first = double_free(f->first);
    attempt = again(NULL, LONG_ENOUGH);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_int_equal(double_get_count(f->second).resets, 0);
}

static void another_controller_with_another_password_says_nothing_and_is_tried_once(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    _cleanup_free_ char *name = NULL;
    char lately[32];
    directory_attempt attempt;
    result r;

    start(f, (double_script){.hints = HINTS}, &second);
    name = strdup(double_name(f->first));
    f->first = double_free(f->first);
    double_get_script(f->second)->password_last_set =
        date_of(now_realtime() - 30 * USEC_PER_SEC, lately);
    double_get_script(f->second)->sign_in =
        (double_answer){.result = 49, .text = REFUSED "52e, v4563"};

    attempt = again(name, LONG_ENOUGH);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_OUTCOME_UNKNOWN);
    assert_int_equal(double_get_count(f->second).sign_ins, 1);
    assert_int_equal(double_get_count(f->second).resets, 0);
}

static void what_another_controller_has_heard_of_was_done(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    _cleanup_free_ char *name = NULL;
    char lately[32];
    directory_attempt attempt;
    result r;

    start(f, (double_script){.hints = HINTS}, &second);
    name = strdup(double_name(f->first));
    f->first = double_free(f->first);
    double_get_script(f->second)->password_last_set = date_of(now_realtime(), lately);

    attempt = again(name, 6 * PATIENCE);
    r = reset_as(f, &attempt);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_true(r.reply.already_set);
    assert_string_equal(r.controller, double_name(f->second));
    assert_int_equal(double_get_count(f->second).resets, 0);
}

/* ---- Before it is sent ----------------------------------------------------------------------- */

typedef struct sender {
    result result; /* first, since the call's userdata is for both */
    fixture *f;
    directory_call *call;
    char names[4][64];
    size_t n;
} sender;

static void on_sending(const char *controller, void *userdata) {
    sender *s = userdata;

    assert_true(s->n < ELEMENTSOF(s->names));
    (void) snprintf(s->names[s->n++], sizeof(s->names[0]), "%s", controller);
}

static void begin_told(sender *s, directory_account *account, const secret *password,
                       usec_t patience) {
    directory_attempt attempt = {.deadline = now_monotonic() + patience, .on_sending = on_sending};

    assert_int_equal(
        directory_reset(s->f->directory, account, password, 0, &attempt, on_done, s, &s->call), 0);
    while (s->n == 0)
        assert_true(sd_event_run(s->f->event, UINT64_MAX) >= 0);
    assert_int_equal(double_get_count(s->f->first).resets, 0);
}

static void where_it_goes_is_told_before_it_leaves(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    _cleanup_(secret_freep) secret *password = NULL;
    sender refused = {.f = f}, late = {.f = f}, busy = {.f = f};
    result found;

    start(f, (double_script){.hints = HINTS, .reset = {.result = LDAP_BUSY}}, &second);
    found = locate(f);
    assert_int_equal(secret_new("Correct-Horse-4711", 18, &password), 0);

    /* Whoever was told says no. */
    begin_told(&refused, found.account, password, PATIENCE);
    directory_call_go_on(refused.call, OUTCOME_LEDGER_UNAVAILABLE, "the disk is full");
    run_until(f, &refused.result.done, PATIENCE);
    assert_outcome(&refused.result, OUTCOME_LEDGER_UNAVAILABLE);
    assert_string_equal(refused.result.detail, "the disk is full");
    assert_false(refused.result.reply.sent);

    /* Or nothing, until it is too late. */
    begin_told(&late, found.account, password, SHORT_PATIENCE);
    run_until(f, &late.result.done, SHORT_PATIENCE + USEC_PER_SEC);
    assert_false(late.result.done);
    directory_call_go_on(late.call, OUTCOME_INVALID, NULL);
    run_until(f, &late.result.done, PATIENCE);
    assert_outcome(&late.result, OUTCOME_AD_NOT_REACHABLE);
    assert_int_equal(double_get_count(f->first).resets, 0);

    /* The first one is busy, and has done nothing. */
    begin_told(&busy, found.account, password, 6 * PATIENCE);
    directory_call_go_on(busy.call, OUTCOME_INVALID, NULL);
    while (busy.n < 2)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    assert_string_equal(busy.names[0], double_name(f->first));
    assert_string_equal(busy.names[1], double_name(f->second));
    assert_int_equal(double_get_count(f->second).resets, 0);
    directory_call_go_on(busy.call, OUTCOME_INVALID, NULL);
    run_until(f, &busy.result.done, 6 * PATIENCE);
    assert_outcome(&busy.result, OUTCOME_INVALID);
    assert_string_equal(busy.result.controller, double_name(f->second));
    directory_account_free(found.account);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_reset_without_an_answer_is_unknown_and_never_sent_again),
        TEST(a_connection_cut_after_the_reset_is_looked_into_and_nothing_repeated),
        TEST(nonsense_after_the_reset_is_looked_into),
        TEST(a_search_does_not_wait_for_a_reset_that_hangs),
        TEST(a_late_answer_to_a_cancelled_reset_does_no_harm),
        TEST(what_is_done_stays_done_though_the_rest_fails),
        TEST(with_seconds_left_nothing_is_sent),
        TEST(an_older_date_at_another_controller_is_no_sign_of_a_reset),
        TEST(a_date_at_another_controller_is_no_sign_where_the_one_before_is_hidden),
        TEST(another_controller_is_believed_that_it_was_done_and_nothing_else),
        TEST(that_an_earlier_attempt_was_not_done_is_not_believed_to_another_controller),
        TEST(what_was_sent_to_one_that_is_away_is_not_sent_to_another),
        TEST(where_it_is_not_known_whom_it_was_sent_to_all_must_say_that_it_was_not_done),
        TEST(another_controller_with_another_password_says_nothing_and_is_tried_once),
        TEST(what_another_controller_has_heard_of_was_done),
        TEST(where_it_goes_is_told_before_it_leaves),
    };

    return RUN_TESTS("directory-lost", tests);
}
