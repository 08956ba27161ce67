/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The relayed HTTP requests: routes, methods, sizes, content types. */

#include "agent/operation.h"

typedef struct api {
    operations *operations;
    const agent_keys *keys;
    const health *health;
    bool stopping; /* new requests are turned away with 503 */
} api;

/* Answers the request, or hands it to the operations. Logs what it refuses: 35040 to 35043,
 * 35008, 35013, and 32003 where the request has a fault. */
void api_handle(const api *a, relay_request *q);
