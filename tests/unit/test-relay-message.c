/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the control channel: those of the real service, and those that it should never send.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/message.h"

static int parse(const char *text, message *ret, const char **ret_why) {
    return message_parse(text, strlen(text), ret, ret_why);
}

/* As captured from the service in 2020. */
static void the_services_own_request_is_understood(void **state) {
    _cleanup_free_ char *path = NULL;
    const char *why = NULL;
    message m;

    (void) state;

    assert_int_equal(
        parse("{\"request\":{\"address\":\"wss://g12-prod-by3-010-sb.servicebus.windows.net/$hc/"
              "yesclientauth?sb-hc-action=request&sb-hc-id=c126fddd_G12\",\"id\":\"c126fddd_G12\","
              "\"requestTarget\":\"/yesclientauth\",\"method\":\"POST\",\"remoteEndpoint\":{"
              "\"address\":\"73.83.210.109\",\"port\":62915},\"requestHeaders\":{\"Content-Type\":"
              "\"application/json; charset=utf-8\",\"Host\":\"gorelay.servicebus.windows.net\","
              "\"Via\":\"1.1 gorelay.servicebus.windows.net\"},\"body\":true}}",
              &m, &why),
        0);
    assert_int_equal(m.type, MESSAGE_REQUEST);
    assert_string_equal(m.id, "c126fddd_G12");
    assert_string_equal(m.method, "POST");
    assert_true(m.has_body);
    assert_string_equal(message_header(&m, "content-type"), "application/json; charset=utf-8");
    assert_null(message_header(&m, "authorization"));
    path = message_path(&m, "yesclientauth");
    assert_string_equal(path, "/");
    message_done(&m);
}

/* The service has two serialisers; one of them escapes slashes. */
static void escaped_slashes_are_understood(void **state) {
    const char *why = NULL;
    message m;

    (void) state;

    assert_int_equal(parse("{\"accept\":{\"address\":\"wss:\\/\\/x.servicebus.windows.net\\/$hc\\/"
                           "h?sb-hc-action=accept\",\"id\":\"1_G17_G30\",\"connectHeaders\":{}}}",
                           &m, &why),
                     0);
    assert_int_equal(m.type, MESSAGE_ACCEPT);
    assert_string_equal(m.address, "wss://x.servicebus.windows.net/$hc/h?sb-hc-action=accept");
    message_done(&m);
}

static void without_a_method_it_is_a_pointer(void **state) {
    const char *why = NULL;
    message m;

    (void) state;

    assert_int_equal(parse("{\"request\":{\"address\":\"wss://x/$hc/h\"}}", &m, &why), 0);
    assert_int_equal(m.type, MESSAGE_POINTER);
    assert_string_equal(m.address, "wss://x/$hc/h");
    message_done(&m);

    assert_int_equal(parse("{\"request\":{\"address\":\"wss://x/$hc/h\",\"id\":\"1\"}}", &m, &why),
                     0);
    assert_int_equal(m.type, MESSAGE_POINTER);
    message_done(&m);
}

static void unknown_messages_and_members_are_ignored(void **state) {
    const char *why = NULL;
    message m;

    (void) state;

    assert_int_equal(parse("{\"somethingNew\":{\"address\":1}}", &m, &why), 0);
    assert_int_equal(m.type, MESSAGE_UNKNOWN);
    message_done(&m);

    assert_int_equal(parse("{\"request\":{\"address\":\"a\",\"id\":\"1\",\"method\":\"GET\","
                           "\"requestTarget\":\"/h\",\"requestHeaders\":{\"X\":7,\"Y\":\"y\"},"
                           "\"news\":[]},\"more\":1}",
                           &m, &why),
                     0);
    assert_int_equal(m.type, MESSAGE_REQUEST);
    assert_false(m.has_body);
    assert_null(message_header(&m, "x"));
    assert_string_equal(message_header(&m, "y"), "y");
    message_done(&m);
}

#define REQUEST(members) "{\"request\":{\"address\":\"a\"," members "}}"

