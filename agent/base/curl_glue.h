/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libcurl's multi interface on an sd_event loop. Every libcurl transfer of the process goes through
 * one of these, so none of them blocks. Nothing here logs. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "agent/base/clock.h"

typedef struct curl_glue curl_glue;

/* The transfer of `easy` ended with `result`. The easy handle stays in the multi until the owner
 * calls curl_glue_remove(): a WebSocket that was connected with CURLOPT_CONNECT_ONLY lives only
 * there. */
typedef void (*curl_glue_done_fn)(CURL *easy, CURLcode result, void *userdata);

/* The oldest libcurl that has what we need; see curl_glue_check_library(). */
#define CURL_VERSION_NEEDED 0x080e01 /* 8.14.1 */

/* Looks whether the libcurl that runs (not the one compiled against) is new enough and speaks wss.
 * Debian 12's own has the functions but not the protocol. Returns 0, or -ENOSYS with a malloc(3)ed
 * text that says what is there and what is needed. */
int curl_glue_check_library(char **ret_why);

int curl_glue_new(sd_event *event, curl_glue **ret);
curl_glue *curl_glue_free(curl_glue *g);

/* Starts a transfer. `done` is called once, from the loop and never from inside this call. Sets
 * CURLOPT_PRIVATE, which is the glue's. Returns 0 or negative errno. */
int curl_glue_add(curl_glue *g, CURL *easy, curl_glue_done_fn done, void *userdata);

/* Ends the transfer if it has not ended and takes the handle out; closes its connection if it was a
 * CONNECT_ONLY one. `done` is not called any more. The handle stays the caller's. */
void curl_glue_remove(curl_glue *g, CURL *easy);

/* The peer's clock, by the Date (RFC 9110 section 6.6.1) of its last answer. To be called as soon
 * as the transfer has ended: what it is off by then is a second, and the time that the answer took.
 */
clock_reading curl_glue_peer_clock(CURL *easy);

DEFINE_CLEANUP(curl_glue *, curl_glue_free);
