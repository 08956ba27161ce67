/* SPDX-License-Identifier: Apache-2.0 */

/* What is wrong with a controller's certificate or TLS is told so that an administrator can mend
 * it: connections to `openssl s_server` with each kind of it. */

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "ldap/connection.h"
#include "tests/unit/command.h"

#define HOST "127.0.0.1"
#define NAMES "IP:127.0.0.1,DNS:dc1.corp.example,DNS:corp.example"
#define DAY 86400L

/* ---- Certificates ---------------------------------------------------------------------------- */

typedef struct authority {
    EVP_PKEY *key;
    X509 *certificate;
} authority;

static void write_certificate(const char *name, X509 *certificate, EVP_PKEY *key) {
    _cleanup_free_ char *file = format("%s/%s.pem", scratch(), name);
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, certificate), 1);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static void extend(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* NAME.pem in the scratch folder, valid from and until so many seconds from now. By itself where
 * `by` is NULL; a CA where `names` is NULL. */
static authority certify(const char *name, const char *names, long from, long until,
                         const authority *by) {
    authority a = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509_NAME *subject = X509_get_subject_name(a.certificate);

    (void) X509_set_version(a.certificate, X509_VERSION_3);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(a.certificate), 4711);
    (void) X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1,
                                      -1, 0);
    (void) X509_set_issuer_name(a.certificate,
                                by ? X509_get_subject_name(by->certificate) : subject);
    (void) X509_gmtime_adj(X509_getm_notBefore(a.certificate), from);
    (void) X509_gmtime_adj(X509_getm_notAfter(a.certificate), until);
    (void) X509_set_pubkey(a.certificate, a.key);
    extend(a.certificate, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names)
        extend(a.certificate, NID_subject_alt_name, names);
    assert_true(X509_sign(a.certificate, by ? by->key : a.key, EVP_sha256()) > 0);

    write_certificate(name, a.certificate, a.key);
    return a;
}

static void certify_and_forget(const char *name, const char *names, long from, long until,
                               const authority *by) {
    authority a = certify(name, names, from, until, by);

    EVP_PKEY_free(a.key);
    X509_free(a.certificate);
}

/* ---- The other side -------------------------------------------------------------------------- */

typedef struct server {
    pid_t pid;
    int input;
    FILE *output;
    char port[8];
} server;

static void be_server(const char *options, int input, int output) {
    _cleanup_free_ char *line = format("exec openssl s_server -accept " HOST ":0 %s", options);

    if (chdir(scratch()) == 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0)
        (void) execl("/bin/sh", "sh", "-c", line, NULL);
    _exit(127);
}

static server start_server(const char *options) {
    int input[2], output[2];
    char line[128];
    server s = {};

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    s.pid = fork();
    assert_true(s.pid >= 0);
    if (s.pid == 0)
        be_server(options, input[0], output[1]);

    (void) close(input[0]);
    (void) close(output[1]);
    s.input = input[1];
    s.output = fdopen(output[0], "r");
    while (fgets(line, sizeof(line), s.output))
        if (sscanf(line, "ACCEPT " HOST ":%7[0-9]", s.port) == 1)
            return s;
    fail_msg("openssl s_server %s does not start", options);
    return s;
}

static void stop_server(server *s) {
    (void) kill(s->pid, SIGTERM);
    (void) waitpid(s->pid, NULL, 0);
    (void) close(s->input);
    (void) fclose(s->output);
}

/* ---- Connecting ------------------------------------------------------------------------------ */

typedef struct fixture {
    sd_event *event;
    worker *worker;
    authority trusted;
    char *ca;
} fixture;

typedef struct attempt {
    bool opened, ended;
    outcome outcome;
    char reason[1024];
    usec_t not_after;
} attempt;

static void on_opened(void *userdata) {
    attempt *a = userdata;

    a->opened = a->ended = true;
}

static void on_lost(outcome o, const char *reason, void *userdata) {
    attempt *a = userdata;

    a->ended = true;
    a->outcome = o;
    (void) snprintf(a->reason, sizeof(a->reason), "%s", reason);
}

