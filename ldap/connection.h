/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One LDAPS connection to one controller: name, socket, TLS handshake, then requests side by side.
 *
 * All on the loop, what can only block in the worker. A connection opens once, is lost once, and is
 * never revived: make a new one. Callbacks come from the loop, never from inside a call made here.
 * Nothing here logs, but for answers that nobody waits for any more. */

#include <ldap.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "agent/base/outcome.h"
#include "agent/base/secret.h"
#include "agent/base/worker.h"
#include "ldap/tls.h"

typedef struct connection connection;
typedef struct connection_request connection_request;

/* Borrowed: must live as long as the connection. */
typedef struct connection_target {
    const char *name; /* for people */
    const char *host; /* name or address; the certificate must bear it */
    const char *port;
    const char *domain;  /* the certificate must bear this too; NULL: the host's name is enough */
    const char *ca_file; /* NULL and no ca_directory: the system's */
    const char *ca_directory;
} connection_target;

/* `opened` is called when the TLS handshake is done. `lost` is called once, at any time, unless the
 * connection is freed first; by then every request has ended. `reason` is a sentence's end that
 * follows the controller's name, borrowed. The callee frees the connection, there or later. */
typedef void (*connection_opened_fn)(void *userdata);
typedef void (*connection_lost_fn)(outcome o, const char *reason, void *userdata);

/* Begins to connect. Returns 0 or negative errno. */
int connection_new(sd_event *event, worker *resolver, const connection_target *target,
                   connection_opened_fn opened, connection_lost_fn lost, void *userdata,
                   connection **ret);

/* Cancels every request but modifies that were sent: their late answer is lost, and that is logged.
 * Takes NULL, returns NULL. */
connection *connection_free(connection *c);

/* Gives the connection up for a reason found out by the caller: `lost` will be called with it. */
void connection_fail(connection *c, outcome o, const char *reason);

/* When the controller's certificate ends, CLOCK_REALTIME; 0: unknown. */
usec_t connection_not_after(const connection *c);

/* How long the last answer took; 0: none came yet. */
usec_t connection_latency(const connection *c);

/* This host's address as the controller sees it. Returns 0 or negative errno. */
int connection_local_address(const connection *c, struct sockaddr_storage *ret);

/* Whether the connection may be used for requests: open, and not lost. */
bool connection_is_open(const connection *c);

/* Whether no answer is waited for. */
bool connection_is_idle(const connection *c);

/* The controller's address. Returns 0 or negative errno. */
int connection_peer_address(const connection *c, struct sockaddr_storage *ret);

/* What ties a bind to this connection: see tls_session_end_point(). */
int connection_end_point(const connection *c, uint8_t ret[static TLS_END_POINT_MAX],
                         size_t *ret_size);

/* ---- Requests -------------------------------------------------------------------------------- */

#define CONNECTION_ENTRIES_MAX 8

/* An answer, borrowed until the callback returns. */
typedef struct connection_answer {
    int result;       /* LDAP result code; -1: the connection was lost first */
    const char *text; /* the diagnostic message, or why the connection was lost */
    const struct berval
        *sasl; /* of a bind: what the controller says to the mechanism; may be NULL */
    LDAP *ld;  /* for looking into the entries */
    LDAPMessage *entries[CONNECTION_ENTRIES_MAX];
    size_t n_entries;
} connection_answer;

typedef void (*connection_answer_fn)(const connection_answer *answer, void *userdata);

/* Each sends one request and returns 0, or negative errno where it could not be sent. The callback
 * comes once; from then on `*ret` is gone.
 *
 * Binding and searching must be answered within CONNECTION_PATIENCE, else the connection is given
 * up: a controller that is that slow hangs. A modify is waited for as long as the connection lives.
 */
#define CONNECTION_PATIENCE (10 * USEC_PER_SEC)

/* What a controller may spend on a search: a long one ends in an answer (LDAP result 3) and not
 * with the connection. */
#define CONNECTION_SEARCH_LIMIT (8 * USEC_PER_SEC)

int connection_bind(connection *c, const char *dn, const secret *password, connection_answer_fn fn,
                    void *userdata, connection_request **ret);

/* One round of a SASL bind: LDAP_SASL_BIND_IN_PROGRESS asks for another. */
int connection_bind_sasl(connection *c, const char *mechanism, const void *token, size_t size,
                         connection_answer_fn fn, void *userdata, connection_request **ret);

/* Entries beyond CONNECTION_ENTRIES_MAX are not asked for. `attributes` is NULL-terminated. */
int connection_search(connection *c, const char *base, int scope, const char *filter,
                      const char *const *attributes, connection_answer_fn fn, void *userdata,
                      connection_request **ret);

/* Looks at one entry, with a control. The same in all else. */
int connection_look(connection *c, const char *dn, const char *const *attributes,
                    const LDAPControl *critical_control, connection_answer_fn fn, void *userdata,
                    connection_request **ret);

/* critical_control   OID and value of a control to send as critical; NULL: none
 * what               for the log, should the answer come after the request was freed: copied */
int connection_modify(connection *c, const char *dn, LDAPMod **mods,
                      const LDAPControl *critical_control, const char *what,
                      connection_answer_fn fn, void *userdata, connection_request **ret);

/* The answer is not wanted any more. A search is abandoned; a modify has been sent and cannot be
 * taken back: its answer is logged when it comes. Takes NULL, returns NULL. */
connection_request *connection_request_free(connection_request *r);

DEFINE_CLEANUP(connection *, connection_free);