static void what_the_protocol_does_not_allow_is_refused_in_words(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "it ends in the middle"},
        {"{\"request\":", "it ends in the middle"},
        {"nonsense", "not JSON"},
        {"[]", "not an object"},
        {"{\"request\":1}", "the message holds no object"},
        {"{\"accept\":[]}", "the message holds no object"},
        {"{\"request\":{}}", "the message has no address"},
        {"{\"request\":{\"address\":7}}", "the message has no address"},
        {"{\"accept\":{\"address\":\"\"}}", "the message has no address"},
        {REQUEST("\"method\":\"GET\",\"requestTarget\":\"/h\""),
         "the request's id is missing or too long"},
        {REQUEST("\"id\":\"\",\"method\":\"GET\",\"requestTarget\":\"/h\""),
         "the request's id is missing or too long"},
        {REQUEST("\"id\":\"1\\u0000\",\"method\":\"GET\",\"requestTarget\":\"/h\""),
         "the request's id is missing or too long"},
        {REQUEST("\"id\":\"1\",\"id\":\"2\",\"method\":\"GET\""), "a member stands there twice"},
        {REQUEST("\"id\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"), "nested too deeply"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *why = NULL;
        message m;

        if (parse(cases[i].text, &m, &why) != -EBADMSG)
            fail_msg("%s was not refused", cases[i].text);
        assert_string_equal(why, cases[i].why);
    }
}

/* What a sender can have the relay write: there is an id to answer to. */
static void what_cannot_be_served_can_still_be_answered(void **state) {
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {REQUEST("\"id\":\"1\",\"method\":1,\"requestTarget\":\"/h\""),
         "the request's method is no HTTP method"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET /\",\"requestTarget\":\"/h\""),
         "the request's method is no HTTP method"},
        {REQUEST("\"id\":\"1\",\"method\":\"\",\"requestTarget\":\"/h\""),
         "the request's method is no HTTP method"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\\u0000\",\"requestTarget\":\"/h\""),
         "the request's method is no HTTP method"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\""),
         "the request's target is no text, or holds a NUL"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\",\"requestTarget\":\"/h/v1/keys\\u0000\""),
         "the request's target is no text, or holds a NUL"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\",\"requestTarget\":\"/h\",\"requestHeaders\":[]"),
         "the request's headers are no object"},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\",\"requestTarget\":\"/h\",\"body\":\"true\""),
         "the request's body is neither true nor false"},
        /* For the owner to find that there is nothing of the kind. */
        {REQUEST(
             "\"id\":\"1\",\"method\":\"A-METHOD-OF-MORE-THAN-32-CHARACTERS\",\"requestTarget\":\"/h\""),
         NULL},
        {REQUEST("\"id\":\"1\",\"method\":\"OPTIONS\",\"requestTarget\":\"*\""), NULL},
        {REQUEST("\"id\":\"1\",\"method\":\"GET\",\"requestTarget\":\"\""), NULL},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *path = NULL;
        const char *why = NULL;
        message m;

        if (parse(cases[i].text, &m, &why) < 0)
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(m.type, MESSAGE_REQUEST);
        assert_string_equal(m.id, "1");
        assert_string_equal(m.address, "a");
        if (cases[i].fault)
            assert_string_equal(m.fault, cases[i].fault);
        else
            assert_null(m.fault);
        path = message_path(&m, "h");
        assert_non_null(path);
        message_done(&m);
    }
}

static void a_header_with_a_nul_is_none(void **state) {
    const char *why = NULL;
    message m;

    (void) state;

    assert_int_equal(parse(REQUEST("\"id\":\"1\",\"method\":\"GET\",\"requestTarget\":\"/h\","
                                   "\"requestHeaders\":{\"X\":\"application/jose\\u0000x\"}"),
                           &m, &why),
                     0);
    assert_null(m.fault);
    assert_null(message_header(&m, "x"));
    message_done(&m);
}

