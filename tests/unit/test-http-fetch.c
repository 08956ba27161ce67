/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPS on the loop, against a real server: what comes back, and every way in which nothing does.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/curl_fault.h"
#include "agent/base/http_fetch.h"
#include "agent/base/json.h"
#include "tests/unit/command.h"
#include "tests/unit/https_server.h"

static sd_event *event;
static curl_glue *glue;
static char *ca_file;

typedef struct result {
    bool done;
    char *error, *body;
    size_t size;
    long status;
    usec_t retry_after;
    clock_reading clock;
    http_fetch *fetch;
    bool frees_itself;
} result;

static int set_up(void **state) {
    (void) state;

    https_server_start();
    ca_file = scratch_path("server.pem");
    assert_true(sd_event_default(&event) >= 0);
    assert_int_equal(curl_glue_new(event, &glue), 0);
    return 0;
}

static int tear_down(void **state) {
    (void) state;

    glue = curl_glue_free(glue);
    event = sd_event_unref(event);
    free(ca_file);
    https_server_stop();
    scratch_remove();
    return 0;
}

static void on_done(const char *error, long status, const char *body, size_t size, void *userdata) {
    result *r = userdata;

    assert_false(r->done);
    r->done = true;
    r->error = error ? strdup(error) : NULL;
    r->status = status;
    r->body = strndup(body, size);
    r->size = size;
    r->retry_after = http_fetch_retry_after(r->fetch);
    r->clock = http_fetch_clock(r->fetch);
    if (r->frees_itself)
        r->fetch = http_fetch_free(r->fetch);
}

static void run_until(const bool *done) {
    while (!*done)
        assert_true(sd_event_run(event, 10 * USEC_PER_SEC) > 0);
}

static void result_done(result *r) {
    free(r->error);
    free(r->body);
}

static result fetch_with(http_fetch_options options) {
    result r = {0};

    if (!options.ca_file)
        options.ca_file = ca_file;
    if (options.limit == 0)
        options.limit = 1000;
    if (options.timeout == 0)
        options.timeout = 5 * USEC_PER_SEC;

    assert_int_equal(http_fetch_start(glue, &options, on_done, &r, &r.fetch), 0);
    assert_false(r.done);
    run_until(&r.done);
    return r;
}

static void assert_answered(result r, long status, const char *body) {
    if (r.error)
        fail_msg("%s", r.error);
    assert_int_equal(r.status, status);
    assert_string_equal(r.body, body);
    assert_int_equal(r.size, strlen(body));
    result_done(&r);
}

static void assert_failed(result r, const char *part_of_error) {
    assert_non_null(r.error);
    if (!strstr(r.error, part_of_error))
        fail_msg("%s", r.error);
    assert_int_equal(r.status, 0);
    result_done(&r);
}

static void answers_of_any_status_come_back(void **state) {
    _cleanup_free_ char *hello = https_server_url("/hello"),
                        *nothing = https_server_url("/nothing");

    (void) state;

    https_server_answer("/hello", 200, "hello there");
    assert_answered(fetch_with((http_fetch_options){.url = hello}), 200, "hello there");
    https_server_answer("/hello", 503, "later");
    assert_answered(fetch_with((http_fetch_options){.url = hello}), 503, "later");
    assert_answered(fetch_with((http_fetch_options){.url = nothing}), 404, "");
}

static void body_is_posted(void **state) {
    _cleanup_free_ char *url = https_server_url("/report");
    _cleanup_(json_freep) json_t *last = NULL;

    (void) state;

    https_server_answer("/report", 204, "");
    assert_answered(fetch_with((http_fetch_options){.url = url,
                                                    .content_type = "application/health+json",
                                                    .body = "{\"status\":\"pass\"}"}),
                    204, "");
    last = https_server_order("{s:s}", "last", "/report");
    assert_string_equal(json_get_string(last, "method"), "POST");
    assert_string_equal(json_get_string(last, "type"), "application/health+json");
    assert_string_equal(json_get_string(last, "body"), "{\"status\":\"pass\"}");
}

