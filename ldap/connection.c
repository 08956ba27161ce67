/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "ldap/answer.h"
#include "ldap/stream.h"
#include "ldap/tls.h"

/* How long one address may take as long as there are others. */
#define ADDRESS_PATIENCE (2 * USEC_PER_SEC)

typedef enum connection_state {
    CONNECTION_PREPARING,
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKING,
    CONNECTION_OPEN,
    CONNECTION_LOST,
} connection_state;

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

struct connection_request {
    connection *connection;
    connection_request *previous, *next;
    int message_id;
    usec_t sent_at;
    sd_event_source *patience;
    connection_answer_fn fn; /* NULL: nobody waits for it any more */
    void *userdata;
    char *what; /* of a modify */
    connection_answer answer;
};

struct connection {
    sd_event *event;
    const connection_target *target;
    connection_opened_fn opened;
    connection_lost_fn lost;
    void *userdata;

    connection_state state;
    worker_job *job;
    SSL_CTX *ctx;
    struct addrinfo *addresses, *address; /* all, and the one being tried */
    usec_t open_until;
    int fd;
    sd_event_source *io, *timer, *failure;
    tls_session *tls;
    stream *stream;

    connection_request *requests;
    usec_t latency;

    outcome lost_outcome;
    char *lost_reason;
};

/* ---- Being lost ------------------------------------------------------------------------------ */

static void finish_request(connection_request *r);

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

    while (c->requests) {
        connection_request *r = c->requests;

        r->answer.result = -1;
        r->answer.text = c->lost_reason ? c->lost_reason : "was lost";
        finish_request(r);
    }

    c->lost(c->lost_outcome, c->lost_reason ? c->lost_reason : "was lost", c->userdata);
    return 0;
}

static void fail_format(connection *c, outcome o, char *reason) {
    _cleanup_free_ char *text = reason;

    connection_fail(c, o, text ? text : "cannot be used: memory is short");
}

/* ---- Opening --------------------------------------------------------------------------------- */

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

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);

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

    return sd_event_add_io(c->event, &c->io, c->fd, EPOLLOUT, on_io, c);
}

static void hang_up(connection *c) {
    c->io = sd_event_source_disable_unref(c->io);
    closep(&c->fd);
    c->fd = -1;
}