static void a_control_message_has_64_kib_at_most(void **state) {
    char *text = malloc(RELAY_CONTROL_MAX + 2);
    const char *why = NULL;
    message m;

    (void) state;

    assert_non_null(text);
    memset(text, ' ', RELAY_CONTROL_MAX + 1);
    memcpy(text, "{\"a\":1}", 7);
    assert_int_equal(message_parse(text, RELAY_CONTROL_MAX, &m, &why), 0);
    message_done(&m);
    assert_int_equal(message_parse(text, RELAY_CONTROL_MAX + 1, &m, &why), -EBADMSG);
    assert_string_equal(why, "too large");
    free(text);
}

static void paths_are_told_below_the_hybrid_connection(void **state) {
    static const struct {
        const char *target, *entity, *path;
    } cases[] = {
        {"/hyco/v1/keys", "hyco", "/v1/keys"},
        {"/hyco/v1/keys?x=/y", "hyco", "/v1/keys"},
        {"/HyCo/v1/keys", "hyco", "/v1/keys"},
        {"/a/b/v1", "a/b", "/v1"},
        {"/hyco", "hyco", "/"},
        {"/hyco/", "hyco", "/"},
        {"/hyco?x", "hyco", "/"},
        {"/hycoX/v1", "hyco", "/hycoX/v1"},
        {"/other/v1", "hyco", "/other/v1"},
        {"/hyco/with space", "hyco", "/with space"},
        {"/", "hyco", "/"},
        {"*", "hyco", "*"},
        {"", "hyco", "/"},
        {"xhyco/v1/keys", "hyco", "xhyco/v1/keys"},
        {NULL, "hyco", ""},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const message m = {.target = cases[i].target};
        _cleanup_free_ char *path = message_path(&m, cases[i].entity);

        assert_string_equal(path, cases[i].path);
    }
}

/* As a number, as all of Microsoft's clients send it: their document's sample is a string. */
static void an_answers_status_is_a_number(void **state) {
    const relay_header allow = {"Allow", "GET, \"x\""};
    _cleanup_free_ char *text = message_response("1_G2", 405, "text/plain", &allow, 1, true);
    _cleanup_free_ char *empty = message_response("1_G2", 204, NULL, NULL, 0, false);

    (void) state;

    assert_string_equal(text, "{\"response\":{\"requestId\":\"1_G2\",\"statusCode\":405,"
                              "\"responseHeaders\":{\"Content-Type\":\"text/plain\",\"Allow\":"
                              "\"GET, \\\"x\\\"\"},\"body\":true}}");
    assert_string_equal(empty, "{\"response\":{\"requestId\":\"1_G2\",\"statusCode\":204,"
                               "\"responseHeaders\":{},\"body\":false}}");
}

static void a_new_token_is_wrapped(void **state) {
    _cleanup_(secret_freep) secret *token = NULL, *text = NULL;

    (void) state;

    assert_int_equal(secret_new("SharedAccessSignature sr=x", 26, &token), 0);
    assert_int_equal(message_renew_token(token, &text), 0);
    assert_string_equal(secret_data(text),
                        "{\"renewToken\":{\"token\":\"SharedAccessSignature sr=x\"}}");
    assert_int_equal(secret_size(text), strlen(secret_data(text)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_services_own_request_is_understood),
        cmocka_unit_test(escaped_slashes_are_understood),
        cmocka_unit_test(without_a_method_it_is_a_pointer),
        cmocka_unit_test(unknown_messages_and_members_are_ignored),
        cmocka_unit_test(what_the_protocol_does_not_allow_is_refused_in_words),
        cmocka_unit_test(what_cannot_be_served_can_still_be_answered),
        cmocka_unit_test(a_header_with_a_nul_is_none),
        cmocka_unit_test(a_control_message_has_64_kib_at_most),
        cmocka_unit_test(paths_are_told_below_the_hybrid_connection),
        cmocka_unit_test(an_answers_status_is_a_number),
        cmocka_unit_test(a_new_token_is_wrapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
