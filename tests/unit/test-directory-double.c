/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test-directory-double.h"

#include <arpa/inet.h>
#include <errno.h>
#include <lber.h>
#include <ldap.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/macro.h"

#define DOMAIN_DN "DC=corp,DC=example"
#define SERVICE_DN "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Site,CN=Sites,CN=Configuration," DOMAIN_DN
#define CONNECTIONS_MAX 64
#define STAMPS_SIZE 64

struct controller_double {
    double_script script;
    double_count count;
    pthread_mutex_t lock; /* guards script, count, and the connections */
    SSL_CTX *ctx;
    int fd;
    char name[32];
    char referral[64]; /* to itself, so that following it is seen */
    pthread_t thread;
    struct {
        pthread_t thread;
        int fd;
    } connections[CONNECTIONS_MAX];
    size_t n_connections;
};

typedef struct request {
    ber_int_t id;
    ber_tag_t tag;
    char name[256];
    ber_int_t scope;
    bool is_must_change, unlocks, has_2239, has_2066, is_for_groups;
} request;

/* ---- Certificate ----------------------------------------------------------------------------- */

static EVP_PKEY *key;
static X509 *certificate;
static char ca_file[] = "/tmp/test-directory-ca-XXXXXX";

static void remove_ca_file(void) {
    (void) unlink(ca_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void make_certificate(void) {
    X509_NAME *name = X509_NAME_new();
    X509_EXTENSION *names;
    FILE *file;

    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    (void) X509_set_version(certificate, X509_VERSION_3);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    (void) X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    (void) X509_gmtime_adj(X509_getm_notAfter(certificate), 90L * 24 * 60 * 60);
    (void) X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const unsigned char *) "the double", -1, -1, 0);
    (void) X509_set_subject_name(certificate, name);
    (void) X509_set_issuer_name(certificate, name);
    (void) X509_set_pubkey(certificate, key);
    names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    (void) X509_add_ext(certificate, names, -1);
    (void) X509_sign(certificate, key, EVP_sha256());
    X509_EXTENSION_free(names);
    X509_NAME_free(name);

    file = fdopen(mkstemp(ca_file), "w");
    (void) PEM_write_X509(file, certificate);
    (void) fclose(file);
    (void) atexit(remove_ca_file);
}

