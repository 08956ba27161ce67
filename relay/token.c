/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/token.h"

#include <errno.h>
#include <jose/jws.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "relay/issuer.h"
#include "relay/issuer_keys.h"

#define SKEW (60 * USEC_PER_SEC)

/* 9999-12-31T23:59:59Z, the last date that RFC 3339 can write. */
#define DATE_MAX 253402300799.0

static const header_parameter allowed[] = {
    {"alg", JSON_STRING}, {"kid", JSON_STRING},      {"typ", JSON_STRING},
    {"x5t", JSON_STRING}, {"x5t#S256", JSON_STRING},
};

static _printf_(2, 3) int refuse(char **ret_why, const char *format, ...) {
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(ret_why, format, ap);
    va_end(ap);
    return r < 0 ? -ENOMEM : -EACCES;
}

const char *quote(const char *text, char buffer[static QUOTE_MAX]) {
    static const char more[] = "…";
    size_t length = strlen(text);

    if (length < QUOTE_MAX)
        return text;

    length = QUOTE_MAX - sizeof(more);
    while (length > 0 && ((unsigned char) text[length] & 0xc0) == 0x80)
        length--;

    memcpy(buffer, text, length);
    memcpy(buffer + length, more, sizeof(more));
    return buffer;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

/* RFC 8725 section 3.11, RFC 9068 section 2.1: media types, compared without case. */
static bool is_type_of_access_token(const char *typ) {
    return strcasecmp(typ, "JWT") == 0 || strcasecmp(typ, "at+jwt") == 0 ||
           strcasecmp(typ, "application/at+jwt") == 0;
}

static int check_header(token *t, char **ret_why) {
    static const char *const algorithms[] = {"RS256", "PS256", "ES256", NULL};
    const char *typ = json_get_string(t->header, "typ");
    char buffer[QUOTE_MAX];

    t->alg = json_get_string(t->header, "alg");
    if (!t->alg)
        return refuse(ret_why, "the token's header has no alg");
    if (!is_one_of(t->alg, algorithms))
        return refuse(ret_why, "the token's algorithm is %s, not RS256, PS256 or ES256",
                      quote(t->alg, buffer));

    t->kid = json_get_string(t->header, "kid");
    if (!t->kid)
        return refuse(ret_why, "the token's header has no kid");

    if (typ && !is_type_of_access_token(typ))
        return refuse(ret_why, "the token's typ is not JWT or at+jwt");
    return 0;
}

static int parse_claims(const compact_part *part, json_t **ret) {
    _cleanup_(secret_freep) secret *text = NULL;
    const char *why;
    int r;

    r = compact_decode(part, &text);
    if (r < 0)
        return r;

    r = json_parse(secret_data(text), secret_size(text), TOKEN_MAX, ret, &why);
    return r == 0 || r == -ENOMEM ? r : -EBADMSG;
}

static int parse(const char *text, size_t size, token *t, char **ret_why) {
    const char *why = NULL;
    int r;

    if (size > TOKEN_MAX)
        return refuse(ret_why, "the token is larger than 16 KiB");

    r = compact_split(text, size, t->parts, TOKEN_PARTS);
    if (r == -EILSEQ)
        return refuse(ret_why, "a part of the token is not base64url without padding");
    if (r < 0)
        return refuse(ret_why, "the token is not a signed JWT, three parts with dots between them");

    r = compact_header(&t->parts[TOKEN_HEADER], allowed, ELEMENTSOF(allowed), &t->header, &why);
    if (r == -EBADMSG)
        return refuse(ret_why, "the token: %s", why);
    if (r < 0)
        return r;

    r = check_header(t, ret_why);
    if (r < 0)
        return r;

    r = parse_claims(&t->parts[TOKEN_PAYLOAD], &t->claims);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || !json_is_object(t->claims))
        return refuse(ret_why, "the token's claims are not one JSON object with every member once");
    return 0;
}

int token_parse(const char *text, size_t size, token *ret, char **ret_why) {
    token t = {0};
    int r;

    assert(text || size == 0);
    assert(ret);
    assert(ret_why);

    r = parse(text, size, &t, ret_why);
    if (r < 0) {
        token_done(&t);
        return r;
    }

    *ret = t;
    return 0;
}

void token_done(token *t) {
    assert(t);

    json_decref(t->header);
    json_decref(t->claims);
    *t = (token){0};
}

