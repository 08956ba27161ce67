/* SPDX-License-Identifier: Apache-2.0 */
#include "health/history.h"

void history_add(history *h, const history_entry *entry) {
    h->entries[h->n++ % HISTORY_MAX] = *entry;
}

size_t history_size(const history *h) {
    return h->n < HISTORY_MAX ? h->n : HISTORY_MAX;
}

const history_entry *history_get(const history *h, size_t age) {
    assert(age < history_size(h));
    return &h->entries[(h->n - 1 - age) % HISTORY_MAX];
}
