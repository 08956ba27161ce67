/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How answers leave: with a receipt. Nothing here logs. */

#include "relay/relay.h"

/* Answers, and signs the answer where that can be done.
 *
 * id            the request's jti; NULL where it is not known
 * content_type  of the body
 * headers       beside the receipt: at most RESPONSE_HEADERS_MAX
 * body          NULL (memory is out) is an empty one */
#define RESPONSE_HEADERS_MAX 3
void respond_with_receipt(relay_request *q, const agent_keys *keys, const char *id, int status,
                          const char *content_type, const relay_header *headers, size_t n_headers,
                          const char *body);
