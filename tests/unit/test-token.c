/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens: what the `jose` command signs is believed, and every way in which a token can be
 * wrong has its own reason. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/issuer.h"
#include "relay/issuer_keys.h"
#include "relay/token.h"
#include "tests/unit/command.h"

/* 2023-11-14T22:13:20Z */
#define NOW ((usec_t) 1700000000 * USEC_PER_SEC)

#define ISS "\"iss\":\"https://issuer.example\""
#define TID "\"tid\":\"11111111-2222-3333-4444-555555555555\""
#define AUD "\"aud\":\"api://agent\""
#define TIMES "\"iat\":1699999990,\"nbf\":1699999990,\"exp\":1700003600"
#define WHO "\"sub\":\"somebody\",\"oid\":\"somebody\",\"azp\":\"portal\""
#define GOOD_CLAIMS "{" ISS "," TID "," AUD "," TIMES "," WHO "}"

static char url[] = "https://issuer.example", audience[] = "api://agent",
            tenant[] = "11111111-2222-3333-4444-555555555555";
static char second_audience[] = "33333333-2222-3333-4444-555555555555";
static char *audiences[] = {audience, second_audience, NULL};
static const issuer_config config = {.url = url, .audiences = audiences, .tenant = tenant};

static json_t *keys; /* as an issuer publishes them: kids rsa, ec, ps, and some that are no use */

static int set_up(void **state) {
    _cleanup_free_ char *set = NULL;
    const char *why = NULL;

    (void) state;

    json_set_alloc_funcs(malloc, secret_mfree);
    free(command(
        "jose jwk gen -i '{\"kty\":\"RSA\",\"bits\":2048,\"kid\":\"rsa\"}' -o rsa.jwk && "
        "jose jwk gen -i '{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\"}' -o ec.jwk && "
        "jose jwk gen -i '{\"kty\":\"RSA\",\"bits\":2048,\"kid\":\"ps\"}' -o ps-any.jwk && "
        "jose fmt -j ps-any.jwk -q PS256 -s alg -U -o ps.jwk && "
        "jose jwk gen -i '{\"kty\":\"RSA\",\"bits\":2048,\"kid\":\"other\"}' -o other.jwk && "
        "jose jwk gen -i '{\"kty\":\"oct\",\"bytes\":32,\"kid\":\"oct\"}' -o oct.jwk"));
    set = command("jose jwk pub -s -i rsa.jwk -i ec.jwk -i ps.jwk -o-");
    assert_int_equal(issuer_keys_parse(set, strlen(set), NULL, &keys, &why), 0);
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    json_decref(keys);
    scratch_remove();
    return 0;
}

static char *sign(const char *header, const char *claims, const char *key) {
    _cleanup_free_ char *template = format("{\"protected\":%s}", header);

    scratch_write("template", template);
    scratch_write("claims", claims);
    return command("jose jws sig -I claims -k %s -s template -c", key);
}

/* As an issuer does it, in one go. */
static int verify(const char *text, size_t size, token_claims *ret, char **ret_why) {
    _cleanup_(token_done) token t = {0};
    const json_t *jwk;
    int r;

    r = token_parse(text, size, &t, ret_why);
    if (r < 0)
        return r;

    jwk = json_object_get(keys, t.kid);
    assert_non_null(jwk);
    r = token_check_signature(&t, jwk, ret_why);
    if (r < 0)
        return r;

    r = token_check_claims(&t, &config, NOW, ret_why);
    if (r < 0)
        return r;

    token_take_claims(&t, ret);
    return 0;
}

static void assert_refused(const char *text, size_t size, const char *expected) {
    _cleanup_free_ char *why = NULL;
    token_claims claims;

    assert_int_equal(verify(text, size, &claims, &why), -EACCES);
    assert_string_equal(why, expected);
}

static void assert_believed(const char *text, token_claims *ret) {
    _cleanup_free_ char *why = NULL;
    int r = verify(text, strlen(text), ret, &why);

    if (r < 0)
        fail_msg("refused: %s", why);
}