int token_check_signature(const token *t, const json_t *jwk, char **ret_why) {
    _cleanup_(json_freep) json_t *jws = NULL;

    assert(t);
    assert(jwk);
    assert(ret_why);

    /* libjose 11 lets a token pass whose algorithm sorts behind the one its key is for. */
    if (!issuer_key_fits(jwk, t->alg))
        return refuse(ret_why, "the token's algorithm %s does not fit the key that it names",
                      t->alg);

    jws = json_pack(
        "{s:o, s:o, s:o}", "protected",
        json_stringn(t->parts[TOKEN_HEADER].text, t->parts[TOKEN_HEADER].length), "payload",
        json_stringn(t->parts[TOKEN_PAYLOAD].text, t->parts[TOKEN_PAYLOAD].length), "signature",
        json_stringn(t->parts[TOKEN_SIGNATURE].text, t->parts[TOKEN_SIGNATURE].length));
    if (!jws)
        return -ENOMEM;

    if (!jose_jws_ver(NULL, jws, NULL, jwk, true))
        return refuse(ret_why, "the token's signature is wrong");
    return 0;
}

/* iss and tid. */
static int check_origin(const json_t *claims, const issuer_config *config, char **ret_why) {
    const char *iss = json_get_string(claims, "iss"), *tid = json_get_string(claims, "tid");
    char buffer[QUOTE_MAX];

    if (!iss)
        return refuse(ret_why, "the token names no issuer (iss)");
    if (!issuer_config_speaks_for(config, iss))
        return refuse(ret_why, "the token's issuer is %s, not %s", quote(iss, buffer), config->url);

    if (!config->tenant)
        return 0;
    if (!tid)
        return refuse(ret_why, "the token names no tenant (tid)");
    if (strcasecmp(tid, config->tenant) != 0)
        return refuse(ret_why, "the token's tenant is %s, not %s", quote(tid, buffer),
                      config->tenant);
    return 0;
}

static bool is_audience(const json_t *j, const issuer_config *config) {
    const char *text = json_string_value(j);

    return text && is_one_of(text, (const char *const *) config->audiences);
}

/* RFC 7519 section 4.1.3: one text, or a list of them. */
static int check_audience(const json_t *aud, const issuer_config *config, char **ret_why) {
    const char *first = json_string_value(json_is_array(aud) ? json_array_get(aud, 0) : aud);
    char buffer[QUOTE_MAX];

    if (!first)
        return refuse(ret_why, "the token names no audience (aud)");
    if (is_audience(aud, config))
        return 0;

    for (size_t i = 0; i < json_array_size(aud); i++)
        if (is_audience(json_array_get(aud, i), config))
            return 0;

    return refuse(ret_why, "the token's audience is %s, not %s", quote(first, buffer),
                  config->audiences[0]);
}

/* A NumericDate (RFC 7519 section 2), which need not be a whole number. Returns 0; -ENOENT where it
 * is not there; -EINVAL where it is no date. */
static int get_date(const json_t *claims, const char *name, usec_t *ret) {
    const json_t *j = json_object_get(claims, name);
    double seconds = json_number_value(j);

    if (!j)
        return -ENOENT;
    if (!json_is_number(j) || !(seconds >= 0 && seconds <= DATE_MAX))
        return -EINVAL;

    *ret = (usec_t) (seconds * (double) USEC_PER_SEC);
    return 0;
}

static int check_times(const json_t *claims, usec_t now, char **ret_why) {
    char then_text[RFC3339_MAX], now_text[RFC3339_MAX];
    usec_t exp = 0, nbf = 0, iat = 0;
    int r;

    (void) rfc3339_utc(now, now_text);

    r = get_date(claims, "exp", &exp);
    if (r == -ENOENT)
        return refuse(ret_why, "the token has no time of expiry (exp)");
    if (r < 0 || get_date(claims, "nbf", &nbf) == -EINVAL ||
        get_date(claims, "iat", &iat) == -EINVAL)
        return refuse(ret_why, "a time of the token (exp, nbf, iat) is not a date");

    if (now >= exp + SKEW)
        return refuse(ret_why, "the token expired at %s; here it is %s",
                      rfc3339_utc(exp, then_text), now_text);
    if (nbf > now + SKEW)
        return refuse(ret_why, "the token is not valid before %s; here it is %s",
                      rfc3339_utc(nbf, then_text), now_text);
    if (iat > now + SKEW)
        return refuse(ret_why, "the token was issued at %s; here it is only %s",
                      rfc3339_utc(iat, then_text), now_text);
    return 0;
}

/* RFC 9068 section 2.2 calls client_id what Entra calls azp, and appid in version 1. */
static const char *client_of(const json_t *claims) {
    const char *client = json_get_string(claims, "azp");

    if (!client)
        client = json_get_string(claims, "appid");
    return client ? client : json_get_string(claims, "client_id");
}

