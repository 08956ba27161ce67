/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed requests: what the `jose` command seals is opened; whatever the contract does not allow is
 * refused, each for its own reason. */

#include <errno.h>
#include <inttypes.h>
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
#define PLAIN "{\"jti\":\"one\",\"newPassword\":\"correct horse battery staple\"}"

static agent_keys *keys;
static const char *kid;

static int set_up(void **state) {
    _cleanup_free_ char *path = scratch_path("keys.json"), *why = NULL, *public = NULL;
    const agent_keys_options options = {.path = path,
                                        .lifetime = AGENT_KEYS_LIFETIME,
                                        .roll_after = AGENT_KEYS_ROLL_AFTER,
                                        .grace = AGENT_KEYS_GRACE};

    (void) state;

    json_set_alloc_funcs(malloc, secret_mfree);
    log_set_max_level(LOG_WARNING);
    assert_int_equal(agent_keys_open(&options, NOW, &keys, &why), 0);
    public = json_to_text(json_array_get(json_object_get(agent_keys_public(keys), "keys"), 0));
    kid =
        json_get_string(json_array_get(json_object_get(agent_keys_public(keys), "keys"), 0), "kid");
    scratch_write("public.jwk", public);
    scratch_write("plain", PLAIN);
    /* The tool refuses a key whose alg is not the one asked for. */
    free(command("jose fmt -j public.jwk -d alg -o any.jwk"));
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    keys = agent_keys_free(keys);
    scratch_remove();
    return 0;
}

/* Seals with these members in the protected header beside kid, alg and enc. */
static char *seal(const char *alg, const char *enc, const char *more) {
    _cleanup_free_ char *template =
        format("{\"protected\":{\"kid\":\"%s\",\"alg\":\"%s\",\"enc\":\"%s\"%s%s}}", kid, alg, enc,
               *more ? "," : "", more);

    scratch_write("template", template);
    return command("jose jwe enc -i template -k any.jwk -I plain -c");
}

static char *seal_well(void) {
    return seal("ECDH-ES+A256KW", "A256GCM", "");
}

static void assert_opened(const char *jwe) {
    _cleanup_(secret_freep) secret *plain = NULL;
    const char *why = NULL;

    assert_int_equal(agent_keys_open_sealed(keys, jwe, strlen(jwe), NOW, &plain, &why), 0);
    assert_string_equal(secret_data(plain), PLAIN);
}

static void assert_refused(const char *jwe, size_t size, const char *expected) {
    secret *plain = NULL;
    const char *why = NULL;

    assert_int_equal(agent_keys_open_sealed(keys, jwe, size, NOW, &plain, &why), -EBADMSG);
    assert_string_equal(why, expected);
    assert_null(plain);
}

static void what_jose_seals_is_opened(void **state) {
    _cleanup_free_ char *wrapped = seal_well(), *direct = seal("ECDH-ES", "A256GCM", "");
    _cleanup_free_ char *tolerated =
        seal("ECDH-ES+A256KW", "A256GCM",
             "\"typ\":\"JOSE\",\"cty\":\"application/json\",\"apu\":\"QWxpY2U\",\"apv\":\"Qm9i\"");

    (void) state;

    assert_opened(wrapped);
    assert_opened(direct);
    assert_opened(tolerated);
}

