/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of a connection share: connection.c (its life), connection_open.c (name, socket,
 * TLS handshake), connection_requests.c (requests and answers). Nobody else includes this. */

#include "ldap/connection.h"
#include "ldap/stream.h"

typedef enum connection_state {
    CONNECTION_PREPARING,
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKING,
    CONNECTION_OPEN,
    CONNECTION_LOST,
} connection_state;

struct connection {
    sd_event *event;
    const connection_target *target;
    connection_opened_fn opened;
    connection_lost_fn lost;
    void *userdata;

    connection_state state;
    worker_job *job;
    SSL_CTX *ctx;
    struct addrinfo *addresses, *address; /* all, and the one being tried */
    usec_t open_until;
    int fd;
    sd_event_source *io, *timer, *failure;
    tls_session *tls;
    stream *stream;

    connection_request *requests;
    usec_t latency;

    outcome lost_outcome;
    char *lost_reason;
};

/* connection_fail() with a reason that is taken over; NULL: memory is short. */
void connection_fail_format(connection *c, outcome o, char *reason);

/* The socket is ready for something. */
int connection_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);
void connection_update_events(connection *c, bool write);

/* ---- connection_open.c ----------------------------------------------------------------------- */

/* Begins: the name is resolved and the certificates are loaded in the worker. */
int connection_prepare(connection *c, worker *resolver);

/* Takes the next step when the socket is ready, or when the time for the last one is over. */
void connection_open_further(connection *c);
void connection_open_overdue(connection *c);

void connection_hang_up(connection *c);

/* ---- connection_requests.c ------------------------------------------------------------------- */

void connection_receive(connection *c);
void connection_flush(connection *c);

/* Ends each request with the reason why the connection was lost. */
void connection_end_requests(connection *c);

/* Lets go of each request without a word to whoever waits for it. */
void connection_drop_requests(connection *c);
