/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/connection.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/connection_parts.h"

/* ---- Being lost ------------------------------------------------------------------------------ */

void connection_fail(connection *c, outcome o, const char *reason) {
    assert(c);
    assert(reason);

    if (c->state == CONNECTION_LOST)
        return;

    c->state = CONNECTION_LOST;
    c->lost_outcome = o;
    text_replace(&c->lost_reason, reason);
    c->io = sd_event_source_disable_unref(c->io);
    c->timer = sd_event_source_disable_unref(c->timer);

    /* Whoever is on the stack now may hold requests of this connection. */
    (void) sd_event_source_set_enabled(c->failure, SD_EVENT_ONESHOT);
}

static int on_failure(sd_event_source *source, void *userdata) {
    connection *c = userdata;

    (void) source;

    connection_end_requests(c);
    c->lost(c->lost_outcome, c->lost_reason ? c->lost_reason : "was lost", c->userdata);
    return 0;
}

void connection_fail_format(connection *c, outcome o, char *reason) {
    _cleanup_free_ char *text = reason;

    connection_fail(c, o, text ? text : "cannot be used: memory is short");
}

/* ---- The loop -------------------------------------------------------------------------------- */

void connection_update_events(connection *c, bool write) {
    (void) sd_event_source_set_io_events(
        c->io, EPOLLIN | (write || tls_session_wants_write(c->tls) ? EPOLLOUT : 0u));
}

int connection_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    connection *c = userdata;

    (void) source;
    (void) fd;
    (void) events;

    switch (c->state) {
    case CONNECTION_CONNECTING:
    case CONNECTION_HANDSHAKING:
        connection_open_further(c);
        break;
    case CONNECTION_OPEN:
        connection_receive(c);
        connection_flush(c);
        break;
    case CONNECTION_PREPARING:
    case CONNECTION_LOST:
        break;
    }
    return 0;
}

static int on_patience_lost(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) source;
    (void) usec;

    connection_open_overdue(userdata);
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

int connection_new(sd_event *event, worker *resolver, const connection_target *target,
                   connection_opened_fn opened, connection_lost_fn lost, void *userdata,
                   connection **ret) {
    _cleanup_(connection_freep) connection *c = NULL;
    int r;

    assert(event);
    assert(resolver);
    assert(target);
    assert(ret);

    c = calloc(1, sizeof(connection));
    if (!c)
        return -ENOMEM;

    c->event = sd_event_ref(event);
    c->target = target;
    c->opened = opened;
    c->lost = lost;
    c->userdata = userdata;
    c->fd = -1;
    c->open_until = now_monotonic() + CONNECTION_PATIENCE;

    r = sd_event_add_defer(event, &c->failure, on_failure, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->failure, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, c->open_until, USEC_PER_MSEC,
                              on_patience_lost, c);
    if (r >= 0)
        r = connection_prepare(c, resolver);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(c);
    return 0;
}

connection *connection_free(connection *c) {
    if (!c)
        return NULL;

    if (c->job)
        worker_cancel(c->job);

    connection_drop_requests(c);
    stream_free(c->stream);
    tls_session_free(c->tls);
    connection_hang_up(c);
    sd_event_source_disable_unref(c->timer);
    sd_event_source_disable_unref(c->failure);
    if (c->addresses)
        freeaddrinfo(c->addresses);
    SSL_CTX_free(c->ctx);
    sd_event_unref(c->event);
    free(c->lost_reason);
    free(c);
    return NULL;
}

/* ---- What is known of it --------------------------------------------------------------------- */

bool connection_is_open(const connection *c) {
    return c && c->state == CONNECTION_OPEN;
}

bool connection_is_idle(const connection *c) {
    return !c->requests;
}

int connection_local_address(const connection *c, struct sockaddr_storage *ret) {
    socklen_t size = sizeof(*ret);

    assert(c);
    assert(ret);
    return getsockname(c->fd, (struct sockaddr *) ret, &size) < 0 ? -errno : 0;
}

int connection_peer_address(const connection *c, struct sockaddr_storage *ret) {
    socklen_t size = sizeof(*ret);

    assert(c);
    assert(ret);
    return getpeername(c->fd, (struct sockaddr *) ret, &size) < 0 ? -errno : 0;
}

int connection_end_point(const connection *c, uint8_t ret[static TLS_END_POINT_MAX],
                         size_t *ret_size) {
    assert(c);
    return tls_session_end_point(c->tls, ret, ret_size);
}

usec_t connection_not_after(const connection *c) {
    return c && c->tls ? tls_session_not_after(c->tls) : 0;
}

usec_t connection_latency(const connection *c) {
    return c ? c->latency : 0;
}
