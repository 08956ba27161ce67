/* SPDX-License-Identifier: Apache-2.0 */
/* The agent asks Microsoft Graph: how it proves itself, verified by other implementations; and what
 * it does with every kind of answer, against a real server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/graph_token.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/command.h"
#include "tests/unit/https_server.h"

#define CLIENT "11111111-2222-4333-8444-555555555555"
#define TOKEN "/TENANT/oauth2/v2.0/token"
#define ORGANIZATION "/v1.0/organization?$select=onPremisesSyncEnabled,onPremisesLastSyncDateTime"
#define SKUS "/v1.0/subscribedSkus?$select=capabilityStatus,servicePlans"
#define P1 "41781fb2-bc02-4b7c-bd55-b576c07bb09d"

#define A_TOKEN                                                                                    \
    "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"not-for-the-log\"}"
#define HELD                                                                                       \
    "{\"value\":[{\"capabilityStatus\":\"Enabled\",\"servicePlans\":[{\"servicePlanId\":\"" P1     \
    "\"}]}]}"

typedef struct fixture {
    sd_event *event;
    curl_glue *glue;
    graph_config config;
    graph *graph;
    unsigned looks;
    tenant_state state; /* of the last look */
    char *why;          /* of the licence */
    outcome failure;
    clock_reading clock;
    captured_log log;
} fixture;

/* ---- Who asks -------------------------------------------------------------------------------- */

static secret *read_file(const char *name) {
    _cleanup_free_ char *path = scratch_path(name);
    secret *content = NULL;

    assert_int_equal(file_read(path, 64 * 1024, &content), 0);
    return content;
}

static void make_pair(const char *name, const char *kind) {
    free(command("openssl req -x509 -newkey %s -nodes -days 90 -subj /CN=%s -keyout %s.key "
                 "-out %s.pem 2>&1",
                 kind, name, name, name));
}

static void use_certificate(graph_config *c, const char *name) {
    _cleanup_free_ char *pem = format("%s.pem", name), *key = format("%s.key", name);
    _cleanup_(secret_freep) secret *certificate = read_file(pem);
    const char *why = NULL;

    c->key = read_file(key);
    if (graph_certificate_read(certificate, c->key, c, &why) < 0)
        fail_msg("%s", why);
}

static const char *refusal_of(const char *certificate, const char *key) {
    _cleanup_(secret_freep) secret *x = read_file(certificate), *k = read_file(key);
    graph_config c = {0};
    const char *why = NULL;

    assert_true(graph_certificate_read(x, k, &c, &why) < 0);
    assert_null(c.thumbprint);
    return why;
}

static void only_a_certificate_that_entra_takes_is_taken(void **state) {
    (void) state;

    make_pair("small", "rsa:1024");
    make_pair("curve", "ec -pkeyopt ec_paramgen_curve:P-256");
    free(command("openssl rsa -in app.key -aes256 -passout pass:x -out locked.key 2>&1"));

    assert_string_equal(refusal_of("app.key", "app.key"), "is no certificate in PEM");
    assert_string_equal(refusal_of("app.pem", "other.key"), "does not belong to the private key");
    assert_non_null(strstr(refusal_of("app.pem", "app.pem"), "is no private key in PEM"));
    assert_non_null(strstr(refusal_of("app.pem", "locked.key"), "needs a passphrase"));
    assert_non_null(strstr(refusal_of("small.pem", "small.key"), "none of RSA with 2048 bits"));
    assert_non_null(strstr(refusal_of("curve.pem", "curve.key"), "none of RSA with 2048 bits"));
}

static json_t *decode(const char *part, size_t length) {
    _cleanup_free_ char *text = command("printf %%s '%.*s' | jose b64 dec -i-", (int) length, part);
    json_t *decoded = json_loads(text, 0, NULL);

    assert_non_null(decoded);
    return decoded;
}

/* openssl knows nothing of libjose, which signed it. */
static void assert_signed(const char *assertion, const char *options) {
    const char *signature = strrchr(assertion, '.');
    _cleanup_free_ char *signed_part = strndup(assertion, (size_t) (signature - assertion));

    scratch_write("signed", signed_part);
    free(command("printf %%s '%s' | jose b64 dec -i- -O signature && "
                 "openssl x509 -in app.pem -pubkey -noout >public.pem && "
                 "openssl dgst -sha256 %s -verify public.pem -signature signature signed",
                 signature + 1, options));
}

