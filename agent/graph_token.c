/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/graph_token.h"

#include <errno.h>
#include <jose/b64.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#define ASSERTION_LIFETIME (5 * USEC_PER_MINUTE)
#define ANSWER_MAX ((size_t) 64 * 1024)
#define TOKEN_LIFETIME_MAX USEC_PER_DAY
#define ERROR_MAX 300

DEFINE_CLEANUP(BIO *, BIO_free);
static inline void x509_freep(X509 **x) {
    X509_free(*x);
}
static inline void pkey_freep(EVP_PKEY **key) {
    EVP_PKEY_free(*key);
}
static inline void curl_textp(char **text) {
    curl_free(*text);
}

/* ---- The certificate ------------------------------------------------------------------------- */

static int refuse(const char *why, const char **ret_why) {
    *ret_why = why;
    return -EINVAL;
}

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writes, void *userdata) {
    (void) buffer;
    (void) size;
    (void) writes;
    (void) userdata;
    return -1;
}

/* A failure must not be left behind in OpenSSL's queue, where a TLS connection would find it. */
static EVP_PKEY *read_key(const secret *pem) {
    _cleanup_(BIO_freep) BIO *in = BIO_new_mem_buf(secret_data(pem), (int) secret_size(pem));
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

    ERR_clear_error();
    return key;
}

static X509 *read_certificate(const secret *pem) {
    _cleanup_(BIO_freep) BIO *in = BIO_new_mem_buf(secret_data(pem), (int) secret_size(pem));

    X509 *x = in ? PEM_read_bio_X509(in, NULL, no_passphrase, NULL) : NULL;

    ERR_clear_error();
    return x;
}

static usec_t end_of(const X509 *certificate) {
    struct tm tm;
    time_t seconds;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    seconds = timegm(&tm);
    return seconds > 0 ? (usec_t) seconds * USEC_PER_SEC : 0;
}

/* base64url without padding, malloc(3)ed. */
static char *base64url(const void *data, size_t size) {
    _cleanup_(json_freep) json_t *text = jose_b64_enc(data, size);

    return text ? strdup(json_string_value(text)) : NULL;
}

int graph_certificate_read(const secret *certificate, const secret *key, graph_config *ret,
                           const char **ret_why) {
    _cleanup_(x509_freep) X509 *x = NULL;
    _cleanup_(pkey_freep) EVP_PKEY *private_key = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    assert(certificate && key);
    assert(ret);
    assert(ret_why);

    x = read_certificate(certificate);
    if (!x)
        return refuse("is no certificate in PEM", ret_why);
    private_key = read_key(key);
    if (!private_key)
        return refuse("has a key that is no private key in PEM, or needs a passphrase", ret_why);
    if (EVP_PKEY_get_base_id(private_key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(private_key) < 2048)
        return refuse("has a key that is none of RSA with 2048 bits or more", ret_why);
    if (X509_check_private_key(x, private_key) != 1) {
        ERR_clear_error();
        return refuse("does not belong to the private key", ret_why);
    }
    if (X509_digest(x, EVP_sha256(), digest, &size) != 1)
        return -ENOMEM;

    ret->thumbprint = base64url(digest, size);
    ret->not_after = end_of(x);
    return ret->thumbprint ? 0 : -ENOMEM;
}

/* ---- The assertion --------------------------------------------------------------------------- */

static json_t *make_claims(const graph_config *c, usec_t now) {
    json_int_t seconds = (json_int_t) (now / USEC_PER_SEC);
    char id[SD_ID128_UUID_STRING_MAX];
    sd_id128_t random;

    if (sd_id128_randomize(&random) < 0)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", c->token_url, "iss",
                     c->client_id, "sub", c->client_id, "jti", sd_id128_to_uuid_string(random, id),
                     "iat", seconds, "nbf", seconds, "exp",
                     seconds + (json_int_t) (ASSERTION_LIFETIME / USEC_PER_SEC));
}

static json_t *key_to_jwk(const graph_config *c) {
    _cleanup_(pkey_freep) EVP_PKEY *key = read_key(c->key);

    return key ? jose_openssl_jwk_from_EVP_PKEY(NULL, key) : NULL;
}

/* Moves a text into secret memory. */
static int hide(char *text, secret **ret) {
    int r = secret_new(text, strlen(text), ret);

    explicit_bzero(text, strlen(text));
    free(text);
    return r;
}

static int join(const json_t *jws, secret **ret) {
    char *text;

    if (asprintf(&text, "%s.%s.%s", json_get_string(jws, "protected"),
                 json_get_string(jws, "payload"), json_get_string(jws, "signature")) < 0)
        return -ENOMEM;
    return hide(text, ret);
}

