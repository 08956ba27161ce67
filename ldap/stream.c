/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/stream.h"

#include <errno.h>
#include <lber.h>
#include <openldap.h>
#include <string.h>

#include "agent/base/secret.h"
#include "agent/base/text.h"

/* Answers are a few attributes of a few entries. */
#define INCOMING_MAX ((ber_len_t) 1024 * 1024)

/* Requests are smaller still; some hundred may wait on a socket that takes nothing. */
#define QUEUE_MAX ((size_t) 256 * 1024)

struct stream {
    LDAP *ld;
    tls_session *tls;
    secret *queue; /* what waits is in front; NULL where nothing does */
    size_t waiting;
    ssize_t last_read;
};

/* ---- Under liblber --------------------------------------------------------------------------- */

static int io_setup(Sockbuf_IO_Desc *io, void *userdata) {
    io->sbiod_pvt = userdata;
    return 0;
}

static int io_nothing(Sockbuf_IO_Desc *io) {
    (void) io;
    return 0;
}

static int io_control(Sockbuf_IO_Desc *io, int option, void *argument) {
    stream *s = io->sbiod_pvt;

    (void) argument;
    return option == LBER_SB_OPT_DATA_READY && tls_session_has_pending(s->tls);
}

static ber_slen_t io_read(Sockbuf_IO_Desc *io, void *buffer, ber_len_t size) {
    stream *s = io->sbiod_pvt;
    ssize_t n = tls_session_read(s->tls, buffer, size);

    s->last_read = n;
    if (n >= 0)
        return n;

    errno = (int) -n;
    return -1;
}

static int make_room(stream *s, size_t size) {
    size_t capacity = s->queue ? secret_size(s->queue) : 0;
    secret *larger;
    int r;

    if (size > QUEUE_MAX - s->waiting)
        return -ENOBUFS;
    if (s->waiting + size <= capacity)
        return 0;

    r = secret_new_empty(2 * (s->waiting + size), &larger);
    if (r < 0)
        return r;

    if (s->waiting > 0)
        memcpy(secret_buffer(larger), secret_data(s->queue), s->waiting);
    secret_free(s->queue);
    s->queue = larger;
    return 0;
}

/* Takes all, so that libldap never has half a request to remember. */
static ber_slen_t io_write(Sockbuf_IO_Desc *io, void *data, ber_len_t size) {
    stream *s = io->sbiod_pvt;
    int r;

    r = make_room(s, size);
    if (r < 0) {
        errno = -r;
        return -1;
    }

    memcpy(secret_buffer(s->queue) + s->waiting, data, size);
    s->waiting += size;
    return (ber_slen_t) size;
}

static Sockbuf_IO tls_io = {
    .sbi_setup = io_setup,
    .sbi_remove = io_nothing,
    .sbi_ctrl = io_control,
    .sbi_read = io_read,
    .sbi_write = io_write,
    .sbi_close = io_nothing,
};

/* ---- The stream ------------------------------------------------------------------------------ */

static int set_options(LDAP *ld) {
    static const int version = LDAP_VERSION3, deref = LDAP_DEREF_NEVER;

    /* libldap follows a referral to port 389 by itself, in clear text, password and all. */
    if (ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS ||
        ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
        ldap_set_option(ld, LDAP_OPT_DEREF, &deref) != LDAP_OPT_SUCCESS)
        return -ENOMEM;
    return 0;
}

static int attach(stream *s) {
    ber_len_t incoming_max = INCOMING_MAX;
    Sockbuf *sockbuf = NULL;

    if (ldap_get_option(s->ld, LDAP_OPT_SOCKBUF, &sockbuf) != LDAP_OPT_SUCCESS || !sockbuf ||
        ber_sockbuf_add_io(sockbuf, &tls_io, LBER_SBIOD_LEVEL_PROVIDER, s) != 0 ||
        ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_SET_MAX_INCOMING, &incoming_max) < 0)
        return -ENOMEM;
    return 0;
}

int stream_new(int fd, tls_session *tls, stream **ret) {
    _cleanup_(stream_freep) stream *s = NULL;

    assert(fd >= 0);
    assert(tls);
    assert(ret);

    s = calloc(1, sizeof(stream));
    if (!s)
        return -ENOMEM;

    s->tls = tls;
    if (ldap_init_fd(fd, LDAP_PROTO_EXT, NULL, &s->ld) != LDAP_SUCCESS || attach(s) < 0 ||
        set_options(s->ld) < 0)
        return -ENOMEM;

    *ret = TAKE_PTR(s);
    return 0;
}

stream *stream_free(stream *s) {
    if (!s)
        return NULL;

    if (s->ld)
        (void) ldap_unbind_ext(s->ld, NULL, NULL);
    (void) stream_flush(s);
    secret_free(s->queue);
    free(s);
    return NULL;
}

LDAP *stream_handle(const stream *s) {
    assert(s);
    return s->ld;
}

char *stream_read_problem(const stream *s) {
    assert(s);

    if (s->last_read == 0)
        return strdup("closed the connection");
    if (s->last_read < 0 && s->last_read != -EAGAIN)
        return text_format("broke the connection: %s", strerror((int) -s->last_read));
    return strdup("sent an answer that cannot be read, or is larger than 1 MiB");
}

int stream_flush(stream *s) {
    assert(s);

    while (s->waiting > 0) {
        ssize_t n = tls_session_write(s->tls, secret_data(s->queue), s->waiting);

        if (n == -EAGAIN)
            return 1;
        if (n <= 0)
            return n < 0 ? (int) n : -EPIPE;

        s->waiting -= (size_t) n;
        memmove(secret_buffer(s->queue), secret_data(s->queue) + n, s->waiting);
    }

    s->queue = secret_free(s->queue);
    return 0;
}
