/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/site.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/text.h"

/* An address by its bytes, with an IPv4 address in IPv6's clothes undressed. */
typedef struct address {
    int family;
    uint8_t bytes[16];
    unsigned bits;
} address;

static bool read_address(const struct sockaddr *from, address *ret) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    *ret = (address){.family = from->sa_family};
    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof(v4));
        memcpy(ret->bytes, &v4.sin_addr, 4);
        ret->bits = 32;
        return true;
    }
    if (from->sa_family != AF_INET6)
        return false;

    memcpy(&v6, from, sizeof(v6));
    memcpy(ret->bytes, &v6.sin6_addr, 16);
    ret->bits = 128;
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        memmove(ret->bytes, ret->bytes + 12, 4);
        ret->family = AF_INET;
        ret->bits = 32;
    }
    return true;
}

static void clear_bit(address *a, unsigned bit) {
    a->bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

char *site_subnet_filter(const struct sockaddr *from) {
    char *filter = NULL;
    size_t size;
    address a;
    FILE *f;

    assert(from);

    if (!read_address(from, &a))
        return NULL;

    f = open_memstream(&filter, &size);
    if (!f)
        return NULL;

    fputs("(&(objectClass=subnet)(|", f);
    for (unsigned length = a.bits;; length--) {
        char text[INET6_ADDRSTRLEN];

        if (length < a.bits)
            clear_bit(&a, length);
        fprintf(f, "(cn=%s/%u)", inet_ntop(a.family, a.bytes, text, sizeof(text)), length);
        if (length == 0)
            break;
    }
    fputs("))", f);

    if (fclose(f) != 0) {
        free(filter);
        return NULL;
    }
    return filter;
}

char *site_from_dn(const char *dn) {
    size_t n;

    assert(dn);

    if (strncasecmp(dn, "CN=", 3) != 0)
        return NULL;

    /* A site's name is a label of DNS. */
    for (n = 0; isalnum((unsigned char) dn[3 + n]) || dn[3 + n] == '-' || dn[3 + n] == '_';)
        n++;
    return n > 0 && dn[3 + n] == ',' ? strndup(dn + 3, n) : NULL;
}

char *site_of_subnets(const entry *subnets, size_t n) {
    char *best = NULL;
    int best_length = -1;

    assert(subnets || n == 0);

    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *name = entry_text(subnets[i], "cn");
        _cleanup_free_ char *dn = entry_text(subnets[i], "siteObject");
        _cleanup_free_ char *site = dn ? site_from_dn(dn) : NULL;
        const char *slash = name ? strchr(name, '/') : NULL;
        int length = slash ? atoi(slash + 1) : -1;

        if (!site || length <= best_length)
            continue;

        best_length = length;
        free(best);
        best = TAKE_PTR(site);
    }
    return best;
}
