/* SPDX-License-Identifier: Apache-2.0 */
/* An issuer and its keys over a real HTTPS server: fetched once, kept through an outage, rolled
 * over, and not to be worn out by tokens with keys that nobody has. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "relay/issuer.h"
#include "relay/issuer_keys.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/command.h"
#include "tests/unit/https_server.h"

#define WELL_KNOWN "/tenant/.well-known/openid-configuration"

/* As fast as a test wants it, but for what the test is about. */
static const issuer_timing patient = {
    .refresh = USEC_PER_HOUR,
    .throttle = USEC_PER_HOUR,
    .patience = 30 * USEC_PER_SEC,
    .timeout = 10 * USEC_PER_SEC,
};

static sd_event *event;
static curl_glue *glue;
static issuer_config config;
static json_int_t fetches; /* that the server counted before the test */

typedef struct verdict {
    unsigned told;
    int r;
    char *why;
    char *subject;
    issuer_call *call;
} verdict;

static int set_up(void **state) {
    (void) state;

    json_set_alloc_funcs(malloc, secret_mfree);
    log_set_max_level(LOG_CRIT);
    https_server_start();
    free(command("for kid in old new; do jose jwk gen -i "
                 "\"{\\\"kty\\\":\\\"EC\\\",\\\"crv\\\":\\\"P-256\\\",\\\"kid\\\":\\\"$kid\\\"}\" "
                 "-o $kid.jwk || exit 1; done"));
    assert_true(sd_event_default(&event) >= 0);
    assert_int_equal(curl_glue_new(event, &glue), 0);

    config = (issuer_config){
        .name = strdup("test"),
        .url = https_server_url("/tenant"),
        .audiences = calloc(2, sizeof(char *)),
        .ca_file = scratch_path("server.pem"),
    };
    config.audiences[0] = strdup("api://agent");
    return 0;
}

static int tear_down(void **state) {
    (void) state;

    issuer_config_done(&config);
    glue = curl_glue_free(glue);
    event = sd_event_unref(event);
    https_server_stop();
    scratch_remove();
    return 0;
}

static void publish_metadata(void) {
    _cleanup_free_ char *jwks = https_server_url("/keys");
    _cleanup_free_ char *metadata =
        format("{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}", config.url, jwks);

    https_server_answer(WELL_KNOWN, 200, metadata);
}

/* "old", or "old new". */
static void publish_keys(const char *names) {
    _cleanup_free_ char *keys =
        command("set -- %s; for k; do set -- \"$@\" -i $k.jwk; shift; done; "
                "jose jwk pub -s \"$@\" -o-",
                names);

    https_server_answer("/keys", 200, keys);
}

/* A working issuer with the old key, before each test. */
static int publish(void **state) {
    (void) state;

    publish_metadata();
    publish_keys("old");
    fetches = https_server_count("/keys");
    return 0;
}

static json_int_t fetches_now(void) {
    return https_server_count("/keys") - fetches;
}

static secret *mint(const char *key, const char *kid, const char *audience) {
    usec_t now = now_realtime() / USEC_PER_SEC;
    _cleanup_free_ char *claims =
        format("{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"alice\",\"azp\":\"portal\",\"exp\":%llu}",
               config.url, audience, (unsigned long long) now + 600);
    _cleanup_free_ char *text = NULL;
    secret *token;

    scratch_write("claims", claims);
    text = command("jose jws sig -I claims -k %s.jwk -s "
                   "'{\"protected\":{\"alg\":\"ES256\",\"kid\":\"%s\"}}' -c",
                   key, kid);
    assert_int_equal(secret_new(text, strlen(text), &token), 0);
    return token;
}

static void on_verified(int r, const char *why, token_claims *claims, void *userdata) {
    verdict *v = userdata;

    v->told++;
    v->r = r;
    v->call = NULL;
    v->why = why ? strdup(why) : NULL;
    if (r == 0)
        v->subject = strdup(claims->subject);
    else
        assert_null(claims);
}

static void verdict_done(verdict *v) {
    free(v->why);
    free(v->subject);
}

static void turn(void) {
    assert_true(sd_event_run(event, 20 * USEC_PER_SEC) > 0);
}

static void run_until_told(const verdict *v) {
    while (v->told == 0)
        turn();
}

static issuer *start_with(const issuer_timing *timing) {
    issuer *i = NULL;

    assert_int_equal(issuer_new_with_timing(event, glue, &config, timing, NULL, NULL, &i), 0);
    return i;
}