static void an_assertion_is_as_entra_wants_it(void **state) {
    static const struct {
        const char *algorithm, *options;
    } kinds[] = {
        {"PS256", "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"},
        {"RS256", ""},
    };
    _cleanup_free_ char *thumbprint =
        command("openssl x509 -in app.pem -outform DER | openssl dgst -sha256 -binary | "
                "jose b64 enc -I-");
    char url[] = "https://login.example/TENANT/oauth2/v2.0/token", client[] = CLIENT;
    usec_t now = now_realtime();

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
        graph_config c = {.token_url = url, .client_id = client, .algorithm = kinds[i].algorithm};
        _cleanup_(secret_freep) secret *assertion = NULL, *another = NULL;
        _cleanup_(json_freep) json_t *header = NULL, *claims = NULL;
        const char *text, *dot;
        json_int_t seconds = (json_int_t) (now / USEC_PER_SEC), nbf, exp, iat;
        const char *alg, *typ, *x5t, *aud, *iss, *sub, *jti;

        use_certificate(&c, "app");
        assert_int_equal(graph_assertion_make(&c, now, &assertion), 0);
        assert_int_equal(graph_assertion_make(&c, now, &another), 0);
        assert_false(secret_equal(assertion, another)); /* its jti */

        text = secret_data(assertion);
        dot = strchr(text, '.');
        header = decode(text, (size_t) (dot - text));
        claims = decode(dot + 1, strcspn(dot + 1, "."));
        assert_int_equal(
            json_unpack(header, "{s:s, s:s, s:s !}", "alg", &alg, "typ", &typ, "x5t#S256", &x5t),
            0);
        assert_string_equal(alg, kinds[i].algorithm);
        assert_string_equal(typ, "JWT");
        assert_string_equal(x5t, thumbprint);
        assert_int_equal(json_unpack(claims, "{s:s, s:s, s:s, s:s, s:I, s:I, s:I !}", "aud", &aud,
                                     "iss", &iss, "sub", &sub, "jti", &jti, "nbf", &nbf, "exp",
                                     &exp, "iat", &iat),
                         0);
        assert_string_equal(aud, url);
        assert_string_equal(iss, CLIENT);
        assert_string_equal(sub, CLIENT);
        assert_int_equal(strlen(jti), 36);
        assert_int_equal(nbf, seconds);
        assert_int_equal(iat, seconds);
        assert_int_equal(exp, seconds + 300);
        assert_signed(text, kinds[i].options);

        free(c.thumbprint);
        (void) secret_free(c.key);
    }
}

static void a_secret_is_sent_whatever_stands_in_it(void **state) {
    char graph_url[] = "https://graph.example", client[] = CLIENT;
    _cleanup_(secret_freep) secret *client_secret = NULL, *form = NULL;
    graph_config c = {.url = graph_url, .client_id = client};

    (void) state;

    assert_int_equal(secret_new("a&b=c +~%", strlen("a&b=c +~%"), &client_secret), 0);
    c.client_secret = client_secret;
    assert_int_equal(graph_token_request(&c, 0, &form), 0);
    assert_string_equal(secret_data(form), "grant_type=client_credentials&client_id=" CLIENT
                                           "&scope=https%3A%2F%2Fgraph.example%2F.default"
                                           "&client_secret=a%26b%3Dc%20%2B~%25");
}

static void assert_described(const char *body, const char *expected) {
    _cleanup_free_ char *text = graph_error_describe(body, strlen(body));

    if (!expected)
        assert_null(text);
    else
        assert_string_equal(text, expected);
}

static void errors_are_told_in_the_clouds_own_words_without_what_varies(void **state) {
    (void) state;

    assert_described("{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid "
                     "client secret provided. Ensure the secret. Trace ID: 1 Timestamp: 2\"}",
                     "AADSTS7000215: Invalid client secret provided");
    assert_described("{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700027: no\\r\\n"
                     "Trace ID: 1\"}",
                     "AADSTS700027: no");
    assert_described("{\"error\":\"server_error\"}", "server_error");
    assert_described("{\"error\":{\"code\":\"Authorization_RequestDenied\",\"message\":"
                     "\"Insufficient privileges to complete the operation.\"}}",
                     "Authorization_RequestDenied: Insufficient privileges to complete the "
                     "operation.");
    assert_described("<html>", NULL);
    assert_described("{\"error\":7}", NULL);
    assert_described("[]", NULL);
}

/* ---- What is answered ------------------------------------------------------------------------ */

static void on_state(const graph_status *status, void *userdata) {
    fixture *f = userdata;

    f->looks++;
    f->state = status->state;
    free(f->why);
    f->why = status->licence_why ? strdup(status->licence_why) : NULL;
    f->failure = status->failure;
    f->clock = status->clock;
}

