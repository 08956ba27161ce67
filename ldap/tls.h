/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS to a controller, by OpenSSL on a non-blocking socket; and in words why it failed.
 *
 * At least TLS 1.2. The certificate must be issued by a trusted CA and bear the name that was asked
 * for: what DNS answered is no proof of identity (RFC 6125 section 6.2.1). Nothing here logs. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"

/* What certificates are checked with. Reads files, so it belongs into a worker thread.
 *
 * ca_file, ca_directory   NULL both: the system's store
 *
 * Returns 0; -ENOMEM; or -EINVAL, with what is wrong with the file, or the folder (it is not there,
 * or has no certificate under the name that openssl-rehash(1) gives it), in *ret_why, free(3)d by
 * the caller. */
int tls_context_new(const char *ca_file, const char *ca_directory, SSL_CTX **ret, char **ret_why);

static inline SSL_CTX *tls_context_free(SSL_CTX *ctx) {
    SSL_CTX_free(ctx);
    return NULL;
}

typedef struct tls_session tls_session;

#define TLS_END_POINT_MAX 64

/* fd       a connected non-blocking socket, borrowed: must outlive the session
 * host     the name (or address) in the controller's certificate
 * domain   a second name that it must bear; NULL: none
 * ca       where the trusted CAs came from, for the texts; borrowed
 *
 * Returns 0 or -ENOMEM. */
int tls_session_new(SSL_CTX *ctx, int fd, const char *host, const char *domain, const char *ca,
                    tls_session **ret);

/* Says goodbye to the peer where the socket takes it, and frees. Takes NULL, returns NULL. */
tls_session *tls_session_free(tls_session *s);

/* Goes on with the handshake. Returns 0 when it is done, -EAGAIN when the socket has to become
 * ready first, -EPROTO when it failed: see tls_session_problem(). */
int tls_session_handshake(tls_session *s);

/* Why the handshake failed: a sentence's end that follows the controller's name ("bears a
 * certificate that expired on …"), and the outcome that it means. */
const char *tls_session_problem(const tls_session *s, outcome *ret_outcome);

/* read(2) and write(2) through TLS: 0 from reading is the peer's end; -EAGAIN; other negative
 * errno.
 */
ssize_t tls_session_read(tls_session *s, void *buffer, size_t size);
ssize_t tls_session_write(tls_session *s, const void *data, size_t size);

/* Whether decrypted bytes wait, of which the socket knows nothing any more. */
bool tls_session_has_pending(const tls_session *s);

/* Whether the last call stopped because the socket took no more. */
bool tls_session_wants_write(const tls_session *s);

/* The hash of the peer's certificate that stands for this session in a channel binding
 * (tls-server-end-point, RFC 5929 section 4.1). Returns 0; -ENOTSUP where the certificate's
 * signature has no hash of its own, as Ed25519 has none; or -ENOMEM. */
int tls_session_end_point(const tls_session *s, uint8_t ret[static TLS_END_POINT_MAX],
                          size_t *ret_size);

/* When the peer's certificate ends, CLOCK_REALTIME; 0 before the handshake is done. */
usec_t tls_session_not_after(const tls_session *s);

DEFINE_CLEANUP(SSL_CTX *, tls_context_free);
DEFINE_CLEANUP(tls_session *, tls_session_free);
