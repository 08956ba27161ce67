/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small files, whole: read with a limit, written so that a crash leaves the old one or the new one.
 */

#include "agent/base/secret.h"

/* Reads a whole file of at most `limit` bytes. Returns 0, -EFBIG, or another negative errno. */
int file_read(const char *path, size_t limit, secret **ret);

/* The same of what an open descriptor has left: a pipe, standard input. */
int file_read_descriptor(int fd, size_t limit, secret **ret);

/* Writes `path` with mode 0600: temporary file beside it, fsync, rename, fsync of the folder.
 * Blocks; not for the loop. Returns 0 or negative errno, and then the old file still stands. */
int file_write_atomically(const char *path, const void *data, size_t size);

/* The credential `name`: from $CREDENTIALS_DIRECTORY where it holds one of that name
 * (systemd.exec(5), LoadCredential=), else, where `name` is an absolute path, from that file. One
 * trailing newline is cut off. `*ret_path`, where asked for, tells in either case which file was
 * (or would have been) read.
 *
 * Returns 0; -ENOENT; -EFBIG beyond 16 KiB; -ENODATA where it is empty; or another negative errno.
 */
int credential_read(const char *name, secret **ret, char **ret_path);
