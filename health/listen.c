/* SPDX-License-Identifier: Apache-2.0 */
#include "health/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/base/macro.h"

#define BACKLOG 64

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} address;

static int _printf_(3, 4) fail(int error, char **ret_why, const char *format, ...) {
    va_list args;

    va_start(args, format);
    if (vasprintf(ret_why, format, args) < 0)
        *ret_why = NULL;
    va_end(args);
    return error;
}

static bool is_for_this_host(const address *a) {
    switch (a->any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(a->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
    default:
        return false;
    }
}

static int parse_port(const char *text, in_port_t *ret) {
    unsigned long port;
    char *end;

    if (*text < '1' || *text > '9')
        return -EINVAL;
    port = strtoul(text, &end, 10);
    if (*end || port > UINT16_MAX)
        return -EINVAL;

    *ret = htons((uint16_t) port);
    return 0;
}

static int parse_inet(const char *text, address *ret, socklen_t *ret_size) {
    const char *colon = strrchr(text, ':');
    _cleanup_free_ char *host = NULL;
    address a = {0};
    in_port_t port;
    size_t n;

    if (!colon || parse_port(colon + 1, &port) < 0)
        return -EINVAL;

    n = (size_t) (colon - text);
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        host = strndup(text + 1, n - 2);
        if (!host)
            return -ENOMEM;
        if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) != 1)
            return -EINVAL;
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = port;
        *ret_size = sizeof(a.in6);
    } else {
        host = strndup(text, n);
        if (!host)
            return -ENOMEM;
        if (inet_pton(AF_INET, host, &a.in.sin_addr) != 1)
            return -EINVAL;
        a.in.sin_family = AF_INET;
        a.in.sin_port = port;
        *ret_size = sizeof(a.in);
    }

    *ret = a;
    return 0;
}

static int parse_unix(const char *text, address *ret, socklen_t *ret_size) {
    address a = {.un.sun_family = AF_UNIX};
    size_t n = strlen(text);

    if (n >= sizeof(a.un.sun_path))
        return -EINVAL;

    memcpy(a.un.sun_path, text, n + 1);
    *ret = a;
    *ret_size = sizeof(a.un);
    return 0;
}

/* A socket that a crash left behind would keep the path taken for ever. One that somebody listens
 * on, or anything else at that path, is not ours to remove. */
static int clear_stale_socket(const address *a, socklen_t size, char **ret_why) {
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (lstat(a->un.sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return fail(-EEXIST, ret_why, "%s is there already and is no socket", a->un.sun_path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(-errno, ret_why, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, &a->any, size) < 0 && errno == ECONNREFUSED)
        (void) unlink(a->un.sun_path);
    return 0;
}

static int open_address(const char *text, int *ret_fd, char **ret_path, char **ret_why) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = -1;
    const int yes = 1;
    socklen_t size;
    address a;
    int r;

    r = *text == '/' ? parse_unix(text, &a, &size) : parse_inet(text, &a, &size);
    if (r == -EINVAL)
        return fail(r, ret_why,
                    "\"%s\" is no address to listen on: expected 127.0.0.1:PORT, [::1]:PORT, or "
                    "the absolute path of a Unix socket (107 bytes at most)",
                    text);
    if (r < 0)
        return r;
    if (!is_for_this_host(&a))
        return fail(-EINVAL, ret_why,
                    "%s is not a loopback address; the health endpoints are for this host only: "
                    "expected 127.0.0.1:PORT, [::1]:PORT, or the path of a Unix socket",
                    text);

    if (a.any.sa_family == AF_UNIX) {
        r = clear_stale_socket(&a, size, ret_why);
        if (r < 0)
            return r;
        path = strdup(text);
        if (!path)
            return -ENOMEM;
    }

    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(-errno, ret_why, "cannot make a socket: %s", strerror(errno));
    if (!path && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
        return fail(-errno, ret_why, "cannot set a socket up: %s", strerror(errno));

    if (bind(fd, &a.any, size) < 0) {
        if (errno == EADDRINUSE)
            return fail(-EADDRINUSE, ret_why,
                        "%s is in use by another program (who it is: ss -lptnx): choose another "
                        "address, or end that program",
                        text);
        return fail(-errno, ret_why, "cannot listen on %s: %s", text, strerror(errno));
    }
    if ((path && chmod(path, 0660) < 0) || listen(fd, BACKLOG) < 0) {
        r = -errno;
        if (path)
            (void) unlink(path);
        return fail(r, ret_why, "cannot listen on %s: %s", text, strerror(-r));
    }

    *ret_fd = fd;
    fd = -1;
    *ret_path = TAKE_PTR(path);
    return 0;
}

/* The original stays open for the next start within this process, after a reload. */
static int take_passed_socket(int passed, int *ret_fd, char **ret_why) {
    _cleanup_close_ int fd = -1;
    address a = {0};
    socklen_t size = sizeof(a);
    int flags;

    if (sd_is_socket(passed, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
        getsockname(passed, &a.any, &size) < 0 || !is_for_this_host(&a))
        return fail(-EINVAL, ret_why,
                    "the socket \"health\" that systemd passed does not listen on a loopback "
                    "address or a Unix socket; correct ListenStream= in its .socket unit");

    fd = fcntl(passed, F_DUPFD_CLOEXEC, 3);
    flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail(-errno, ret_why, "cannot take over the socket \"health\": %s", strerror(errno));

    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* The descriptor that systemd passed as "health", or -1. */
static int find_passed_socket(void) {
    char **names = NULL;
    int n = sd_listen_fds_with_names(0, &names);
    int found = -1;

    for (int i = 0; i < n; i++) {
        if (found < 0 && strcmp(names[i], "health") == 0)
            found = SD_LISTEN_FDS_START + i;
        free(names[i]);
    }
    free(names);
    return found;
}

int listen_open(const char *address_text, int *ret_fd, char **ret_path, char **ret_why) {
    int passed = find_passed_socket();
    int r;

    assert(address_text && ret_fd && ret_path && ret_why);

    if (passed < 0)
        return open_address(address_text, ret_fd, ret_path, ret_why);

    r = take_passed_socket(passed, ret_fd, ret_why);
    if (r == 0)
        *ret_path = NULL;
    return r;
}
