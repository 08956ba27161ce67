/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what to whom: the contract's tables, every combination. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/authorise.h"
#include "agent/base/macro.h"

static const char portal[] = "C44B4083-3bb0-49c1-b47d-974e53cbdf3c";
static const char admin_center[] = "00000006-0000-0ff1-ce00-000000000000";
static const char own_client[] = "11111111-2222-3333-4444-555555555555";
static char *const own_clients[] = {(char *) (uintptr_t) own_client, NULL};

static const char alice_sid[] = "S-1-5-21-1-2-3-1001";
static const char bob_sid[] = "S-1-5-21-1-2-3-1002";

/* The whole way: initiator first, then target. */
static outcome ask(const initiator *who, request_operation operation, const target *whom) {
    verdict v = authorise_initiator(who, operation, own_clients);

    if (v.outcome == OUTCOME_INVALID)
        v = authorise_target(who, operation, whom);
    assert_true((v.outcome == OUTCOME_INVALID) == (v.reason == NULL));
    return v.outcome;
}

/* What the contract says, written down a second time and differently. */
static outcome expected(const initiator *who, request_operation operation, const target *whom,
                        bool is_self) {
    bool is_owner = is_self && !who->is_app;
    bool has_right = who->is_administrator;

    if (who->is_app && operation == OPERATION_RESET)
        has_right = who->may_reset_all;
    if (who->is_app && operation == OPERATION_UNLOCK)
        has_right = who->may_unlock_all;
    if (who->is_app && operation == OPERATION_CHECK)
        has_right = who->may_reset_all || who->may_unlock_all;

    if (strcmp(who->client, admin_center) == 0)
        return OUTCOME_UNSUPPORTED_PORTAL;
    if (operation == OPERATION_CHANGE)
        return is_owner ? OUTCOME_INVALID : OUTCOME_INITIATOR_NOT_AUTHORIZED;
    if (operation == OPERATION_CHECK && is_owner && !has_right)
        return OUTCOME_INVALID;
    if (!has_right || is_owner)
        return OUTCOME_INITIATOR_NOT_AUTHORIZED;
    if (whom->is_privileged && !who->is_privileged_administrator)
        return OUTCOME_TARGET_PRIVILEGED;
    return OUTCOME_INVALID;
}

static void every_combination_is_as_the_contract_says(void **state) {
    (void) state;

    for (request_operation o = 0; o < OPERATION_MAX_; o++)
        for (unsigned bits = 0; bits < 1u << 7; bits++) {
            bool is_self = bits & 1, privileged = bits & 2, app = bits & 4, supported = bits & 8;
            bool administrator = bits & 16, higher = bits & 32, unlocks = bits & 64;
            const initiator who = {
                .is_app = app,
                .is_privileged_administrator = !app && administrator && higher,
                .is_administrator = !app && administrator,
                .may_reset_all = app && administrator,
                .may_unlock_all = app && unlocks,
                .client = supported ? portal : admin_center,
                .sid = alice_sid,
            };
            const target whom = {.sid = is_self ? alice_sid : bob_sid, .is_privileged = privileged};

            assert_int_equal(ask(&who, o, &whom), expected(&who, o, &whom, is_self));
        }
}

static void other_clients_are_refused_and_own_ones_allowed(void **state) {
    initiator who = {.is_administrator = true, .sid = alice_sid};
    const target bob = {.sid = bob_sid};
    verdict v;

    (void) state;

    who.client = own_client;
    assert_int_equal(ask(&who, OPERATION_RESET, &bob), OUTCOME_INVALID);

    who.client = "66666666-2222-3333-4444-555555555555";
    assert_int_equal(ask(&who, OPERATION_RESET, &bob), OUTCOME_UNSUPPORTED_PORTAL);
    who.client = NULL;
    assert_int_equal(ask(&who, OPERATION_RESET, &bob), OUTCOME_UNSUPPORTED_PORTAL);

    who.client = admin_center;
    v = authorise_initiator(&who, OPERATION_RESET, own_clients);
    assert_non_null(strstr(v.reason, "reset the password again in the Azure portal"));
}

static void without_a_sid_the_name_tells_oneself(void **state) {
    initiator who = {.is_administrator = true, .client = portal, .upn = "Alice@Corp.Example"};
    target whom = {.upn = "alice@corp.example", .sid = alice_sid};

    (void) state;

    assert_int_equal(ask(&who, OPERATION_RESET, &whom), OUTCOME_INITIATOR_NOT_AUTHORIZED);

    /* With one, the name is of no account: names can be given to others. */
    who.sid = bob_sid;
    assert_int_equal(ask(&who, OPERATION_RESET, &whom), OUTCOME_INVALID);

    who.sid = NULL;
    whom.upn = NULL;
    assert_int_equal(ask(&who, OPERATION_RESET, &whom), OUTCOME_INVALID);
}

static void scope_is_told_with_the_setting_that_draws_it(void **state) {
    (void) state;

    assert_int_equal(authorise_scope(SCOPE_INSIDE).outcome, OUTCOME_INVALID);
    assert_int_equal(authorise_scope(SCOPE_NOT_ALLOWED).outcome, OUTCOME_TARGET_OUT_OF_SCOPE);
    assert_non_null(strstr(authorise_scope(SCOPE_NOT_ALLOWED).reason, "AllowedTargets="));
    assert_int_equal(authorise_scope(SCOPE_DENIED).outcome, OUTCOME_TARGET_OUT_OF_SCOPE);
    assert_non_null(strstr(authorise_scope(SCOPE_DENIED).reason, "DeniedTargets="));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_is_as_the_contract_says),
        cmocka_unit_test(other_clients_are_refused_and_own_ones_allowed),
        cmocka_unit_test(without_a_sid_the_name_tells_oneself),
        cmocka_unit_test(scope_is_told_with_the_setting_that_draws_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
