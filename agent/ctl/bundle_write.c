/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/text.h"
#include "agent/ctl/bundle.h"
#include "agent/ctl/say.h"

static int write_member(struct archive *a, const bundle *b, const bundle_member *m,
                        const char *folder) {
    _cleanup_free_ char *path = text_format("%s/%s", folder, m->name);
    struct archive_entry *entry = archive_entry_new();
    size_t size = strlen(m->text);
    int r = ARCHIVE_FATAL;

    if (path && entry) {
        archive_entry_set_pathname(entry, path);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0600);
        archive_entry_set_size(entry, (la_int64_t) size);
        archive_entry_set_mtime(entry, (time_t) (b->made / USEC_PER_SEC), 0);
        r = archive_write_header(a, entry);
    }
    if (r == ARCHIVE_OK && archive_write_data(a, m->text, size) != (la_ssize_t) size)
        r = ARCHIVE_FATAL;
    archive_entry_free(entry);
    return r;
}

static int write_archive(struct archive *a, const bundle *b, int fd, const char *folder) {
    int r = archive_write_add_filter_gzip(a);

    if (r == ARCHIVE_OK)
        r = archive_write_set_format_pax_restricted(a);
    if (r == ARCHIVE_OK)
        r = archive_write_open_fd(a, fd);
    for (size_t i = 0; i < b->n_members && r == ARCHIVE_OK; i++)
        r = write_member(a, b, &b->members[i], folder);
    return r == ARCHIVE_OK ? archive_write_close(a) : r;
}

int bundle_write(const bundle *b, const char *path, const char *folder, char **ret_why) {
    struct archive *a = archive_write_new();
    _cleanup_close_ int fd = -1;
    int r;

    *ret_why = NULL;
    if (!a)
        return -ENOMEM;

    /* Never over what is there, and never by a link that somebody laid there. */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : 0;
    if (r == 0 && (write_archive(a, b, fd, folder) != ARCHIVE_OK || fsync(fd) < 0)) {
        *ret_why =
            text_format("%s", archive_error_string(a) ? archive_error_string(a) : strerror(errno));
        r = -EIO;
        (void) unlink(path);
    }
    (void) archive_write_free(a);
    return r;
}