/* With the first fetch done, whatever came of it. */
static issuer *start_and_fetch(const issuer_timing *timing) {
    issuer *i = start_with(timing);

    while (!issuer_get_status(i)->has_keys && !issuer_get_status(i)->reason)
        turn();
    return i;
}

static void begin(issuer *i, const secret *token, verdict *v) {
    assert_int_equal(issuer_verify(i, token, on_verified, v, &v->call), 0);
}

static void assert_verdict(issuer *i, const secret *token, int r, const char *why) {
    _cleanup_(verdict_done) verdict v = {0};

    begin(i, token, &v);
    run_until_told(&v);
    assert_int_equal(v.told, 1);
    if (why)
        assert_string_equal(v.why, why);
    else if (v.why)
        fail_msg("%s", v.why);
    assert_int_equal(v.r, r);
}

static void verification_waits_for_the_first_keys(void **state) {
    _cleanup_(issuer_freep) issuer *i = start_with(&patient);
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(verdict_done) verdict v = {0};

    (void) state;

    begin(i, token, &v);
    assert_int_equal(v.told, 0);
    assert_non_null(v.call);
    assert_false(issuer_get_status(i)->has_keys);

    run_until_told(&v);
    assert_int_equal(v.r, 0);
    assert_string_equal(v.subject, "alice");
    assert_true(issuer_get_status(i)->has_keys);
    assert_true(issuer_get_status(i)->fetched > 0);
    assert_null(issuer_get_status(i)->reason);

    /* From now on at once. */
    v.told = 0;
    free(TAKE_PTR(v.subject));
    begin(i, token, &v);
    assert_int_equal(v.told, 1);
    assert_int_equal(fetches_now(), 1);
}

static void no_keys_in_time_is_no_refusal(void **state) {
    const issuer_timing impatient = {.refresh = USEC_PER_HOUR,
                                     .throttle = USEC_PER_HOUR,
                                     .patience = 2 * USEC_PER_SEC,
                                     .timeout = 5 * USEC_PER_SEC};
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    https_server_answer(WELL_KNOWN, 503, "");
    i = start_with(&impatient);
    why = format("the keys of issuer %s cannot be had: metadata: answered with status 503",
                 config.url);
    assert_verdict(i, token, -EHOSTUNREACH, why);
}

static void failed_first_fetch_is_tried_again(void **state) {
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    https_server_set_up(false);
    i = start_and_fetch(&patient);
    assert_false(issuer_get_status(i)->has_keys);
    assert_non_null(strstr(issuer_get_status(i)->reason, "metadata: no connection to localhost:"));

    https_server_set_up(true);
    assert_verdict(i, token, 0, NULL);
}

static void count_attempts(const issuer_status *status, void *userdata) {
    unsigned *attempts = userdata;

    assert_non_null(status->reason);
    (*attempts)++;
}

/* libcurl's own text counts the bytes that are missing. Nor does the log get the query, which may
 * be a key. */
static void a_failure_that_goes_on_is_logged_once(void **state) {
    static const char *const lengths[] = {"100", "900"};
    static const char path[] = WELL_KNOWN "?code=hunter2";
    _cleanup_free_ char *url = https_server_url(path);
    issuer_config with_key = config;
    captured_log log;
    unsigned attempts = 0;
    issuer *i = NULL;

    (void) state;

    with_key.metadata_url = url;
    log_set_max_level(LOG_INFO);
    captured_log_begin(&log);
    for (unsigned n = 0; n < ELEMENTSOF(lengths); n++) {
        json_decref(https_server_order("{s:s, s:i, s:{s:s}, s:s, s:b}", "answer", path, "status",
                                       200, "headers", "Content-Length", lengths[n], "body", "half",
                                       "cut", true));
        if (!i)
            assert_int_equal(issuer_new_with_timing(event, glue, &with_key, &patient,
                                                    count_attempts, &attempts, &i),
                             0);
        while (attempts <= n)
            turn();
    }
    assert_int_equal(captured_log_count(&log, "32001"), 1);
    assert_int_equal(captured_log_count(&log, "hunter2"), 0);
    captured_log_end(&log);
    log_set_max_level(LOG_CRIT);
    (void) issuer_free(i);
}

