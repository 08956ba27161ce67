/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDENTIAL_MAX ((size_t) 16 * 1024)

int file_read_descriptor(int fd, size_t limit, secret **ret) {
    _cleanup_(secret_freep) secret *s = NULL;
    size_t size = 0;
    int r;

    /* One byte more than allowed, so that a file that is too large shows itself. */
    r = secret_new_empty(limit + 1, &s);
    if (r < 0)
        return r;

    for (;;) {
        ssize_t n = read(fd, secret_buffer(s) + size, limit + 1 - size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;

        size += (size_t) n;
        if (size > limit)
            return -EFBIG;
    }

    secret_truncate(s, size);
    *ret = TAKE_PTR(s);
    return 0;
}

int file_read(const char *path, size_t limit, secret **ret) {
    _cleanup_close_ int fd = -1;

    assert(path);
    assert(ret);

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;

    return file_read_descriptor(fd, limit, ret);
}

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;

        data += n;
        size -= (size_t) n;
    }

    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder_of(const char *path) {
    _cleanup_free_ char *copy = strdup(path);
    _cleanup_close_ int fd = -1;

    if (!copy)
        return -ENOMEM;

    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;

    return fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomically(const char *path, const void *data, size_t size) {
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -1;
    int r;

    assert(path);
    assert(data || size == 0);

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return -ENOMEM;

    /* mkostemp(3) makes the file with mode 0600. */
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;

    r = write_all(fd, data, size);
    if (r >= 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlink(temporary);
        return r;
    }

    return sync_folder_of(path);
}

static int read_credential_file(const char *path, secret **ret) {
    _cleanup_(secret_freep) secret *s = NULL;
    size_t size;
    int r;

    r = file_read(path, CREDENTIAL_MAX, &s);
    if (r < 0)
        return r;

    size = secret_size(s);
    if (size > 0 && secret_data(s)[size - 1] == '\n')
        size--;
    if (size > 0 && secret_data(s)[size - 1] == '\r')
        size--;
    if (size == 0)
        return -ENODATA;

    secret_truncate(s, size);
    *ret = TAKE_PTR(s);
    return 0;
}

int credential_read(const char *name, secret **ret, char **ret_path) {
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    _cleanup_free_ char *path = NULL;
    int r;

    assert(name);
    assert(ret);

    if (name[0] == '/')
        path = strdup(name);
    else if (asprintf(&path, "%s/%s", folder ? folder : "$CREDENTIALS_DIRECTORY", name) < 0)
        path = NULL;
    if (!path)
        return -ENOMEM;

    /* A name with a slash in it would leave the folder. */
    if (name[0] != '/' && (!folder || strchr(name, '/')))
        r = -ENOENT;
    else
        r = read_credential_file(path, ret);

    if (ret_path)
        *ret_path = TAKE_PTR(path);
    return r;
}
