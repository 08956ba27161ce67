/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One HTTPS request on the loop: GET, or POST of a small body. For issuers' metadata and keys,
 * reports, Microsoft Graph. HTTPS only, no redirects, TLS 1.2 at least, certificate and name
 * verified. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/curl_glue.h"
#include "agent/base/secret.h"

typedef struct http_fetch http_fetch;

typedef struct http_fetch_options {
    const char *url;          /* https://… */
    const char *ca_file;      /* NULL: the system's */
    const char *proxy;        /* NULL: none; the environment's proxies are never used */
    const char *content_type; /* of `body`; NULL: GET */
    const char *body;         /* NUL-terminated, copied; NULL: GET */
    const secret *bearer;     /* access token for Authorization: Bearer, copied; NULL: none */
    bool is_secret;           /* the answer is; its connection, with TLS's buffers, ends with it */
    size_t limit;             /* of the answer's body, bytes */
    usec_t timeout;           /* for the whole */
} http_fetch_options;

/* error: NULL where an answer of any status came, else why none did, for people, naming host and
 * step; the same words each time for the same fault (agent/base/curl_fault.h). body is
 * NUL-terminated. Everything is borrowed until the call returns. The fetch is freed afterwards,
 * unless it was freed in the call. */
typedef void (*http_fetch_done_fn)(const char *error, long status, const char *body, size_t size,
                                   void *userdata);

/* `done` is called once, from the loop, never from inside this call. Returns 0 or negative errno.
 */
int http_fetch_start(curl_glue *glue, const http_fetch_options *options, http_fetch_done_fn done,
                     void *userdata, http_fetch **ret);

/* Of the answer, while `done` runs: how long the server asks to wait (Retry-After; 0: it does not),
 * and what its clock says. Nothing, where no answer came. */
usec_t http_fetch_retry_after(const http_fetch *f);
clock_reading http_fetch_clock(const http_fetch *f);

/* Cancels; `done` is not called. Takes NULL, returns NULL. */
http_fetch *http_fetch_free(http_fetch *f);

DEFINE_CLEANUP(http_fetch *, http_fetch_free);
