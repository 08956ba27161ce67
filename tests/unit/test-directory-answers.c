/* SPDX-License-Identifier: Apache-2.0 */

/* The directory room and the answers of Windows, which a real controller of the lab does not give.
 */

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

/* ---- Its clock ------------------------------------------------------------------------------- */

/* Whatever it says; what that means is not for this room to judge. */
static void what_a_controllers_clock_says_is_told(void **state) {
    const double_script silent = {.hints = HINTS};
    fixture *f = *state;
    clock_reading theirs;

    start(f, (double_script){.hints = HINTS, .current_time = "20231114221320.0Z"}, &silent);
    theirs = directory_controller(f->directory, 0)->clock;
    assert_int_equal(theirs.date, UINT64_C(1700000000) * USEC_PER_SEC);
    assert_true(theirs.at > 0 && theirs.at <= now_boottime());
    assert_int_equal(directory_controller(f->directory, 1)->clock.date, 0);
}

/* ---- Answers of Windows ---------------------------------------------------------------------- */

/* facts: MS-ADTS and public reports. */
static void windows_answers_to_a_reset_are_understood(void **state) {
    fixture *f = *state;
    static const struct {
        int result;
        const char *text;
        outcome outcome;
        uint32_t ad_error;
    } answers[] = {
        {0, "", OUTCOME_INVALID, 0},
        {53, WINDOWS_POLICY, OUTCOME_AD_PASSWORD_POLICY, 0x52d},
        {50, "00000005: SecErr: DSID-031A11B9, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PERMISSIONS, 5},
        {50, "00002098: SecErr: DSID-0315130F, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PERMISSIONS, 0x2098},
        {32, "0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT), data 0, best match of:\n",
         OUTCOME_AD_USER_NOT_FOUND, 0x208d},
        {10,
         "0000202B: RefErr: DSID-031007EF, data 0, 1 access points\n\tref 1: 'child.corp.example'\n",
         OUTCOME_AD_CONFIGURATION, 0x202b},
        {53, "0000001F: SvcErr: DSID-031A1254, problem 5003 (WILL_NOT_PERFORM), data 0\n",
         OUTCOME_AD_UNKNOWN_ERROR, 0x1f},
        {12, "00000057: LdapErr: DSID-0C090A2E, comment: Error processing control, data 0\n",
         OUTCOME_POLICY_HINTS_UNAVAILABLE, 0x57},
        {1,
         "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0\n",
         OUTCOME_AD_CONFIGURATION, 0x4dc},
    };

    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        result r;

        double_get_script(f->first)->reset =
            (double_answer){.result = answers[i].result, .text = answers[i].text};
        r = reset(f);

        assert_outcome(&r, answers[i].outcome);
        assert_int_equal(r.reply.ldap_result, answers[i].result);
        assert_int_equal(r.reply.ad_error, answers[i].ad_error);
        assert_null(strpbrk(r.detail, "\n\t"));
    }
    assert_int_equal(double_get_count(f->first).resets, ELEMENTSOF(answers));
}

static result change(fixture *f) {
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    _cleanup_(secret_freep) secret *from = NULL, *to = NULL;
    directory_call *call;
    result found = locate(f), r = {};

    assert_outcome(&found, OUTCOME_INVALID);
    assert_int_equal(secret_new("Old-Horse-4711", 14, &from), 0);
    assert_int_equal(secret_new("New-Horse-4711", 14, &to), 0);
    assert_int_equal(
        directory_change(f->directory, found.account, from, to, &attempt, on_done, &r, &call), 0);
    run_until(f, &r.done, 2 * PATIENCE);
    assert_true(r.done);
    directory_account_free(found.account);
    return r;
}

#define WINDOWS_CHANGE(error)                                                                      \
    error ": AtrErr: DSID-03190F80, #1:\n\t0: " error                                              \
          ": DSID-03190F80, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n"

static void windows_answers_to_a_change_are_understood(void **state) {
    fixture *f = *state;
    static const struct {
        int result;
        const char *text;
        outcome outcome;
        uint32_t ad_error;
        const char *rule;
    } answers[] = {
        {0, "", OUTCOME_INVALID, 0, NULL},
        {19, WINDOWS_CHANGE("00000056"), OUTCOME_AD_INCORRECT_PASSWORD, 0x56, NULL},
        {19, WINDOWS_CHANGE("00000775"), OUTCOME_AD_ACCOUNT_LOCKED_OUT, 0x775, NULL},
        /* One text for all rules; nothing but the history and a filter would explain it. */
        {19, WINDOWS_CHANGE("0000052D"), OUTCOME_AD_PASSWORD_POLICY, 0x52d, "passwordHistory"},
        /* "User cannot change password" */
        {50, "00000005: SecErr: DSID-031A11B9, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PASSWORD_POLICY, 5, "userCannotChangePassword"},
        {32, "0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT), data 0, best match of:\n",
         OUTCOME_AD_USER_NOT_FOUND, 0x208d, NULL},
        {53, "0000001F: SvcErr: DSID-031A1254, problem 5003 (WILL_NOT_PERFORM), data 0\n",
         OUTCOME_AD_UNKNOWN_ERROR, 0x1f, NULL},
    };

    start(f, (double_script){.hints = HINTS}, NULL);
    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        result r;

        double_get_script(f->first)->reset =
            (double_answer){.result = answers[i].result, .text = answers[i].text};
        r = change(f);

        assert_outcome(&r, answers[i].outcome);
        assert_int_equal(r.reply.ad_error, answers[i].ad_error);
        if (answers[i].rule)
            assert_string_equal(r.reply.reasons[0].rule, answers[i].rule);
        else
            assert_int_equal(r.reply.n_reasons, 0);
    }
}

/* What Windows says of the agent's own account: told in words, and tried no more than once. */
static void windows_refusals_of_the_agents_account_are_told_apart(void **state) {
    fixture *f = *state;
    static const struct {
        int result;
        const char *text, *words;
    } refusals[] = {
        {49, REFUSED "525, v4563", "the account does not exist"},
        {49, REFUSED "52e, v4563", "wrong password"},
        {49, REFUSED "530, v4563", "may not sign in at this hour"},
        {49, REFUSED "531, v4563", "may not sign in from this computer"},
        {49, REFUSED "532, v4563", "password has expired"},
        {49, REFUSED "533, v4563", "is disabled"},
        {49, REFUSED "701, v4563", "the account has expired"},
        {49, REFUSED "773, v4563", "must change its password first"},
        {49, REFUSED "775, v4563", "is locked out"},
        {49,
         "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 80090346, "
         "v4563",
         "channel binding"},
        {49,
         "80090346: LdapErr: DSID-0C0906D8, comment: AcceptSecurityContext error, data 57, v4563",
         "channel binding"},
        {8,
         "00002028: LdapErr: DSID-0C090202, comment: The server requires binds to turn on integrity "
         "checking if SSL\\TLS are not already active on the connection, data 0, v4563",
         "does not take a simple bind"},
    };

    for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
        const controller_status *status;
        result r;

        start(f,
              (double_script){.hints = HINTS,
                              .bind = {.result = refusals[i].result, .text = refusals[i].text}},
              NULL);
        for (size_t j = 0; j < 3; j++) {
            r = locate(f);
            assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
        }
        status = directory_controller(f->directory, 0);
        assert_true(status->is_account_refused);
        if (!strstr(r.detail, refusals[i].words) || !strstr(r.detail, refusals[i].text))
            fail_msg("%s: %s", refusals[i].text, r.detail);
        assert_int_equal(double_get_count(f->first).binds, 1);

        stop(f);
    }
}