int graph_assertion_make(const graph_config *c, usec_t now, secret **ret) {
    _cleanup_(json_freep) json_t *claims = NULL, *jwk = NULL, *jws = json_object(), *template;

    assert(c && c->key && c->thumbprint && c->algorithm);
    assert(ret);

    template = json_pack("{s:{s:s, s:s, s:s}}", "protected", "alg", c->algorithm, "typ", "JWT",
                         "x5t#S256", c->thumbprint);
    claims = make_claims(c, now);
    if (!template || !claims || json_object_set_new(jws, "payload", jose_b64_enc_dump(claims)) < 0)
        return -ENOMEM;

    jwk = key_to_jwk(c);
    if (!jwk || !jose_jws_sig(NULL, jws, template, jwk))
        return -EIO;
    return join(jws, ret);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* "https://graph.microsoft.com/.default": all that the application was granted. */
static char *make_scope(const graph_config *c) {
    _cleanup_free_ char *scope = NULL;

    if (asprintf(&scope, "%s/.default", c->url) < 0) {
        scope = NULL;
        return NULL;
    }
    return curl_easy_escape(NULL, scope, 0);
}

/* The end of the form that proves who asks. */
static int make_proof(const graph_config *c, usec_t now, secret **ret) {
    _cleanup_(secret_freep) secret *assertion = NULL;
    char *text;
    int r;

    if (c->client_secret) {
        _cleanup_(curl_textp) char *escaped = curl_easy_escape(NULL, secret_data(c->client_secret),
                                                               (int) secret_size(c->client_secret));

        r = escaped ? asprintf(&text, "client_secret=%s", escaped) : -1;
    } else {
        r = graph_assertion_make(c, now, &assertion);
        if (r < 0)
            return r;
        r = asprintf(&text,
                     "client_assertion_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3A"
                     "client-assertion-type%%3Ajwt-bearer&client_assertion=%s",
                     secret_data(assertion));
    }
    return r < 0 ? -ENOMEM : hide(text, ret);
}

int graph_token_request(const graph_config *c, usec_t now, secret **ret) {
    _cleanup_(secret_freep) secret *proof = NULL, *form = NULL;
    _cleanup_(curl_textp) char *scope = NULL;
    int r, n;

    assert(c && c->client_id && c->url);
    assert(ret);

    r = make_proof(c, now, &proof);
    if (r < 0)
        return r;
    scope = make_scope(c);
    if (!scope)
        return -ENOMEM;

    r = secret_new_empty(strlen(c->client_id) + strlen(scope) + secret_size(proof) + 64, &form);
    if (r < 0)
        return r;
    n = snprintf(secret_buffer(form), secret_size(form),
                 "grant_type=client_credentials&client_id=%s&scope=%s&%s", c->client_id, scope,
                 secret_data(proof));
    secret_truncate(form, (size_t) n);

    *ret = TAKE_PTR(form);
    return 0;
}

/* ---- The answers ----------------------------------------------------------------------------- */

static int refuse_answer(const char *why, const char **ret_why) {
    *ret_why = why;
    return -EBADMSG;
}

/* A token is put into a header: visible characters alone (RFC 6750 section 2.1). */
static bool is_token(const char *text) {
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return *text;
}

int graph_token_read(const char *body, size_t size, secret **ret_token, usec_t *ret_lifetime,
                     const char **ret_why) {
    _cleanup_(json_freep) json_t *answer = NULL;
    const char *token;
    json_int_t seconds;
    int r;

    assert(ret_token);
    assert(ret_lifetime);
    assert(ret_why);

    r = json_parse(body, size, ANSWER_MAX, &answer, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;

    token = json_get_string(answer, "access_token");
    seconds = json_integer_value(json_object_get(answer, "expires_in"));
    if (!token || !is_token(token))
        return refuse_answer("it has no access_token", ret_why);
    if (seconds <= 0)
        return refuse_answer("its expires_in is no number of seconds", ret_why);

    *ret_lifetime = (usec_t) seconds < TOKEN_LIFETIME_MAX / USEC_PER_SEC
                        ? (usec_t) seconds * USEC_PER_SEC
                        : TOKEN_LIFETIME_MAX;
    return secret_new(token, strlen(token), ret_token);
}

/* The first sentence, of which the rest is mostly about this one attempt. */
static size_t first_sentence(const char *text) {
    size_t n = strcspn(text, "\r\n");
    const char *end = strstr(text, ". ");

    if (end && (size_t) (end - text) < n)
        n = (size_t) (end - text);
    return n < ERROR_MAX ? n : ERROR_MAX;
}

char *graph_error_describe(const char *body, size_t size) {
    _cleanup_(json_freep) json_t *answer = NULL;
    const json_t *error;
    const char *why, *code, *text;
    char *described;

    if (json_parse(body, size, ANSWER_MAX, &answer, &why) < 0)
        return NULL;

    error = json_object_get(answer, "error");
    if (json_is_string(error)) { /* RFC 6749; its description begins with Entra's own code */
        code = NULL;
        text = json_get_string(answer, "error_description");
        if (!text)
            text = json_string_value(error);
    } else {
        code = json_get_string(error, "code");
        text = json_get_string(error, "message");
    }
    if (!text)
        return NULL;

    return asprintf(&described, "%.100s%s%.*s", code ? code : "", code ? ": " : "",
                    (int) first_sentence(text), text) < 0
               ? NULL
               : described;
}
