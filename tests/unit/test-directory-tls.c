/* SPDX-License-Identifier: Apache-2.0 */

/* What is said about each way in which a controller's TLS can be wrong. The other side is a thread
 * behind a socket pair, which speaks TLS by OpenSSL as it is told, or none at all. */

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "ldap/tls.h"

#define HOST "dc1.corp.example"

typedef struct identity {
    EVP_PKEY *key;
    X509 *certificate;
} identity;

/* All that these tests need to know; made once. */
static struct {
    identity ca, other_ca, good, expired, early, elsewhere, nameless, stranger, self_signed, client;
    char ca_file[64], empty_file[64];
} world;

/* ---- Certificates ---------------------------------------------------------------------------- */

static void add_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Days are counted from now. */
static identity issue(const identity *issuer, const char *name, const char *alternative_names,
                      const char *purpose, int from_day, int to_day) {
    identity id = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_NAME_new();
    const identity *signer = issuer ? issuer : &id;
    static long serial = 1;

    (void) X509_set_version(id.certificate, X509_VERSION_3);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), serial++);
    (void) X509_time_adj_ex(X509_getm_notBefore(id.certificate), from_day, 0, NULL);
    (void) X509_time_adj_ex(X509_getm_notAfter(id.certificate), to_day, 0, NULL);
    (void) X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name,
                                      -1, -1, 0);
    (void) X509_set_subject_name(id.certificate, subject);
    (void) X509_set_issuer_name(id.certificate, X509_get_subject_name(signer->certificate));
    (void) X509_set_pubkey(id.certificate, id.key);
    if (!issuer)
        add_extension(id.certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (alternative_names)
        add_extension(id.certificate, NID_subject_alt_name, alternative_names);
    if (purpose)
        add_extension(id.certificate, NID_ext_key_usage, purpose);
    assert_true(X509_sign(id.certificate, signer->key, EVP_sha256()) > 0);

    X509_NAME_free(subject);
    return id;
}

static void forget(identity *id) {
    X509_free(id->certificate);
    EVP_PKEY_free(id->key);
}

static int make_world(void **state) {
    FILE *file;

    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);

    world.ca = issue(NULL, "Corp CA", NULL, NULL, -10, 3650);
    world.other_ca = issue(NULL, "Other CA", NULL, NULL, -10, 3650);
    world.good = issue(&world.ca, HOST, "DNS:" HOST ",IP:192.0.2.1", NULL, -1, 90);
    world.expired = issue(&world.ca, HOST, "DNS:" HOST, NULL, -20, -2);
    world.early = issue(&world.ca, HOST, "DNS:" HOST, NULL, 2, 90);
    world.elsewhere =
        issue(&world.ca, "dc2", "DNS:dc2.corp.example,DNS:corp.example", NULL, -1, 90);
    world.nameless = issue(&world.ca, "some host", NULL, NULL, -1, 90);
    world.stranger = issue(&world.other_ca, HOST, "DNS:" HOST, NULL, -1, 90);
    world.self_signed = issue(NULL, HOST, "DNS:" HOST, NULL, -1, 90);
    world.client = issue(&world.ca, HOST, "DNS:" HOST, "clientAuth", -1, 90);

    (void) strcpy(world.ca_file, "/tmp/test-directory-tls-ca-XXXXXX");
    file = fdopen(mkstemp(world.ca_file), "w");
    (void) PEM_write_X509(file, world.ca.certificate);
    (void) fclose(file);
    (void) strcpy(world.empty_file, "/tmp/test-directory-tls-empty-XXXXXX");
    (void) close(mkstemp(world.empty_file));
    return 0;
}

static int forget_world(void **state) {
    identity *all[] = {&world.ca,          &world.other_ca,  &world.good,     &world.expired,
                       &world.early,       &world.elsewhere, &world.nameless, &world.stranger,
                       &world.self_signed, &world.client};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(all); i++)
        forget(all[i]);
    (void) unlink(world.ca_file);
    (void) unlink(world.empty_file);
    return 0;
}

/* ---- The two sides --------------------------------------------------------------------------- */

typedef struct server {
    int fd;
    const identity *id; /* NULL: none */
    int version;        /* at most; 0: any */
    const char *says;   /* in place of TLS; "" hangs up */
} server;

static void *serve(void *userdata) {
    server *s = userdata;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    char byte;

    if (s->says) {
        (void) recv(s->fd, &byte, 1, 0);
        (void) send(s->fd, s->says, strlen(s->says), MSG_NOSIGNAL);
    } else {
        if (s->version) {
            (void) SSL_CTX_set_min_proto_version(ctx, s->version);
            (void) SSL_CTX_set_max_proto_version(ctx, s->version);
            (void) SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
        }
        if (s->id) {
            (void) SSL_CTX_use_certificate(ctx, s->id->certificate);
            (void) SSL_CTX_use_PrivateKey(ctx, s->id->key);
        }
        ssl = SSL_new(ctx);
        (void) SSL_set_fd(ssl, s->fd);
        if (SSL_accept(ssl) == 1 && SSL_write(ssl, "hello", 5) == 5)
            (void) SSL_read(ssl, &byte, 1);
        SSL_free(ssl);
    }

    (void) shutdown(s->fd, SHUT_RDWR);
    SSL_CTX_free(ctx);
    return NULL;
}

static int shake_hands(tls_session *s, int fd) {
    int r;

    while ((r = tls_session_handshake(s)) == -EAGAIN) {
        struct pollfd p = {fd, tls_session_wants_write(s) ? POLLOUT : POLLIN, 0};

        assert_int_equal(poll(&p, 1, 5000), 1);
    }
    return r;
}

