/* SPDX-License-Identifier: Apache-2.0 */

/* The directory room among controllers that are busy, away, or of no use. */

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

/* ---- More than one controller ---------------------------------------------------------------- */

static void a_search_that_fails_is_asked_elsewhere(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    static const double_answer failures[] = {
        {.result = LDAP_BUSY},
        {.result = LDAP_TIMELIMIT_EXCEEDED},
        {.result = LDAP_ADMINLIMIT_EXCEEDED},
        {.manner = DOUBLE_HANGS_UP},
        {.manner = DOUBLE_SENDS_GARBAGE},
    };

    start(f, (double_script){.hints = HINTS}, &second);
    for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
        result r;

        double_get_script(f->first)->search = failures[i];
        r = locate(f);
        assert_outcome(&r, OUTCOME_INVALID);
        assert_string_equal(r.controller, double_name(f->second));
        directory_account_free(r.account);
    }
}

/* It may be found another time, and by an index much sooner. */
static void a_search_that_takes_too_long_names_the_index_that_may_be_missing(void **state) {
    fixture *f = *state;
    static const struct {
        directory_identifier id;
        int result;
        bool names_index;
    } searches[] = {
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODw=="}, LDAP_TIMELIMIT_EXCEEDED, true},
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODw=="}, LDAP_BUSY, false},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "ada"}, LDAP_TIMELIMIT_EXCEEDED, false},
    };

    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(searches); i++) {
        directory_identifier id = searches[i].id;
        result r;

        double_get_script(f->first)->search = (double_answer){.result = searches[i].result};
        r = locate_by(f, &id);
        assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
        assert_int_equal(strstr(r.detail, "mS-DS-ConsistencyGuid") != NULL,
                         searches[i].names_index);
    }
}

static void a_look_at_the_groups_that_fails_is_taken_elsewhere(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    static const double_answer failures[] = {
        {.result = LDAP_BUSY},
        {.result = LDAP_UNAVAILABLE},
        {.manner = DOUBLE_HANGS_UP},
    };

    f->config.privileged_groups = calloc(2, sizeof(char *));
    f->config.privileged_groups[0] = strdup(DOUBLE_GROUP_DN);
    start(f, (double_script){.hints = HINTS}, &second);
    for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
        result r;

        double_get_script(f->first)->groups = failures[i];
        r = locate(f);
        assert_outcome(&r, OUTCOME_INVALID);
        assert_string_equal(r.controller, double_name(f->second));
        directory_account_free(r.account);
    }
}

static void an_account_that_is_gone_before_its_groups_are_seen_is_not_found(void **state) {
    fixture *f = *state;
    static const struct {
        double_answer answer;
        outcome outcome;
    } answers[] = {
        {{.result = LDAP_NO_SUCH_OBJECT,
          .text = "0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT), data 0\n"},
         OUTCOME_AD_USER_NOT_FOUND},
        {{.result = LDAP_INSUFFICIENT_ACCESS}, OUTCOME_AD_CONFIGURATION},
    };

    f->config.privileged_groups = calloc(2, sizeof(char *));
    f->config.privileged_groups[0] = strdup(DOUBLE_GROUP_DN);
    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        result r;

        double_get_script(f->first)->groups = answers[i].answer;
        r = locate(f);
        assert_outcome(&r, answers[i].outcome);
    }
}

static void a_busy_controller_has_changed_nothing_so_another_is_asked(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    result r;

    start(f, (double_script){.hints = HINTS, .reset = {.result = LDAP_BUSY}}, &second);
    r = reset(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_string_equal(r.controller, double_name(f->second));
}

static void a_connection_closed_while_idle_costs_no_request(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS, .search = {.manner = DOUBLE_HANGS_UP}}, NULL);
    r = locate(f);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);

    double_get_script(f->first)->search = (double_answer){};
    r = locate(f);
    assert_outcome(&r, OUTCOME_INVALID);
    directory_account_free(r.account);
}

static void a_controller_without_hints_is_passed_over(void **state) {
    fixture *f = *state;
    double_script second = {.hints = DEPRECATED_HINTS};
    _cleanup_free_ char *why = NULL;
    result r;

    start(f, (double_script){.hints = NULL}, &second);
    assert_false(directory_lacks_policy_hints(f->directory, &why));
    r = reset_within(f, "Correct-Horse-4711", RESET_UNLOCK, PATIENCE);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_string_equal(r.controller, double_name(f->second));
    assert_true(double_get_count(f->second).last_reset_had_2066);
    assert_true(double_get_count(f->second).last_reset_unlocked);
    assert_int_equal(double_get_count(f->first).resets, 0);
}

static void without_hints_a_reset_is_refused_preferred_or_not_asked_for(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = NULL}, NULL);
    r = reset(f);
    assert_outcome(&r, OUTCOME_POLICY_HINTS_UNAVAILABLE);
    assert_false(r.reply.sent);
    assert_int_equal(double_get_count(f->first).resets, 0);

    f->config.policy_hints = POLICY_HINTS_PREFER;
    r = reset(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_true(r.reply.history_not_enforced);
}

/* For whoever asks whether a reset would be allowed. */
static void that_hints_are_missing_is_known_before(void **state) {
    fixture *f = *state;
    _cleanup_free_ char *why = NULL;

    start(f, (double_script){.hints = NULL}, NULL);
    assert_true(directory_lacks_policy_hints(f->directory, &why));
    assert_non_null(strstr(why, "it does not have the policy hints control"));
    f->config.policy_hints = POLICY_HINTS_PREFER;
    assert_false(directory_lacks_policy_hints(f->directory, &why));
}

