/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/backoff.h"

static usec_t step(const unsigned *ladder, size_t steps, unsigned taken) {
    return ladder[taken < steps ? taken : steps - 1] * USEC_PER_SEC;
}

static usec_t with_jitter(usec_t wait, uint32_t random) {
    return wait * (80 + random % 41) / 100;
}

usec_t backoff_next(backoff *b, const backoff_end *end, uint32_t random) {
    static const unsigned ladder[] = {0, 1, 2, 5, 10, 30};
    static const unsigned slow[] = {30, 60, 120, 300};
    bool is_refusal, wants_new_token;

    assert(b);
    assert(end);

    if (end->up >= BACKOFF_GOOD_AFTER)
        *b = (backoff){0};

    is_refusal = end->status == 401 || end->status == 403 || end->status == 404;
    wants_new_token = end->status == 401 || end->close_code == 1008;

    if (wants_new_token && !b->retried_new_token) {
        b->retried_new_token = true;
        return 0;
    }

    if (is_refusal)
        return with_jitter(step(slow, ELEMENTSOF(slow), b->refusals++), random);

    b->refusals = 0;
    return with_jitter(step(ladder, ELEMENTSOF(ladder), b->failures++), random);
}
