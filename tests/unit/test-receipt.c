/* SPDX-License-Identifier: Apache-2.0 */
/* Receipts: the `jose` command finds ours good, and we find out whatever was changed. */

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

#include "agent/base/log.h"
#include "relay/relay.h"
#include "tests/unit/command.h"

#define NOW ((usec_t) 1700000000 * USEC_PER_SEC)
#define BODY "{\"id\":\"request-1\",\"status\":\"succeeded\",\"who\":\"Jürgen\"}"

static agent_keys *keys;
static char *published;

static agent_keys *make_keys(const char *name) {
    _cleanup_free_ char *path = scratch_path(name), *why = NULL;
    const agent_keys_options options = {.path = path,
                                        .lifetime = AGENT_KEYS_LIFETIME,
                                        .roll_after = AGENT_KEYS_ROLL_AFTER,
                                        .grace = AGENT_KEYS_GRACE};
    agent_keys *made = NULL;

    assert_int_equal(agent_keys_open(&options, NOW, &made, &why), 0);
    return made;
}

static int set_up(void **state) {
    (void) state;

    json_set_alloc_funcs(malloc, secret_mfree);
    log_set_max_level(LOG_WARNING);
    keys = make_keys("keys.json");
    published = json_to_text(agent_keys_public(keys));
    scratch_write("published.jwks", published);
    return 0;
}

static int tear_down(void **state) {
    (void) state;

    keys = agent_keys_free(keys);
    free(published);
    scratch_remove();
    return 0;
}

static char *sign(const char *id, const char *body) {
    char *text = NULL;

    assert_int_equal(agent_keys_sign(keys, id, NOW, body, strlen(body), &text), 0);
    return text;
}

static void assert_refused(const char *text, const char *body, const char *jwks,
                           const char *expected) {
    receipt_info told = {0};
    const char *why = NULL;

    assert_int_equal(receipt_verify(text, body, strlen(body), jwks, strlen(jwks), &told, &why),
                     -EBADMSG);
    assert_string_equal(why, expected);
    assert_null(told.kid);
}

static void assert_good(const char *text, const char *body, const char *id) {
    _cleanup_(receipt_info_done) receipt_info told = {0};
    const char *why = NULL;

    if (receipt_verify(text, body, strlen(body), published, strlen(published), &told, &why) < 0)
        fail_msg("%s", why);
    assert_int_equal(told.issued, NOW);
    if (id)
        assert_string_equal(told.id, id);
    else
        assert_null(told.id);
}

static void what_is_signed_is_found_good(void **state) {
    _cleanup_free_ char *named = sign("request-1", BODY), *nameless = sign(NULL, BODY),
                        *empty = sign(NULL, "");

    (void) state;

    assert_good(named, BODY, "request-1");
    assert_good(nameless, BODY, NULL);
    assert_good(empty, "", NULL);
}

static void jose_finds_it_good(void **state) {
    _cleanup_free_ char *text = sign("request-1", BODY), *said = NULL;

    (void) state;

    scratch_write("body", BODY);
    said = command("jose fmt -j published.jwks -g keys -A -g 1 -o sig.jwk && "
                   "jose jws ver -i '%s' -I body -k sig.jwk && echo good",
                   text);
    assert_string_equal(said, "good\n");
}

/* "HEADER..SIGNATURE", the parts apart. */
static void split(char *text, char **ret_signature) {
    char *dots = strstr(text, "..");

    assert_non_null(dots);
    *dots = '\0';
    *ret_signature = dots + 2;
}

static void whatever_was_changed_is_found_out(void **state) {
    static const char changed[] =
        "the key named did not sign this body: one of the two was changed";
    _cleanup_free_ char *text = sign("request-1", BODY), *other = sign("request-2", BODY),
                        *body_changed = strdup(BODY), *swapped = NULL;
    char *signature, *other_signature;

    (void) state;

    body_changed[strlen(BODY) - 3] ^= 1;
    assert_refused(text, body_changed, published, changed);
    assert_refused(text, "", published, changed);

    /* The header of one with the signature of another: it is signed too. */
    split(text, &signature);
    split(other, &other_signature);
    swapped = format("%s..%s", text, other_signature);
    assert_refused(swapped, BODY, published, changed);
}

static void key_of_another_agent_does_not_count(void **state) {
    _cleanup_(agent_keys_freep) agent_keys *strangers = make_keys("strangers.json");
    _cleanup_free_ char *their = json_to_text(agent_keys_public(strangers)),
                        *text = sign("request-1", BODY);

    (void) state;

    assert_refused(text, BODY, their,
                   "the key that the receipt names (kid) is not among the keys given");
    assert_refused(text, BODY, "{}", "not a JWK set");
    assert_refused(text, BODY, "", "it ends in the middle");
}

/* A header of any content over the body, signed well by our own signing key. */
static char *sign_with_header(const char *header) {
    _cleanup_free_ char *template = format("{\"protected\":%s}", header);

    scratch_write("template", template);
    scratch_write("body", BODY);
    return command("jose fmt -j keys.json -g keys -A -g 1 -d alg -o private.jwk && "
                   "jose jws sig -s template -I body -k private.jwk -c -O /dev/null");
}

static void what_is_no_receipt_is_refused(void **state) {
    static const struct {
        const char *header, *why;
    } rows[] = {
        {"{\"alg\":\"ES256\",\"kid\":\"x\",\"iat\":1,\"crit\":[\"b64\"]}",
         "the header holds the parameter crit, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"x\"}", "the receipt's header has no kid or no iat"},
        {"{\"alg\":\"ES256\",\"iat\":1}", "the receipt's header has no kid or no iat"},
        {"{\"alg\":\"ES256\",\"kid\":\"x\",\"iat\":-1}",
         "the receipt's header has no kid or no iat"},
    };
    static const char *const forms[] = {"", "..", "a.b", "a.b.c", "a..b.c", "a..!"};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *text = sign_with_header(rows[i].header);

        assert_refused(text, BODY, published, rows[i].why);
    }
    for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
        receipt_info told = {0};
        const char *why = NULL;

        assert_int_equal(
            receipt_verify(forms[i], BODY, strlen(BODY), published, strlen(published), &told, &why),
            -EBADMSG);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_found_good),
        cmocka_unit_test(jose_finds_it_good),
        cmocka_unit_test(whatever_was_changed_is_found_out),
        cmocka_unit_test(key_of_another_agent_does_not_count),
        cmocka_unit_test(what_is_no_receipt_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