static void tokens_of_each_algorithm_are_believed(void **state) {
    static const struct {
        const char *header, *key;
    } rows[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\",\"x5t\":\"AAAA\"}", "rsa.jwk"},
        {"{\"alg\":\"PS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}", "rsa.jwk"},
        {"{\"alg\":\"PS256\",\"kid\":\"ps\",\"typ\":\"application/at+jwt\"}", "ps.jwk"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\"}", "ec.jwk"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *text = sign(rows[i].header, GOOD_CLAIMS, rows[i].key);
        _cleanup_(token_claims_done) token_claims claims = {0};

        assert_believed(text, &claims);
        assert_string_equal(claims.subject, "somebody");
        assert_true(claims.expires == NOW + 3600 * USEC_PER_SEC);
    }
}

#define NO_CLIENT                                                                                   \
    "the token does not say which client got it (azp, appid, client_id), as an access token does; " \
    "it may be an ID token"

#define FOR_CLIENT                                                                                 \
    "this is an ID token (it is for the client that got it, and has no scope), not an access token"

#define HEADER "{\"alg\":\"ES256\",\"kid\":\"ec\"}"

static void claims_are_checked_one_by_one(void **state) {
    static const struct {
        const char *claims, *why; /* NULL: believed */
    } rows[] = {
        {GOOD_CLAIMS, NULL},
        {"{" TID "," AUD "," TIMES "," WHO "}", "the token names no issuer (iss)"},
        {"{\"iss\":\"https://issuer.example/\"," TID "," AUD "," TIMES "," WHO "}",
         "the token's issuer is https://issuer.example/, not https://issuer.example"},
        {"{" ISS "," AUD "," TIMES "," WHO "}", "the token names no tenant (tid)"},
        {"{" ISS ",\"tid\":\"99999999-2222-3333-4444-555555555555\"," AUD "," TIMES "," WHO "}",
         "the token's tenant is 99999999-2222-3333-4444-555555555555, not "
         "11111111-2222-3333-4444-555555555555"},
        {"{" ISS "," TID "," TIMES "," WHO "}", "the token names no audience (aud)"},
        {"{" ISS "," TID ",\"aud\":[]," TIMES "," WHO "}", "the token names no audience (aud)"},
        {"{" ISS "," TID ",\"aud\":7," TIMES "," WHO "}", "the token names no audience (aud)"},
        {"{" ISS "," TID ",\"aud\":\"api://other\"," TIMES "," WHO "}",
         "the token's audience is api://other, not api://agent"},
        {"{" ISS "," TID ",\"aud\":[\"api://other\",\"api://third\"]," TIMES "," WHO "}",
         "the token's audience is api://other, not api://agent"},
        {"{" ISS "," TID ",\"aud\":[\"api://other\",\"api://agent\"]," TIMES "," WHO "}", NULL},
        {"{" ISS "," TID "," AUD "," WHO "}", "the token has no time of expiry (exp)"},
        {"{" ISS "," TID "," AUD ",\"exp\":\"tomorrow\"," WHO "}",
         "a time of the token (exp, nbf, iat) is not a date"},
        {"{" ISS "," TID "," AUD ",\"exp\":-1," WHO "}",
         "a time of the token (exp, nbf, iat) is not a date"},
        {"{" ISS "," TID "," AUD ",\"exp\":1e300," WHO "}",
         "a time of the token (exp, nbf, iat) is not a date"},
        {"{" ISS "," TID "," AUD ",\"exp\":1700003600,\"nbf\":null," WHO "}",
         "a time of the token (exp, nbf, iat) is not a date"},
        {"{" ISS "," TID "," AUD ",\"exp\":1699999941," WHO "}", NULL},
        {"{" ISS "," TID "," AUD ",\"exp\":1699999940," WHO "}",
         "the token expired at 2023-11-14T22:12:20Z; here it is 2023-11-14T22:13:20Z"},
        {"{" ISS "," TID "," AUD ",\"exp\":1700003600.5,\"nbf\":1700000060," WHO "}", NULL},
        {"{" ISS "," TID "," AUD ",\"exp\":1700003600,\"nbf\":1700000061," WHO "}",
         "the token is not valid before 2023-11-14T22:14:21Z; here it is 2023-11-14T22:13:20Z"},
        {"{" ISS "," TID "," AUD ",\"exp\":1700003600,\"iat\":1700000061," WHO "}",
         "the token was issued at 2023-11-14T22:14:21Z; here it is only 2023-11-14T22:13:20Z"},
        {"{" ISS "," TID "," AUD "," TIMES "," WHO ",\"nonce\":\"n\"}",
         "this is an ID token (it has nonce), not an access token"},
        {"{" ISS "," TID "," AUD "," TIMES "," WHO ",\"at_hash\":\"h\"}",
         "this is an ID token (it has at_hash), not an access token"},
        {"{" ISS "," TID "," AUD "," TIMES "," WHO ",\"c_hash\":\"h\"}",
         "this is an ID token (it has c_hash), not an access token"},
        {"{" ISS "," TID "," AUD "," TIMES "," WHO ",\"typ\":\"ID\"}",
         "this is an ID token (its typ is ID), not an access token"},
        {"{" ISS "," TID "," AUD "," TIMES ",\"sub\":\"s\",\"azp\":\"api://agent\"}", FOR_CLIENT},
        {"{" ISS "," TID ",\"aud\":[\"api://agent\"]," TIMES
         ",\"sub\":\"s\",\"azp\":\"api://agent\",\"wids\":[\"w\"],\"roles\":[\"r\"]}",
         FOR_CLIENT},
        {"{" ISS "," TID "," AUD "," TIMES
         ",\"sub\":\"s\",\"azp\":\"api://agent\",\"scp\":\"user_impersonation\"}",
         NULL},
        {"{" ISS "," TID "," AUD "," TIMES
         ",\"sub\":\"s\",\"client_id\":\"api://agent\",\"scope\":\"reset\"}",
         NULL},
        {"{" ISS "," TID "," AUD "," TIMES
         ",\"sub\":\"s\",\"azp\":\"api://agent\",\"idtyp\":\"app\",\"roles\":[\"r\"]}",
         NULL},
        {"{" ISS "," TID "," AUD "," TIMES ",\"sub\":\"somebody\"}", NO_CLIENT},
        {"{" ISS "," TID "," AUD "," TIMES ",\"sub\":\"s\",\"appid\":\"portal\"}", NULL},
        {"{" ISS "," TID "," AUD "," TIMES ",\"sub\":\"s\",\"client_id\":\"portal\"}", NULL},
        {"{" ISS "," TID "," AUD "," TIMES ",\"azp\":\"portal\"}",
         "the token does not say who asks (oid, sub)"},
        {"{" ISS "," TID ",\"aud\":\"33333333-2222-3333-4444-555555555555\"," TIMES "," WHO "}",
         NULL},
        {"{" ISS "," TID ",\"aud\":\"00000003-0000-0000-c000-000000000000\"," TIMES "," WHO "}",
         "the token's audience is 00000003-0000-0000-c000-000000000000, not api://agent"},
        {"[]", "the token's claims are not one JSON object with every member once"},
        {"{" ISS "," ISS "}", "the token's claims are not one JSON object with every member once"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *text = sign(HEADER, rows[i].claims, "ec.jwk");
        token_claims claims = {0};

        if (rows[i].why)
            assert_refused(text, strlen(text), rows[i].why);
        else
            assert_believed(text, &claims);
        token_claims_done(&claims);
    }
}

/* Whatever stands in the token, its content is not carried into a text at any length. */
static void long_values_are_cut_between_characters(void **state) {
    char long_issuer[1000];
    _cleanup_free_ char *claims = NULL, *text = NULL, *why = NULL;
    token_claims none;

    (void) state;

    for (size_t i = 0; i < sizeof(long_issuer) - 2; i += 2)
        memcpy(long_issuer + i, "ü", 2);
    long_issuer[sizeof(long_issuer) - 2] = '\0';
    claims = format("{\"iss\":\"x%s\"," TID "," AUD "," TIMES "," WHO "}", long_issuer);
    text = sign(HEADER, claims, "ec.jwk");

    assert_int_equal(verify(text, strlen(text), &none, &why), -EACCES);
    assert_true(strlen(why) < 200);
    assert_non_null(strstr(why, "ü…, not https://issuer.example"));
}

/* A token of this header, and any signature. */
static char *with_header(const char *header) {
    _cleanup_free_ char *encoded = base64url(header), *claims = base64url(GOOD_CLAIMS);

    return format("%s.%s.AAAA", encoded, claims);
}

static void headers_beyond_the_contract_are_refused(void **state) {
    static const struct {
        const char *header, *why;
    } rows[] = {
        {"{\"kid\":\"ec\"}", "the token's header has no alg"},
        {"{\"alg\":\"none\",\"kid\":\"ec\"}",
         "the token's algorithm is none, not RS256, PS256 or ES256"},
        {"{\"alg\":\"HS256\",\"kid\":\"ec\"}",
         "the token's algorithm is HS256, not RS256, PS256 or ES256"},
        {"{\"alg\":\"RS512\",\"kid\":\"rsa\"}",
         "the token's algorithm is RS512, not RS256, PS256 or ES256"},
        {"{\"alg\":\"es256\",\"kid\":\"ec\"}",
         "the token's algorithm is es256, not RS256, PS256 or ES256"},
        {"{\"alg\":[\"ES256\"],\"kid\":\"ec\"}",
         "the token: a parameter of the header has the wrong type"},
        {"{\"alg\":\"ES256\"}", "the token's header has no kid"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"typ\":\"secevent+jwt\"}",
         "the token's typ is not JWT or at+jwt"},
        {"{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"ec\"}",
         "the token: the header is not one JSON object with every member once"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[\"b64\"],\"b64\":false}",
         "the token: the header holds the parameter crit, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"b64\":false}",
         "the token: the header holds the parameter b64, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"jku\":\"https://evil.example/keys\"}",
         "the token: the header holds the parameter jku, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"jwk\":{\"kty\":\"EC\"}}",
         "the token: the header holds the parameter jwk, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"x5u\":\"https://evil.example/\"}",
         "the token: the header holds the parameter x5u, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"x5c\":[\"AAAA\"]}",
         "the token: the header holds the parameter x5c, which is not allowed"},
        {"{\"alg\":\"ES256\",\"kid\":\"ec\",\"zip\":\"DEF\"}",
         "the token: the header holds the parameter zip, which is not allowed"},
        {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"nonce\":\"AAAA\"}",
         "the token: the header holds the parameter nonce, which is not allowed"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *text = with_header(rows[i].header);

        assert_refused(text, strlen(text), rows[i].why);
    }
}

/* The classic: the public key, which everybody has, taken as the secret of an HMAC. */
static void public_key_as_hmac_secret_is_refused(void **state) {
    _cleanup_free_ char *public = command("jose jwk pub -i rsa.jwk -o- | jose b64 enc -I-");
    _cleanup_free_ char *jwk = format("{\"kty\":\"oct\",\"k\":\"%s\"}", public), *text = NULL;

    (void) state;

    scratch_write("confused.jwk", jwk);
    text = sign("{\"alg\":\"HS256\",\"kid\":\"rsa\"}", GOOD_CLAIMS, "confused.jwk");
    assert_refused(text, strlen(text), "the token's algorithm is HS256, not RS256, PS256 or ES256");
}

static void algorithm_must_fit_the_key(void **state) {
    _cleanup_free_ char *ec_by_rsa =
        sign("{\"alg\":\"RS256\",\"kid\":\"ec\"}", GOOD_CLAIMS, "rsa.jwk");
    _cleanup_free_ char *rsa_by_ec =
        sign("{\"alg\":\"ES256\",\"kid\":\"rsa\"}", GOOD_CLAIMS, "ec.jwk");
    /* The right key, which its issuer has set aside for PS256. libjose alone would let it pass. */
    _cleanup_free_ char *set_aside =
        sign("{\"alg\":\"RS256\",\"kid\":\"ps\"}", GOOD_CLAIMS, "ps-any.jwk");

    (void) state;

    assert_refused(ec_by_rsa, strlen(ec_by_rsa),
                   "the token's algorithm RS256 does not fit the key that it names");
    assert_refused(rsa_by_ec, strlen(rsa_by_ec),
                   "the token's algorithm ES256 does not fit the key that it names");
    assert_refused(set_aside, strlen(set_aside),
                   "the token's algorithm RS256 does not fit the key that it names");
}

static void signature_of_another_key_is_refused(void **state) {
    _cleanup_free_ char *text =
        sign("{\"alg\":\"RS256\",\"kid\":\"rsa\"}", GOOD_CLAIMS, "other.jwk");

    (void) state;

    assert_refused(text, strlen(text), "the token's signature is wrong");
}

static void change_of_any_character_is_refused(void **state) {
    _cleanup_free_ char *text = sign(HEADER, GOOD_CLAIMS, "ec.jwk");
    size_t size = strlen(text);

    (void) state;

    for (size_t i = 0; i < size; i++) {
        _cleanup_(token_done) token t = {0};
        _cleanup_free_ char *why = NULL;
        char was = text[i];
        int r;

        text[i] = was == 'B' ? 'C' : 'B';
        r = token_parse(text, size, &t, &why);
        if (r == 0)
            r = token_check_signature(&t, json_object_get(keys, "ec"), &why);
        assert_int_equal(r, -EACCES);
        assert_non_null(why);
        text[i] = was;
    }
}

/* For ECDSA, where r and s are zero, and where there is no signature at all. */
static void empty_signatures_are_refused(void **state) {
    _cleanup_free_ char *text = sign(HEADER, GOOD_CLAIMS, "ec.jwk"), *none = NULL, *zero = NULL;
    char *dot = strrchr(text, '.');

    (void) state;

    none = format("%.*s.", (int) (dot - text), text);
    assert_refused(none, strlen(none), "the token's signature is wrong");
    zero = format("%.*s.%086d", (int) (dot - text), text, 0);
    memset(strrchr(zero, '.') + 1, 'A', 86);
    assert_refused(zero, strlen(zero), "the token's signature is wrong");
}

static void form_is_checked(void **state) {
    const char *not_three = "the token is not a signed JWT, three parts with dots between them";
    const char *not_base64url = "a part of the token is not base64url without padding";
    _cleanup_free_ char *text = sign(HEADER, GOOD_CLAIMS, "ec.jwk"), *more = format("%s.", text),
                        *much_more = format("%s.AAAA.AAAA", text), *padded = format("%s==", text),
                        *large = malloc(TOKEN_MAX + 1);

    (void) state;

    assert_refused("", 0, not_three);
    assert_refused("Bearer", 6, not_three);
    assert_refused(more, strlen(more), not_three);
    assert_refused(much_more, strlen(much_more), not_three);
    assert_refused(padded, strlen(padded), not_base64url);
    assert_refused(text, strlen(text) + 1, not_base64url); /* a NUL at the end */

    memset(large, 'A', TOKEN_MAX + 1);
    assert_refused(large, TOKEN_MAX + 1, "the token is larger than 16 KiB");
    assert_refused(large, TOKEN_MAX, not_three);
}

static token_claims claims_of(const char *claims) {
    _cleanup_free_ char *header = base64url(HEADER), *payload = base64url(claims),
                        *text = format("%s.%s.AAAA", header, payload), *why = NULL;
    _cleanup_(token_done) token t = {0};
    token_claims parsed;

    assert_int_equal(token_parse(text, strlen(text), &t, &why), 0);
    token_take_claims(&t, &parsed);
    return parsed;
}

static void claims_of_entra_are_understood(void **state) {
    token_claims v1 = claims_of("{\"ver\":\"1.0\",\"appid\":\"portal\",\"upn\":\"a@corp.example\","
                                "\"preferred_username\":\"b@corp.example\",\"tid\":\"t\","
                                "\"scp\":\"Password.Reset  user_impersonation\","
                                "\"wids\":[\"role-1\",\"role-2\"],\"onprem_sid\":\"S-1-5\"}");
    token_claims v2 =
        claims_of("{\"ver\":\"2.0\",\"azp\":\"service\",\"idtyp\":\"app\","
                  "\"preferred_username\":\"b@corp.example\","
                  "\"roles\":[\"Password.Reset.All\"],\"scp\":[\"x\"],\"wids\":\"w\"}");

    (void) state;

    assert_string_equal(v1.client, "portal");
    assert_string_equal(v1.upn, "a@corp.example");
    assert_string_equal(v1.onprem_sid, "S-1-5");
    assert_string_equal(v1.tenant, "t");
    assert_false(v1.is_app);
    assert_true(token_claims_has_directory_role(&v1, "role-2"));
    assert_false(token_claims_has_directory_role(&v1, "role"));
    assert_false(token_claims_has_role(&v1, "Password.Reset"));

    assert_string_equal(v2.client, "service");
    /* A name that people may change themselves is not what the issuer vouches for. */
    assert_null(v2.upn);
    assert_string_equal(v2.preferred_name, "b@corp.example");
    assert_true(v2.is_app);
    assert_true(token_claims_has_role(&v2, "Password.Reset.All"));
    assert_false(token_claims_has_directory_role(&v2, "w"));

    token_claims_done(&v1);
    token_claims_done(&v2);
}

static void service_is_known_without_idtyp(void **state) {
    static const struct {
        const char *claims;
        bool is_app;
    } rows[] = {
        {"{\"sub\":\"x\",\"oid\":\"x\",\"roles\":[\"r\"]}", true},
        {"{\"sub\":\"x\",\"oid\":\"x\",\"roles\":[\"r\"],\"scp\":\"s\"}", false},
        {"{\"sub\":\"x\",\"oid\":\"x\",\"roles\":[\"r\"],\"scope\":\"s\"}", false},
        {"{\"sub\":\"x\",\"oid\":\"y\",\"roles\":[\"r\"]}", false},
        {"{\"sub\":\"x\",\"oid\":\"x\"}", false},
        {"{\"roles\":[\"r\"]}", false},
        {"{\"sub\":\"x\",\"oid\":\"x\",\"roles\":[\"r\"],\"idtyp\":\"user\"}", false},
        {"{\"idtyp\":\"app\"}", true},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        token_claims claims = claims_of(rows[i].claims);

        assert_int_equal(claims.is_app, rows[i].is_app);
        token_claims_done(&claims);
    }
}

#define TENANT "11111111-2222-3333-4444-555555555555"

/* What Url= says, and what may stand in `iss` besides. */
static void both_forms_of_entra_are_known_in_every_cloud(void **state) {
    static const struct {
        const char *url, *v1;
    } rows[] = {
        {"https://login.microsoftonline.com/" TENANT "/v2.0",
         "https://sts.windows.net/" TENANT "/"},
        {"https://login.microsoftonline.us/" TENANT "/v2.0", "https://sts.windows.net/" TENANT "/"},
        {"https://login.partner.microsoftonline.cn/" TENANT "/v2.0",
         "https://sts.chinacloudapi.cn/" TENANT "/"},
        {"https://login.example/" TENANT "/v2.0", NULL},
        {"https://keycloak.example/realms/corp", NULL},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        issuer_config c = {.url = strdup(rows[i].url)};
        const char *why = NULL;

        assert_int_equal(issuer_config_complete(&c, &why), 0);
        assert_true(issuer_config_speaks_for(&c, rows[i].url));
        assert_false(issuer_config_speaks_for(&c, "https://sts.windows.net/" TENANT));
        assert_false(issuer_config_speaks_for(
            &c, "https://sts.windows.net/99999999-2222-3333-4444-555555555555/"));
        if (rows[i].v1) {
            assert_true(issuer_config_speaks_for(&c, rows[i].v1));
            assert_string_equal(c.tenant, TENANT);
        } else {
            assert_null(c.url_v1);
            assert_null(c.tenant);
        }
        issuer_config_done(&c);
    }
}

static void entra_without_one_tenant_is_refused(void **state) {
    static const struct {
        const char *url, *tenant, *why;
    } rows[] = {
        {"https://login.microsoftonline.com/common/v2.0", NULL, "of Microsoft Entra expected is"},
        {"https://login.microsoftonline.com/corp.example/v2.0", NULL, "of Microsoft Entra"},
        {"https://login.microsoftonline.com/" TENANT "/v2.0/", NULL, "of Microsoft Entra"},
        {"https://login.microsoftonline.com/" TENANT, NULL, "of Microsoft Entra expected is"},
        {"https://login.microsoftonline.us/" TENANT "/v2.0", "99999999-2222-3333-4444-555555555555",
         "TenantId= names another tenant"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        issuer_config c = {.url = strdup(rows[i].url),
                           .tenant = rows[i].tenant ? strdup(rows[i].tenant) : NULL};
        const char *why = NULL;

        assert_int_equal(issuer_config_complete(&c, &why), -EINVAL);
        assert_int_equal(strncmp(why, rows[i].why, strlen(rows[i].why)), 0);
        issuer_config_done(&c);
    }
}

/* One set of keys may be that of many tenants (Entra's common metadata). */
static void keys_of_other_tenants_are_passed_over(void **state) {
    static const struct {
        const char *name; /* of the key */
        bool is_ours;
    } rows[] = {
        {"https://login.microsoftonline.com/{tenantid}/v2.0", true},
        {"https://login.microsoftonline.com/" TENANT "/v2.0", true},
        {"https://sts.windows.net/{tenantid}/", true},
        {"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", false},
        {"https://login.microsoftonline.us/{tenantid}/v2.0", false},
        {"{tenantid}", false},
    };
    issuer_config c = {.url = strdup("https://login.microsoftonline.com/" TENANT "/v2.0")};
    const char *why = NULL;

    (void) state;

    assert_int_equal(issuer_config_complete(&c, &why), 0);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *set =
            command("jose jwk pub -i ec.jwk -o pub.jwk && "
                    "jose fmt -j pub.jwk -q '%s' -s issuer -U -o named.jwk && "
                    "printf '{\"keys\":[%%s]}' \"$(cat named.jwk)\"",
                    rows[i].name);
        json_t *found = NULL;

        assert_int_equal(issuer_keys_parse(set, strlen(set), &c, &found, &why),
                         rows[i].is_ours ? 0 : -EBADMSG);
        json_decref(found);
    }
    issuer_config_done(&c);
}

static void issuer_is_seen_before_anything_is_believed(void **state) {
    _cleanup_free_ char *text = with_header("{\"alg\":\"none\"}"), *iss = NULL;
    char *none = NULL;

    (void) state;

    assert_int_equal(token_peek_issuer(text, strlen(text), &iss), 0);
    assert_string_equal(iss, "https://issuer.example");
    assert_int_equal(token_peek_issuer("a.b.c", 5, &none), -EBADMSG);
    assert_int_equal(token_peek_issuer("e30.e30.", 8, &none), -EBADMSG);
    assert_int_equal(token_peek_issuer("e30.W10.", 8, &none), -EBADMSG);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_each_algorithm_are_believed),
        cmocka_unit_test(claims_are_checked_one_by_one),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(headers_beyond_the_contract_are_refused),
        cmocka_unit_test(public_key_as_hmac_secret_is_refused),
        cmocka_unit_test(algorithm_must_fit_the_key),
        cmocka_unit_test(signature_of_another_key_is_refused),
        cmocka_unit_test(change_of_any_character_is_refused),
        cmocka_unit_test(empty_signatures_are_refused),
        cmocka_unit_test(form_is_checked),
        cmocka_unit_test(claims_of_entra_are_understood),
        cmocka_unit_test(service_is_known_without_idtyp),
        cmocka_unit_test(both_forms_of_entra_are_known_in_every_cloud),
        cmocka_unit_test(entra_without_one_tenant_is_refused),
        cmocka_unit_test(keys_of_other_tenants_are_passed_over),
        cmocka_unit_test(issuer_is_seen_before_anything_is_believed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