/* Tries from c->address on until one takes the call. `r` is what was wrong with the one before. */
static void dial_next(connection *c, int r) {
    for (; c->address; c->address = c->address->ai_next) {
        hang_up(c);
        r = dial(c);
        if (r >= 0)
            return;
    }

    hang_up(c);
    fail_format(
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
        return fail_format(c, OUTCOME_AD_CONFIGURATION,
                           text_format("cannot be trusted: %s",
                                       p->ctx_problem ? p->ctx_problem : "memory is short"));
    if (p->resolve_error != 0)
        return fail_format(c, OUTCOME_AD_NOT_REACHABLE,
                           text_format("has no address: %s", gai_strerror(p->resolve_error)));

    c->ctx = TAKE_PTR(p->ctx);
    c->addresses = c->address = TAKE_PTR(p->addresses);
    c->state = CONNECTION_CONNECTING;
    dial_next(c, 0);
}

static void update_events(connection *c, bool write) {
    (void) sd_event_source_set_io_events(
        c->io, EPOLLIN | (write || tls_session_wants_write(c->tls) ? EPOLLOUT : 0u));
}

static void shake_hands(connection *c) {
    const char *problem;
    outcome o;
    int r;

    r = tls_session_handshake(c->tls);
    if (r == -EAGAIN)
        return update_events(c, /* write= */ false);
    if (r < 0) {
        problem = tls_session_problem(c->tls, &o);
        return connection_fail(c, o, problem);
    }

    if (stream_new(c->fd, c->tls, &c->stream) < 0)
        return connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "cannot be used: memory is short");

    c->timer = sd_event_source_disable_unref(c->timer);
    c->state = CONNECTION_OPEN;
    update_events(c, /* write= */ false);
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

static int on_patience_lost(sd_event_source *source, uint64_t usec, void *userdata) {
    connection *c = userdata;

    (void) source;
    (void) usec;

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
    return 0;
}

static int begin_preparation(connection *c, worker *resolver) {
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
        r = begin_preparation(c, resolver);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(c);
    return 0;
}

static connection_request *request_free(connection_request *r);
static void flush(connection *c);

connection *connection_free(connection *c) {
    if (!c)
        return NULL;

    if (c->job)
        worker_cancel(c->job);

    for (connection_request *r = c->requests, *next; r; r = next) {
        next = r->next;
        if (r->what)
            log_text(LOG_WARNING, "%s: %s was sent, and its answer will not be seen",
                     c->target->name, r->what);
        request_free(r);
    }

    stream_free(c->stream);
    tls_session_free(c->tls);
    hang_up(c);
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

/* ---- Requests and answers -------------------------------------------------------------------- */

static connection_request *request_free(connection_request *r) {
    for (size_t i = 0; i < r->answer.n_entries; i++)
        (void) ldap_msgfree(r->answer.entries[i]);
    sd_event_source_disable_unref(r->patience);
    free(r->what);
    free(r);
    return NULL;
}

static void unlink_request(connection_request *r) {
    if (r->previous)
        r->previous->next = r->next;
    else
        r->connection->requests = r->next;
    if (r->next)
        r->next->previous = r->previous;
}

static void log_late_answer(const connection_request *r) {
    const char *name = r->connection->target->name;
    _cleanup_free_ char *said = NULL;

    if (r->answer.result == -1)
        log_text(LOG_WARNING, "%s: %s was sent and never answered: it %s", name, r->what,
                 r->answer.text);
    else {
        said = answer_describe(r->answer.result, r->answer.text);
        log_text(LOG_NOTICE, "%s: %s was answered late: %s", name, r->what, said ? said : "?");
    }
}

static void finish_request(connection_request *r) {
    unlink_request(r);
    if (r->fn)
        r->fn(&r->answer, r->userdata);
    else
        log_late_answer(r);
    request_free(r);
}

connection_request *connection_request_free(connection_request *r) {
    if (!r)
        return NULL;

    if (r->what) {
        r->fn = NULL;
        return NULL;
    }

    unlink_request(r);
    if (r->connection->state == CONNECTION_OPEN) {
        (void) ldap_abandon_ext(stream_handle(r->connection->stream), r->message_id, NULL, NULL);
        flush(r->connection);
    }
    return request_free(r);
}

static connection_request *find_request(const connection *c, int message_id) {
    for (connection_request *r = c->requests; r; r = r->next)
        if (r->message_id == message_id)
            return r;
    return NULL;
}

static void take_result(connection *c, connection_request *r, LDAPMessage *message) {
    struct berval *sasl = NULL;
    char *text = NULL;
    LDAP *ld = stream_handle(c->stream);

    if (ldap_parse_result(ld, message, &r->answer.result, NULL, &text, NULL, NULL,
                          /* freeit= */ 0) != LDAP_SUCCESS) {
        ldap_memfree(text);
        return connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "sent an answer that cannot be read");
    }

    if (ldap_msgtype(message) == LDAP_RES_BIND)
        (void) ldap_parse_sasl_bind_result(ld, message, &sasl, /* freeit= */ 0);

    c->latency = now_monotonic() - r->sent_at;
    r->answer.sasl = sasl;
    r->answer.text = text ? text : "";
    r->answer.ld = ld;
    finish_request(r);
    ldap_memfree(text);
    ber_bvfree(sasl);
}

/* Takes one message; frees it, or keeps it with its request. */
static void take_message(connection *c, int type, LDAPMessage *message) {
    connection_request *r = find_request(c, ldap_msgid(message));

    if (r && type == LDAP_RES_SEARCH_ENTRY && r->answer.n_entries < CONNECTION_ENTRIES_MAX) {
        r->answer.entries[r->answer.n_entries++] = message;
        return;
    }

    if (r && type != LDAP_RES_SEARCH_ENTRY && type != LDAP_RES_SEARCH_REFERENCE &&
        type != LDAP_RES_INTERMEDIATE)
        take_result(c, r, message);
    (void) ldap_msgfree(message);
}

static void receive(connection *c) {
    while (c->state == CONNECTION_OPEN) {
        struct timeval at_once = {};
        LDAPMessage *message = NULL;
        int type;

        type =
            ldap_result(stream_handle(c->stream), LDAP_RES_ANY, LDAP_MSG_ONE, &at_once, &message);
        if (type == 0)
            return;
        if (type < 0)
            return fail_format(c, OUTCOME_AD_NOT_REACHABLE, stream_read_problem(c->stream));

        take_message(c, type, message);
    }
}

static void flush(connection *c) {
    int r;

    if (c->state != CONNECTION_OPEN)
        return;

    r = stream_flush(c->stream);
    if (r < 0)
        return fail_format(c, OUTCOME_AD_NOT_REACHABLE,
                           text_format("broke the connection: %s", strerror(-r)));

    update_events(c, /* write= */ r > 0);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    connection *c = userdata;

    (void) source;
    (void) fd;
    (void) events;

    switch (c->state) {
    case CONNECTION_CONNECTING:
        on_connected(c);
        break;
    case CONNECTION_HANDSHAKING:
        shake_hands(c);
        break;
    case CONNECTION_OPEN:
        receive(c);
        flush(c);
        break;
    case CONNECTION_PREPARING:
    case CONNECTION_LOST:
        break;
    }
    return 0;
}

static int on_request_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
    connection_request *r = userdata;

    (void) source;
    (void) usec;

    connection_fail(r->connection, OUTCOME_AD_NOT_REACHABLE, "is connected but does not answer");
    return 0;
}

