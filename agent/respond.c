/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/respond.h"

#include <string.h>

#include "agent/base/clock.h"

void respond_with_receipt(relay_request *q, const agent_keys *keys, const char *id, int status,
                          const char *content_type, const relay_header *headers, size_t n_headers,
                          const char *body) {
    relay_header all[RESPONSE_HEADERS_MAX + 1];
    _cleanup_free_ char *receipt = NULL;
    size_t size = body ? strlen(body) : 0;

    assert(n_headers <= RESPONSE_HEADERS_MAX);

    for (size_t i = 0; i < n_headers; i++)
        all[i] = headers[i];
    if (agent_keys_sign(keys, id, now_realtime(), body ? body : "", size, &receipt) == 0)
        all[n_headers++] = (relay_header){"Writeback-Receipt", receipt};

    relay_respond(q, status, content_type, all, n_headers, body ? body : "", size);
}
