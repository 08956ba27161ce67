/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What waits to be sent on one WebSocket. Messages go out in the order they came, cut into frames,
 * so that PING, PONG and CLOSE find a gap; a frame that was begun is always finished first. Pure:
 * the sending itself is the caller's. Nothing here logs.
 *
 * Only the last PONG is kept (RFC 6455 section 5.5.3), so a storm of PINGs fills nothing. */

#include <curl/curl.h>
#include <stdbool.h>

#include "agent/base/macro.h"

#define FRAME_SIZE_MAX ((size_t) 16 * 1024)
#define FRAME_CONTROL_MAX ((size_t) 125)

/* A message was given to the socket in full, or was dropped. Called once; the data that it was
 * pushed with is the caller's again. */
typedef void (*frame_sent_fn)(bool sent, void *userdata);

/* curl_ws_send(3): CURLE_OK with what was taken, or CURLE_AGAIN; `flags` are CURLWS_…. */
typedef CURLcode (*frame_send_fn)(const void *data, size_t size, unsigned flags, size_t *ret_taken,
                                  void *userdata);

typedef struct queued_message queued_message;

typedef struct control_frame {
    bool waiting;
    size_t size;
    unsigned char payload[FRAME_CONTROL_MAX];
} control_frame;

typedef struct frame_queue {
    queued_message *first, *last;
    size_t bytes; /* of all messages that wait or are on their way */
    control_frame ping, pong, close;
    bool close_now; /* CLOSE does not wait for the messages */
    bool closed;    /* CLOSE is sent; nothing may follow */

    /* The frame that was begun. */
    struct {
        bool begun;
        unsigned flags;
        const unsigned char *data;
        size_t left;
        unsigned char control[FRAME_CONTROL_MAX];
    } current;
} frame_queue;

/* A text message and, where body_size is not 0, the binary message that belongs to it: nothing but
 * control frames comes between the two. Both are borrowed until `sent` (may be NULL) was called.
 * Returns 0 or -ENOMEM, and then `sent` is not called. */
int frame_queue_push(frame_queue *q, const char *text, size_t text_size, const void *body,
                     size_t body_size, frame_sent_fn sent, void *userdata);

void frame_queue_ping(frame_queue *q, const void *payload, size_t size);
void frame_queue_pong(frame_queue *q, const void *payload, size_t size);

/* CLOSE behind all messages, or before those that wait (they are then dropped). */
void frame_queue_close(frame_queue *q, unsigned code, const char *reason, bool now);

/* Sends what the socket takes. Returns CURLE_OK where nothing is left, CURLE_AGAIN where the socket
 * must become writable first, else what the sender returned. *ret_taken counts bytes. */
CURLcode frame_queue_flush(frame_queue *q, frame_send_fn send, void *userdata, size_t *ret_taken);

bool frame_queue_is_empty(const frame_queue *q);

/* Drops everything. */
void frame_queue_clear(frame_queue *q);
