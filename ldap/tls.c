/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"

struct tls_session {
    SSL *ssl;
    char *host, *domain;
    const char *ca;
    char *problem;
    outcome problem_outcome;
    bool wants_write;
};

/* ---- What certificates are checked with ------------------------------------------------------ */

static char *take_openssl_error(const char *what) {
    unsigned long e = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    char *text = text_format("%s: %s", what, reason ? reason : "unknown error");

    ERR_clear_error();
    return text;
}

/* Whether OpenSSL looks for a certificate under such a name: the hash of its subject, a dot, and a
 * number (openssl-rehash(1)). */
static bool is_hashed_name(const char *name) {
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' &&
           isdigit((unsigned char) name[9]);
}

/* OpenSSL takes any text for a folder, and finds nothing in it. Returns what is wrong, malloc(3)ed,
 * or NULL. */
static char *check_directory(const char *path) {
    DIR *folder = opendir(path);
    bool has_any = false;

    if (!folder)
        return text_format("CaDirectory=%s cannot be used: %s", path, strerror(errno));

    for (struct dirent *e; !has_any && (e = readdir(folder));)
        has_any = is_hashed_name(e->d_name);
    (void) closedir(folder);
    return has_any ? NULL
                   : text_format("CaDirectory=%s has no certificate under the name by which it is "
                                 "looked for; let `openssl rehash %s` make those names",
                                 path, path);
}

static int load_authorities(SSL_CTX *ctx, const char *ca_file, const char *ca_directory,
                            char **ret_why) {
    _cleanup_free_ char *what = NULL;

    if (ca_directory) {
        *ret_why = check_directory(ca_directory);
        if (*ret_why)
            return -EINVAL;
    }

    ERR_clear_error();
    if (ca_file && SSL_CTX_load_verify_file(ctx, ca_file) != 1)
        what = text_format("CaFile=%s cannot be used", ca_file);
    else if (ca_directory && SSL_CTX_load_verify_dir(ctx, ca_directory) != 1)
        what = text_format("CaDirectory=%s cannot be used", ca_directory);
    else if (!ca_file && !ca_directory && SSL_CTX_set_default_verify_paths(ctx) != 1)
        what = strdup("the system's certificate store cannot be used");
    else
        return 0;

    *ret_why = what ? take_openssl_error(what) : NULL;
    return -EINVAL;
}

static int on_certificate(int ok, X509_STORE_CTX *store);

int tls_context_new(const char *ca_file, const char *ca_directory, SSL_CTX **ret, char **ret_why) {
    _cleanup_(tls_context_freep) SSL_CTX *ctx = NULL;
    int r;

    assert(ret);
    assert(ret_why);

    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return -ENOMEM;

    r = load_authorities(ctx, ca_file, ca_directory, ret_why);
    if (r < 0)
        return r;

    /* An administrator who trusts one issuing CA need not trust all that its root has issued. */
    (void) X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_certificate);
    (void) SSL_CTX_set_mode(ctx,
                            SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void) SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);

    *ret = TAKE_PTR(ctx);
    return 0;
}

/* ---- Why a certificate was refused ----------------------------------------------------------- */

static char *bio_take_text(BIO *bio) {
    char *data;
    long size = BIO_get_mem_data(bio, &data);

    return strndup(data, size < 0 ? 0 : (size_t) size);
}

static char *name_text(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) > 0)
        text = bio_take_text(bio);
    BIO_free(bio);
    return text ? text : strdup("no name");
}

/* The names that a certificate bears: "DNS:dc1.corp.example, DNS:corp.example". */
static char *alternative_names_text(X509 *certificate) {
    int at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio && at >= 0 && X509V3_EXT_print(bio, X509_get_ext(certificate, at), 0, 0) == 1)
        text = bio_take_text(bio);
    BIO_free(bio);
    return text;
}

static usec_t time_of(const ASN1_TIME *t) {
    struct tm tm;
    time_t seconds;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    seconds = timegm(&tm);
    return seconds < 0 ? 0 : (usec_t) seconds * USEC_PER_SEC;
}

/* What an administrator needs to know of a certificate, whatever is wrong with it. */
static char *certificate_text(const tls_session *s, X509 *certificate) {
    _cleanup_free_ char *subject = name_text(X509_get_subject_name(certificate));
    _cleanup_free_ char *issuer = name_text(X509_get_issuer_name(certificate));
    _cleanup_free_ char *names = alternative_names_text(certificate);
    char from[RFC3339_MAX], until[RFC3339_MAX];

    if (!subject || !issuer)
        return NULL;

    return text_format("subject %s, issuer %s, names %s, valid from %s until %s, checked with %s",
                       subject, issuer, names ? names : "none",
                       rfc3339_utc(time_of(X509_get0_notBefore(certificate)), from),
                       rfc3339_utc(time_of(X509_get0_notAfter(certificate)), until), s->ca);
}