static void wait_for_looks(fixture *f, unsigned n) {
    usec_t end = now_monotonic() + 20 * USEC_PER_SEC;

    while (f->looks < n) {
        assert_true(now_monotonic() < end);
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
    }
}

static void start(fixture *f) {
    assert_int_equal(graph_new(f->event, f->glue, &f->config, on_state, f, &f->graph), 0);
}

/* A tenant where all is well; its last synchronisation was just now. */
static void answer_well(void) {
    char date[RFC3339_MAX];
    _cleanup_free_ char *organization =
        format("{\"value\":[{\"onPremisesSyncEnabled\":true,\"onPremisesLastSyncDateTime\":\"%s\"}]"
               "}",
               rfc3339_utc(now_realtime(), date));

    https_server_answer(TOKEN, 200, A_TOKEN);
    https_server_answer(ORGANIZATION, 200, organization);
    https_server_answer(SKUS, 200, HELD);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(curl_glue_new(f->event, &f->glue), 0);
    f->config = (graph_config){
        .url = https_server_url(""),
        .token_url = https_server_url(TOKEN),
        .client_id = strdup(CLIENT),
        .algorithm = "PS256",
        .interval = 100 * USEC_PER_MSEC,
        .ca_file = scratch_path("server.pem"),
    };
    use_certificate(&f->config, "app");
    answer_well();

    captured_log_begin(&f->log);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;

    captured_log_end(&f->log);
    (void) graph_free(f->graph);
    (void) curl_glue_free(f->glue);
    (void) sd_event_unref(f->event);
    graph_config_done(&f->config);
    free(f->why);
    free(f);
    return 0;
}

/* In how many lines the log says it. */
static int logged(const fixture *f, const char *text) {
    return captured_log_count(&f->log, text);
}

static void assert_unknown(const fixture *f, outcome failure, const char *why) {
    assert_int_equal(f->state.licence, LICENCE_UNKNOWN);
    assert_int_equal(f->failure, failure);
    assert_non_null(f->why);
    if (!strstr(f->why, why))
        fail_msg("%s", f->why);
}

static void one_token_serves_many_looks(void **state) {
    json_int_t tokens = https_server_count(TOKEN);
    _cleanup_(json_freep) json_t *asked = NULL;
    fixture *f = *state;

    start(f);
    wait_for_looks(f, 3);
    assert_int_equal(f->state.sync, TENANT_SYNC_IS_CURRENT);
    assert_int_equal(f->state.licence, LICENCE_HELD);
    assert_true(f->clock.date > 0);
    assert_int_equal(https_server_count(TOKEN), tokens + 1);

    asked = https_server_order("{s:s}", "last", ORGANIZATION);
    assert_string_equal(json_get_string(asked, "authorization"), "Bearer not-for-the-log");
    assert_int_equal(logged(f, "not-for-the-log"), 0);
}

static void a_token_is_renewed_before_its_end(void **state) {
    json_int_t tokens = https_server_count(TOKEN);
    fixture *f = *state;

    https_server_answer(TOKEN, 200, "{\"expires_in\":1,\"access_token\":\"short\"}");
    start(f);
    while (https_server_count(TOKEN) < tokens + 3)
        wait_for_looks(f, f->looks + 1);
    assert_int_equal(f->state.licence, LICENCE_HELD);
}

static void a_token_that_was_taken_back_is_replaced_once(void **state) {
    json_int_t tokens, organizations;
    fixture *f = *state;

    start(f);
    wait_for_looks(f, 1);
    f->graph = graph_free(f->graph);

    tokens = https_server_count(TOKEN);
    organizations = https_server_count(ORGANIZATION);
    https_server_answer(ORGANIZATION, 401,
                        "{\"error\":{\"code\":\"InvalidAuthenticationToken\",\"message\":\"Access "
                        "token has expired or is not yet valid.\"}}");
    f->config.interval = USEC_PER_HOUR;
    start(f);
    wait_for_looks(f, 2);
    /* The first token was new, so it was not tried again. */
    assert_int_equal(https_server_count(TOKEN), tokens + 1);
    assert_int_equal(https_server_count(ORGANIZATION), organizations + 1);
    assert_unknown(f, OUTCOME_GRAPH_REFUSED,
                   "organization: answered with status 401: InvalidAuthenticationToken: Access");
}

static void a_token_of_an_earlier_look_that_is_refused_is_replaced_at_once(void **state) {
    json_int_t tokens = https_server_count(TOKEN);
    fixture *f = *state;

    start(f);
    wait_for_looks(f, 1);
    assert_int_equal(https_server_count(TOKEN), tokens + 1);
    https_server_answer(ORGANIZATION, 401, "");
    while (https_server_count(TOKEN) < tokens + 2)
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
    assert_int_equal(logged(f, " 35073 "), 0);
    answer_well();
    while (f->looks < 2 || f->failure != 0)
        wait_for_looks(f, f->looks + 1);
    assert_int_equal(f->state.licence, LICENCE_HELD);
}