static attempt connect_to(fixture *f, const char *options, connection_target target) {
    _cleanup_(connection_freep) connection *c = NULL;
    server s = start_server(options);
    attempt a = {};

    target.name = "dc1";
    target.host = target.host ? target.host : HOST;
    target.port = s.port;
    assert_int_equal(connection_new(f->event, f->worker, &target, on_opened, on_lost, &a, &c), 0);
    while (!a.ended)
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
    a.not_after = connection_not_after(c);
    stop_server(&s);
    return a;
}

static void assert_refused(const attempt *a, const char *const *words) {
    assert_false(a->opened);
    assert_int_equal(a->outcome, OUTCOME_AD_CONFIGURATION);
    for (; *words; words++)
        if (!strstr(a->reason, *words))
            fail_msg("\"%s\" is not in: it %s", *words, a->reason);
}

#define ASSERT_REFUSED(a, ...) assert_refused(a, (const char *const[]){__VA_ARGS__, NULL})

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(worker_new(f->event, "test", &f->worker), 0);
    f->trusted = certify("Corp CA", NULL, -DAY, 100 * DAY, NULL);
    f->ca = scratch_path("Corp CA.pem");
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    worker_free(f->worker);
    sd_event_unref(f->event);
    EVP_PKEY_free(f->trusted.key);
    X509_free(f->trusted.certificate);
    free(f->ca);
    free(f);
    scratch_remove();
    return 0;
}

/* ---- What is taken --------------------------------------------------------------------------- */

static void a_good_certificate_is_taken_by_file_folder_and_system_store(void **state) {
    fixture *f = *state;
    _cleanup_free_ char *folder = scratch_path("folder");
    usec_t until = now_realtime() + 90 * DAY * USEC_PER_SEC;
    attempt a;

    certify_and_forget("dc1", NAMES, -DAY, 90 * DAY, &f->trusted);
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_file = f->ca});
    assert_true(a.opened);
    assert_in_range(a.not_after, until - USEC_PER_MINUTE, until + USEC_PER_MINUTE);

    /* Not without the names by which OpenSSL looks for it, nor where there is no folder. */
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_directory = folder});
    ASSERT_REFUSED(&a, "CaDirectory=", "cannot be used: No such file or directory");
    free(command("mkdir folder && cp 'Corp CA.pem' folder/ca.pem"));
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_directory = folder});
    ASSERT_REFUSED(&a, "has no certificate under the name", "`openssl rehash ");
    free(command("openssl rehash folder"));
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_directory = folder});
    assert_true(a.opened);

    a = connect_to(f, "-cert dc1.pem", (connection_target){});
    ASSERT_REFUSED(&a, "is not in the system's certificate store");
    (void) setenv("SSL_CERT_FILE", f->ca, 1);
    a = connect_to(f, "-cert dc1.pem", (connection_target){});
    (void) unsetenv("SSL_CERT_FILE");
    assert_true(a.opened);
}

