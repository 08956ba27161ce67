/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why a transfer of libcurl's came to nothing, for people.
 *
 * The same fault has the same words each time: that is how whoever logs it tells a repetition.
 * libcurl's own texts count milliseconds, bytes and streams, and quote a proxy's whole address
 * where it cannot be read, password and all; they are taken where they do none of that, since they
 * name the reason of a refused certificate. Nothing here logs. */

#include <curl/curl.h>
#include <stdbool.h>

#include "agent/base/macro.h"

typedef struct curl_fault {
    CURLcode result;
    const char *text;                        /* CURLOPT_ERRORBUFFER, may be empty; borrowed */
    long os_error;                           /* CURLINFO_OS_ERRNO */
    long proxy_status;                       /* of the answer to CONNECT; 0: none came */
    bool by_proxy;                           /* the connection was to be made through one */
    bool is_resolved, is_connected, has_tls; /* how far it came */
} curl_fault;

/* What `easy` knows of its transfer, which ended with `result`. */
curl_fault curl_fault_of(CURL *easy, CURLcode result, const char *text);

/* `where` is "HOST:PORT" of the server that was to answer, `patience` the time that it had for
 * that. malloc(3)ed; NULL where memory is out. */
char *curl_fault_describe(const curl_fault *f, const char *where, usec_t patience);
