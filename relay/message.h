/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the relay and a listener write to each other in text messages: one JSON object with one
 * member that names the message (Microsoft: azure-relay/relay-hybrid-connections-protocol). Pure;
 * nothing here logs. */

#include "agent/base/json.h"
#include "relay/relay.h"

typedef enum message_type {
    MESSAGE_UNKNOWN, /* a kind we do not know, to be ignored; nothing else of it is set */
    MESSAGE_ACCEPT,  /* a sender asks for a WebSocket: address only */
    MESSAGE_POINTER, /* a request too large for the control channel: address only */
    MESSAGE_REQUEST, /* a request whole but for its body */
} message_type;

typedef struct message {
    message_type type;
    json_t *json;        /* owned; everything else is borrowed from it */
    const char *address; /* never NULL but for MESSAGE_UNKNOWN */
    const char *id;      /* opaque, not empty */
    const char *fault;   /* why it cannot be served, though it can be answered: a static text that
                            quotes nothing. Then target and method may be NULL. NULL: it can */
    const char *target;  /* mostly a path */
    const char *method;  /* an HTTP token */
    json_t *headers;     /* object; NULL where there are none */
    bool has_body;       /* the next binary message is the body */
} message;

/* Returns 0, for requests that can only be refused too, as long as it is known which and where;
 * what a sender can make of one is no more than that. -EBADMSG where it is no message that the
 * protocol allows, with a static text of what is wrong in *ret_why that quotes nothing; -ENOMEM. */
int message_parse(const char *text, size_t size, message *ret, const char **ret_why);

void message_done(message *m);

/* The header's value; names are compared without case. Borrowed; NULL where there is none. */
const char *message_header(const message *m, const char *name);

/* The path below the hybrid connection's own, without the query: "/v1/keys" of
 * "/hyco/v1/keys?x=1"; "/" for "/hyco". A target elsewhere stays as it is; "" where none is known.
 * malloc(3)ed, or NULL. */
char *message_path(const message *m, const char *entity_path);

/* The answer's JSON; malloc(3)ed, or NULL. content_type may be NULL. */
char *message_response(const char *id, int status, const char *content_type,
                       const relay_header *headers, size_t n_headers, bool has_body);

/* The new token for the control channel. Returns 0 or -ENOMEM. */
int message_renew_token(const secret *token, secret **ret);