static void keys_are_kept_through_an_outage(void **state) {
    const issuer_timing often = {.refresh = 100 * USEC_PER_MSEC,
                                 .throttle = USEC_PER_HOUR,
                                 .patience = 10 * USEC_PER_SEC,
                                 .timeout = USEC_PER_SEC};
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_and_fetch(&often);
    usec_t fetched;

    (void) state;

    https_server_set_up(false);
    while (!issuer_get_status(i)->reason)
        turn();
    assert_true(issuer_get_status(i)->has_keys);
    assert_verdict(i, token, 0, NULL);

    fetched = issuer_get_status(i)->fetched;
    https_server_set_up(true);
    while (issuer_get_status(i)->reason)
        turn();
    assert_true(issuer_get_status(i)->fetched > fetched);
    assert_verdict(i, token, 0, NULL);
}

static void wrong_answers_do_not_replace_good_keys(void **state) {
    const issuer_timing often = {.refresh = 100 * USEC_PER_MSEC,
                                 .throttle = USEC_PER_HOUR,
                                 .patience = 10 * USEC_PER_SEC,
                                 .timeout = USEC_PER_SEC};
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_and_fetch(&often);

    (void) state;

    https_server_answer("/keys", 200, "{\"keys\":[]}");
    while (!issuer_get_status(i)->reason)
        turn();
    assert_verdict(i, token, 0, NULL);
}

static void rolled_over_key_is_fetched(void **state) {
    issuer_timing timing = patient;
    _cleanup_(secret_freep) secret *old = mint("old", "old", "api://agent"),
                                   *new = mint("new", "new", "api://agent");
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    timing.throttle = 0;
    i = start_and_fetch(&timing);
    publish_keys("old new");
    assert_verdict(i, new, 0, NULL);
    assert_int_equal(fetches_now(), 2);
    assert_verdict(i, old, 0, NULL);
    assert_int_equal(fetches_now(), 2);

    /* The old one is taken back. */
    publish_keys("new");
    assert_verdict(i, old, 0, NULL);
}

static void flood_of_unknown_keys_costs_one_fetch(void **state) {
    enum { FLOOD = 200 };
    const issuer_timing timing = {.refresh = USEC_PER_HOUR,
                                  .throttle = 2 * USEC_PER_SEC,
                                  .patience = 30 * USEC_PER_SEC,
                                  .timeout = 10 * USEC_PER_SEC};
    _cleanup_(secret_freep) secret *unknown = mint("new", "nobody", "api://agent"),
                                   *known = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_and_fetch(&timing);
    _cleanup_free_ char *none = format("the token's key (kid) is none of issuer %s", config.url);
    _cleanup_free_ char *busy =
        format("the keys of issuer %s cannot be had: it has not answered yet", config.url);
    verdict flood[FLOOD] = {0};

    (void) state;

    /* The first one fetches, even shortly after the start; the next one has to wait. */
    assert_verdict(i, unknown, -EACCES, none);
    assert_int_equal(fetches_now(), 2);
    assert_verdict(i, unknown, -EACCES, none);
    assert_int_equal(fetches_now(), 2);

    for (usec_t until = now_monotonic() + timing.throttle; now_monotonic() < until;)
        assert_true(sd_event_run(event, timing.throttle) >= 0);
    json_decref(https_server_order("{s:b}", "hold", true));
    for (size_t n = 0; n < FLOOD; n++) {
        begin(i, unknown, &flood[n]);
        assert_int_equal(flood[n].told, n < ISSUER_WAITING_MAX ? 0 : 1);
    }

    /* Others are not held up by it. */
    assert_verdict(i, known, 0, NULL);

    json_decref(https_server_order("{s:b}", "hold", false));
    for (size_t n = 0; n < FLOOD; n++) {
        run_until_told(&flood[n]);
        assert_int_equal(flood[n].told, 1);
        assert_int_equal(flood[n].r, n < ISSUER_WAITING_MAX ? -EACCES : -EHOSTUNREACH);
        assert_string_equal(flood[n].why, n < ISSUER_WAITING_MAX ? none : busy);
        verdict_done(&flood[n]);
    }
    assert_int_equal(fetches_now(), 3);
}

static void token_that_would_be_refused_anyway_fetches_nothing(void **state) {
    issuer_timing timing = patient;
    _cleanup_(secret_freep) secret *token = mint("new", "nobody", "api://other");
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    timing.throttle = 0;
    i = start_and_fetch(&timing);
    assert_verdict(i, token, -EACCES, "the token's audience is api://other, not api://agent");
    assert_int_equal(fetches_now(), 1);
}