static bool is_trust_error(int error) {
    return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN || error == X509_V_ERR_CERT_UNTRUSTED;
}

static char *describe_certificate(const tls_session *s, X509 *certificate, int error, int depth) {
    _cleanup_free_ char *known = certificate_text(s, certificate);
    const char *whose = depth == 0 ? "certificate" : "CA certificate";
    char date[RFC3339_MAX];

    if (!known)
        return NULL;

    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return text_format("bears a certificate for another name: it is not for %s (%s)", s->host,
                           known);

    if (error == X509_V_ERR_CERT_HAS_EXPIRED)
        return text_format("bears a %s that expired on %s (%s)", whose,
                           rfc3339_utc(time_of(X509_get0_notAfter(certificate)), date), known);

    if (error == X509_V_ERR_CERT_NOT_YET_VALID)
        return text_format("bears a %s that is not valid before %s, which this host's clock has "
                           "not reached (%s)",
                           whose, rfc3339_utc(time_of(X509_get0_notBefore(certificate)), date),
                           known);

    if (is_trust_error(error))
        return text_format(
            "bears a certificate that is not trusted: %s; %s is not in %s (%s)",
            X509_verify_cert_error_string(error),
            error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ? "it" : "the CA that issued it", s->ca,
            known);

    return text_format("bears a %s that cannot be used: %s (%s)", whose,
                       X509_verify_cert_error_string(error), known);
}

/* OpenSSL calls it for each certificate and each thing wrong with it. The first one counts: the
 * handshake ends there. */
static int on_certificate(int ok, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_session *s = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);

    if (ok || s->problem)
        return ok;

    s->problem_outcome = OUTCOME_AD_CONFIGURATION;
    s->problem = certificate ? describe_certificate(s, certificate, X509_STORE_CTX_get_error(store),
                                                    X509_STORE_CTX_get_error_depth(store))
                             : NULL;
    return 0;
}

/* ---- A session ------------------------------------------------------------------------------- */

static bool set_expected_name(SSL *ssl, char *host) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    /* An address is looked for among the certificate's addresses, and never sent as SNI. */
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return true;

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, (char *) (uintptr_t) host) == 1;
}

int tls_session_new(SSL_CTX *ctx, int fd, const char *host, const char *domain, const char *ca,
                    tls_session **ret) {
    _cleanup_(tls_session_freep) tls_session *s = NULL;

    assert(ctx);
    assert(fd >= 0);
    assert(host);
    assert(ca);
    assert(ret);

    s = calloc(1, sizeof(tls_session));
    if (!s)
        return -ENOMEM;

    s->ca = ca;
    s->problem_outcome = OUTCOME_AD_NOT_REACHABLE;
    s->host = strdup(host);
    s->domain = domain ? strdup(domain) : NULL;
    s->ssl = SSL_new(ctx);
    if (!s->host || !s->domain != !domain || !s->ssl || SSL_set_fd(s->ssl, fd) != 1 ||
        !set_expected_name(s->ssl, s->host))
        return -ENOMEM;

    (void) SSL_set_app_data(s->ssl, s);
    SSL_set_connect_state(s->ssl);

    *ret = TAKE_PTR(s);
    return 0;
}

tls_session *tls_session_free(tls_session *s) {
    if (!s)
        return NULL;

    if (s->ssl && SSL_is_init_finished(s->ssl))
        (void) SSL_shutdown(s->ssl);
    SSL_free(s->ssl);
    ERR_clear_error();
    free(s->problem);
    free(s->host);
    free(s->domain);
    free(s);
    return NULL;
}

/* What an answer means that is not what a TLS server would say. */
static char *describe_protocol_error(unsigned long error, outcome *ret_outcome) {
    const char *reason = ERR_reason_error_string(error);

    *ret_outcome = OUTCOME_AD_CONFIGURATION;

    switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_HTTP_REQUEST:
        return strdup("does not speak TLS on this port; LDAPS has port 636");

    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return strdup("speaks no TLS that is new enough; version 1.2 or later is needed");

    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return text_format("refused the TLS handshake (%s): it has no certificate that it can use, "
                           "or no cipher in common with this host",
                           reason);

    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        *ret_outcome = OUTCOME_AD_NOT_REACHABLE;
        return strdup("closed the connection during the TLS handshake: it has no certificate, or "
                      "this is no TLS port");

    default:
        return text_format("failed the TLS handshake: %s", reason ? reason : "unknown error");
    }
}

