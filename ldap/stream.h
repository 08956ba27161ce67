/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An LDAP handle on a TLS session that is open already.
 *
 * libldap never sees the network: it would dial and shake hands blocking the caller, with an other
 * TLS library on each distribution. Here its bytes go through a TLS session of ours, and what the
 * socket does not take at once waits in a queue of secret memory. Nothing here logs. */

#include <ldap.h>
#include <stdbool.h>

#include "ldap/tls.h"

typedef struct stream stream;

/* fd    the session's socket
 * tls   borrowed: must outlive the stream
 *
 * The handle speaks LDAP 3, follows no referral, and takes messages of at most 1 MiB. Returns 0 or
 * -ENOMEM. */
int stream_new(int fd, tls_session *tls, stream **ret);

/* Unbinds and frees the handle. Takes NULL, returns NULL. */
stream *stream_free(stream *s);

/* For libldap's calls; the stream's. */
LDAP *stream_handle(const stream *s);

/* Why libldap says that the connection is lost: a sentence's end that follows the controller's
 * name. malloc(3)ed, or NULL where memory is out. */
char *stream_read_problem(const stream *s);

/* Writes what waits. Returns 0 where nothing is left, 1 where the socket took no more, or negative
 * errno. */
int stream_flush(stream *s);

DEFINE_CLEANUP(stream *, stream_free);