/* Has a client meet a server. Returns what the handshake came to, and what was said of it. */
static int meet(const server *with, const char *host, char *problem, size_t size, outcome *ret) {
    _cleanup_(tls_context_freep) SSL_CTX *ctx = NULL;
    _cleanup_(tls_session_freep) tls_session *s = NULL;
    _cleanup_free_ char *why = NULL;
    server other = *with;
    pthread_t thread;
    char hello[5];
    int fds[2], r;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(tls_context_new(world.ca_file, NULL, &ctx, &why), 0);
    other.fd = fds[1];
    assert_int_equal(pthread_create(&thread, NULL, serve, &other), 0);
    assert_int_equal(tls_session_new(ctx, fds[0], host, NULL, world.ca_file, &s), 0);

    r = shake_hands(s, fds[0]);
    if (r < 0)
        (void) snprintf(problem, size, "%s", tls_session_problem(s, ret));
    else {
        assert_int_equal(tls_session_read(s, hello, sizeof(hello)), sizeof(hello));
        assert_memory_equal(hello, "hello", 5);
        assert_true(tls_session_not_after(s) > now_realtime() + 89 * USEC_PER_DAY);
    }

    s = tls_session_free(s);
    (void) shutdown(fds[0], SHUT_RDWR);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
    return r;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_good_certificate_is_taken_by_name_and_by_address(void **state) {
    char problem[1024];
    outcome o;

    (void) state;

    assert_int_equal(meet(&(server){.id = &world.good}, HOST, problem, sizeof(problem), &o), 0);
    assert_int_equal(meet(&(server){.id = &world.good}, "192.0.2.1", problem, sizeof(problem), &o),
                     0);
    assert_int_equal(meet(&(server){.id = &world.good, .version = TLS1_2_VERSION}, HOST, problem,
                          sizeof(problem), &o),
                     0);
}

static void each_fault_is_told_in_its_own_words(void **state) {
    const struct {
        server server;
        const char *host;
        outcome outcome;
        const char *words[4];
    } faults[] = {
        {{.id = &world.expired},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"bears a certificate that expired on 2", "subject CN=" HOST, "issuer CN=Corp CA"}},
        {{.id = &world.early},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"is not valid before 2", "this host's clock"}},
        {{.id = &world.elsewhere},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"for another name", "DNS:dc2.corp.example, DNS:corp.example", "not for " HOST}},
        {{.id = &world.nameless},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"for another name", "subject CN=some host, issuer CN=Corp CA, names none"}},
        {{.id = &world.good},
         "192.0.2.2",
         OUTCOME_AD_CONFIGURATION,
         {"for another name", "IP Address:192.0.2.1", "not for 192.0.2.2"}},
        {{.id = &world.stranger},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"is not trusted", "issuer CN=Other CA", world.ca_file}},
        {{.id = &world.self_signed},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"is not trusted", "self-signed", world.ca_file}},
        {{.id = &world.client}, HOST, OUTCOME_AD_CONFIGURATION, {"cannot be used", "purpose"}},
        {{.id = NULL}, HOST, OUTCOME_AD_CONFIGURATION, {"has no certificate"}},
        {{.id = &world.good, .version = TLS1_1_VERSION},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"version 1.2 or later"}},
        {{.says = "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x02\x04\x00\x04\x00"},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"does not speak TLS on this port", "636"}},
        {{.says = "HTTP/1.1 400 Bad Request\r\n\r\n"},
         HOST,
         OUTCOME_AD_CONFIGURATION,
         {"does not speak TLS on this port"}},
        {{.says = ""}, HOST, OUTCOME_AD_NOT_REACHABLE, {"no certificate, or this is no TLS port"}},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
        char problem[1024] = "";
        outcome o = OUTCOME_INVALID;

        assert_int_equal(meet(&faults[i].server, faults[i].host, problem, sizeof(problem), &o),
                         -EPROTO);
        for (size_t j = 0; j < ELEMENTSOF(faults[i].words) && faults[i].words[j]; j++)
            if (!strstr(problem, faults[i].words[j]))
                fail_msg("\"%s\" does not say \"%s\"", problem, faults[i].words[j]);
        assert_int_equal(o, faults[i].outcome);
    }
}

static void files_that_hold_no_certificates_are_told(void **state) {
    const struct {
        const char *file, *words;
    } files[] = {
        {"/nowhere/ca.pem", "CaFile=/nowhere/ca.pem cannot be used: No such file or directory"},
        {world.empty_file, "no certificate or crl found"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        _cleanup_free_ char *why = NULL;
        SSL_CTX *ctx = NULL;

        assert_int_equal(tls_context_new(files[i].file, NULL, &ctx, &why), -EINVAL);
        assert_null(ctx);
        if (!strstr(why, files[i].words))
            fail_msg("\"%s\" does not say \"%s\"", why, files[i].words);
    }
}

static void the_systems_certificates_are_the_default(void **state) {
    _cleanup_(tls_context_freep) SSL_CTX *ctx = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(tls_context_new(NULL, NULL, &ctx, &why), 0);
    assert_non_null(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_taken_by_name_and_by_address),
        cmocka_unit_test(each_fault_is_told_in_its_own_words),
        cmocka_unit_test(files_that_hold_no_certificates_are_told),
        cmocka_unit_test(the_systems_certificates_are_the_default),
    };

    return cmocka_run_group_tests_name("directory-tls", tests, make_world, forget_world);
}
