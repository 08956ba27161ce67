/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The opening of a WebSocket by libcurl: its options, the check of the answer (RFC 6455 section
 * 4.1; libcurl checks neither Sec-WebSocket-Accept nor unwanted extensions), and why it failed, in
 * words. Nothing here logs. */

#include <curl/curl.h>
#include <stdbool.h>

#include "agent/base/clock.h"
#include "agent/base/secret.h"

/* TCP, TLS and Upgrade together. */
#define HANDSHAKE_TIMEOUT (10 * USEC_PER_SEC)

#define TRACKING_ID_MAX 128

/* Whom to open a WebSocket to, and how. */
typedef struct handshake_options {
    const char *url;           /* wss://… */
    const char *authorization; /* header ServiceBusAuthorization; NULL: none */
    const char *ca_file;       /* NULL: the system's */
    const char *proxy;         /* NULL: none; the environment's proxies are never used */
} handshake_options;

typedef struct handshake {
    struct curl_slist *headers;
    char *where;                       /* "HOST:PORT", for texts */
    char key[32], accept[32];          /* Sec-WebSocket-Key; what Sec-WebSocket-Accept must be */
    bool accepted, unwanted;           /* the answer has the accept; has something not asked for */
    char answer[512];                  /* the status line behind "HTTP/1.1 " */
    char tracking_id[TRACKING_ID_MAX]; /* "" where the relay named none */
    clock_reading clock;               /* the relay's, by its answer */
    char error[CURL_ERROR_SIZE];
} handshake;

/* Sets all options of `easy`. `h` must be all zero, live as long as `easy` and not move. Returns 0,
 * -EINVAL where the address is none, -EIO, -ENOMEM. */
int handshake_prepare(handshake *h, CURL *easy, const handshake_options *options);

/* The transfer ended with `result`: NULL in *ret_why where the WebSocket is open, else why it is
 * not, malloc(3)ed. A text says the same for the same fault, so that repetitions can be told; what
 * varies (tracking id, times) is not in it. The status of the answer, or 0, is in *ret_status.
 * Returns 0 or -ENOMEM. */
int handshake_finish(handshake *h, CURL *easy, CURLcode result, char **ret_why, int *ret_status);

void handshake_done(handshake *h);

/* The relay ends its texts with "TrackingId:…, SystemTracker:…, Timestamp:…". Copies the text
 * before that, without a full stop, to malloc(3)ed *ret_text, and the id to `ret_id`, where there
 * is one. Returns 0 or -ENOMEM. */
int tracking_split(const char *text, char **ret_text, char ret_id[static TRACKING_ID_MAX]);