static void a_refusal_names_entras_code_and_is_logged_once(void **state) {
    fixture *f = *state;

    https_server_answer(TOKEN, 401,
                        "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700027: The "
                        "certificate is not registered. Trace ID: 1\"}");
    start(f);
    wait_for_looks(f, 4);
    assert_unknown(f, OUTCOME_GRAPH_REFUSED, "AADSTS700027: The certificate is not registered");
    assert_int_equal(logged(f, " 35073 "), 1);

    answer_well();
    wait_for_looks(f, 6);
    assert_int_equal(logged(f, "answers again"), 1);
    assert_int_equal(f->state.licence, LICENCE_HELD);
}

static void nonsense_is_unknown_and_says_so(void **state) {
    static const struct {
        const char *path, *body, *why;
    } wrong[] = {
        {TOKEN, "<html>", "token: not JSON"},
        {TOKEN, "{}", "token: it has no access_token"},
        {TOKEN, "{\"access_token\":\"a\\r\\nb\",\"expires_in\":9}", "it has no access_token"},
        {TOKEN, "{\"access_token\":\"a\"}", "its expires_in is no number of seconds"},
        {ORGANIZATION, "{}", "organization: the answer names no organization"},
        {ORGANIZATION, "{\"value\":[{\"onPremisesSyncEnabled\":7}]}", "is neither true nor false"},
        {SKUS, "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "subscribedSkus: nested too deeply"},
        {SKUS, "{\"value\":{}}", "the answer lists no subscriptions"},
        {SKUS, "{\"value\":[],\"@odata.nextLink\":\"https://evil.example/v1.0\"}",
         "the next page is elsewhere"},
    };
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        unsigned looks = f->looks;

        answer_well();
        https_server_answer(wrong[i].path, 200, wrong[i].body);
        start(f);
        wait_for_looks(f, looks + 1);
        assert_unknown(f, OUTCOME_GRAPH_UNREACHABLE, wrong[i].why);
        f->graph = graph_free(f->graph);
    }
}

/* The host of the token's address is not to be told by the answer's text, only by its beginning. */
static void the_token_follows_no_page_to_another_host(void **state) {
    _cleanup_free_ char *lookalike = NULL, *body = NULL;
    fixture *f = *state;

    lookalike = format("%s.evil.example/v1.0/subscribedSkus", f->config.url);
    body = format("{\"value\":[],\"@odata.nextLink\":\"%s\"}", lookalike);
    https_server_answer(SKUS, 200, body);
    start(f);
    wait_for_looks(f, 1);
    assert_unknown(f, OUTCOME_GRAPH_UNREACHABLE, "the next page is elsewhere");
}

static void all_pages_are_looked_at_and_not_for_ever(void **state) {
    _cleanup_free_ char *next = https_server_url("/v1.0/subscribedSkus?$skiptoken=2");
    _cleanup_free_ char *body = format("{\"value\":[],\"@odata.nextLink\":\"%s\"}", next);
    fixture *f = *state;
    json_int_t pages;

    https_server_answer(SKUS, 200, body);
    https_server_answer("/v1.0/subscribedSkus?$skiptoken=2", 200, HELD);
    start(f);
    wait_for_looks(f, 1);
    assert_int_equal(f->state.licence, LICENCE_HELD);
    f->graph = graph_free(f->graph);

    https_server_answer("/v1.0/subscribedSkus?$skiptoken=2", 200, body);
    pages = https_server_count("/v1.0/subscribedSkus?$skiptoken=2");
    start(f);
    wait_for_looks(f, 2);
    assert_unknown(f, OUTCOME_GRAPH_UNREACHABLE, "more than 20 pages");
    assert_int_equal(https_server_count("/v1.0/subscribedSkus?$skiptoken=2"), pages + 19);
}

static void who_is_asked_to_wait_waits(void **state) {
    fixture *f = *state;
    usec_t began;

    json_decref(https_server_order("{s:s, s:i, s:{s:s}}", "answer", ORGANIZATION, "status", 429,
                                   "headers", "Retry-After", "1"));
    start(f);
    wait_for_looks(f, 1);
    assert_unknown(f, OUTCOME_GRAPH_UNREACHABLE, "organization: answered with status 429");
    began = now_monotonic();
    wait_for_looks(f, 2);
    assert_true(now_monotonic() - began >= 900 * USEC_PER_MSEC);
}

