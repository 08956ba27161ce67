/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One WebSocket (RFC 6455) to the relay, on the loop, over libcurl. Nothing here logs.
 *
 * libcurl connects; from then on the socket is watched here and curl_ws_recv(3) and curl_ws_send(3)
 * are used, since libcurl's callbacks lose empty frames and block when they send. */

#include <systemd/sd-event.h>

#include "agent/base/curl_glue.h"
#include "relay/frame_queue.h"
#include "relay/handshake.h"

typedef struct websocket websocket;

typedef struct websocket_options {
    handshake_options handshake;
    size_t text_max, binary_max; /* bytes of a message */
    usec_t keepalive;            /* between two PINGs; 0: none */
} websocket_options;

/* A message that came whole. Borrowed until the call returns. */
typedef struct websocket_message {
    bool is_text;
    bool is_too_large; /* it was read to its end and thrown away */
    const char *data;
    size_t size;
} websocket_message;

/* Why it ended. Borrowed until the call returns. */
typedef struct websocket_end {
    int status;              /* of the HTTP answer that refused the Upgrade; 0: none */
    unsigned close_code;     /* of the peer's CLOSE; 0: none */
    const char *reason;      /* for people; the same for the same fault */
    const char *tracking_id; /* NULL: none */
} websocket_end;

/* Called from the loop, never from inside a call of this header. on_end is called once, and nothing
 * after it; the WebSocket may be freed in any of them. on_message and on_alive may be NULL. */
typedef struct websocket_callbacks {
    void (*on_open)(const char *tracking_id, void *userdata); /* NULL: the relay named none */
    void (*on_message)(const websocket_message *m, void *userdata);
    /* A frame of any kind came; latency is of the last PING where this was its PONG, else 0. */
    void (*on_alive)(usec_t latency, void *userdata);
    void (*on_end)(const websocket_end *end, void *userdata);
    void *userdata;
} websocket_callbacks;

/* Begins to connect. Everything in `options` is copied. Returns 0; -EINVAL where the address is
 * none; or another negative errno. */
int websocket_open(sd_event *event, curl_glue *glue, const websocket_options *options,
                   const websocket_callbacks *callbacks, websocket **ret);

/* Closes the socket without a word. Messages that wait are dropped. Takes NULL, returns NULL. */
websocket *websocket_free(websocket *ws);

/* Sends a text and, right behind it, a binary message where `body_size` is not 0. Both are borrowed
 * until `sent` (may be NULL) was called; that must not free the WebSocket.
 *
 * Returns 0; -ENOTCONN before it is open and once it is closing; -ENOBUFS where the peer takes
 * nothing and too much waits already; -ENOMEM. On failure `sent` is not called. */
int websocket_send(websocket *ws, const char *text, size_t text_size, const void *body,
                   size_t body_size, frame_sent_fn sent, void *userdata);

/* What the relay's clock said in its answer to the Upgrade, whether it accepted or refused it. */
clock_reading websocket_peer_clock(const websocket *ws);

/* Sends CLOSE behind all that waits, and waits 2 s for the peer's. */
void websocket_close(websocket *ws, unsigned code, const char *reason);

DEFINE_CLEANUP(websocket *, websocket_free);
