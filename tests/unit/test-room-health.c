/* SPDX-License-Identifier: Apache-2.0 */
/* What a part that fails is shown with: its reason, and the event whose steps cure that reason and
 * not another. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/room_health.h"

static void assert_told(health_component told, health_component_type type, health_status status,
                        const char *output) {
    assert_int_equal(told.type, type);
    assert_int_equal(told.status, status);
    if (output)
        assert_string_equal(told.output, output);
    else
        assert_null(told.output);
}

static void a_relay_that_was_lost_and_one_that_cannot_be_reached_have_each_their_cure(
    void **state) {
    relay_status s = {.state = RELAY_CONNECTING};

    (void) state;

    assert_told(relay_health(&s), COMPONENT_RELAY, HEALTH_UNKNOWN, NULL);

    s.state = RELAY_CONNECTED;
    s.latency = 7;
    assert_told(relay_health(&s), COMPONENT_RELAY, HEALTH_PASS, NULL);
    assert_int_equal(relay_health(&s).latency, 7);

    s.state = RELAY_CONNECTING;
    s.reason = "it went silent";
    s.is_lost = true;
    assert_told(relay_health(&s), COMPONENT_RELAY, HEALTH_FAIL, "it went silent");
    assert_int_equal(relay_health(&s).event, OUTCOME_RELAY_ERROR);
    assert_false(relay_health(&s).is_unreached);
    s.is_unreached = true;
    assert_true(relay_health(&s).is_unreached);

    s.reason = "it answered 401";
    s.is_lost = false;
    assert_int_equal(relay_health(&s).event, OUTCOME_RELAY_LISTENER_ERROR);
}

static void each_fault_of_a_controller_has_its_own_cure(void **state) {
    controller_status s = {.state = CONTROLLER_UNTRIED, .outcome = OUTCOME_INVALID};

    (void) state;

    assert_told(controller_health(&s, true), COMPONENT_CONTROLLER, HEALTH_UNKNOWN, NULL);

    s.state = CONTROLLER_UNUSABLE;
    s.reason = "it cannot be reached";
    s.outcome = OUTCOME_AD_NOT_REACHABLE;
    assert_told(controller_health(&s, true), COMPONENT_CONTROLLER, HEALTH_FAIL, s.reason);
    assert_int_equal(controller_health(&s, true).event, OUTCOME_CONTROLLER_UNUSABLE);
    s.outcome = OUTCOME_AD_CONFIGURATION;
    assert_int_equal(controller_health(&s, true).event, OUTCOME_CONTROLLER_UNUSABLE);

    s.is_account_refused = true;
    assert_int_equal(controller_health(&s, true).event, OUTCOME_SERVICE_ACCOUNT_REFUSED);

    s.is_account_refused = false;
    s.outcome = OUTCOME_CONTROLLERS_NOT_FOUND;
    assert_int_equal(controller_health(&s, true).event, OUTCOME_CONTROLLERS_NOT_FOUND);
}

static void a_controller_without_the_control_is_of_use_only_where_it_is_not_required(void **state) {
    controller_status s = {.state = CONTROLLER_USABLE, .outcome = OUTCOME_INVALID, .not_after = 5};

    (void) state;

    assert_told(controller_health(&s, false), COMPONENT_CONTROLLER, HEALTH_PASS, NULL);
    assert_int_equal(controller_health(&s, false).certificate_not_after, 5);
    assert_told(controller_health(&s, true), COMPONENT_CONTROLLER, HEALTH_FAIL,
                "it does not support policy hints, which PolicyHints=require asks for");
    assert_int_equal(controller_health(&s, true).event, OUTCOME_POLICY_HINTS_UNAVAILABLE);

    s.has_policy_hints = true;
    assert_told(controller_health(&s, true), COMPONENT_CONTROLLER, HEALTH_PASS, NULL);
}

static void an_issuer_whose_keys_are_known_only_warns(void **state) {
    issuer_status s = {0};

    (void) state;

    assert_told(issuer_health(&s), COMPONENT_ISSUER, HEALTH_UNKNOWN, NULL);
    s.reason = "timed out";
    assert_told(issuer_health(&s), COMPONENT_ISSUER, HEALTH_FAIL, "timed out");
    assert_int_equal(issuer_health(&s).event, OUTCOME_ISSUER_UNREACHABLE);
    s.has_keys = true;
    assert_told(issuer_health(&s), COMPONENT_ISSUER, HEALTH_WARN, "timed out");
    s.reason = NULL;
    assert_told(issuer_health(&s), COMPONENT_ISSUER, HEALTH_PASS, NULL);
}

/* The cure of keys that cannot be read at the start moves them away: not these. */
static void keys_that_end_are_cured_by_renewing_them(void **state) {
    key_keeper_status s = {.not_after = 5};

    (void) state;

    assert_told(keys_health(&s), COMPONENT_KEYS, HEALTH_PASS, NULL);
    assert_int_equal(keys_health(&s).certificate_not_after, 5);

    s.reason = "the disk is full";
    assert_told(keys_health(&s), COMPONENT_KEYS, HEALTH_WARN, s.reason);
    assert_int_equal(keys_health(&s).event, OUTCOME_KEYS_NOT_RENEWED);

    s.is_over = true;
    assert_told(keys_health(&s), COMPONENT_KEYS, HEALTH_FAIL, s.reason);
    assert_int_equal(keys_health(&s).event, OUTCOME_KEYS_EXPIRED);
}

static void a_ledger_that_cannot_be_written_fails(void **state) {
    (void) state;

    assert_told(ledger_health(0, "old"), COMPONENT_LEDGER, HEALTH_PASS, NULL);
    assert_told(ledger_health(-1, "disk full"), COMPONENT_LEDGER, HEALTH_FAIL, "disk full");
    assert_int_equal(ledger_health(-1, "disk full").event, OUTCOME_LEDGER_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_that_was_lost_and_one_that_cannot_be_reached_have_each_their_cure),
        cmocka_unit_test(each_fault_of_a_controller_has_its_own_cure),
        cmocka_unit_test(a_controller_without_the_control_is_of_use_only_where_it_is_not_required),
        cmocka_unit_test(an_issuer_whose_keys_are_known_only_warns),
        cmocka_unit_test(keys_that_end_are_cured_by_renewing_them),
        cmocka_unit_test(a_ledger_that_cannot_be_written_fails),
    };

    return cmocka_run_group_tests_name("room-health", tests, NULL, NULL);
}
