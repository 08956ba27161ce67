/* SPDX-License-Identifier: Apache-2.0 */

/* Why the directory refuses the agent's own account: each answer has a reason of its own, says
 * whether it counts towards a lockout, and whether another controller is worth a try. */

#include <ldap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ldap/answer.h"

#define REFUSED "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data "

static const bind_refusal *refusal_of(const char *data) {
    char text[256];

    (void) snprintf(text, sizeof(text), REFUSED "%s, v1db1", data);
    return answer_bind_refusal(LDAP_INVALID_CREDENTIALS, text);
}

static void each_state_of_the_account_has_a_reason_of_its_own(void **state) {
    static const struct {
        const char *data, *words;
    } states[] = {
        {"52e", "wrong password"},  {"525", "does not exist"},
        {"530", "at this hour"},    {"531", "from this computer"},
        {"532", "password has"},    {"533", "disabled"},
        {"701", "the account has"}, {"773", "must change its password"},
        {"775", "locked out"},      {"51f", "read-only controller"},
        {"35b", "channel binding"},
    };

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(states); i++) {
        const bind_refusal *r = refusal_of(states[i].data);

        assert_non_null(r);
        assert_non_null(strstr(r->reason, states[i].words));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(r->reason, refusal_of(states[j].data)->reason);
    }
}

/* Whatever is not known is taken for the worst. */
static void only_wrong_credentials_count_towards_a_lockout(void **state) {
    static const char *const wrong[] = {"52e", "525", "999"};
    static const char *const right[] = {"530", "531", "532", "533", "701",
                                        "773", "775", "51f", "35b"};

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        assert_true(refusal_of(wrong[i])->is_wrong_password);
        assert_false(refusal_of(wrong[i])->is_controllers);
    }
    for (size_t i = 0; i < ELEMENTSOF(right); i++)
        assert_false(refusal_of(right[i])->is_wrong_password);
    assert_true(answer_bind_refusal(LDAP_INVALID_CREDENTIALS, "")->is_wrong_password);
}

static void what_one_controller_asks_for_keeps_no_other_from_being_tried(void **state) {
    static const char *const texts[] = {
        REFUSED "51f, v1db1",
        REFUSED "35b, v1db1",
        "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 80090346, v4563",
        "80090346: LdapErr: DSID-0C0906D8, comment: AcceptSecurityContext error, data 57, v4563",
    };

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(texts); i++)
        assert_true(answer_bind_refusal(LDAP_INVALID_CREDENTIALS, texts[i])->is_controllers);
    assert_non_null(
        strstr(answer_bind_refusal(LDAP_INVALID_CREDENTIALS, texts[3])->reason, "channel binding"));
    assert_true(answer_bind_refusal(LDAP_STRONG_AUTH_REQUIRED, "")->is_controllers);
}

static void a_busy_controller_says_nothing_of_the_account(void **state) {
    (void) state;
    assert_null(answer_bind_refusal(LDAP_BUSY, ""));
    assert_null(answer_bind_refusal(LDAP_UNAVAILABLE, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_of_the_account_has_a_reason_of_its_own),
        cmocka_unit_test(only_wrong_credentials_count_towards_a_lockout),
        cmocka_unit_test(what_one_controller_asks_for_keeps_no_other_from_being_tried),
        cmocka_unit_test(a_busy_controller_says_nothing_of_the_account),
    };

    return cmocka_run_group_tests_name("directory-bind", tests, NULL, NULL);
}
