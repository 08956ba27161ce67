/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/entry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/types.h>

#include "agent/base/clock.h"

/* 1601-01-01 to 1970-01-01, in units of 100 ns. */
#define UNIX_EPOCH INT64_C(116444736000000000)

typedef struct berval **values;

static values values_free(values v) {
    ldap_value_free_len(v);
    return NULL;
}

DEFINE_CLEANUP(values, values_free);

static values get_values(entry e, const char *attribute) {
    return ldap_get_values_len(e.ld, e.message, attribute);
}

char *entry_dn(entry e) {
    char *dn = ldap_get_dn(e.ld, e.message);
    char *copy = dn ? strdup(dn) : NULL;

    ldap_memfree(dn);
    return copy;
}

char *entry_text(entry e, const char *attribute) {
    _cleanup_(values_freep) values v = get_values(e, attribute);

    return v && v[0] ? strndup(v[0]->bv_val, v[0]->bv_len) : NULL;
}

ssize_t entry_bytes(entry e, const char *attribute, void *buffer, size_t capacity) {
    _cleanup_(values_freep) values v = get_values(e, attribute);

    if (!v || !v[0] || v[0]->bv_len > capacity)
        return -ENODATA;

    memcpy(buffer, v[0]->bv_val, v[0]->bv_len);
    return (ssize_t) v[0]->bv_len;
}

int entry_copy(entry e, const char *attribute, size_t limit, uint8_t **ret, size_t *ret_size) {
    _cleanup_(values_freep) values v = get_values(e, attribute);
    uint8_t *copy;

    if (!v || !v[0] || v[0]->bv_len > limit)
        return -ENODATA;

    copy = malloc(v[0]->bv_len + 1);
    if (!copy)
        return -ENOMEM;

    memcpy(copy, v[0]->bv_val, v[0]->bv_len);
    *ret = copy;
    *ret_size = v[0]->bv_len;
    return 0;
}

int entry_sids(entry e, const char *attribute, security_id **ret, size_t *ret_n) {
    _cleanup_(values_freep) values v = get_values(e, attribute);
    size_t n_values = v ? (size_t) ldap_count_values_len(v) : 0, n = 0;
    security_id *sids;

    if (n_values == 0 || n_values > ENTRY_SIDS_MAX)
        return -ENODATA;

    sids = calloc(n_values, sizeof(security_id));
    if (!sids)
        return -ENOMEM;

    for (size_t i = 0; i < n_values; i++) {
        char text[SID_TEXT_MAX];

        if (sid_to_text(v[i]->bv_val, v[i]->bv_len, text) < 0)
            continue;
        memcpy(sids[n].bytes, v[i]->bv_val, v[i]->bv_len);
        sids[n++].size = v[i]->bv_len;
    }

    *ret = sids;
    *ret_n = n;
    return 0;
}

int64_t entry_integer(entry e, const char *attribute, int64_t otherwise) {
    _cleanup_free_ char *text = entry_text(e, attribute);
    char *end;
    intmax_t n;

    if (!text || *text == '\0')
        return otherwise;

    errno = 0;
    n = strtoimax(text, &end, 10);
    return errno == 0 && *end == '\0' ? n : otherwise;
}

usec_t entry_date(entry e, const char *attribute) {
    int64_t n = entry_integer(e, attribute, 0);

    return n > UNIX_EPOCH && n != INT64_MAX ? (usec_t) (n - UNIX_EPOCH) / 10 : 0;
}

usec_t entry_time(entry e, const char *attribute) {
    _cleanup_free_ char *text = entry_text(e, attribute);
    usec_t date;

    return text && utc_parse(text, &date) == 0 ? date : 0;
}

usec_t entry_span(entry e, const char *attribute) {
    int64_t n = entry_integer(e, attribute, 0);

    return n < 0 && n != INT64_MIN ? (usec_t) -n / 10 : 0;
}

bool entry_has_value(entry e, const char *attribute, const void *value, size_t size) {
    _cleanup_(values_freep) values v = get_values(e, attribute);

    for (size_t i = 0; v && v[i]; i++)
        if (v[i]->bv_len == size && memcmp(v[i]->bv_val, value, size) == 0)
            return true;
    return false;
}

bool entry_has(entry e, const char *attribute) {
    _cleanup_(values_freep) values v = get_values(e, attribute);

    return v && v[0];
}
