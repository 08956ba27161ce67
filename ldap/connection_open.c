/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/connection_parts.h"
#include "ldap/tls.h"

/* How long one address may take as long as there are others. */
#define ADDRESS_PATIENCE (2 * USEC_PER_SEC)

/* What the worker does: the names of files and host are its own copies, since the connection may be
 * gone before it ends. */
typedef struct preparation {
    connection *connection;
    char *host, *port, *ca_file, *ca_directory;

    int resolve_error; /* getaddrinfo(3)'s */
    struct addrinfo *addresses;
    SSL_CTX *ctx;
    char *ctx_problem;
} preparation;

static void preparation_free(void *userdata) {
    preparation *p = userdata;

    if (p->addresses)
        freeaddrinfo(p->addresses);
    SSL_CTX_free(p->ctx);
    free(p->ctx_problem);
    free(p->host);
    free(p->port);
    free(p->ca_file);
    free(p->ca_directory);
    free(p);
}

/* In the worker. */
static void prepare(void *userdata) {
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    preparation *p = userdata;
    int version;

    /* Before anything else it is asked, the library asks the name servers for this host's own name
     * (libldap's ldap_pvt_get_fqdn()), and waits for them. It does so once. */
    (void) ldap_get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);

    (void) tls_context_new(p->ca_file, p->ca_directory, &p->ctx, &p->ctx_problem);
    p->resolve_error = getaddrinfo(p->host, p->port, &hints, &p->addresses);
}

static const char *authorities(const connection_target *target) {
    if (target->ca_file)
        return target->ca_file;
    return target->ca_directory ? target->ca_directory : "the system's certificate store";
}

static int set_timer(connection *c, usec_t at) {
    int r = sd_event_source_set_time(c->timer, at);

    return r < 0 ? r : sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int dial(connection *c) {
    const struct addrinfo *a = c->address;
    usec_t until = c->open_until;
    int yes = 1;

    c->fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (c->fd < 0)
        return -errno;

    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(c->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;

    if (a->ai_next && now_monotonic() + ADDRESS_PATIENCE < until)
        until = now_monotonic() + ADDRESS_PATIENCE;
    if (set_timer(c, until) < 0)
        return -ENOMEM;

    return sd_event_add_io(c->event, &c->io, c->fd, EPOLLOUT, connection_on_io, c);
}

void connection_hang_up(connection *c) {
    c->io = sd_event_source_disable_unref(c->io);
    closep(&c->fd);
    c->fd = -1;
}

/* Tries from c->address on until one takes the call. `r` is what was wrong with the one before. */
static void dial_next(connection *c, int r) {
    for (; c->address; c->address = c->address->ai_next) {
        connection_hang_up(c);
        r = dial(c);
        if (r >= 0)
            return;
    }

    connection_hang_up(c);
    connection_fail_format(
        c, OUTCOME_AD_NOT_REACHABLE,
        text_format("cannot be connected to on port %s: %s", c->target->port, strerror(-r)));
}

static void on_prepared(void *userdata) {
    preparation *p = userdata;
    connection *c = p->connection;

    c->job = NULL;
    if (c->state != CONNECTION_PREPARING)
        return;

    if (!p->ctx)
        return connection_fail_format(
            c, OUTCOME_AD_CONFIGURATION,
            text_format("cannot be trusted: %s",
                        p->ctx_problem ? p->ctx_problem : "memory is short"));
    if (p->resolve_error != 0)
        return connection_fail_format(
            c, OUTCOME_AD_NOT_REACHABLE,
            text_format("has no address: %s", gai_strerror(p->resolve_error)));

    c->ctx = TAKE_PTR(p->ctx);
    c->addresses = c->address = TAKE_PTR(p->addresses);
    c->state = CONNECTION_CONNECTING;
    dial_next(c, 0);
}

static void shake_hands(connection *c) {
    const char *problem;
    outcome o;
    int r;

    r = tls_session_handshake(c->tls);
    if (r == -EAGAIN)
        return connection_update_events(c, /* write= */ false);
    if (r < 0) {
        problem = tls_session_problem(c->tls, &o);
        return connection_fail(c, o, problem);
    }

    if (stream_new(c->fd, c->tls, &c->stream) < 0)
        return connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "cannot be used: memory is short");

    c->timer = sd_event_source_disable_unref(c->timer);
    c->state = CONNECTION_OPEN;
    connection_update_events(c, /* write= */ false);
    c->opened(c->userdata);
}

static void on_connected(connection *c) {
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error != 0) {
        c->address = c->address->ai_next;
        return dial_next(c, -error);
    }

    if (tls_session_new(c->ctx, c->fd, c->target->host, c->target->domain, authorities(c->target),
                        &c->tls) < 0 ||
        set_timer(c, c->open_until) < 0)
        return connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "cannot be used: memory is short");

    c->state = CONNECTION_HANDSHAKING;
    shake_hands(c);
}

void connection_open_further(connection *c) {
    if (c->state == CONNECTION_CONNECTING)
        on_connected(c);
    else
        shake_hands(c);
}

void connection_open_overdue(connection *c) {
    switch (c->state) {
    case CONNECTION_PREPARING:
        connection_fail(c, OUTCOME_AD_NOT_REACHABLE,
                        "has no address: name resolution does not answer");
        break;
    case CONNECTION_CONNECTING:
        c->address = c->address->ai_next;
        dial_next(c, -ETIMEDOUT);
        break;
    case CONNECTION_HANDSHAKING:
        connection_fail(c, OUTCOME_AD_NOT_REACHABLE,
                        "takes connections but does not answer the TLS handshake");
        break;
    case CONNECTION_OPEN:
    case CONNECTION_LOST:
        break;
    }
}

int connection_prepare(connection *c, worker *resolver) {
    preparation *p;
    int r;

    p = calloc(1, sizeof(preparation));
    if (!p)
        return -ENOMEM;

    p->connection = c;
    p->host = strdup(c->target->host);
    p->port = strdup(c->target->port);
    p->ca_file = c->target->ca_file ? strdup(c->target->ca_file) : NULL;
    p->ca_directory = c->target->ca_directory ? strdup(c->target->ca_directory) : NULL;
    if (!p->host || !p->port || !p->ca_file != !c->target->ca_file ||
        !p->ca_directory != !c->target->ca_directory)
        r = -ENOMEM;
    else
        r = worker_submit(resolver, prepare, on_prepared, preparation_free, p, &c->job);
    if (r < 0)
        preparation_free(p);
    return r;
}