static void rules_that_windows_does_not_name_are_worked_out(void **state) {
    fixture *f = *state;
    static const struct {
        const char *password;
        const char *rules[2];
    } passwords[] = {
        {"aB1", {"minimumPasswordLength"}},
        {"abcdefgh", {"passwordComplexity"}},
        {"abc", {"minimumPasswordLength", "passwordComplexity"}},
        {"1815-Lovelace-X", {"passwordComplexity"}},
        {"Correct-Horse-4711", {"passwordHistory", "passwordFilter"}},
    };

    start(f, (double_script){.hints = HINTS, .reset = {.result = 53, .text = WINDOWS_POLICY}},
          NULL);
    for (size_t i = 0; i < ELEMENTSOF(passwords); i++) {
        result r = reset_within(f, passwords[i].password, 0, PATIENCE);
        size_t n = passwords[i].rules[1] ? 2 : 1;

        assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
        assert_int_equal(r.reply.n_reasons, n);
        for (size_t j = 0; j < n; j++)
            assert_string_equal(r.reply.reasons[j].rule, passwords[i].rules[j]);
    }
}

#define FINE_GRAINED                                                                               \
    "CN=PSO,CN=Password Settings Container,CN=System,"                                             \
    "DC=corp,DC=example"

/* The domain's is not in force where another one is. */
static void a_policy_that_may_not_be_read_is_named_and_not_guessed(void **state) {
    fixture *f = *state;
    result r;

    start(f,
          (double_script){.hints = HINTS,
                          .policy_dn = FINE_GRAINED,
                          .reset = {.result = 53, .text = WINDOWS_POLICY}},
          NULL);
    r = reset_within(f, "abc", 0, PATIENCE);
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 0);
    assert_non_null(strstr(r.detail, "0000052D"));
    assert_non_null(strstr(r.detail, FINE_GRAINED));
}

/* Another agent did it, and this one is told no rule. To a locked account Windows says 775 whatever
 * the password is. */