static bool is_app(const json_t *claims) {
    const char *idtyp = json_get_string(claims, "idtyp");

    if (idtyp)
        return strcmp(idtyp, "app") == 0;

    return !json_object_get(claims, "scp") && !json_object_get(claims, "scope") &&
           json_object_get(claims, "roles") && json_get_string(claims, "sub") &&
           json_equal(json_object_get(claims, "sub"), json_object_get(claims, "oid"));
}

/* What a client gets for itself and no other; an access token for an application that is portal and
 * agent in one still says what it is good for. */
static bool is_for_client_alone(const json_t *claims) {
    const json_t *aud = json_object_get(claims, "aud");
    const char *only = json_string_value(json_array_size(aud) == 1 ? json_array_get(aud, 0) : aud);

    return only && strcmp(only, client_of(claims)) == 0 && !json_object_get(claims, "scp") &&
           !json_object_get(claims, "scope") && !is_app(claims);
}

/* An ID token tells a portal who signed in; it is not meant for us and says nothing about what its
 * bearer may ask for (RFC 8725 section 3.12). */
static int check_kind(const json_t *claims, char **ret_why) {
    const char *typ = json_get_string(claims, "typ");

    for (const char *const *name = (const char *const[]){"nonce", "at_hash", "c_hash", NULL}; *name;
         name++)
        if (json_object_get(claims, *name))
            return refuse(ret_why, "this is an ID token (it has %s), not an access token", *name);
    if (typ && strcmp(typ, "ID") == 0)
        return refuse(ret_why, "this is an ID token (its typ is ID), not an access token");

    if (!client_of(claims))
        return refuse(ret_why,
                      "the token does not say which client got it (azp, appid, client_id), as "
                      "an access token does; it may be an ID token");

    if (is_for_client_alone(claims))
        return refuse(ret_why, "this is an ID token (it is for the client that got it, and has no "
                               "scope), not an access token");

    if (!json_get_string(claims, "oid") && !json_get_string(claims, "sub"))
        return refuse(ret_why, "the token does not say who asks (oid, sub)");
    return 0;
}

int token_check_claims(const token *t, const issuer_config *config, usec_t now, char **ret_why) {
    int r;

    assert(t);
    assert(config);
    assert(ret_why);

    r = check_origin(t->claims, config, ret_why);
    if (r < 0)
        return r;

    r = check_audience(json_object_get(t->claims, "aud"), config, ret_why);
    if (r < 0)
        return r;

    r = check_times(t->claims, now, ret_why);
    if (r < 0)
        return r;

    return check_kind(t->claims, ret_why);
}

void token_take_claims(token *t, token_claims *ret) {
    const json_t *claims;

    assert(t);
    assert(ret);

    claims = t->claims;
    *ret = (token_claims){
        .subject = json_get_string(claims, "sub"),
        .object_id = json_get_string(claims, "oid"),
        .tenant = json_get_string(claims, "tid"),
        .client = client_of(claims),
        .upn = json_get_string(claims, "upn"),
        .preferred_name = json_get_string(claims, "preferred_username"),
        .onprem_sid = json_get_string(claims, "onprem_sid"),
        .is_app = is_app(claims),
    };
    (void) get_date(claims, "exp", &ret->expires);
    ret->all = TAKE_PTR(t->claims);
}

void token_claims_done(token_claims *c) {
    assert(c);

    json_decref(c->all);
    *c = (token_claims){0};
}

static bool list_has(const json_t *list, const char *text) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));

        if (item && strcmp(item, text) == 0)
            return true;
    }
    return false;
}

bool token_claims_has_role(const token_claims *c, const char *role) {
    return list_has(json_object_get(c->all, "roles"), role);
}

bool token_claims_has_directory_role(const token_claims *c, const char *wid) {
    return list_has(json_object_get(c->all, "wids"), wid);
}

int token_peek_issuer(const char *text, size_t size, char **ret) {
    _cleanup_(json_freep) json_t *claims = NULL;
    compact_part parts[TOKEN_PARTS];
    const char *iss;
    int r;

    assert(text || size == 0);
    assert(ret);

    if (size > TOKEN_MAX || compact_split(text, size, parts, TOKEN_PARTS) < 0)
        return -EBADMSG;

    r = parse_claims(&parts[TOKEN_PAYLOAD], &claims);
    if (r < 0)
        return r;

    iss = json_get_string(claims, "iss");
    if (!iss)
        return -EBADMSG;

    *ret = strdup(iss);
    return *ret ? 0 : -ENOMEM;
}
