/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule of the policy a refused password breaks, and what a directory's answer means. */

#include <ldap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ldap/answer.h"
#include "ldap/policy.h"

#define NOW (1700000000 * USEC_PER_SEC)

/* Windows says this for every rule. */
static const char windows[] =
    "0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n";

static const password_policy policy = {
    .min_length = 12, .history_length = 24, .min_age = USEC_PER_DAY, .complexity = true};
static const policy_subject erin = {.sam_account_name = "ehagens",
                                    .display_name = "Erin M. Hagens-Østergård",
                                    .password_last_set = NOW - 30 * USEC_PER_DAY,
                                    .now = NOW,
                                    .history_enforced = true};

static bool is_complex(const char *password) {
    _cleanup_(secret_freep) secret *s = NULL;

    assert_int_equal(secret_new(password, strlen(password), &s), 0);
    return policy_is_complex(s, erin.sam_account_name, erin.display_name);
}

/* The rules as "name=figure …". Static. */
static const char *rules(const char *text, const password_policy *p, const policy_subject *subject,
                         const char *password) {
    static char line[512];
    _cleanup_(secret_freep) secret *s = NULL;
    directory_policy_reason reasons[DIRECTORY_REASONS_MAX];
    size_t n;

    assert_int_equal(secret_new(password, strlen(password), &s), 0);
    n = policy_reasons(text, p, subject, s, reasons);
    line[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(line);

        (void) snprintf(line + length, sizeof(line) - length, "%s%s=%llu", i > 0 ? " " : "",
                        reasons[i].rule, reasons[i].required);
    }
    return line;
}

static void three_of_five_classes_make_a_password_complex(void **state) {
    (void) state;
    assert_true(is_complex("abcDEF123"));
    assert_true(is_complex("abcDEF!!!"));
    assert_true(is_complex("abc123???"));
    assert_true(is_complex("ÄÖÜ straße 42")); /* letters of other countries have case too */
    assert_true(is_complex("abc123日本語"));  /* letters without case are a class of their own */
    assert_false(is_complex("abcdef123"));
    assert_false(is_complex("ABCDEF"));
    assert_false(is_complex("12345678!"));
    assert_false(is_complex("abcdef 123")); /* a space is of no class */
    assert_false(is_complex(""));
}

static void neither_account_nor_display_name_is_in_a_complex_password(void **state) {
    (void) state;
    assert_false(is_complex("x1-EHAGENS-y"));
    assert_false(is_complex("1Xerin!"));
    assert_false(is_complex("ØSTERGÅRD-12a"));
    assert_true(
        is_complex("1M.x-Hag!")); /* "M" is too short a part, and "Hag" only a part of one */
}

static void each_broken_rule_is_named_with_its_figure(void **state) {
    policy_subject young = erin;

    (void) state;
    assert_string_equal(rules(windows, &policy, &erin, "abc1"),
                        "minimumPasswordLength=12 passwordComplexity=0");
    assert_string_equal(rules(windows, &policy, &erin, "abcdefghijkl"), "passwordComplexity=0");

    young.password_last_set = NOW - USEC_PER_HOUR;
    assert_string_equal(rules(windows, &policy, &young, "Long-Enough-1"),
                        "minimumPasswordAge=86400");
    young.history_enforced = false;
    assert_string_equal(rules(windows, &policy, &young, "Long-Enough-1"), "passwordFilter=0");
}

static void what_no_rule_explains_is_history_or_a_filter(void **state) {
    password_policy forgetful = policy;

    (void) state;
    assert_string_equal(rules(windows, &policy, &erin, "Long-Enough-1"),
                        "passwordHistory=24 passwordFilter=0");
    forgetful.history_length = 0;
    assert_string_equal(rules(windows, &forgetful, &erin, "Long-Enough-1"), "passwordFilter=0");
}

static void length_is_counted_in_utf16_units(void **state) {
    password_policy six = {.min_length = 6};

    (void) state;
    assert_string_equal(rules(windows, &six, &erin, "😀😀😀"), "passwordFilter=0");
    assert_string_equal(rules(windows, &six, &erin, "ÄÖÜäö"), "minimumPasswordLength=6");
}

static void an_account_without_need_of_a_password_is_held_to_age_and_history_only(void **state) {
    policy_subject free = erin;

    (void) state;
    free.may_be_simple = true;
    assert_string_equal(rules(windows, &policy, &free, "abc"),
                        "passwordHistory=24 passwordFilter=0");
}

static void what_the_text_names_is_told_even_if_the_policy_is_not_to_be_read(void **state) {
    static const char samba[] = "0000052D: Constraint violation - check_password_restrictions: the "
                                "password is too short. It should be equal to or longer than 15 "
                                "characters!";

    (void) state;
    assert_string_equal(rules(samba, NULL, &erin, "abc"), "minimumPasswordLength=15");
    assert_string_equal(rules(windows, NULL, &erin, "abc"), "");
}