/* A key that could not be looked for is not an unknown one: the same token may be good later. */
static void unknown_key_during_an_outage_is_no_refusal(void **state) {
    issuer_timing timing = patient;
    _cleanup_(secret_freep) secret *token = mint("new", "new", "api://agent");
    _cleanup_(issuer_freep) issuer *i = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    timing.throttle = 0;
    i = start_and_fetch(&timing);
    https_server_answer(WELL_KNOWN, 500, "");
    why = format("the keys of issuer %s cannot be had: metadata: answered with status 500",
                 config.url);
    assert_verdict(i, token, -EHOSTUNREACH, why);
}

static void token_of_another_key_by_the_same_name_is_refused(void **state) {
    _cleanup_(secret_freep) secret *token = mint("new", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_and_fetch(&patient);

    (void) state;

    assert_verdict(i, token, -EACCES, "the token's signature is wrong");
}

static void cancelled_verification_says_nothing(void **state) {
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_with(&patient);
    _cleanup_(verdict_done) verdict cancelled = {0}, dropped = {0}, told = {0};
    issuer *other = start_with(&patient);

    (void) state;

    begin(other, token, &dropped);
    assert_null(issuer_free(other));
    begin(i, token, &cancelled);
    begin(i, token, &told);
    assert_null(issuer_call_free(cancelled.call));
    run_until_told(&told);
    assert_int_equal(told.r, 0);
    assert_int_equal(cancelled.told, 0);
    assert_int_equal(dropped.told, 0);
}

/* The first of two that wait cancels the second. */
typedef struct pair {
    verdict first, second;
} pair;

static void cancel_second(int r, const char *why, token_claims *claims, void *userdata) {
    pair *p = userdata;

    on_verified(r, why, claims, &p->first);
    p->second.call = issuer_call_free(p->second.call);
}

static void verification_may_cancel_another_when_it_is_told(void **state) {
    _cleanup_(secret_freep) secret *token = mint("old", "old", "api://agent");
    _cleanup_(issuer_freep) issuer *i = start_with(&patient);
    pair p = {0};

    (void) state;

    assert_int_equal(issuer_verify(i, token, cancel_second, &p, &p.first.call), 0);
    begin(i, token, &p.second);
    run_until_told(&p.first);
    assert_int_equal(p.first.r, 0);
    assert_int_equal(p.second.told, 0);
    verdict_done(&p.first);
}

/* One that is asked for again as soon as it is refused. */
typedef struct persistent {
    verdict first, second;
    issuer *issuer;
    const secret *token;
} persistent;

static void ask_again(int r, const char *why, token_claims *claims, void *userdata) {
    persistent *p = userdata;

    on_verified(r, why, claims, &p->first);
    begin(p->issuer, p->token, &p->second);
}

static void verification_begun_when_another_is_told_has_its_own_fetch(void **state) {
    issuer_timing timing = patient;
    _cleanup_(secret_freep) secret *unknown = mint("new", "nobody", "api://agent");
    _cleanup_(issuer_freep) issuer *i = NULL;
    persistent p = {.token = unknown};

    (void) state;

    timing.throttle = 0;
    p.issuer = i = start_and_fetch(&timing);
    assert_int_equal(issuer_verify(i, unknown, ask_again, &p, &p.first.call), 0);
    run_until_told(&p.second);
    assert_int_equal(p.first.r, -EACCES);
    assert_int_equal(p.second.r, -EACCES);
    assert_int_equal(fetches_now(), 3);
    verdict_done(&p.first);
    verdict_done(&p.second);
}

/* What the issuer answers, and why it is not believed. */
static void assert_unbelieved(const char *expected) {
    _cleanup_(issuer_freep) issuer *i = start_and_fetch(&patient);

    assert_string_equal(issuer_get_status(i)->reason, expected);
    assert_false(issuer_get_status(i)->has_keys);
}

static void wrong_metadata_is_told(void **state) {
    _cleanup_free_ char *insecure =
                            format("{\"issuer\":\"%s\",\"jwks_uri\":\"http://x/\"}", config.url),
                        *none = format("{\"issuer\":\"%s\"}", config.url),
                        *other = format("metadata: it is of issuer https://other.example, not %s",
                                        config.url),
                        *nobody = format("metadata: it is of issuer (none), not %s", config.url);
    const struct {
        int status;
        const char *body, *why;
    } rows[] = {
        {404, "", "metadata: answered with status 404"},
        {302, "", "metadata: answered with a redirect (302), which is not followed"},
        {200, "<html>", "metadata: not JSON"},
        {200, "{\"issuer\":\"a\",\"issuer\":\"b\"}", "metadata: a member stands there twice"},
        {200, "[]", nobody},
        {200, "{\"issuer\":\"https://other.example\",\"jwks_uri\":\"https://x/\"}", other},
        {200, none, "metadata: it has no jwks_uri that begins with https://"},
        {200, insecure, "metadata: it has no jwks_uri that begins with https://"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        https_server_answer(WELL_KNOWN, rows[i].status, rows[i].body);
        assert_unbelieved(rows[i].why);
    }
    assert_int_equal(fetches_now(), 0);
}

#define NO_KEY "keys: no key that could verify a token (RSA of 2048 bits, or EC P-256, with a kid)"

static void wrong_keys_are_told(void **state) {
    _cleanup_free_ char *many = malloc(8 * 1024), *p521 = NULL, *small = NULL, *enc = NULL;
    char *end = many;
    const struct {
        int status;
        const char *body, *why;
    } rows[] = {
        {500, "", "keys: answered with status 500"},
        {301, "", "keys: answered with a redirect (301), which is not followed"},
        {200, "", "keys: it ends in the middle"},
        {200, "{}", "keys: not a JWK set"},
        {200, "{\"keys\":[]}", NO_KEY},
        {200, "{\"keys\":[1,{},{\"kty\":\"EC\",\"kid\":\"a\"}]}", NO_KEY},
        {200, many, "keys: more than 100 keys"},
    };

    (void) state;

    end = stpcpy(end, "{\"keys\":[0");
    for (int i = 0; i < 100; i++)
        end = stpcpy(end, ",0");
    (void) stpcpy(end, "]}");

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        https_server_answer("/keys", rows[i].status, rows[i].body);
        assert_unbelieved(rows[i].why);
    }

    p521 = command("jose jwk gen -i '{\"kty\":\"EC\",\"crv\":\"P-521\",\"kid\":\"a\"}' -o a.jwk && "
                   "jose jwk pub -s -i a.jwk -o-");
    /* jose makes none so small: 1024 bits, the first of them set. */
    small =
        format("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"e\":\"AQAB\",\"n\":\"_%0170d\"}]}", 0);
    memset(strstr(small, "_0") + 1, 'A', 170);
    enc =
        command("jose jwk gen -i '{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"use\":\"enc\"}'"
                " -o a.jwk && jose jwk pub -s -i a.jwk -o-");
    for (size_t i = 0; i < 3; i++) {
        https_server_answer("/keys", 200, (const char *const[]){p521, small, enc}[i]);
        assert_unbelieved(NO_KEY);
    }
}

static void keys_beyond_256_kib_are_not_read(void **state) {
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    json_decref(https_server_order("{s:s, s:i, s:i}", "answer", "/keys", "status", 200, "size",
                                   256 * 1024 + 1));
    i = start_and_fetch(&patient);
    assert_non_null(strstr(issuer_get_status(i)->reason, " sent more than 262144 bytes"));
}

static void issuer_without_a_trusted_certificate_is_refused(void **state) {
    char *ca_file = config.ca_file;
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    config.ca_file = NULL;
    i = start_and_fetch(&patient);
    config.ca_file = ca_file;
    assert_non_null(strstr(issuer_get_status(i)->reason, "SSL certificate problem: "));
    assert_int_equal(fetches_now(), 0);
}

/* Only what verifies is taken, only its public half, and of two keys of one name the first. */
static void useful_keys_are_picked(void **state) {
    _cleanup_free_ char *set =
        command("jose jwk gen -i '{\"kty\":\"RSA\",\"bits\":2048,\"kid\":\"rsa\"}' -o rsa.jwk && "
                "sed s/old/rsa/ old.jwk > namesake.jwk && printf '{\"keys\":[%%s,%%s,%%s]}' "
                "\"$(cat rsa.jwk)\" \"$(cat old.jwk)\" \"$(cat namesake.jwk)\"");
    _cleanup_(json_freep) json_t *keys = NULL;
    const char *why = NULL;

    (void) state;

    if (issuer_keys_parse(set, strlen(set), NULL, &keys, &why) < 0)
        fail_msg("%s", why);
    assert_int_equal(json_object_size(keys), 2);
    assert_int_equal(json_object_size(json_object_get(keys, "rsa")), 3);
    assert_int_equal(json_object_size(json_object_get(keys, "old")), 4);
    assert_null(json_object_get(json_object_get(keys, "old"), "d"));
}

static void metadata_of_many_tenants_is_believed_for_ours(void **state) {
    static char tenant[] = "tenant";
    _cleanup_free_ char *jwks = https_server_url("/keys"), *place = https_server_url("/{tenantid}");
    _cleanup_free_ char *metadata = format("{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}", place, jwks);
    _cleanup_(issuer_freep) issuer *i = NULL;

    (void) state;

    https_server_answer(WELL_KNOWN, 200, metadata);
    config.tenant = tenant;
    i = start_and_fetch(&patient);
    config.tenant = NULL;
    assert_null(issuer_get_status(i)->reason);
    assert_true(issuer_get_status(i)->has_keys);
}

static void pinned_keys_are_used_and_nothing_is_fetched(void **state) {
    _cleanup_free_ char *path = scratch_path("pinned.jwks"), *keys = NULL;
    _cleanup_(secret_freep) secret *good = NULL, *unknown = NULL;
    issuer_config pinned = config;
    const char *why = NULL;
    issuer *i = NULL;

    (void) state;

    assert_int_equal(issuer_config_pin_keys(&pinned, path, &why), -ENOENT);
    scratch_write("pinned.jwks", "{\"keys\":[]}");
    assert_int_equal(issuer_config_pin_keys(&pinned, path, &why), -EBADMSG);

    keys = command("jose jwk pub -s -i old.jwk -o-");
    scratch_write("pinned.jwks", keys);
    assert_int_equal(issuer_config_pin_keys(&pinned, path, &why), 0);
    assert_int_equal(issuer_new_with_timing(event, glue, &pinned, &patient, NULL, NULL, &i), 0);
    assert_true(issuer_get_status(i)->has_keys);

    good = mint("old", "old", "api://agent");
    unknown = mint("new", "new", "api://agent");
    assert_verdict(i, good, 0, NULL);
    why = format("the token's key (kid) is none of issuer %s", config.url);
    assert_verdict(i, unknown, -EACCES, why);
    free((char *) (uintptr_t) why);
    assert_int_equal(fetches_now(), 0);

    (void) issuer_free(i);
    json_decref(pinned.keys);
}

static unsigned states_told;

static void on_state(const issuer_status *status, void *userdata) {
    (void) userdata;
    states_told++;
    assert_true(status->has_keys);
}

static void owner_is_told_of_new_keys(void **state) {
    issuer *i = NULL;

    (void) state;

    assert_int_equal(issuer_new(event, glue, &config, on_state, NULL, &i), 0);
    assert_string_equal(issuer_url(i), config.url);
    while (states_told == 0)
        turn();
    assert_int_equal(states_told, 1);
    (void) issuer_free(i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(verification_waits_for_the_first_keys, publish),
        cmocka_unit_test_setup(no_keys_in_time_is_no_refusal, publish),
        cmocka_unit_test_setup(failed_first_fetch_is_tried_again, publish),
        cmocka_unit_test_setup(a_failure_that_goes_on_is_logged_once, publish),
        cmocka_unit_test_setup(keys_are_kept_through_an_outage, publish),
        cmocka_unit_test_setup(wrong_answers_do_not_replace_good_keys, publish),
        cmocka_unit_test_setup(rolled_over_key_is_fetched, publish),
        cmocka_unit_test_setup(flood_of_unknown_keys_costs_one_fetch, publish),
        cmocka_unit_test_setup(token_that_would_be_refused_anyway_fetches_nothing, publish),
        cmocka_unit_test_setup(unknown_key_during_an_outage_is_no_refusal, publish),
        cmocka_unit_test_setup(token_of_another_key_by_the_same_name_is_refused, publish),
        cmocka_unit_test_setup(cancelled_verification_says_nothing, publish),
        cmocka_unit_test_setup(verification_may_cancel_another_when_it_is_told, publish),
        cmocka_unit_test_setup(verification_begun_when_another_is_told_has_its_own_fetch, publish),
        cmocka_unit_test_setup(wrong_metadata_is_told, publish),
        cmocka_unit_test_setup(wrong_keys_are_told, publish),
        cmocka_unit_test_setup(keys_beyond_256_kib_are_not_read, publish),
        cmocka_unit_test_setup(issuer_without_a_trusted_certificate_is_refused, publish),
        cmocka_unit_test_setup(useful_keys_are_picked, publish),
        cmocka_unit_test_setup(metadata_of_many_tenants_is_believed_for_ours, publish),
        cmocka_unit_test_setup(pinned_keys_are_used_and_nothing_is_fetched, publish),
        cmocka_unit_test_setup(owner_is_told_of_new_keys, publish),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
