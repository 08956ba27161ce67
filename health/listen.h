/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening socket of the endpoints: for this host only. Nothing here logs. */

/* Takes a copy of the first stream socket that systemd passed under the name "health"
 * (sd_listen_fds_with_names(3)), else opens `address`: "127.0.0.1:PORT", "[::1]:PORT", or the
 * absolute path of a Unix socket, which gets mode 0660 and replaces one that nobody listens on any
 * more. Only loopback addresses, and no names: a name may come to mean something else.
 *
 * *ret_path is the path to unlink at the end; NULL where there is none. Returns 0; -EINVAL for a
 * bad address; or another negative errno; with a malloc(3)ed text for people in *ret_why. */
int listen_open(const char *address, int *ret_fd, char **ret_path, char **ret_why);