static void a_repetition_is_known_by_its_password_where_no_rule_is_told(void **state) {
    fixture *f = *state;
    static const struct {
        int result;
        const char *text;
        bool is_known;
    } answers[] = {
        {0, "", true},
        {49, REFUSED "532, v4563", true},
        {49, REFUSED "52e, v4563", false},
        {49, REFUSED "775, v4563", false},
    };
    directory_attempt attempt = {.issued = now_realtime() - 5 * USEC_PER_SEC};
    char date[32];

    start(f,
          (double_script){.hints = HINTS,
                          .policy_dn = FINE_GRAINED,
                          .password_last_set = date_of(now_realtime(), date),
                          .reset = {.result = 53, .text = WINDOWS_POLICY}},
          NULL);
    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        result found = locate(f), r;

        assert_outcome(&found, OUTCOME_INVALID);
        double_get_script(f->first)->sign_in =
            (double_answer){.result = answers[i].result, .text = answers[i].text};
        attempt.deadline = now_monotonic() + PATIENCE;
        r = reset_found(f, found.account, "Correct-Horse-4711", 0, attempt);
        directory_account_free(found.account);

        assert_outcome(&r, answers[i].is_known ? OUTCOME_INVALID : OUTCOME_AD_PASSWORD_POLICY);
        assert_int_equal(r.reply.already_set, answers[i].is_known);
    }
}

#define WAS_USED                                                                                   \
    "0000052D: Unwilling to perform - check_password_restrictions: the password was already used " \
    "(previous password)!"

/* "Must change" hides when the password was set; its stamp does not. */
static void a_repetition_that_must_be_changed_is_known_by_the_stamp_of_its_password(void **state) {
    fixture *f = *state;
    directory_attempt attempt = {.issued = now_realtime() / USEC_PER_SEC * USEC_PER_SEC -
                                           USEC_PER_MINUTE};
    uint64_t issued = attempt.issued / USEC_PER_SEC + UINT64_C(11644473600);
    const struct {
        uint64_t stamp;
        const char *text;
        bool is_known;
    } cases[] = {
        {issued, REFUSED "773, v4563", true},
        {issued + 1, REFUSED "773, v4563", true},
        {issued + 1, REFUSED "52e, v4563", false},
        {issued - 1, REFUSED "773, v4563", false}, /* another one has set it */
        {0, REFUSED "773, v4563", false},          /* nobody knows who */
    };

    start(f,
          (double_script){
              .hints = HINTS, .password_last_set = "0", .reset = {.result = 53, .text = WAS_USED}},
          NULL);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        result found = locate(f), r;

        assert_outcome(&found, OUTCOME_INVALID);
        double_get_script(f->first)->password_stamp = cases[i].stamp;
        double_get_script(f->first)->sign_in =
            (double_answer){.result = LDAP_INVALID_CREDENTIALS, .text = cases[i].text};
        attempt.deadline = now_monotonic() + PATIENCE;
        r = reset_found(f, found.account, "Correct-Horse-4711", RESET_MUST_CHANGE, attempt);
        directory_account_free(found.account);

        assert_outcome(&r, cases[i].is_known ? OUTCOME_INVALID : OUTCOME_AD_PASSWORD_POLICY);
        assert_int_equal(r.reply.already_set, cases[i].is_known);
        assert_int_equal(r.reply.must_change, cases[i].is_known);
    }
    assert_int_equal(double_get_count(f->first).must_changes, 0);
}

static void a_referral_is_not_followed(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS, .reset = {.result = LDAP_REFERRAL}}, NULL);
    r = reset(f);
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    /* One for what looks and one for what changes, and none to wherever a referral leads. */
    assert_int_equal(double_get_count(f->first).connections, 2);
    assert_int_equal(double_get_count(f->first).resets, 1);
}

static void a_name_by_guid_that_is_refused_is_given_as_dn(void **state) {
    fixture *f = *state;
    result r;

    start(f, (double_script){.hints = HINTS, .refuses_guid_names = true}, NULL);
    r = reset(f);
    assert_outcome(&r, OUTCOME_INVALID);
    assert_int_equal(double_get_count(f->first).resets, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_a_controllers_clock_says_is_told),
        TEST(windows_answers_to_a_reset_are_understood),
        TEST(windows_answers_to_a_change_are_understood),
        TEST(windows_refusals_of_the_agents_account_are_told_apart),
        TEST(rules_that_windows_does_not_name_are_worked_out),
        TEST(a_policy_that_may_not_be_read_is_named_and_not_guessed),
        TEST(a_repetition_is_known_by_its_password_where_no_rule_is_told),
        TEST(a_repetition_that_must_be_changed_is_known_by_the_stamp_of_its_password),
        TEST(a_referral_is_not_followed),
        TEST(a_name_by_guid_that_is_refused_is_given_as_dn),
    };

    return RUN_TESTS("directory-answers", tests);
}