/* Makes a request that is ready to be sent: nothing can fail between sending it and having it. */
static int request_new(connection *c, bool impatient, const char *what, connection_answer_fn fn,
                       void *userdata, connection_request **ret) {
    connection_request *r;
    int error;

    assert(c);
    assert(fn);
    assert(ret);

    if (c->state != CONNECTION_OPEN)
        return -ENOTCONN;

    r = calloc(1, sizeof(connection_request));
    if (!r)
        return -ENOMEM;

    r->connection = c;
    r->fn = fn;
    r->userdata = userdata;
    r->sent_at = now_monotonic();
    r->what = what ? strdup(what) : NULL;
    error = what && !r->what ? -ENOMEM : 0;
    if (error >= 0 && impatient)
        error = sd_event_add_time(c->event, &r->patience, CLOCK_MONOTONIC,
                                  r->sent_at + CONNECTION_PATIENCE, USEC_PER_MSEC,
                                  on_request_overdue, r);
    if (error < 0) {
        request_free(r);
        return error;
    }

    *ret = r;
    return 0;
}

/* Files the request under what libldap said to it. */
static int request_sent(connection_request *r, int error, connection_request **ret) {
    connection *c = r->connection;

    if (error != LDAP_SUCCESS) {
        request_free(r);
        if (error == LDAP_FILTER_ERROR || error == LDAP_PARAM_ERROR)
            return -EINVAL;
        if (error == LDAP_NO_MEMORY)
            return -ENOMEM;

        connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
        return -ENOTCONN;
    }

    r->next = c->requests;
    if (r->next)
        r->next->previous = r;
    c->requests = r;
    *ret = r;

    flush(c);
    return 0;
}

int connection_bind(connection *c, const char *dn, const secret *password, connection_answer_fn fn,
                    void *userdata, connection_request **ret) {
    struct berval credentials;
    connection_request *r;
    int error;

    assert(dn);
    assert(password);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    ber_str2bv(secret_data(password), (ber_len_t) secret_size(password), 0, &credentials);
    return request_sent(r,
                        ldap_sasl_bind(stream_handle(c->stream), dn, LDAP_SASL_SIMPLE, &credentials,
                                       NULL, NULL, &r->message_id),
                        ret);
}

int connection_bind_sasl(connection *c, const char *mechanism, const void *token, size_t size,
                         connection_answer_fn fn, void *userdata, connection_request **ret) {
    struct berval credentials = {.bv_len = size, .bv_val = (char *) (uintptr_t) token};
    connection_request *r;
    int error;

    assert(mechanism);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    return request_sent(r,
                        ldap_sasl_bind(stream_handle(c->stream), NULL, mechanism, &credentials,
                                       NULL, NULL, &r->message_id),
                        ret);
}

/* Makes the control a critical one, in a list for libldap. */
static void list_control(const LDAPControl *critical, LDAPControl *copy, LDAPControl *list[2]) {
    list[0] = list[1] = NULL;
    if (!critical)
        return;

    *copy = *critical;
    copy->ldctl_iscritical = 1;
    list[0] = copy;
}

static int search(connection *c, const char *base, int scope, const char *filter,
                  const char *const *attributes, const LDAPControl *critical_control,
                  connection_answer_fn fn, void *userdata, connection_request **ret) {
    struct timeval limit = {.tv_sec = CONNECTION_PATIENCE / USEC_PER_SEC};
    LDAPControl control, *controls[2];
    connection_request *r;
    int error;

    assert(base);
    assert(filter);
    assert(attributes);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    list_control(critical_control, &control, controls);
    return request_sent(r,
                        ldap_search_ext(stream_handle(c->stream), base, scope, filter,
                                        (char **) (uintptr_t) attributes, /* attrsonly= */ 0,
                                        controls, NULL, &limit, CONNECTION_ENTRIES_MAX,
                                        &r->message_id),
                        ret);
}

int connection_search(connection *c, const char *base, int scope, const char *filter,
                      const char *const *attributes, connection_answer_fn fn, void *userdata,
                      connection_request **ret) {
    return search(c, base, scope, filter, attributes, NULL, fn, userdata, ret);
}

int connection_look(connection *c, const char *dn, const char *const *attributes,
                    const LDAPControl *critical_control, connection_answer_fn fn, void *userdata,
                    connection_request **ret) {
    return search(c, dn, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, critical_control, fn,
                  userdata, ret);
}

int connection_modify(connection *c, const char *dn, LDAPMod **mods,
                      const LDAPControl *critical_control, const char *what,
                      connection_answer_fn fn, void *userdata, connection_request **ret) {
    LDAPControl control, *controls[2];
    connection_request *r;
    int error;

    assert(dn);
    assert(mods);
    assert(what);

    error = request_new(c, /* impatient= */ false, what, fn, userdata, &r);
    if (error < 0)
        return error;

    list_control(critical_control, &control, controls);
    return request_sent(
        r, ldap_modify_ext(stream_handle(c->stream), dn, mods, controls, NULL, &r->message_id),
        ret);
}