/* Whether no controller has them is not known as long as one that may have them is away. */
static void hints_are_not_missing_while_a_controller_is_away(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    result r;

    start(f, (double_script){.hints = NULL}, &second);
    f->second = double_free(f->second);
    r = reset(f);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_non_null(strstr(r.detail, "it does not have the policy hints control"));
    assert_int_equal(double_get_count(f->first).resets, 0);
}

/* Of one that is away it is known that it would not do either. */
static void hints_are_missing_where_the_one_that_is_away_had_none(void **state) {
    fixture *f = *state;
    double_script second = {.hints = NULL};
    result r;

    start(f, (double_script){.hints = NULL}, &second);
    f->second = double_free(f->second);
    r = reset(f);
    assert_outcome(&r, OUTCOME_POLICY_HINTS_UNAVAILABLE);
}

static void hints_are_sent_as_critical_unless_switched_off(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS}, NULL);
    r = reset(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_true(double_get_count(f->first).last_reset_had_2239);
    assert_false(double_get_count(f->first).last_reset_unlocked);

    f->config.policy_hints = POLICY_HINTS_OFF;
    r = reset(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_false(double_get_count(f->first).last_reset_had_2239);
    assert_true(r.reply.history_not_enforced);
}

/* ---- Controllers that are of no use ---------------------------------------------------------- */

static void a_read_only_controller_is_not_used(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS, .is_read_only = true}, NULL);
    r = locate(f);
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "read-only"));
}

static void a_controller_that_is_not_in_step_yet_is_not_used(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS, .is_synchronizing = true}, NULL);
    r = locate(f);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_non_null(strstr(r.detail, "first replication"));
}

/* One must be mended, the other is only away: the request may be done when that is back. */
static void what_may_pass_is_told_before_what_must_be_mended(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS, .bind = {.manner = DOUBLE_HANGS_UP}};
    result r;

    start(f, (double_script){.hints = HINTS, .is_read_only = true}, &second);
    r = locate(f);
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_non_null(strstr(r.detail, "read-only"));
}

/* Its coming back would be of no use. */
static void a_refused_account_is_told_though_another_controller_is_away(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS, .bind = {.manner = DOUBLE_HANGS_UP}};
    result r;

    start(f, (double_script){.hints = HINTS, .bind = {.result = 49, .text = REFUSED "52e, v4563"}},
          &second);
    r = locate(f);
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "wrong password"));
}

static void a_refused_account_is_tried_once_however_many_controllers_there_are(void **state) {
    fixture *f = *state;
    double_answer refused = {
        .result = 49,
        .text = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, "
                "v1db1"};
    double_script script = {.hints = HINTS, .bind = refused};
    result r;

    start(f, script, &script);
    for (size_t i = 0; i < 5; i++) {
        r = locate(f);
        assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    }
    assert_int_equal(double_get_count(f->first).binds + double_get_count(f->second).binds, 1);
    assert_int_equal(directory_controller(f->directory, 0)->state, CONTROLLER_UNUSABLE);
    assert_int_equal(directory_controller(f->directory, 1)->state, CONTROLLER_UNUSABLE);
    assert_non_null(strstr(r.detail, "wrong password"));
    assert_true(f->state_changes > 0);
}

static void a_busy_controller_refuses_the_bind_and_not_the_account(void **state) {
    fixture *f = *state;
    double_script second = {.hints = HINTS};
    result r;

    start(f, (double_script){.hints = HINTS, .bind = {.result = LDAP_BUSY}}, &second);
    r = locate(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_string_equal(r.controller, double_name(f->second));
    directory_account_free(r.account);
}

static void a_configuration_that_would_bind_anonymously_is_refused(void **state) {
    fixture *f = *state;

    f->config.controllers[0] = strdup("dc1.corp.example");
    secret_truncate(f->config.bind_password, 0);
    assert_int_equal(directory_new(f->event, &f->config, NULL, NULL, &f->directory), -EINVAL);
}

static void a_controller_needs_a_name_and_a_port_that_can_be(void **state) {
    fixture *f = *state;
    static const char *const wrong[] = {"",         ":636", "dc1:",     "dc1:0", "dc1:65536",
                                        "dc1:ldap", "[::1", "[::1]636", "[]:636"};

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        free(f->config.controllers[0]);
        f->config.controllers[0] = strdup(wrong[i]);
        assert_int_equal(directory_new(f->event, &f->config, NULL, NULL, &f->directory), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_search_that_fails_is_asked_elsewhere),
        TEST(a_search_that_takes_too_long_names_the_index_that_may_be_missing),
        TEST(a_look_at_the_groups_that_fails_is_taken_elsewhere),
        TEST(an_account_that_is_gone_before_its_groups_are_seen_is_not_found),
        TEST(a_busy_controller_has_changed_nothing_so_another_is_asked),
        TEST(a_connection_closed_while_idle_costs_no_request),
        TEST(a_controller_without_hints_is_passed_over),
        TEST(without_hints_a_reset_is_refused_preferred_or_not_asked_for),
        TEST(that_hints_are_missing_is_known_before),
        TEST(hints_are_not_missing_while_a_controller_is_away),
        TEST(hints_are_missing_where_the_one_that_is_away_had_none),
        TEST(hints_are_sent_as_critical_unless_switched_off),
        TEST(a_read_only_controller_is_not_used),
        TEST(a_controller_that_is_not_in_step_yet_is_not_used),
        TEST(what_may_pass_is_told_before_what_must_be_mended),
        TEST(a_refused_account_is_told_though_another_controller_is_away),
        TEST(a_refused_account_is_tried_once_however_many_controllers_there_are),
        TEST(a_busy_controller_refuses_the_bind_and_not_the_account),
        TEST(a_configuration_that_would_bind_anonymously_is_refused),
        TEST(a_controller_needs_a_name_and_a_port_that_can_be),
    };

    return RUN_TESTS("directory-controllers", tests);
}
