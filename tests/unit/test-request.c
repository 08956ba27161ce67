/* SPDX-License-Identifier: Apache-2.0 */
/* An opened request: what the contract allows is read, anything else refused with one clear text
 * that quotes no value. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/request.h"

#define HEAD "{\"jti\":\"request-1\",\"iat\":1700000000,\"exp\":1700000120,\"aud\":\"agent-1\","
#define TOKEN "\"authorization\":\"eyJ.x.y\""
#define ALICE "\"user\":{\"userPrincipalName\":\"alice@corp.example\"},"
#define RESET "\"operation\":\"reset\",\"newPassword\":\"Swordfish-77\","

static outcome parse(const char *text, request *ret, char **ret_why) {
    _cleanup_(secret_freep) secret *s = NULL;

    assert_int_equal(secret_new(text, strlen(text), &s), 0);
    return request_parse(s, ret, ret_why);
}

static void a_whole_request_is_read(void **state) {
    _cleanup_(request_done) request q = {};
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(
        parse(HEAD RESET ALICE TOKEN
              ",\"forceChangePasswordNextSignIn\":true,\"unlockAccount\":false,\"traceparent\":"
              "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}",
              &q, &why),
        OUTCOME_INVALID);
    assert_string_equal(q.id, "request-1");
    assert_int_equal(q.operation, OPERATION_RESET);
    assert_int_equal(q.user_type, IDENTIFIER_USER_PRINCIPAL_NAME);
    assert_string_equal(q.user, "alice@corp.example");
    assert_string_equal(secret_data(q.new_password), "Swordfish-77");
    assert_true(q.must_change);
    assert_false(q.unlock);
    assert_string_equal(q.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_true(q.expires == 1700000120 * USEC_PER_SEC);
}

static void unlocking_is_the_default_and_must_change_is_not(void **state) {
    _cleanup_(request_done) request q = {};
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(parse(HEAD RESET ALICE TOKEN "}", &q, &why), OUTCOME_INVALID);
    assert_true(q.unlock);
    assert_false(q.must_change);
}

static void what_is_wrong_is_named_and_not_quoted(void **state) {
    static const struct {
        const char *text, *expected;
    } wrong[] = {
        {"", "the opened request cannot be read: it ends in the middle"},
        {"[]", "the opened request is no object"},
        {"{\"jti\":\"x\",\"jti\":\"y\"}",
         "the opened request cannot be read: a member stands there twice"},
        {"{}", "jti must be a text of 8 to 64 characters"},
        {"{\"jti\":\"short\"}", "jti must be a text of 8 to 64 characters"},
        {"{\"jti\":\"with space 1\"}", "jti must be a text of 8 to 64 characters"},
        {"{\"jti\":12345678}", "jti must be a text of 8 to 64 characters"},
        {"{\"jti\":\"request-1\"}", "aud must be a text"},
        {HEAD "\"operation\":\"delete\"}", "operation must be reset, change, unlock or check"},
        {HEAD RESET TOKEN "}", "user must be an object"},
        {HEAD RESET "\"user\":{}," TOKEN "}", "user must have exactly one of"},
        {HEAD RESET "\"user\":{\"userPrincipalName\":\"a@b\",\"objectGuid\":\"c\"}," TOKEN "}",
         "user must have exactly one of"},
        {HEAD RESET "\"user\":{\"userPrincipalName\":\"a@b\",\"other\":\"c\"}," TOKEN "}",
         "user must have exactly one of"},
        {HEAD RESET "\"user\":{\"onPremisesSamAccountName\":\"alice\"}," TOKEN "}",
         "onPremisesDomainName must be a text"},
        {HEAD RESET "\"user\":{\"objectGuid\":\"nonsense\"}," TOKEN "}", "user.objectGuid: "},
        {HEAD "\"operation\":\"reset\"," ALICE TOKEN "}", "newPassword must be a text"},
        {HEAD "\"operation\":\"reset\",\"newPassword\":7," ALICE TOKEN "}",
         "newPassword must be a text"},
        {HEAD "\"operation\":\"reset\",\"newPassword\":\"\"," ALICE TOKEN "}", "newPassword "},
        {HEAD "\"operation\":\"check\",\"newPassword\":\"Swordfish-77\"," ALICE TOKEN "}",
         "newPassword does not go with operation check"},
        {HEAD "\"operation\":\"change\",\"newPassword\":\"Swordfish-77\"," ALICE TOKEN "}",
         "currentPassword must be a text"},
        {HEAD RESET "\"currentPassword\":\"Swordfish-76\"," ALICE TOKEN "}",
         "currentPassword does not go with operation reset"},
        {HEAD "\"operation\":\"unlock\",\"unlockAccount\":true," ALICE TOKEN "}",
         "unlockAccount does not go with operation unlock"},
        {HEAD RESET ALICE TOKEN ",\"unlockAccount\":\"yes\"}",
         "unlockAccount must be true or false"},
        {HEAD RESET ALICE "\"x\":1}", "the request has a member that the contract does not know"},
        {HEAD RESET ALICE "\"authorization\":7}", "authorization must be a text"},
        {HEAD RESET ALICE TOKEN ",\"traceparent\":\"01-x\"}", "traceparent must be"},
        {HEAD RESET ALICE TOKEN
         ",\"traceparent\":\"00-00000000000000000000000000000000-00f067aa0ba902b7-01\"}",
         "traceparent must be"},
        {"{\"jti\":\"request-1\",\"iat\":\"now\",\"exp\":1,\"aud\":\"a\"," RESET ALICE TOKEN "}",
         "iat must be a date in whole seconds since 1970"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        _cleanup_(request_done) request q = {};
        _cleanup_free_ char *why = NULL;

        assert_int_equal(parse(wrong[i].text, &q, &why), OUTCOME_INPUT_VALIDATION_ERROR);
        if (!why || strncmp(why, wrong[i].expected, strlen(wrong[i].expected)) != 0)
            fail_msg("expected: %s\ngot:      %s", wrong[i].expected, why ? why : "(nothing)");
        assert_null(strstr(why, "Swordfish"));
    }
}

static void a_password_of_257_units_is_refused(void **state) {
    _cleanup_(request_done) request q = {};
    _cleanup_free_ char *text = NULL, *why = NULL;

    (void) state;

    assert_true(asprintf(&text,
                         HEAD "\"operation\":\"reset\",\"newPassword\":\"%0257d\"," ALICE TOKEN "}",
                         1) > 0);
    assert_int_equal(parse(text, &q, &why), OUTCOME_INPUT_VALIDATION_ERROR);
    assert_non_null(strstr(why, "256"));
}

static outcome validity(usec_t issued, usec_t expires, usec_t now, const char *audience) {
    const request q = {.issued = issued * USEC_PER_SEC,
                       .expires = expires * USEC_PER_SEC,
                       .audience = (char *) (uintptr_t) audience};
    _cleanup_free_ char *why = NULL;
    outcome o = request_check_validity(&q, "agent-1", "tenant-1", now * USEC_PER_SEC, &why);

    assert_true((o == OUTCOME_INVALID) == (why == NULL));
    return o;
}

static void a_request_lives_as_long_as_the_contract_says(void **state) {
    (void) state;

    assert_int_equal(validity(1000, 1600, 1300, "agent-1"), OUTCOME_INVALID);
    assert_int_equal(validity(1000, 1600, 1300, "tenant-1"), OUTCOME_INVALID);
    assert_int_equal(validity(1000, 1601, 1300, "agent-1"), OUTCOME_REQUEST_EXPIRED);
    assert_int_equal(validity(1000, 1120, 1179, "agent-1"), OUTCOME_INVALID);
    assert_int_equal(validity(1000, 1120, 1180, "agent-1"), OUTCOME_REQUEST_EXPIRED);
    assert_int_equal(validity(1000, 1120, 940, "agent-1"), OUTCOME_INVALID);
    assert_int_equal(validity(1000, 1120, 939, "agent-1"), OUTCOME_REQUEST_EXPIRED);
    assert_int_equal(validity(1000, 1000, 1000, "agent-1"), OUTCOME_INPUT_VALIDATION_ERROR);
    assert_int_equal(validity(1000, 1120, 1000, "agent-2"), OUTCOME_INPUT_VALIDATION_ERROR);
}

static void the_fingerprint_covers_all_but_the_password(void **state) {
    static const char *const same[] = {
        HEAD RESET ALICE TOKEN "}",
        HEAD TOKEN "," ALICE "\"newPassword\":\"Another-1234\",\"operation\":\"reset\"}",
    };
    static const char other[] = HEAD RESET ALICE TOKEN ",\"unlockAccount\":true}";
    _cleanup_(request_done) request a = {};
    _cleanup_(request_done) request b = {};
    _cleanup_(request_done) request c = {};
    char *why;

    (void) state;

    assert_int_equal(parse(same[0], &a, &why), OUTCOME_INVALID);
    assert_int_equal(parse(same[1], &b, &why), OUTCOME_INVALID);
    assert_int_equal(parse(other, &c, &why), OUTCOME_INVALID);
    assert_memory_equal(a.fingerprint, b.fingerprint, REQUEST_FINGERPRINT_SIZE);
    assert_memory_not_equal(a.fingerprint, c.fingerprint, REQUEST_FINGERPRINT_SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_request_is_read),
        cmocka_unit_test(unlocking_is_the_default_and_must_change_is_not),
        cmocka_unit_test(what_is_wrong_is_named_and_not_quoted),
        cmocka_unit_test(a_password_of_257_units_is_refused),
        cmocka_unit_test(a_request_lives_as_long_as_the_contract_says),
        cmocka_unit_test(the_fingerprint_covers_all_but_the_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