static void a_token_is_sent_and_to_the_server_alone(void **state) {
    _cleanup_free_ char *url = https_server_url("/token"), *proxy = https_server_proxy();
    _cleanup_(json_freep) json_t *direct = NULL, *by_proxy = NULL, *without = NULL;
    _cleanup_(secret_freep) secret *token = NULL;

    (void) state;

    assert_int_equal(secret_new("abc.def", 7, &token), 0);
    https_server_answer("/token", 200, "");
    assert_answered(fetch_with((http_fetch_options){.url = url, .bearer = token}), 200, "");
    direct = https_server_order("{s:s}", "last", "/token");
    assert_string_equal(json_get_string(direct, "authorization"), "Bearer abc.def");

    assert_answered(fetch_with((http_fetch_options){.url = url}), 200, "");
    without = https_server_order("{s:s}", "last", "/token");
    assert_null(json_get_string(without, "authorization"));

    https_server_set_up(false);
    https_server_set_up(true);
    assert_answered(fetch_with((http_fetch_options){.url = url, .bearer = token, .proxy = proxy}),
                    200, "");
    by_proxy = https_server_order("{s:s}", "last", "proxy");
    assert_null(json_get_string(by_proxy, "authorization"));
}

static void what_the_server_says_of_time_is_told(void **state) {
    _cleanup_free_ char *url = https_server_url("/busy");
    result r;

    (void) state;

    json_decref(https_server_order("{s:s, s:i, s:{s:s, s:s}}", "answer", "/busy", "status", 503,
                                   "headers", "Retry-After", "17", "Date",
                                   "Tue, 14 Nov 2023 22:13:20 GMT"));
    r = fetch_with((http_fetch_options){.url = url});
    assert_int_equal(r.retry_after, 17 * USEC_PER_SEC);
    assert_int_equal(r.clock.date, UINT64_C(1700000000) * USEC_PER_SEC);
    assert_true(r.clock.at > 0 && r.clock.at <= now_boottime());
    result_done(&r);

    json_decref(https_server_order("{s:s, s:i, s:{s:s, s:s}}", "answer", "/busy", "status", 200,
                                   "headers", "Retry-After", "soon", "Date", "nonsense"));
    r = fetch_with((http_fetch_options){.url = url});
    assert_int_equal(r.retry_after, 0);
    assert_int_equal(r.clock.date, 0);
    result_done(&r);
}

static void many_at_once_each_get_their_own(void **state) {
    _cleanup_free_ char *url = https_server_url("/many");
    const http_fetch_options options = {
        .url = url, .ca_file = ca_file, .limit = 100, .timeout = 5 * USEC_PER_SEC};
    result results[20] = {0};

    (void) state;

    https_server_answer("/many", 200, "one of many");
    for (size_t i = 0; i < ELEMENTSOF(results); i++)
        assert_int_equal(http_fetch_start(glue, &options, on_done, &results[i], &results[i].fetch),
                         0);
    for (size_t i = 0; i < ELEMENTSOF(results); i++) {
        run_until(&results[i].done);
        assert_answered(results[i], 200, "one of many");
    }
}

static void body_above_the_limit_is_not_taken(void **state) {
    _cleanup_free_ char *url = https_server_url("/large");
    http_fetch_options options = {.url = url, .limit = 100000};
    result r;

    (void) state;

    json_decref(
        https_server_order("{s:s, s:i, s:i}", "answer", "/large", "status", 200, "size", 100000));
    r = fetch_with(options);
    assert_null(r.error);
    assert_int_equal(r.size, 100000);
    result_done(&r);

    options.limit = 99999;
    assert_failed(fetch_with(options), "sent more than 99999 bytes");
}

static void redirect_is_not_followed(void **state) {
    _cleanup_free_ char *url = https_server_url("/from"), *target = https_server_url("/to");

    (void) state;

    json_decref(https_server_order("{s:s, s:i, s:{s:s}}", "answer", "/from", "status", 302,
                                   "headers", "Location", target));
    assert_answered(fetch_with((http_fetch_options){.url = url}), 302, "");
    assert_int_equal(https_server_count("/to"), 0);
}