static void a_missing_licence_and_a_late_synchronisation_are_told_once(void **state) {
    fixture *f = *state;

    https_server_answer(ORGANIZATION, 200,
                        "{\"value\":[{\"onPremisesSyncEnabled\":true,"
                        "\"onPremisesLastSyncDateTime\":\"2020-01-01T00:00:00Z\"}]}");
    https_server_answer(SKUS, 200, "{\"value\":[]}");
    start(f);
    wait_for_looks(f, 3);
    assert_int_equal(f->state.sync, TENANT_SYNC_IS_STALE);
    assert_int_equal(f->state.licence, LICENCE_MISSING);
    assert_int_equal(logged(f, " 35004 "), 1);
    assert_int_equal(logged(f, " 35070 "), 1);

    answer_well();
    wait_for_looks(f, f->looks + 2);
    assert_int_equal(logged(f, "synchronisation runs again"), 1);
    assert_int_equal(logged(f, "has a licence for password writeback now"), 1);

    https_server_answer(ORGANIZATION, 200, "{\"value\":[{\"onPremisesSyncEnabled\":null}]}");
    wait_for_looks(f, f->looks + 2);
    assert_int_equal(f->state.sync, TENANT_SYNC_IS_OFF);
    assert_int_equal(logged(f, " 35071 "), 1);
}

/* The synchronisation is told by the same look all the same. */
static void what_the_half_of_a_look_brought_is_kept(void **state) {
    fixture *f = *state;

    https_server_answer(
        SKUS, 403, "{\"error\":{\"code\":\"Authorization_RequestDenied\",\"message\":\"No\"}}");
    start(f);
    wait_for_looks(f, 1);
    assert_int_equal(f->state.sync, TENANT_SYNC_IS_CURRENT);
    assert_unknown(f, OUTCOME_GRAPH_REFUSED,
                   "subscribedSkus: answered with status 403: Authorization_RequestDenied: No");
}

static void a_certificate_near_its_end_is_told_once(void **state) {
    fixture *f = *state;

    f->config.not_after = now_realtime() + 29 * USEC_PER_DAY;
    start(f);
    wait_for_looks(f, 3);
    assert_int_equal(logged(f, " 35074 "), 1);
    f->graph = graph_free(f->graph);

    f->config.not_after = now_realtime() + 31 * USEC_PER_DAY;
    start(f);
    wait_for_looks(f, 6);
    assert_int_equal(logged(f, " 35074 "), 1);
}

static void it_can_be_freed_in_the_middle_of_a_look(void **state) {
    json_int_t asked = https_server_count(TOKEN);
    fixture *f = *state;

    json_decref(https_server_order("{s:b}", "hold", true));
    start(f);
    while (https_server_count(TOKEN) == asked)
        assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
    f->graph = graph_free(f->graph);
    json_decref(https_server_order("{s:b}", "hold", false));
    assert_int_equal(f->looks, 0);
}

static int start_server(void **state) {
    (void) state;

    https_server_start();
    make_pair("app", "rsa:2048");
    make_pair("other", "rsa:2048");
    return 0;
}

static int stop_server(void **state) {
    (void) state;

    https_server_stop();
    scratch_remove();
    return 0;
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_certificate_that_entra_takes_is_taken),
        cmocka_unit_test(an_assertion_is_as_entra_wants_it),
        cmocka_unit_test(a_secret_is_sent_whatever_stands_in_it),
        cmocka_unit_test(errors_are_told_in_the_clouds_own_words_without_what_varies),
        WITH_SERVER(one_token_serves_many_looks),
        WITH_SERVER(a_token_is_renewed_before_its_end),
        WITH_SERVER(a_token_that_was_taken_back_is_replaced_once),
        WITH_SERVER(a_token_of_an_earlier_look_that_is_refused_is_replaced_at_once),
        WITH_SERVER(a_refusal_names_entras_code_and_is_logged_once),
        WITH_SERVER(nonsense_is_unknown_and_says_so),
        WITH_SERVER(the_token_follows_no_page_to_another_host),
        WITH_SERVER(all_pages_are_looked_at_and_not_for_ever),
        WITH_SERVER(who_is_asked_to_wait_waits),
        WITH_SERVER(a_missing_licence_and_a_late_synchronisation_are_told_once),
        WITH_SERVER(what_the_half_of_a_look_brought_is_kept),
        WITH_SERVER(a_certificate_near_its_end_is_told_once),
        WITH_SERVER(it_can_be_freed_in_the_middle_of_a_look),
    };

    return cmocka_run_group_tests_name("graph", tests, start_server, stop_server);
}