/* The rows of both servers, for every kind of request. */
static void answers_mean_the_same_from_every_server(void **state) {
    static const struct {
        answer_kind kind;
        int result;
        const char *text;
        outcome o;
    } answers[] = {
        {ANSWER_TO_CHANGE, 0, "", OUTCOME_INVALID},
        {ANSWER_TO_RESET, 53, windows, OUTCOME_AD_PASSWORD_POLICY},
        {ANSWER_TO_RESET, 19, "0000052D: Constraint violation - x", OUTCOME_AD_PASSWORD_POLICY},
        {ANSWER_TO_RESET, 19, "", OUTCOME_AD_UNKNOWN_ERROR},
        {ANSWER_TO_CHANGE, 19,
         "0000052D: AtrErr: DSID-03190F80, #1:\n\t0: 0000052D: DSID-03190F80, problem 1005 "
         "(CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n",
         OUTCOME_AD_PASSWORD_POLICY},
        {ANSWER_TO_CHANGE, 19,
         "00000056: AtrErr: DSID-03190F80, #1:\n\t0: 00000056: DSID-03190F80, problem 1005 "
         "(CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n",
         OUTCOME_AD_INCORRECT_PASSWORD},
        {ANSWER_TO_CHANGE, 19, "00000775: AtrErr: DSID-03190F80, #1",
         OUTCOME_AD_ACCOUNT_LOCKED_OUT},
        {ANSWER_TO_CHANGE, 19, "error in module acl: Constraint violation during LDB_MODIFY (19)",
         OUTCOME_AD_PASSWORD_POLICY},
        /* "User cannot change password", on Windows. */
        {ANSWER_TO_CHANGE, 50,
         "00000005: SecErr: DSID-031A11B9, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PASSWORD_POLICY},
        {ANSWER_TO_RESET, 50,
         "00000005: SecErr: DSID-031A11B9, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PERMISSIONS},
        {ANSWER_TO_WRITE, 50, "00002098: Object CN=x has no write property access\n",
         OUTCOME_AD_PERMISSIONS},
        {ANSWER_TO_CHANGE, 51, "", OUTCOME_AD_NOT_REACHABLE},
        /* What a search did not find in time may be there. */
        {ANSWER_TO_SEARCH, 3, "", OUTCOME_AD_NOT_REACHABLE},
        {ANSWER_TO_SEARCH, 11, "", OUTCOME_AD_NOT_REACHABLE},
        {ANSWER_TO_WRITE, 3, "", OUTCOME_AD_UNKNOWN_ERROR},
    };

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        uint32_t error;
        outcome o = answer_classify(answers[i].kind, answers[i].result, answers[i].text, &error);

        if (o != answers[i].o)
            fail_msg("row %zu is outcome %d", i, (int) o);
    }
}

static void a_bind_tells_whether_the_password_was_right(void **state) {
    static const struct {
        int result;
        const char *data;
        password_verdict verdict;
    } binds[] = {
        {0, "", PASSWORD_RIGHT},      {49, "773", PASSWORD_RIGHT},   /* must change */
        {49, "532", PASSWORD_RIGHT},                                 /* expired */
        {49, "533", PASSWORD_RIGHT},                                 /* disabled */
        {49, "701", PASSWORD_RIGHT},                                 /* the account has expired */
        {49, "52e", PASSWORD_WRONG},  {49, "775", PASSWORD_PERHAPS}, /* locked */
        {49, "525", PASSWORD_UNTOLD},                                /* no such account */
        {49, "51f", PASSWORD_UNTOLD}, /* a read-only controller without it */
        {8, "", PASSWORD_UNTOLD},
    };
    char text[128];

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(binds); i++) {
        (void) snprintf(text, sizeof(text),
                        "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, "
                        "data %s, v1db1",
                        binds[i].data);
        assert_int_equal(answer_password_verdict(binds[i].result, text), binds[i].verdict);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_of_five_classes_make_a_password_complex),
        cmocka_unit_test(neither_account_nor_display_name_is_in_a_complex_password),
        cmocka_unit_test(each_broken_rule_is_named_with_its_figure),
        cmocka_unit_test(what_no_rule_explains_is_history_or_a_filter),
        cmocka_unit_test(length_is_counted_in_utf16_units),
        cmocka_unit_test(an_account_without_need_of_a_password_is_held_to_age_and_history_only),
        cmocka_unit_test(what_the_text_names_is_told_even_if_the_policy_is_not_to_be_read),
        cmocka_unit_test(answers_mean_the_same_from_every_server),
        cmocka_unit_test(a_bind_tells_whether_the_password_was_right),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
