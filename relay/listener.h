/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the listener know of each other:
 *
 *   listener.c     the control channel: connect, keep, renew, connect again
 *   request.c      requests put together from messages, handed over, answered
 *   rendezvous.c   sockets opened for one exchange each
 */

#include "relay/backoff.h"
#include "relay/message.h"
#include "relay/relay.h"
#include "relay/websocket.h"

typedef struct rendezvous rendezvous;

typedef enum rendezvous_purpose {
    PURPOSE_FETCH,   /* a request, and its answer on the same socket */
    PURPOSE_DELIVER, /* an answer to a request that came by the control channel */
    PURPOSE_REFUSE,  /* a WebSocket sender */
    PURPOSE_MAX_,
} rendezvous_purpose;

/* Messages of one socket on their way to become a request. */
typedef struct intake {
    message request;
    bool expects_body; /* the next binary message is the body of `request` */
} intake;

/* What is sent back. */
typedef struct answer {
    relay *relay;
    char *id, *address; /* of the request */
    char *json;
    void *body;
    size_t size;
} answer;

struct relay_request {
    relay_request *previous, *next;
    relay *relay;
    message message;
    char *path;
    void *body;
    size_t size;
    bool is_too_large;
    bool is_one_too_many;
    usec_t came; /* CLOCK_MONOTONIC; the relay told of it */
    void *userdata;

    uint64_t channel_number; /* the control channel that it came by; 0: it came by rendezvous */
    rendezvous *rendezvous;  /* NULL also where that has ended */
};

struct relay {
    sd_event *event;
    curl_glue *glue;
    const relay_config *config;
    relay_callbacks callbacks;
    char *url;      /* of the control channel */
    char *where;    /* "HOST/PATH", for the log */
    char *resource; /* what the token is for */
    bool freeing;

    relay_status status;
    char *reason; /* status.reason */

    websocket *channel;
    uint64_t channel_number; /* counts the channels that were opened */
    usec_t opened;           /* CLOCK_MONOTONIC; 0 where the channel is not open (yet) */
    intake intake;
    backoff backoff;
    sd_event_source *retry;   /* armed, or there is a channel, or we are stopped */
    sd_event_source *renewal; /* of the token */

    char *failure; /* of the last attempt, as it was logged */
    usec_t failure_logged;

    relay_request *requests; /* handed over and not answered yet */
    size_t n_requests;
    size_t n_answers; /* given, and not sent yet */
    rendezvous *rendezvous;
    size_t n_rendezvous[PURPOSE_MAX_];
    usec_t refusals_since; /* of WebSocket senders; start of the minute that is counted */
    unsigned refusals;
};

/* ---- listener.c ------------------------------------------------------------------------------ */

/* Something that was on its way has arrived or is lost: tells the owner if it was the last. */
void relay_settle(const relay *r);

/* ---- request.c ------------------------------------------------------------------------------- */

/* Takes a message that came on the control channel (`by` is NULL) or by rendezvous. Logs. May end
 * in the owner's on_request. */
void intake_take(intake *i, relay *r, rendezvous *by, const websocket_message *m);
void intake_done(intake *i);

/* It was sent, or never will be; tells the owner where it was the last one that waited. */
answer *answer_free(answer *a);

/* Logs 35036 and frees. */
void answer_lost(answer *a, const char *reason);

/* Forgets a request without an answer. */
relay_request *relay_request_free(relay_request *q);

/* ---- rendezvous.c ----
 * All of these log. */

/* Goes to fetch a request. */
void rendezvous_fetch(relay *r, const char *address);

/* When it was told of (CLOCK_MONOTONIC). */
usec_t rendezvous_began(const rendezvous *v);

/* Goes to deliver an answer, which it takes. */
void rendezvous_deliver(relay *r, answer *a);

/* Goes to refuse a WebSocket sender, so that it need not wait for a timeout. At most
 * REFUSALS_A_MINUTE; beyond that senders wait. */
void rendezvous_refuse(relay *r, const char *address);

/* The request arrived whole and waits for its answer. */
void rendezvous_hold(rendezvous *v, relay_request *q);

/* Sends the answer, which it takes, and closes. */
void rendezvous_answer(rendezvous *v, answer *a);

/* What came by it is not what the protocol allows: closes. */
void rendezvous_break_off(rendezvous *v);

rendezvous *rendezvous_free(rendezvous *v);