static void note_handshake_problem(tls_session *s, int ssl_error) {
    int error = errno;

    if (s->problem)
        return;

    if (ssl_error == SSL_ERROR_SYSCALL)
        s->problem = text_format(
            "broke the connection during the TLS handshake (%s): it has no certificate, or this is no TLS port",
            strerror(error ? error : ECONNRESET));
    else
        s->problem = describe_protocol_error(ERR_peek_error(), &s->problem_outcome);
}

/* OpenSSL checks one name; this is the second. */
static int check_domain(tls_session *s) {
    _cleanup_free_ char *known = NULL;
    X509 *certificate = SSL_get0_peer_certificate(s->ssl);

    if (!s->domain ||
        X509_check_host(certificate, s->domain, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1)
        return 0;

    known = certificate_text(s, certificate);
    s->problem_outcome = OUTCOME_AD_CONFIGURATION;
    s->problem = text_format("bears a certificate that does not name the domain %s, as one must "
                             "that only DNS told of (%s)",
                             s->domain, known ? known : "?");
    return -EPROTO;
}

int tls_session_handshake(tls_session *s) {
    int r, e;

    assert(s);

    ERR_clear_error();
    errno = 0;
    r = SSL_do_handshake(s->ssl);
    s->wants_write = false;
    if (r == 1)
        return check_domain(s);

    e = SSL_get_error(s->ssl, r);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        s->wants_write = e == SSL_ERROR_WANT_WRITE;
        return -EAGAIN;
    }

    note_handshake_problem(s, e);
    ERR_clear_error();
    return -EPROTO;
}

const char *tls_session_problem(const tls_session *s, outcome *ret_outcome) {
    assert(s);
    assert(ret_outcome);

    *ret_outcome = s->problem_outcome;
    return s->problem ? s->problem : "failed the TLS handshake, and memory is short";
}

static ssize_t finish_io(tls_session *s, int r) {
    int e = SSL_get_error(s->ssl, r), error = errno;

    s->wants_write = e == SSL_ERROR_WANT_WRITE;
    switch (e) {
    case SSL_ERROR_NONE:
        return r;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_SYSCALL:
        return error != 0 ? -error : -ECONNRESET;
    default:
        /* Many servers end a connection without the alert that TLS asks for. */
        r = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? 0 : -EPROTO;
        ERR_clear_error();
        return r;
    }
}

static int at_most_int(size_t size) {
    return size > INT32_MAX ? INT32_MAX : (int) size;
}

ssize_t tls_session_read(tls_session *s, void *buffer, size_t size) {
    assert(s);
    assert(buffer);

    ERR_clear_error();
    errno = 0;
    return finish_io(s, SSL_read(s->ssl, buffer, at_most_int(size)));
}

ssize_t tls_session_write(tls_session *s, const void *data, size_t size) {
    assert(s);
    assert(data);

    ERR_clear_error();
    errno = 0;
    return finish_io(s, SSL_write(s->ssl, data, at_most_int(size)));
}

bool tls_session_has_pending(const tls_session *s) {
    assert(s);
    return SSL_pending(s->ssl) > 0;
}

bool tls_session_wants_write(const tls_session *s) {
    assert(s);
    return s->wants_write;
}

int tls_session_end_point(const tls_session *s, uint8_t ret[static TLS_END_POINT_MAX],
                          size_t *ret_size) {
    X509 *certificate;
    const EVP_MD *hash;
    unsigned size;
    int nid;

    assert(s);
    assert(ret_size);

    certificate = SSL_get0_peer_certificate(s->ssl);
    if (!certificate || X509_get_signature_info(certificate, &nid, NULL, NULL, NULL) != 1 ||
        nid == NID_undef)
        return -ENOTSUP;

    hash = nid == NID_md5 || nid == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(nid);
    if (!hash || EVP_MD_get_size(hash) > TLS_END_POINT_MAX)
        return -ENOTSUP;
    if (X509_digest(certificate, hash, ret, &size) != 1)
        return -ENOMEM;

    *ret_size = size;
    return 0;
}

usec_t tls_session_not_after(const tls_session *s) {
    X509 *certificate;

    assert(s);

    certificate = SSL_get0_peer_certificate(s->ssl);
    return certificate ? time_of(X509_get0_notAfter(certificate)) : 0;
}