const char *double_ca_file(void) {
    if (!certificate)
        make_certificate();
    return ca_file;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void send_ber(SSL *ssl, BerElement *ber) {
    struct berval bytes;

    (void) ber_flatten2(ber, &bytes, 0);
    (void) SSL_write(ssl, bytes.bv_val, (int) bytes.bv_len);
    ber_free(ber, 1);
}

static void send_result(SSL *ssl, const request *r, int result, const char *text,
                        const char *referral) {
    static const struct {
        ber_tag_t request, response;
    } tags[] = {{LDAP_REQ_BIND, LDAP_RES_BIND},
                {LDAP_REQ_SEARCH, LDAP_RES_SEARCH_RESULT},
                {LDAP_REQ_MODIFY, LDAP_RES_MODIFY}};
    BerElement *ber = ber_alloc_t(LBER_USE_DER);
    ber_tag_t tag = 0;

    for (size_t i = 0; i < ELEMENTSOF(tags); i++)
        if (tags[i].request == r->tag)
            tag = tags[i].response;

    if (result == LDAP_REFERRAL)
        (void) ber_printf(ber, "{it{esst{s}}}", r->id, tag, result, "", text ? text : "",
                          LDAP_TAG_REFERRAL, referral);
    else
        (void) ber_printf(ber, "{it{ess}}", r->id, tag, result, "", text ? text : "");
    send_ber(ssl, ber);
}

/* Attributes as pairs of name and value; several values of one name have several pairs. */
static void send_entry(SSL *ssl, const request *r, const char *dn, const char *const (*values)[2],
                       size_t n) {
    BerElement *ber = ber_alloc_t(LBER_USE_DER);

    (void) ber_printf(ber, "{it{s{", r->id, LDAP_RES_SEARCH_ENTRY, dn);
    for (size_t i = 0; i < n; i++) {
        if (!values[i][1])
            continue;
        if (strcmp(values[i][0], "objectGUID") == 0)
            (void) ber_printf(ber, "{s[o]}", values[i][0], values[i][1], (ber_len_t) 16);
        else if (strcmp(values[i][0], "objectSid") == 0)
            (void) ber_printf(ber, "{s[o]}", values[i][0], values[i][1], (ber_len_t) 12);
        else if (strcmp(values[i][0], "replPropertyMetaData") == 0)
            (void) ber_printf(ber, "{s[o]}", values[i][0], values[i][1], (ber_len_t) STAMPS_SIZE);
        else
            (void) ber_printf(ber, "{s[s]}", values[i][0], values[i][1]);
    }
    (void) ber_printf(ber, "}}}");
    send_ber(ssl, ber);
}

/* Of its password alone. */
static void make_stamps(uint64_t seconds, char stamps[static STAMPS_SIZE]) {
    static const unsigned char password[] = {0x5a, 0x00, 0x09, 0x00};

    memset(stamps, 0, STAMPS_SIZE);
    stamps[0] = 1;
    stamps[8] = 1;
    memcpy(stamps + 16, password, sizeof(password));
    for (size_t i = 0; i < 8; i++)
        stamps[24 + i] = (char) (seconds >> 8 * i);
}

static void answer_search(SSL *ssl, const request *r, const double_script *s) {
    char stamps[STAMPS_SIZE];
    const char *const root[][2] = {
        {"defaultNamingContext", DOMAIN_DN},
        {"dsServiceName", SERVICE_DN},
        {"isSynchronized", s->is_synchronizing ? "FALSE" : "TRUE"},
        {"supportedControl", s->hints ? s->hints : "1.2.840.113556.1.4.319"},
        {"currentTime", s->current_time},
    };
    const char *const service[][2] = {{"msDS-isRODC", s->is_read_only ? "TRUE" : "FALSE"}};
    const char *const domain[][2] = {{"minPwdLength", "7"},
                                     {"pwdHistoryLength", "24"},
                                     {"minPwdAge", "-864000000000"},
                                     {"pwdProperties", "1"}};
    const char *const group[][2] = {
        {"objectClass", "group"},
        {"groupType", "-2147483646"},
        {"objectSid", "\x01\x01\x00\x00\x00\x00\x00\x05\x13\x00\x00\x00"},
    };
    const char *const account[][2] = {
        {"objectGUID", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"},
        {"objectSid", "\x01\x01\x00\x00\x00\x00\x00\x05\x12\x00\x00\x00"},
        {"sAMAccountName", "ada"},
        {"displayName", "Ada Lovelace"},
        {"userAccountControl", "512"},
        {"msDS-User-Account-Control-Computed", "0"},
        {"pwdLastSet", s->password_last_set ? s->password_last_set : "130000000000000000"},
        {"msDS-ResultantPSO", s->policy_dn},
        {"replPropertyMetaData", s->password_stamp > 0 ? stamps : NULL},
        {"tokenGroups", r->is_for_groups ? "another" : NULL},
    };

    make_stamps(s->password_stamp, stamps);
    if (*r->name == '\0')
        send_entry(ssl, r, "", root, ELEMENTSOF(root));
    else if (strcmp(r->name, SERVICE_DN) == 0)
        send_entry(ssl, r, SERVICE_DN, service, ELEMENTSOF(service));
    else if (strcmp(r->name, DOMAIN_DN) == 0 && r->scope == LDAP_SCOPE_BASE)
        send_entry(ssl, r, DOMAIN_DN, domain, ELEMENTSOF(domain));
    else if (strcmp(r->name, DOUBLE_GROUP_DN) == 0)
        send_entry(ssl, r, DOUBLE_GROUP_DN, group, ELEMENTSOF(group));
    else if (!s->is_empty && (!s->policy_dn || strcmp(r->name, s->policy_dn) != 0))
        send_entry(ssl, r, DOUBLE_DN, account, ELEMENTSOF(account));
    send_result(ssl, r, LDAP_SUCCESS, "", NULL);
}

static bool is_setup_search(const request *r) {
    return *r->name == '\0' || strcmp(r->name, SERVICE_DN) == 0;
}

/* Returns false to hang up. */
static bool answer(controller_double *d, SSL *ssl, const request *r) {
    static const unsigned char too_much[] = {0x30, 0x84, 0x10, 0x00, 0x00, 0x00, 0x02, 0x01, 0x01};
    double_script s;
    double_answer a = {};

    (void) pthread_mutex_lock(&d->lock);
    s = d->script;
    if (r->tag == LDAP_REQ_BIND && strcmp(r->name, DOUBLE_DN) == 0) {
        d->count.sign_ins++;
        a = s.sign_in;
    } else if (r->tag == LDAP_REQ_BIND) {
        d->count.binds++;
        a = s.bind;
    } else if (r->tag == LDAP_REQ_SEARCH && !is_setup_search(r)) {
        d->count.searches++;
        a = r->is_for_groups ? s.groups : s.search;
    } else if (r->tag == LDAP_REQ_MODIFY && r->is_must_change) {
        d->count.must_changes++;
        a = s.must_change;
    } else if (r->tag == LDAP_REQ_MODIFY) {
        d->count.resets++;
        d->count.last_reset_had_2239 = r->has_2239;
        d->count.last_reset_had_2066 = r->has_2066;
        d->count.last_reset_unlocked = r->unlocks;
        a = s.reset;
        if (s.refuses_guid_names && strncmp(r->name, "<GUID=", 6) == 0)
            a = (double_answer){.result = LDAP_INVALID_DN_SYNTAX};
    }
    (void) pthread_mutex_unlock(&d->lock);

    switch (a.manner) {
    case DOUBLE_ANSWERS_LATE:
        (void) usleep(500000);
        break;
    case DOUBLE_IS_SILENT:
        return true;
    case DOUBLE_IS_STUCK:
        (void) poll(&(struct pollfd){.fd = SSL_get_fd(ssl)}, 1, -1);
        return false;
    case DOUBLE_HANGS_UP:
        return false;
    case DOUBLE_SENDS_GARBAGE:
        return SSL_write(ssl, "\x30\x03\xff\xff\xff", 5) == 5;
    case DOUBLE_SENDS_TOO_MUCH:
        return SSL_write(ssl, too_much, sizeof(too_much)) == sizeof(too_much);
    case DOUBLE_ANSWERS:
        break;
    }

    if (r->tag == LDAP_REQ_SEARCH && a.result == LDAP_SUCCESS)
        answer_search(ssl, r, &s);
    else if (r->tag == LDAP_REQ_BIND || r->tag == LDAP_REQ_SEARCH || r->tag == LDAP_REQ_MODIFY)
        send_result(ssl, r, a.result, a.text, d->referral);
    return r->tag != LDAP_REQ_UNBIND;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static bool read_all(SSL *ssl, unsigned char *buffer, size_t size) {
    for (size_t at = 0; at < size;) {
        int n = SSL_read(ssl, buffer + at, (int) (size - at));

        if (n <= 0)
            return false;
        at += (size_t) n;
    }
    return true;
}

/* Reads one message. Returns its size, or 0 at the end. */
static size_t read_message(SSL *ssl, unsigned char *buffer, size_t capacity) {
    size_t head = 2, length;

    if (!read_all(ssl, buffer, head))
        return 0;
    length = buffer[1];
    if (length & 0x80) {
        size_t n = length & 0x7f;

        if (n > 4 || !read_all(ssl, buffer + head, n))
            return 0;
        length = 0;
        for (size_t i = 0; i < n; i++)
            length = length << 8 | buffer[head + i];
        head += n;
    }
    if (head + length > capacity || !read_all(ssl, buffer + head, length))
        return 0;
    return head + length;
}

static bool holds(const void *message, size_t size, const char *text) {
    return memmem(message, size, text, strlen(text));
}

static void parse_request(unsigned char *message, size_t size, request *ret) {
    struct berval bytes = {size, (char *) message}, name = {};
    BerElement *ber = ber_init(&bytes);
    ber_int_t version;

    *ret = (request){};
    (void) ber_scanf(ber, "{it", &ret->id, &ret->tag);
    if (ret->tag == LDAP_REQ_BIND)
        (void) ber_scanf(ber, "{im", &version, &name);
    else if (ret->tag == LDAP_REQ_SEARCH)
        (void) ber_scanf(ber, "{me", &name, &ret->scope);
    else if (ret->tag == LDAP_REQ_MODIFY)
        (void) ber_scanf(ber, "{m", &name);
    (void) snprintf(ret->name, sizeof(ret->name), "%.*s", (int) name.bv_len,
                    name.bv_val ? name.bv_val : "");
    ber_free(ber, 1);

    ret->is_must_change = holds(message, size, "pwdLastSet");
    ret->is_for_groups = *ret->name != 0 && holds(message, size, "tokenGroups");
    ret->unlocks = holds(message, size, "lockoutTime");
    ret->has_2239 =
        holds(message, size, "1.2.840.113556.1.4.2239\x01\x01\xff\x04\x05\x30\x03\x02\x01\x01");
    ret->has_2066 =
        holds(message, size, "1.2.840.113556.1.4.2066\x01\x01\xff\x04\x05\x30\x03\x02\x01\x01");
}

/* ---- Connections ----------------------------------------------------------------------------- */

typedef struct guest {
    controller_double *d;
    int fd;
} guest;

static void *serve(void *userdata) {
    guest g = *(guest *) userdata;
    SSL *ssl = SSL_new(g.d->ctx);
    unsigned char message[65536];
    request r;

    free(userdata);
    (void) SSL_set_fd(ssl, g.fd);
    if (SSL_accept(ssl) == 1)
        for (size_t n; (n = read_message(ssl, message, sizeof(message))) > 0;) {
            parse_request(message, n, &r);
            if (!answer(g.d, ssl, &r))
                break;
        }
    SSL_free(ssl);
    (void) shutdown(g.fd, SHUT_RDWR);
    return NULL;
}

static void *take_guests(void *userdata) {
    controller_double *d = userdata;

    for (;;) {
        guest *g = malloc(sizeof(guest));

        *g = (guest){d, accept4(d->fd, NULL, NULL, SOCK_CLOEXEC)};
        if (g->fd < 0) {
            free(g);
            return NULL;
        }

        (void) pthread_mutex_lock(&d->lock);
        assert(d->n_connections < CONNECTIONS_MAX);
        d->count.connections++;
        d->connections[d->n_connections].fd = g->fd;
        (void) pthread_create(&d->connections[d->n_connections].thread, NULL, serve, g);
        d->n_connections++;
        (void) pthread_mutex_unlock(&d->lock);
    }
}

controller_double *double_new(double_script script) {
    controller_double *d = calloc(1, sizeof(controller_double));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    (void) double_ca_file();
    d->script = script;
    (void) pthread_mutex_init(&d->lock, NULL);
    d->ctx = SSL_CTX_new(TLS_server_method());
    (void) SSL_CTX_use_certificate(d->ctx, certificate);
    (void) SSL_CTX_use_PrivateKey(d->ctx, key);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(d->fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(d->fd, 16) < 0 ||
        getsockname(d->fd, (struct sockaddr *) &address, &size) < 0)
        abort();
    (void) snprintf(d->name, sizeof(d->name), "127.0.0.1:%u", ntohs(address.sin_port));
    (void) snprintf(d->referral, sizeof(d->referral), "ldap://%s/", d->name);
    (void) pthread_create(&d->thread, NULL, take_guests, d);
    return d;
}

controller_double *double_free(controller_double *d) {
    if (!d)
        return NULL;

    (void) shutdown(d->fd, SHUT_RDWR);
    (void) pthread_join(d->thread, NULL);
    for (size_t i = 0; i < d->n_connections; i++) {
        (void) shutdown(d->connections[i].fd, SHUT_RDWR);
        (void) pthread_join(d->connections[i].thread, NULL);
        (void) close(d->connections[i].fd);
    }
    (void) close(d->fd);
    SSL_CTX_free(d->ctx);
    (void) pthread_mutex_destroy(&d->lock);
    free(d);
    return NULL;
}

const char *double_name(const controller_double *d) {
    return d->name;
}

double_script *double_get_script(controller_double *d) {
    return &d->script;
}

double_count double_get_count(controller_double *d) {
    double_count count;

    (void) pthread_mutex_lock(&d->lock);
    count = d->count;
    (void) pthread_mutex_unlock(&d->lock);
    return count;
}