static void header_parameters_beyond_the_contract_are_refused(void **state) {
    static const struct {
        const char *alg, *enc, *more, *why;
    } rows[] = {
        {"ECDH-ES+A256KW", "A256GCM", "\"zip\":\"DEF\"",
         "the header holds the parameter zip, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"crit\":[\"exp\"]",
         "the header holds the parameter crit, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"jku\":\"https://evil.example/\"",
         "the header holds the parameter jku, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"jwk\":{}",
         "the header holds the parameter jwk, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"x5u\":\"https://evil.example/\"",
         "the header holds the parameter x5u, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"x5c\":[]",
         "the header holds the parameter x5c, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"p2c\":100000000",
         "the header holds the parameter p2c, which is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"iss\":\"me\"",
         "the header holds a parameter that is not allowed"},
        {"ECDH-ES+A256KW", "A256GCM", "\"typ\":1", "a parameter of the header has the wrong type"},
        {"ECDH-ES+A256KW", "A256GCM", "\"cty\":null",
         "a parameter of the header has the wrong type"},
        {"ECDH-ES+A128KW", "A256GCM", "", "the header's alg is not ECDH-ES+A256KW or ECDH-ES"},
        {"ECDH-ES+A256KW", "A128GCM", "", "the header's enc is not A256GCM"},
        {"ECDH-ES+A256KW", "A256CBC-HS512", "", "the header's enc is not A256GCM"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *jwe = seal(rows[i].alg, rows[i].enc, rows[i].more);

        assert_refused(jwe, strlen(jwe), rows[i].why);
    }
}

/* A JWE of this header, with other parts of the right sizes. */
static char *with_header(const char *header) {
    _cleanup_free_ char *encoded = base64url(header);

    return format("%s.%s.%s.AAAA.%s", encoded,
                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAA",
                  "AAAAAAAAAAAAAAAAAAAAAA");
}

#define GOOD_ALG "\"alg\":\"ECDH-ES+A256KW\",\"enc\":\"A256GCM\""
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define EPK(members) "\"epk\":{\"kty\":\"EC\",\"crv\":\"P-256\"," members "}"
#define GOOD_EPK EPK("\"x\":\"" ZEROS "\",\"y\":\"" ZEROS "\"")
#define NO_EPK "the header's epk is not a public key of type EC P-256"

static void malformed_headers_are_refused(void **state) {
    static const struct {
        const char *header, *why;
    } rows[] = {
        {"", "the header is not one JSON object with every member once"},
        {"[]", "the header is not one JSON object with every member once"},
        {"{" GOOD_ALG "} ", "the header's epk is not a public key of type EC P-256"},
        {"{" GOOD_ALG "}{}", "the header is not one JSON object with every member once"},
        {"{\"alg\":\"dir\"," GOOD_ALG "}",
         "the header is not one JSON object with every member once"},
        {"{\"epk\":{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}}",
         "the header is not one JSON object with every member once"},
        {"{\"enc\":\"A256GCM\"}", "the header's alg is not ECDH-ES+A256KW or ECDH-ES"},
        {"{\"alg\":\"dir\",\"enc\":\"A256GCM\"}",
         "the header's alg is not ECDH-ES+A256KW or ECDH-ES"},
        {"{\"alg\":\"PBES2-HS512+A256KW\",\"enc\":\"A256GCM\",\"p2s\":\"AAAA\",\"p2c\":2147483647}",
         "the header holds the parameter p2s, which is not allowed"},
        {"{\"alg\":\"PBES2-HS512+A256KW\",\"enc\":\"A256GCM\"}",
         "the header's alg is not ECDH-ES+A256KW or ECDH-ES"},
        {"{\"alg\":\"ECDH-ES+A256KW\"}", "the header's enc is not A256GCM"},
        {"{" GOOD_ALG ",\"epk\":\"x\"}", "a parameter of the header has the wrong type"},
        {"{" GOOD_ALG ",\"epk\":{}}", NO_EPK},
        {"{" GOOD_ALG "," EPK("\"x\":\"" ZEROS "\"") "}", NO_EPK},
        {"{" GOOD_ALG "," EPK("\"x\":\"" ZEROS "A\",\"y\":\"" ZEROS "\"") "}", NO_EPK},
        {"{" GOOD_ALG "," EPK("\"x\":\"" ZEROS "\",\"y\":\"" ZEROS "\",\"d\":\"" ZEROS "\"") "}",
         NO_EPK},
        {"{" GOOD_ALG ",\"epk\":{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"" ZEROS
         "\",\"y\":\"" ZEROS "\"}}",
         NO_EPK},
        {"{" GOOD_ALG "," GOOD_EPK ",\"apu\":\"a b\"}", "the header's apu or apv is not base64url"},
        {"{" GOOD_ALG "," GOOD_EPK "}", "the header has no kid"},
        {"{" GOOD_ALG "," GOOD_EPK ",\"kid\":\"" ZEROS "\"}",
         "the header's kid is not that of a key of this agent"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *jwe = with_header(rows[i].header);

        assert_refused(jwe, strlen(jwe), rows[i].why);
    }
}

/* The signing key is no key to seal with. */
static void kid_of_the_signing_key_is_refused(void **state) {
    const json_t *list = json_object_get(agent_keys_public(keys), "keys");
    _cleanup_free_ char *header = format("{" GOOD_ALG "," GOOD_EPK ",\"kid\":\"%s\"}",
                                         json_get_string(json_array_get(list, 1), "kid"));
    _cleanup_free_ char *jwe = with_header(header);

    (void) state;

    assert_refused(jwe, strlen(jwe), "the header's kid is not that of a key of this agent");
}

#define NOT_OPENED                                                                                 \
    "the key named does not open it: it was sealed with another, or changed on its way"

/* A point off the curve would let a sender ask for the private key bit by bit. */
static void ephemeral_key_off_the_curve_is_refused(void **state) {
    _cleanup_free_ char *header = format("{" GOOD_ALG "," GOOD_EPK ",\"kid\":\"%s\"}", kid);
    _cleanup_free_ char *jwe = with_header(header);

    (void) state;

    assert_refused(jwe, strlen(jwe), NOT_OPENED);
}

static void request_sealed_to_another_key_is_refused(void **state) {
    _cleanup_free_ char *jwe = NULL;

    (void) state;

    free(command("cp any.jwk mine.jwk && jose jwk gen -i '{\"kty\":\"EC\",\"crv\":\"P-256\"}' -o "
                 "other.jwk && jose jwk pub -i other.jwk -o any.jwk"));
    jwe = seal_well();
    free(command("mv mine.jwk any.jwk"));
    assert_refused(jwe, strlen(jwe), NOT_OPENED);
}

static void form_is_checked(void **state) {
    _cleanup_free_ char *jwe = seal_well(), *extra = format("%s.", jwe),
                        *before = format(".%s", jwe), *padded = format("%s=", jwe),
                        *spaced = format("%s\n", jwe), *large = NULL;
    const char *not_five = "it is not a compact JWE, five parts with dots between them";
    const char *not_base64url = "a part of it is not base64url without padding";
    char *dot;

    (void) state;

    assert_refused("", 0, not_five);
    assert_refused("....", 4, "the header is not one JSON object with every member once");
    assert_refused("{\"protected\":\"e30\"}", 19, not_five);
    assert_refused(extra, strlen(extra), not_five);
    assert_refused(before, strlen(before), not_five);
    assert_refused(padded, strlen(padded), not_base64url);
    assert_refused(spaced, strlen(spaced), not_base64url);
    assert_refused(jwe, strlen(jwe) + 1, not_base64url); /* a NUL at the end */

    large = malloc(RELAY_BODY_MAX + 1);
    memset(large, 'A', RELAY_BODY_MAX + 1);
    assert_refused(large, RELAY_BODY_MAX + 1, "it is larger than 256 KiB");
    assert_refused(large, RELAY_BODY_MAX, not_five);

    dot = strchr(jwe, '.');
    *dot = '-';
    assert_refused(jwe, strlen(jwe), not_five);
}

static void stray_bits_are_refused(void **state) {
    _cleanup_free_ char *jwe = seal_well();
    char *last = jwe + strlen(jwe) - 1;

    (void) state;

    /* The tag's 16 bytes leave four bits of its last character unused. */
    assert_non_null(strchr("AQgw", *last));
    *last = (char) (*last + 1);
    assert_refused(jwe, strlen(jwe), "a part of it is not base64url without padding");
}

static void part_of_the_wrong_size_is_refused(void **state) {
    static const struct {
        int part;
        const char *why;
    } rows[] = {
        {1, "the encrypted key has the wrong size"},
        {2, "the initialization vector has the wrong size"},
        {4, "the authentication tag has the wrong size"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *jwe = seal_well(), *longer = NULL;
        char *at = jwe;

        for (int dots = 0; dots < rows[i].part; dots++)
            at = strchr(at, '.') + 1;
        longer = format("%.*sAAAA%s", (int) (at - jwe), jwe, at);
        assert_refused(longer, strlen(longer), rows[i].why);
    }
}

/* An encrypted key has no place where the key is agreed on directly (RFC 7516 section 5.2 step 10).
 */
static void encrypted_key_is_refused_where_there_must_be_none(void **state) {
    _cleanup_free_ char *jwe = seal("ECDH-ES", "A256GCM", ""), *with_key = NULL;
    char *dot = strchr(jwe, '.');

    (void) state;

    with_key = format("%.*s.AAAA%s", (int) (dot - jwe), jwe, dot + 1);
    assert_refused(with_key, strlen(with_key), "the encrypted key has the wrong size");
}

/* Every single character counts: whichever is changed, nothing is opened. */
static void change_of_any_character_is_refused(void **state) {
    _cleanup_free_ char *jwe = seal_well();
    size_t size = strlen(jwe);

    (void) state;

    for (size_t i = 0; i < size; i++) {
        char was = jwe[i];
        secret *plain = NULL;
        const char *why = NULL;

        jwe[i] = was == 'B' ? 'C' : 'B';
        assert_int_equal(agent_keys_open_sealed(keys, jwe, size, NOW, &plain, &why), -EBADMSG);
        assert_non_null(why);
        assert_null(plain);
        jwe[i] = was;
    }
    assert_opened(jwe);
}

static void ciphertext_cut_short_is_refused(void **state) {
    _cleanup_free_ char *jwe = seal_well(), *shorter = NULL;
    char *ciphertext = jwe;

    (void) state;

    for (int dots = 0; dots < 3; dots++)
        ciphertext = strchr(ciphertext, '.') + 1;

    /* Four characters are three bytes, so what stays is still base64url. */
    shorter = format("%.*s%s", (int) (ciphertext - jwe), jwe, ciphertext + 4);
    assert_refused(shorter, strlen(shorter), NOT_OPENED);
}

#ifndef WRITEBACK_SANITIZERS

/* Looks for the text that reads `backwards` from its end, so that looking for it makes no copy. */
static bool is_at(const char *p, const char *backwards, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (p[i] != backwards[length - 1 - i])
            return false;
    return true;
}

static unsigned count_in_memory(const char *backwards) {
    FILE *maps = fopen("/proc/self/maps", "re");
    size_t length = strlen(backwards);
    unsigned count = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t begin, end;

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " rw", &begin, &end) != 2 || !strstr(line, " rw"))
            continue;
        for (uintptr_t at = begin; at + length <= end; at++)
            if (is_at((const char *) at, backwards, length))
                count++;
    }
    (void) fclose(maps);
    return count;
}

