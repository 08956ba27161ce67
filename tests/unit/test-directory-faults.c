/* SPDX-License-Identifier: Apache-2.0 */

/* The directory room against controllers that answer as a real one cannot be made to. */

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
#include "ldap/directory.h"
#include "tests/unit/test-directory-double.h"

#define HINTS "1.2.840.113556.1.4.2239"
#define DEPRECATED_HINTS "1.2.840.113556.1.4.2066"
#define PATIENCE (10 * USEC_PER_SEC)

/* Changes are begun with three seconds left; the rest is for a host that is slow. */
#define SHORT_PATIENCE (6 * USEC_PER_SEC)

#define WINDOWS_POLICY "0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n"

typedef struct result {
    bool done;
    directory_reply reply;
    char detail[1024];
    char controller[64];
    directory_account *account;
} result;

typedef struct fixture {
    sd_event *event;
    directory_config config;
    directory *directory;
    controller_double *first, *second;
    unsigned state_changes;
} fixture;

static void on_done(directory_reply *reply, void *userdata) {
    result *r = userdata;

    assert_false(r->done);
    r->done = true;
    r->reply = *reply;
    r->account = TAKE_PTR(reply->account);
    (void) snprintf(r->detail, sizeof(r->detail), "%s", reply->detail);
    (void) snprintf(r->controller, sizeof(r->controller), "%s",
                    reply->controller ? reply->controller : "");
}

static void run_until(fixture *f, const bool *done, usec_t patience) {
    usec_t until = now_monotonic() + patience;

    while (!*done && now_monotonic() < until)
        assert_true(sd_event_run(f->event, 20 * USEC_PER_MSEC) >= 0);
}

static result locate_by(fixture *f, const directory_identifier *id) {
    directory_call *call;
    result r = {};

    assert_int_equal(
        directory_locate(f->directory, id, now_monotonic() + PATIENCE, on_done, &r, &call), 0);
    run_until(f, &r.done, 2 * PATIENCE);
    assert_true(r.done);
    return r;
}

static result locate(fixture *f) {
    return locate_by(f, &(directory_identifier){IDENTIFIER_SAM_ACCOUNT_NAME, "ada"});
}

static result reset_as(fixture *f, const directory_attempt *attempt) {
    _cleanup_(secret_freep) secret *s = NULL;
    directory_call *call;
    result found = locate(f), r = {};

    assert_int_equal(found.reply.outcome, OUTCOME_INVALID);
    assert_int_equal(secret_new("Correct-Horse-4711", 18, &s), 0);
    assert_int_equal(
        directory_reset(f->directory, found.account, s, 0, attempt, on_done, &r, &call), 0);
    while (!r.done)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    directory_account_free(found.account);
    return r;
}

static result reset_found(fixture *f, const directory_account *account, const char *password,
                          directory_reset_flags flags, directory_attempt attempt) {
    _cleanup_(secret_freep) secret *s = NULL;
    directory_call *call;
    result r = {};

    assert_int_equal(secret_new(password, strlen(password), &s), 0);
    assert_int_equal(directory_reset(f->directory, account, s, flags, &attempt, on_done, &r, &call),
                     0);
    run_until(f, &r.done, attempt.deadline + PATIENCE - now_monotonic());
    assert_true(r.done);
    return r;
}

static result reset_within(fixture *f, const char *password, directory_reset_flags flags,
                           usec_t patience) {
    result found = locate(f), r;

    if (found.reply.outcome != OUTCOME_INVALID)
        return found;

    r = reset_found(f, found.account, password, flags,
                    (directory_attempt){.deadline = now_monotonic() + patience});
    directory_account_free(found.account);
    return r;
}

static result reset(fixture *f) {
    return reset_within(f, "Correct-Horse-4711", 0, PATIENCE);
}

static void assert_outcome(const result *r, outcome o) {
    if (r->reply.outcome != o)
        fail_msg("%s instead of %s: %s",
                 r->reply.outcome == OUTCOME_INVALID ? "success"
                                                     : outcome_get(r->reply.outcome)->name,
                 o == OUTCOME_INVALID ? "success" : outcome_get(o)->name, r->detail);
}

/* A FILETIME. */
static const char *date_of(usec_t realtime, char ret[static 32]) {
    (void) snprintf(ret, 32, "%" PRIu64, realtime * 10 + UINT64_C(116444736000000000));
    return ret;
}

static void on_state(directory *d, void *userdata) {
    fixture *f = userdata;

    assert_ptr_equal(d, f->directory);
    f->state_changes++;
}

/* Returns when it is known of each controller whether it can be used. */
static void start(fixture *f, double_script first, const double_script *second) {
    f->first = double_new(first);
    f->second = second ? double_new(*second) : NULL;
    f->config.controllers[0] = strdup(double_name(f->first));
    f->config.controllers[1] = second ? strdup(double_name(f->second)) : NULL;
    assert_int_equal(directory_new(f->event, &f->config, on_state, f, &f->directory), 0);

    for (size_t i = 0; i < directory_n_controllers(f->directory); i++)
        while (directory_controller(f->directory, i)->state == CONTROLLER_UNTRIED)
            assert_true(sd_event_run(f->event, PATIENCE) > 0);
}

static void stop(fixture *f) {
    f->directory = directory_free(f->directory);
    f->first = double_free(f->first);
    f->second = double_free(f->second);
    for (size_t i = 0; i < 2; i++) {
        free(f->config.controllers[i]);
        f->config.controllers[i] = NULL;
    }
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    f->config = (directory_config){
        .domain = strdup("corp.example"),
        .controllers = calloc(3, sizeof(char *)),
        .bind_dn = strdup("svc-writeback@corp.example"),
        .ca_file = strdup(double_ca_file()),
        .policy_hints = POLICY_HINTS_REQUIRE,
    };
    assert_int_equal(secret_new("secret", 6, &f->config.bind_password), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    stop(f);
    directory_config_done(&f->config);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

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

#define REFUSED "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data "

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

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

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
        TEST(what_was_sent_to_one_that_is_away_is_not_sent_to_another),
        TEST(where_it_is_not_known_whom_it_was_sent_to_all_must_say_that_it_was_not_done),
        TEST(another_controller_with_another_password_says_nothing_and_is_tried_once),
        TEST(what_another_controller_has_heard_of_was_done),
        TEST(where_it_goes_is_told_before_it_leaves),
        TEST(a_read_only_controller_is_not_used),
        TEST(a_controller_that_is_not_in_step_yet_is_not_used),
        TEST(what_may_pass_is_told_before_what_must_be_mended),
        TEST(a_refused_account_is_told_though_another_controller_is_away),
        TEST(a_refused_account_is_tried_once_however_many_controllers_there_are),
        TEST(a_busy_controller_refuses_the_bind_and_not_the_account),
        TEST(a_configuration_that_would_bind_anonymously_is_refused),
        TEST(a_controller_needs_a_name_and_a_port_that_can_be),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    log_set_target(LOG_TARGET_STDERR);
    return cmocka_run_group_tests_name("directory-faults", tests, NULL, NULL);
}
