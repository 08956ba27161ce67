/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/answer.h"
#include "agent/base/log.h"
#include "agent/respond.h"

#define RETRY_AFTER "1" /* seconds: whatever is under way ends within some */

typedef void (*route_fn)(const api *a, relay_request *q);

/* header: beside the receipt; NULL: none */
static void refuse(const api *a, relay_request *q, outcome o, const char *reason,
                   const relay_header *header) {
    _cleanup_free_ char *body = answer_problem(o, NULL, reason, NULL);
    char status[16];

    (void) snprintf(status, sizeof(status), "%d", outcome_get(o)->http);
    log_event(o, {"WRITEBACK_OUTCOME", outcome_get(o)->name}, {"WRITEBACK_STATUS", status},
              {"WRITEBACK_TARGET", relay_request_path(q)},
              {"WRITEBACK_ALLOW", header && o == OUTCOME_METHOD_NOT_ALLOWED ? header->value : NULL},
              {"WRITEBACK_REASON", reason}, {"WRITEBACK_RELAY", relay_request_relay_name(q)},
              {"WRITEBACK_REQUEST_ID", relay_request_tracking_id(q)},
              {"WRITEBACK_TRACKING_ID", relay_request_tracking_id(q)});
    respond_with_receipt(q, a->keys, NULL, outcome_get(o)->http, PROBLEM_CONTENT_TYPE, header,
                         header ? 1 : 0, body);
}

static void respond_json(const api *a, relay_request *q, const char *content_type,
                         const json_t *document) {
    _cleanup_free_ char *text = document ? json_to_text(document) : NULL;

    if (text)
        respond_with_receipt(q, a->keys, NULL, 200, content_type, NULL, 0, text);
    else
        refuse(a, q, OUTCOME_UNKNOWN_ERROR, "out of memory", NULL);
}

static void get_health(const api *a, relay_request *q) {
    _cleanup_(json_freep) json_t *document = health_document(a->health);

    respond_json(a, q, "application/health+json", document);
}

static void get_keys(const api *a, relay_request *q) {
    respond_json(a, q, "application/jwk-set+json", agent_keys_public(a->keys));
}

/* Parameters behind the type do not matter. */
static bool is_jose(const char *content_type) {
    static const char jose[] = "application/jose";
    size_t length = sizeof(jose) - 1;

    return content_type && strncasecmp(content_type, jose, length) == 0 &&
           strchr("; \t", content_type[length]) != NULL;
}

static void post_request(const api *a, relay_request *q) {
    const char *content_type = relay_request_header(q, "Content-Type");

    if (!is_jose(content_type)) {
        refuse(a, q, OUTCOME_UNSUPPORTED_MEDIA_TYPE, content_type ? content_type : "missing", NULL);
        return;
    }
    operations_begin(a->operations, q);
}

static const struct {
    const char *path;
    const char *method;
    route_fn handle;
} routes[] = {
    {"/v1/health", "GET", get_health},
    {"/v1/keys", "GET", get_keys},
    {"/v1/requests", "POST", post_request},
};

void api_handle(const api *a, relay_request *q) {
    assert(a);
    assert(q);

    if (a->stopping) {
        refuse(a, q, OUTCOME_SERVICE_STOPPING, NULL, NULL);
        return;
    }
    if (relay_request_is_one_too_many(q)) {
        refuse(a, q, OUTCOME_TOO_MANY_REQUESTS, "as many as may be are under way",
               &(relay_header){"Retry-After", RETRY_AFTER});
        return;
    }
    if (relay_request_fault(q)) {
        refuse(a, q, OUTCOME_INPUT_VALIDATION_ERROR, relay_request_fault(q), NULL);
        return;
    }
    if (relay_request_is_too_large(q)) {
        refuse(a, q, OUTCOME_CONTENT_TOO_LARGE, "its body is larger than 256 KiB", NULL);
        return;
    }

    for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
        if (strcmp(routes[i].path, relay_request_path(q)) != 0)
            continue;

        if (strcmp(routes[i].method, relay_request_method(q)) == 0)
            routes[i].handle(a, q);
        else
            refuse(a, q, OUTCOME_METHOD_NOT_ALLOWED, NULL,
                   &(relay_header){"Allow", routes[i].method});
        return;
    }
    refuse(a, q, OUTCOME_UNKNOWN_PATH, NULL, NULL);
}