/* Neither in freed memory nor on the stack, whatever libjose and OpenSSL do in between. */
static void opened_plain_text_leaves_no_copy_behind(void **state) {
    _cleanup_free_ char *jwe = NULL, *backwards = NULL;
    secret *plain = NULL;
    const char *why = NULL;

    (void) state;

    free(command("mv plain usual && head -c 48 /dev/urandom | base64 -w 0 > plain"));
    jwe = seal_well();
    backwards = command("rev plain && mv usual plain");
    assert_int_equal(count_in_memory(backwards), 0);

    assert_int_equal(agent_keys_open_sealed(keys, jwe, strlen(jwe), NOW, &plain, &why), 0);
    assert_int_equal(count_in_memory(backwards), 1);
    plain = secret_free(plain);
    assert_int_equal(count_in_memory(backwards), 0);
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_jose_seals_is_opened),
        cmocka_unit_test(header_parameters_beyond_the_contract_are_refused),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(kid_of_the_signing_key_is_refused),
        cmocka_unit_test(ephemeral_key_off_the_curve_is_refused),
        cmocka_unit_test(request_sealed_to_another_key_is_refused),
        cmocka_unit_test(form_is_checked),
        cmocka_unit_test(stray_bits_are_refused),
        cmocka_unit_test(part_of_the_wrong_size_is_refused),
        cmocka_unit_test(encrypted_key_is_refused_where_there_must_be_none),
        cmocka_unit_test(change_of_any_character_is_refused),
        cmocka_unit_test(ciphertext_cut_short_is_refused),
#ifndef WRITEBACK_SANITIZERS
        cmocka_unit_test(opened_plain_text_leaves_no_copy_behind),
#endif
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
