/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signing the agent's account in by Kerberos: SASL binds with GSS-SPNEGO over LDAPS.
 *
 * Each bind has tickets of its own, fresh from the keytab. Both sides prove themselves, and the
 * bind is tied to the controller's certificate (tls-server-end-point, RFC 5929), without which AD
 * takes none over TLS. Nothing here logs. */

#include "ldap/answer.h"
#include "ldap/connection.h"
#include "ldap/directory.h"

typedef struct kerberos kerberos;
typedef struct kerberos_bind kerberos_bind;

/* `config` is borrowed. Returns 0 or negative errno. */
int kerberos_new(sd_event *event, const directory_config *config, kerberos **ret);

/* Its binds must have been freed. Takes NULL, returns NULL. */
kerberos *kerberos_free(kerberos *k);

/* Once, from the loop; by then the bind is gone. Where it does not come, the connection has been
 * given up for a trouble that is not the account's, with connection_fail().
 *
 * refusal    why the account was refused; NULL: it is signed in. Borrowed
 * said       the words of the one who refused it. Borrowed
 * renew_at   CLOCK_MONOTONIC; the controller ends the connection with the tickets, so it should be
 *            replaced from then on */
typedef void (*kerberos_bound_fn)(const bind_refusal *refusal, const char *said, usec_t renew_at,
                                  void *userdata);

/* Begins to bind. It takes CONNECTION_PATIENCE at most to get tickets, and as long again for the
 * controller's answer. Returns 0 or negative errno.
 *
 * c      borrowed: must outlive the bind
 * host   the controller's name */
int kerberos_bind_new(kerberos *k, connection *c, const char *host, kerberos_bound_fn fn,
                      void *userdata, kerberos_bind **ret);

/* Takes NULL, returns NULL. */
kerberos_bind *kerberos_bind_free(kerberos_bind *b);

/* After how much of its tickets' life a connection is to be replaced: so early that a request under
 * way can still end, yet after most of it. */
usec_t kerberos_renewal(usec_t lifetime);

DEFINE_CLEANUP(kerberos *, kerberos_free);
DEFINE_CLEANUP(kerberos_bind *, kerberos_bind_free);