static void tls_1_2_is_taken_and_anything_older_is_told(void **state) {
    fixture *f = *state;
    attempt a;

    certify_and_forget("dc1", NAMES, -DAY, 90 * DAY, &f->trusted);
    a = connect_to(f, "-cert dc1.pem -tls1_2", (connection_target){.ca_file = f->ca});
    assert_true(a.opened);

    a = connect_to(f, "-cert dc1.pem -tls1_1 -cipher ALL:@SECLEVEL=0",
                   (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "speaks no TLS that is new enough; version 1.2 or later is needed");
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void another_authority_is_told_with_the_file_that_was_used(void **state) {
    fixture *f = *state;
    authority other = certify("Other CA", NULL, -DAY, DAY, NULL);
    attempt a;

    certify_and_forget("dc1", NAMES, -DAY, DAY, &other);
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "bears a certificate that is not trusted", "the CA that issued it is not in",
                   f->ca, "subject CN=dc1", "issuer CN=Other CA", "DNS:dc1.corp.example",
                   "valid from 20");
    EVP_PKEY_free(other.key);
    X509_free(other.certificate);

    certify_and_forget("selfmade", NAMES, -DAY, DAY, NULL);
    a = connect_to(f, "-cert selfmade.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "not trusted: self-signed certificate; it is not in", f->ca,
                   "issuer CN=selfmade");
}

static void a_certificate_out_of_its_time_is_told_with_the_date(void **state) {
    fixture *f = *state;
    char date[RFC3339_MAX];
    authority old;
    attempt a;

    certify_and_forget("ended", NAMES, -9 * DAY, -2 * DAY, &f->trusted);
    (void) rfc3339_utc(now_realtime() - 2 * DAY * USEC_PER_SEC, date);
    date[10] = '\0';
    a = connect_to(f, "-cert ended.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "bears a certificate that expired on", date, "subject CN=ended",
                   "issuer CN=Corp CA", "names IP Address:127.0.0.1, DNS:dc1.corp.example", f->ca);

    certify_and_forget("early", NAMES, 3 * DAY, 9 * DAY, &f->trusted);
    (void) rfc3339_utc(now_realtime() + 3 * DAY * USEC_PER_SEC, date);
    date[10] = '\0';
    a = connect_to(f, "-cert early.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "that is not valid before", date, "which this host's clock has not reached",
                   "subject CN=early", f->ca);

    old = certify("Old CA", NULL, -9 * DAY, -DAY, NULL);
    certify_and_forget("dc1", NAMES, -DAY, DAY, &old);
    EVP_PKEY_free(old.key);
    X509_free(old.certificate);
    free(f->ca);
    f->ca = scratch_path("Old CA.pem");
    a = connect_to(f, "-cert dc1.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "bears a CA certificate that expired on", "subject CN=Old CA", f->ca);
}

static void another_name_is_told_with_the_names_that_are_there(void **state) {
    fixture *f = *state;
    attempt a;

    certify_and_forget("dc7", "DNS:dc7.corp.example", -DAY, DAY, &f->trusted);
    a = connect_to(f, "-cert dc7.pem", (connection_target){.ca_file = f->ca});
    ASSERT_REFUSED(&a, "bears a certificate for another name: it is not for 127.0.0.1",
                   "names DNS:dc7.corp.example", "issuer CN=Corp CA", f->ca);

    certify_and_forget("dc8", "DNS:*.corp.example", -DAY, DAY, &f->trusted);
    a = connect_to(f, "-cert dc8.pem", (connection_target){.host = "localhost", .ca_file = f->ca});
    ASSERT_REFUSED(&a, "it is not for localhost", "names DNS:*.corp.example");
}

static void a_domain_that_must_be_named_and_is_not_is_told(void **state) {
    fixture *f = *state;
    attempt a;

    certify_and_forget("dc1", NAMES, -DAY, DAY, &f->trusted);
    a = connect_to(f, "-cert dc1.pem",
                   (connection_target){.domain = "corp.example", .ca_file = f->ca});
    assert_true(a.opened);

    a = connect_to(f, "-cert dc1.pem", (connection_target){.domain = "example", .ca_file = f->ca});
    ASSERT_REFUSED(&a, "bears a certificate that does not name the domain example",
                   "DNS:corp.example", f->ca);
}

static void no_certificate_is_told(void **state) {
    fixture *f = *state;
    attempt a = connect_to(f, "-nocert", (connection_target){.ca_file = f->ca});

    ASSERT_REFUSED(&a, "it has no certificate that it can use");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_certificate_is_taken_by_file_folder_and_system_store),
        TEST(tls_1_2_is_taken_and_anything_older_is_told),
        TEST(another_authority_is_told_with_the_file_that_was_used),
        TEST(a_certificate_out_of_its_time_is_told_with_the_date),
        TEST(another_name_is_told_with_the_names_that_are_there),
        TEST(a_domain_that_must_be_named_and_is_not_is_told),
        TEST(no_certificate_is_told),
    };

    /* As the agent does. */
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("directory-tls", tests, NULL, NULL);
}
