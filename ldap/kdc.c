/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/kdc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

/* Far beyond any ticket: those of accounts in hundreds of groups have some ten kilobytes. */
#define REPLY_MAX ((size_t) 256 * 1024)

typedef struct line {
    int fd, cancel_fd;
} line;

/* Waits until the socket is ready. Returns 0, -ECANCELED, or another negative errno. */
static int wait_for(const line *l, short events) {
    struct pollfd fds[] = {{.fd = l->fd, .events = events}, {.fd = l->cancel_fd, .events = POLLIN}};

    while (poll(fds, ELEMENTSOF(fds), -1) < 0)
        if (errno != EINTR)
            return -errno;
    return fds[1].revents ? -ECANCELED : 0;
}

static int set_port(struct sockaddr_storage *address, socklen_t *ret_size) {
    struct sockaddr_in *in4 = (struct sockaddr_in *) address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) address;

    switch (address->ss_family) {
    case AF_INET:
        in4->sin_port = htons(KDC_PORT);
        *ret_size = sizeof(*in4);
        return 0;
    case AF_INET6:
        in6->sin6_port = htons(KDC_PORT);
        *ret_size = sizeof(*in6);
        return 0;
    default:
        return -EAFNOSUPPORT;
    }
}

static int dial(line *l, struct sockaddr_storage address) {
    socklen_t size, error_size = sizeof(int);
    int r, error;

    r = set_port(&address, &size);
    if (r < 0)
        return r;

    l->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return -errno;
    if (connect(l->fd, (const struct sockaddr *) &address, size) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;

    r = wait_for(l, POLLOUT);
    if (r < 0)
        return r;
    return getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0 ? -errno : -error;
}

static bool is_for_later(void) {
    return errno == EAGAIN || errno == EINTR;
}

static int send_all(const line *l, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = send(l->fd, data, size, MSG_NOSIGNAL);
        int r = n >= 0 ? 0 : is_for_later() ? wait_for(l, POLLOUT) : -errno;

        if (r < 0)
            return r;
        if (n > 0) {
            data += n;
            size -= (size_t) n;
        }
    }
    return 0;
}

static int receive_all(const line *l, char *data, size_t size) {
    while (size > 0) {
        ssize_t n = recv(l->fd, data, size, 0);
        int r = n > 0 ? 0 : n == 0 ? -ECONNRESET : is_for_later() ? wait_for(l, POLLIN) : -errno;

        if (r < 0)
            return r;
        if (n > 0) {
            data += n;
            size -= (size_t) n;
        }
    }
    return 0;
}

static int converse(const line *l, const void *request, size_t size, char **ret_reply,
                    size_t *ret_size) {
    _cleanup_free_ char *reply = NULL;
    uint32_t length = htonl((uint32_t) size);
    int r;

    r = send_all(l, (const char *) &length, sizeof(length));
    if (r >= 0)
        r = send_all(l, request, size);
    if (r >= 0)
        r = receive_all(l, (char *) &length, sizeof(length));
    if (r < 0)
        return r;

    length = ntohl(length);
    if (length == 0 || length > REPLY_MAX)
        return -EBADMSG;

    reply = malloc(length);
    if (!reply)
        return -ENOMEM;
    r = receive_all(l, reply, length);
    if (r < 0)
        return r;

    *ret_reply = TAKE_PTR(reply);
    *ret_size = length;
    return 0;
}

int kdc_ask(const struct sockaddr_storage *controller, int cancel_fd, const void *request,
            size_t size, char **ret_reply, size_t *ret_size) {
    line l = {.fd = -1, .cancel_fd = cancel_fd};
    int r;

    assert(controller);
    assert(request);
    assert(size <= REPLY_MAX);
    assert(ret_reply);
    assert(ret_size);

    r = dial(&l, *controller);
    if (r >= 0)
        r = converse(&l, request, size, ret_reply, ret_size);
    closep(&l.fd);
    return r;
}
