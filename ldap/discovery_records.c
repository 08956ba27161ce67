/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/discovery_records.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>

#define LIFETIME_MIN (1 * USEC_PER_MINUTE)
#define LIFETIME_MAX (1 * USEC_PER_HOUR)
#define NEGATIVE_FIRST (15 * USEC_PER_SEC)
#define NEGATIVE_MAX (5 * USEC_PER_MINUTE)

/* Priority, weight and port stand before the target. */
#define SRV_FIXED_SIZE 6

static bool is_host_name(const char *name) {
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char) *p) && !strchr("-._", *p))
            return false;

    return *name && *name != '.' && *name != '-';
}

static bool is_global_catalog(uint16_t port) {
    return port == 3268 || port == 3269;
}

static bool read_record(const ns_msg *message, const ns_rr *rr, srv_record *ret) {
    const uint8_t *data = ns_rr_rdata(*rr);

    if (ns_rr_type(*rr) != ns_t_srv || ns_rr_rdlen(*rr) <= SRV_FIXED_SIZE)
        return false;

    *ret = (srv_record){
        .priority = (uint16_t) ns_get16(data),
        .weight = (uint16_t) ns_get16(data + 2),
        .port = (uint16_t) ns_get16(data + 4),
    };
    return dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + SRV_FIXED_SIZE,
                     ret->target, sizeof(ret->target)) >= 0 &&
           is_host_name(ret->target) && !is_global_catalog(ret->port);
}

int srv_parse(const uint8_t *message, size_t size, srv_answer *ret) {
    ns_msg m;

    assert(message);
    assert(ret);

    if (size > NS_MAXMSG || ns_initparse(message, (int) size, &m) < 0)
        return -EBADMSG;

    *ret = (srv_answer){};
    for (int i = 0; i < ns_msg_count(m, ns_s_an) && ret->n < SRV_RECORDS_MAX; i++) {
        ns_rr rr;

        if (ns_parserr(&m, ns_s_an, i, &rr) < 0)
            return -EBADMSG;
        if (!read_record(&m, &rr, &ret->records[ret->n]))
            continue;

        if (ret->n++ == 0 || ns_rr_ttl(rr) < ret->ttl)
            ret->ttl = ns_rr_ttl(rr);
    }
    return 0;
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* By priority; those without weight first, as RFC 2782 asks; by name, so that the same records come
 * in the same order whatever order DNS gave them. */
static int compare(const void *left, const void *right) {
    const srv_record *a = left, *b = right;

    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (!a->weight != !b->weight)
        return a->weight ? 1 : -1;
    return strcasecmp(a->target, b->target);
}

static void move_to_front(srv_record *records, size_t i) {
    srv_record chosen = records[i];

    memmove(&records[1], &records[0], i * sizeof(srv_record));
    records[0] = chosen;
}

/* Draws the first of n records that have one priority. */
static size_t draw(const srv_record *records, size_t n, uint32_t random) {
    uint32_t total = 0, running = 0, at;

    for (size_t i = 0; i < n; i++)
        total += records[i].weight;

    if (total == 0)
        return (size_t) ((uint64_t) random * n >> 32);

    /* From 0 to the total, both included. */
    at = (uint32_t) ((uint64_t) random * (total + 1) >> 32);
    for (size_t i = 0; i < n; i++) {
        running += records[i].weight;
        if (running >= at)
            return i;
    }
    return n - 1;
}

void srv_order(srv_answer *a, srv_random_fn random, void *userdata) {
    assert(a);
    assert(random);

    qsort(a->records, a->n, sizeof(srv_record), compare);
    for (size_t first = 0; first < a->n; first++) {
        size_t n = 1;

        while (first + n < a->n && a->records[first + n].priority == a->records[first].priority)
            n++;
        move_to_front(&a->records[first], draw(&a->records[first], n, random(userdata)));
    }
}

static bool has(const srv_answer *a, const srv_record *r) {
    for (size_t i = 0; i < a->n; i++)
        if (a->records[i].priority == r->priority && a->records[i].weight == r->weight &&
            strcasecmp(a->records[i].target, r->target) == 0)
            return true;
    return false;
}

bool srv_equal(const srv_answer *a, const srv_answer *b) {
    assert(a);
    assert(b);

    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, &a->records[i]) || !has(a, &b->records[i]))
            return false;
    return true;
}

/* ---- Time ------------------------------------------------------------------------------------ */

usec_t srv_lifetime(uint32_t ttl) {
    usec_t life = ttl * USEC_PER_SEC;

    if (life < LIFETIME_MIN)
        return LIFETIME_MIN;
    return life > LIFETIME_MAX ? LIFETIME_MAX : life;
}

usec_t srv_negative_lifetime(unsigned failures) {
    usec_t life = NEGATIVE_FIRST;

    for (unsigned i = 1; i < failures && life < NEGATIVE_MAX; i++)
        life *= 2;
    return life > NEGATIVE_MAX ? NEGATIVE_MAX : life;
}
