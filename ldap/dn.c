/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/dn.h"

#include <ldap.h>
#include <strings.h>

#include "agent/base/macro.h"

static LDAPDN dn_free(LDAPDN dn) {
    ldap_dnfree(dn);
    return NULL;
}

DEFINE_CLEANUP(LDAPDN, dn_free);

static LDAPDN parse(const char *text) {
    LDAPDN dn = NULL;

    return ldap_str2dn(text, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS ? dn : NULL;
}

static size_t count(LDAPDN dn) {
    size_t n = 0;

    while (dn[n])
        n++;
    return n;
}

static bool same_value(const struct berval *a, const struct berval *b) {
    return a->bv_len == b->bv_len && strncasecmp(a->bv_val, b->bv_val, a->bv_len) == 0;
}

/* Active Directory has no parts with several values, so their order is of no concern. */
static bool same_part(LDAPRDN a, LDAPRDN b) {
    size_t i = 0;

    for (; a[i] && b[i]; i++)
        if (!same_value(&a[i]->la_attr, &b[i]->la_attr) ||
            !same_value(&a[i]->la_value, &b[i]->la_value))
            return false;

    return !a[i] && !b[i];
}

bool dn_is_below(const char *dn, const char *base) {
    _cleanup_(dn_freep) LDAPDN below = NULL, above = NULL;
    size_t n, m;

    assert(dn);
    assert(base);

    below = parse(dn);
    above = parse(base);
    if (!below || !above)
        return false;

    n = count(below);
    m = count(above);
    if (n < m)
        return false;

    for (size_t i = 0; i < m; i++)
        if (!same_part(below[n - m + i], above[i]))
            return false;
    return true;
}

bool dn_is_valid(const char *dn) {
    _cleanup_(dn_freep) LDAPDN parsed = NULL;

    assert(dn);

    parsed = parse(dn);
    return parsed && parsed[0];
}
