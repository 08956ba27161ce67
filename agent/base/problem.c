/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/problem.h"

json_t *problem_new(outcome o, const char *id, const char *detail, const char *steps) {
    const outcome_info *info = outcome_get(o);
    _cleanup_free_ char *lines = outcome_text(steps ? steps : info->steps);

    if (!lines)
        return NULL;

    return json_pack("{s:s+, s:s, s:i, s:s, s:s*, s:s, s:i, s:b, s:o}",          /* */
                     "type", "urn:writeback:", info->name, "title", info->title, /* */
                     "status", info->http, "detail", detail ? detail : info->title, "id", id,
                     "code", info->name, "eventId", info->event, "retryable", info->retryable,
                     "steps", json_lines(lines));
}