static void server_without_a_trusted_certificate_is_refused(void **state) {
    _cleanup_free_ char *url = https_server_url("/secret"), *other = scratch_path("other.pem");

    (void) state;

    free(command("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                 "-subj /CN=other -keyout other.key -out other.pem 2>&1"));
    assert_failed(fetch_with((http_fetch_options){.url = url, .ca_file = other}),
                  "SSL certificate problem: self-signed certificate");
    assert_int_equal(https_server_count("/secret"), 0);
}

static void server_of_another_name_is_refused(void **state) {
    _cleanup_free_ char *url = https_server_url("/secret"), *by_address = NULL;

    (void) state;

    by_address = format("https://127.0.0.1%s", strrchr(url, ':'));
    assert_failed(fetch_with((http_fetch_options){.url = by_address}),
                  "no alternative certificate subject name matches");
    assert_int_equal(https_server_count("/secret"), 0);
}

/* libcurl counts milliseconds and bytes; two attempts that fail alike must read alike. */
static void assert_fails_alike(http_fetch_options options, const char *error) {
    result first = fetch_with(options), second = fetch_with(options);

    assert_string_equal(first.error, error);
    assert_string_equal(second.error, error);
    result_done(&first);
    result_done(&second);
}

static void silent_server_costs_no_more_than_the_timeout(void **state) {
    _cleanup_free_ char *url = https_server_url("/silent");

    (void) state;

    json_decref(https_server_order("{s:b}", "hold", true));
    assert_failed(fetch_with((http_fetch_options){.url = url, .timeout = 2 * USEC_PER_SEC}),
                  " within 2 s");
    json_decref(https_server_order("{s:b}", "hold", false));
}

static void closed_port_is_told_without_user_and_password(void **state) {
    _cleanup_free_ char *url = https_server_url("/gone"), *error = NULL, *with_user = NULL;

    (void) state;

    error = format("no connection to localhost%.*s: Connection refused",
                   (int) strcspn(strrchr(url, ':'), "/"), strrchr(url, ':'));
    https_server_set_up(false);
    assert_fails_alike((http_fetch_options){.url = url}, error);
    with_user = format("https://user:hunter2@%s", strstr(url, "localhost"));
    assert_fails_alike((http_fetch_options){.url = with_user}, error);
    https_server_set_up(true);
}

static void answer_that_is_broken_off_is_told(void **state) {
    _cleanup_free_ char *url = https_server_url("/half"), *error = NULL;

    (void) state;

    error = format("localhost%.*s broke its answer off", (int) strcspn(strrchr(url, ':'), "/"),
                   strrchr(url, ':'));
    for (size_t i = 0; i < 2; i++) {
        json_decref(https_server_order("{s:s, s:i, s:{s:s}, s:s, s:b}", "answer", "/half", "status",
                                       200, "headers", "Content-Length", i == 0 ? "100" : "900",
                                       "body", "half", "cut", true));
        assert_fails_alike((http_fetch_options){.url = url}, error);
    }
}

/* Real texts of libcurl 7.88 to 8.14, some with what varies from one attempt to the next. */
static void the_same_fault_has_the_same_words(void **state) {
    static const struct {
        curl_fault fault;
        const char *texts[3];
        const char *words;
    } faults[] = {
        {{.result = CURLE_OPERATION_TIMEDOUT},
         {"Resolving timed out after 10001 milliseconds",
          "Resolving timed out after 10000 milliseconds"},
         "the name of h:443 did not resolve within 10 s"},
        {{.result = CURLE_OPERATION_TIMEDOUT, .is_resolved = true},
         {"Connection timed out after 10002 milliseconds",
          "Failed to connect to h port 443 after 10001 ms: Timeout was reached",
          "Connection timeout after 10001 ms"},
         "no connection to h:443 within 10 s"},
        {{.result = CURLE_OPERATION_TIMEDOUT, .is_resolved = true, .by_proxy = true},
         {"Connection timed out after 10002 milliseconds"},
         "no connection to the proxy for h:443 within 10 s"},
        {{.result = CURLE_OPERATION_TIMEDOUT, .is_resolved = true, .is_connected = true},
         {"SSL connection timeout", "Connection timed out after 10004 milliseconds"},
         "no TLS session with h:443 within 10 s"},
        {{.result = CURLE_OPERATION_TIMEDOUT,
          .is_resolved = true,
          .is_connected = true,
          .has_tls = true},
         {"Operation timed out after 10001 milliseconds with 0 bytes received",
          "Operation timed out after 10003 milliseconds with 123 out of 456 bytes received",
          "Operation timed out after 10000 milliseconds with 77 out of -1 bytes received"},
         "h:443 did not answer within 10 s"},
        {{.result = CURLE_COULDNT_CONNECT, .is_resolved = true, .os_error = ECONNREFUSED},
         {"Failed to connect to h port 443 after 3062 ms: Could not connect to server",
          "Failed to connect to h port 443 after 0 ms: Couldn't connect to server",
          "connect to 10.0.0.1 port 443 from 10.0.0.2 port 51234 failed: Connection refused"},
         "no connection to h:443: Connection refused"},
        {{.result = CURLE_COULDNT_CONNECT, .by_proxy = true, .os_error = EHOSTUNREACH},
         {"Failed to connect to proxy.example port 3128 after 3062 ms: Could not connect to server",
          "Unsupported proxy scheme for 'ldap://user:hunter2@proxy.example'"},
         "no connection to the proxy for h:443: No route to host"},
        {{.result = CURLE_COULDNT_RESOLVE_PROXY, .by_proxy = true},
         {"Could not resolve proxy: proxy.example",
          "Unsupported proxy syntax in 'http://user:hunter2@proxy:x': Port number was not a "
          "decimal number between 0 and 65535"},
         "the name of the proxy for h:443 does not resolve"},
        {{.result = CURLE_RECV_ERROR, .by_proxy = true, .proxy_status = 407},
         {"CONNECT tunnel failed, response 407", "Received HTTP code 407 from proxy after CONNECT"},
         "the proxy answered 407 for h:443"},
        {{.result = CURLE_PARTIAL_FILE},
         {"transfer closed with 96 bytes remaining to read",
          "end of response with 896 bytes missing",
          "transfer closed with outstanding read data remaining"},
         "h:443 broke its answer off"},
        {{.result = CURLE_HTTP2_STREAM},
         {"HTTP/2 stream 1 was not closed cleanly: INTERNAL_ERROR (err 2)",
          "HTTP/2 stream 17 was not closed cleanly: INTERNAL_ERROR (err 2)",
          "HTTP/2 stream 3 was reset"},
         "h:443 broke its answer off"},
        {{.result = CURLE_TOO_LARGE},
         {"Too large response headers: 307253 > 307200"},
         "h:443: A value or data field grew larger than allowed"},
        /* What does not vary stays, since it says more. */
        {{.result = CURLE_PEER_FAILED_VERIFICATION},
         {"SSL certificate problem: certificate has expired"},
         "h:443: SSL certificate problem: certificate has expired"},
        {{.result = CURLE_SSL_CONNECT_ERROR},
         {"TLS connect error: error:0A00010B:SSL routines::wrong version number"},
         "h:443: TLS connect error: error:0A00010B:SSL routines::wrong version number"},
        {{.result = CURLE_COULDNT_RESOLVE_HOST},
         {"Could not resolve host: h"},
         "h:443: Could not resolve host: h"},
        {{.result = CURLE_GOT_NOTHING},
         {""},
         "h:443: Server returned nothing (no headers, no data)"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
        for (size_t k = 0; k < ELEMENTSOF(faults[i].texts) && faults[i].texts[k]; k++) {
            curl_fault fault = faults[i].fault;
            _cleanup_free_ char *words = NULL;

            fault.text = faults[i].texts[k];
            words = curl_fault_describe(&fault, "h:443", 10 * USEC_PER_SEC);
            assert_string_equal(words, faults[i].words);
        }
    }
}

static void anything_but_https_is_refused(void **state) {
    (void) state;

    assert_failed(fetch_with((http_fetch_options){.url = "http://localhost/"}),
                  "Protocol \"http\" disabled");
    assert_failed(fetch_with((http_fetch_options){.url = "file:///etc/passwd"}),
                  "Protocol \"file\" disabled");
    assert_failed(fetch_with((http_fetch_options){.url = "nonsense"}),
                  "Protocol \"http\" disabled");
}

static void proxy_is_used_where_configured_and_only_there(void **state) {
    _cleanup_free_ char *url = https_server_url("/hello"), *proxy = https_server_proxy();

    (void) state;

    https_server_answer("/hello", 200, "hello");
    assert_int_equal(setenv("https_proxy", "http://127.0.0.1:1", 1), 0);
    assert_answered(fetch_with((http_fetch_options){.url = url}), 200, "hello");
    assert_int_equal(https_server_count("proxy"), 0);

    assert_answered(fetch_with((http_fetch_options){.url = url, .proxy = proxy}), 200, "hello");
    assert_int_equal(https_server_count("proxy"), 1);
    assert_int_equal(unsetenv("https_proxy"), 0);
}

static void refusal_of_the_proxy_is_told(void **state) {
    _cleanup_free_ char *url = https_server_url("/refused"), *proxy = https_server_proxy();

    (void) state;

    /* So that no connection is left that went through the proxy before. */
    https_server_set_up(false);
    https_server_set_up(true);
    json_decref(https_server_order("{s:i}", "proxy", 407));
    assert_failed(fetch_with((http_fetch_options){.url = url, .proxy = proxy}),
                  "the proxy answered 407 for localhost:");
    json_decref(https_server_order("{s:i}", "proxy", 200));
}

static void cancelled_fetch_says_nothing(void **state) {
    _cleanup_free_ char *url = https_server_url("/hello");
    const http_fetch_options options = {
        .url = url, .ca_file = ca_file, .limit = 100, .timeout = 5 * USEC_PER_SEC};
    result cancelled = {0}, other = {0};

    (void) state;

    https_server_answer("/hello", 200, "hello");
    assert_int_equal(http_fetch_start(glue, &options, on_done, &cancelled, &cancelled.fetch), 0);
    assert_true(sd_event_run(event, USEC_PER_SEC) > 0);
    cancelled.fetch = http_fetch_free(cancelled.fetch);

    other = fetch_with(options);
    assert_answered(other, 200, "hello");
    assert_false(cancelled.done);
}

static void fetch_may_be_freed_when_it_is_done(void **state) {
    _cleanup_free_ char *url = https_server_url("/hello");
    const http_fetch_options options = {
        .url = url, .ca_file = ca_file, .limit = 100, .timeout = 5 * USEC_PER_SEC};
    result r = {.frees_itself = true};

    (void) state;

    https_server_answer("/hello", 200, "hello");
    assert_int_equal(http_fetch_start(glue, &options, on_done, &r, &r.fetch), 0);
    run_until(&r.done);
    assert_answered(r, 200, "hello");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_any_status_come_back),
        cmocka_unit_test(body_is_posted),
        cmocka_unit_test(what_the_server_says_of_time_is_told),
        cmocka_unit_test(many_at_once_each_get_their_own),
        cmocka_unit_test(body_above_the_limit_is_not_taken),
        cmocka_unit_test(redirect_is_not_followed),
        cmocka_unit_test(server_without_a_trusted_certificate_is_refused),
        cmocka_unit_test(server_of_another_name_is_refused),
        cmocka_unit_test(silent_server_costs_no_more_than_the_timeout),
        cmocka_unit_test(closed_port_is_told_without_user_and_password),
        cmocka_unit_test(answer_that_is_broken_off_is_told),
        cmocka_unit_test(the_same_fault_has_the_same_words),
        cmocka_unit_test(anything_but_https_is_refused),
        cmocka_unit_test(proxy_is_used_where_configured_and_only_there),
        cmocka_unit_test(a_token_is_sent_and_to_the_server_alone),
        cmocka_unit_test(refusal_of_the_proxy_is_told),
        cmocka_unit_test(cancelled_fetch_says_nothing),
        cmocka_unit_test(fetch_may_be_freed_when_it_is_done),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
