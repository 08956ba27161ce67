/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the agent's account says to be signed in by Kerberos: the tokens of GSS-SPNEGO (RFC 4178).
 *
 * The tickets come from a keytab, are kept in memory, and end with the exchange; neither the
 * process's environment nor any ticket cache of this host has a part in it. Nothing here logs. */

#include <stdbool.h>
#include <sys/socket.h>

#include "ldap/kerberos_trouble.h"
#include "ldap/tls.h"

/* Copied, but for the strings, which are borrowed. */
typedef struct spnego_options {
    const char *principal;                /* "svc-writeback@CORP.EXAMPLE" */
    const char *keytab;                   /* an absolute path */
    const char *host;                     /* the controller's name */
    const char *realm;                    /* the controller's: its domain in capitals */
    struct sockaddr_storage address;      /* the controller's, who is asked for the tickets */
    uint8_t end_point[TLS_END_POINT_MAX]; /* tls_session_end_point(); none where the size is 0 */
    size_t end_point_size;
} spnego_options;

typedef struct spnego spnego;

/* Returns 0 or negative errno. */
int spnego_new(const spnego_options *options, spnego **ret);

/* Takes NULL, returns NULL. No step may be running. */
spnego *spnego_free(spnego *s);

/* Takes what the controller said (nothing at first) and makes the next token. Reads files and waits
 * for the KDC, without a deadline: belongs into a worker thread. Returns whether it succeeded;
 * otherwise see spnego_trouble(). */
bool spnego_step(spnego *s, const void *said, size_t size);

/* Ends a step that is running, from any thread. It fails soon where the account is of the
 * controller's realm; where it is of another one, libkrb5 itself looks for that one's KDCs, cannot
 * be interrupted, and the step lasts as long as its search: tens of seconds where they do not
 * answer. */
void spnego_cancel(spnego *s);

/* The token to send, until the next step; NULL: there is nothing to say any more. */
const void *spnego_token(const spnego *s, size_t *ret_size);

/* Whether the controller has proved itself to us too, and nothing is missing. */
bool spnego_is_complete(const spnego *s);

/* How long the tickets live, from when they were given. */
usec_t spnego_lifetime(const spnego *s);

/* Why a step failed. */
const kerberos_trouble *spnego_trouble(const spnego *s);

/* Whether the keytab has a key of the principal. Returns 0; -EINVAL, with a malloc(3)ed text that
 * says what is wrong; or another negative errno. */
int spnego_keytab_check(const char *keytab, const char *principal, char **ret_why);

DEFINE_CLEANUP(spnego *, spnego_free);
