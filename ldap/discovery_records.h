/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What DNS says of a service: SRV records (RFC 2782) read, put into the order in which their
 * targets are to be tried, and how long all that holds. Pure: no network, no clock, no randomness
 * of its own. */

#include <stdbool.h>

#include "agent/base/macro.h"

/* A name of 253 characters and a NUL. */
#define SRV_TARGET_MAX 254

/* Of one answer; what is beyond is passed over. */
#define SRV_RECORDS_MAX 64

typedef struct srv_record {
    char target[SRV_TARGET_MAX]; /* without the last dot */
    uint16_t priority, weight, port;
} srv_record;

typedef struct srv_answer {
    srv_record records[SRV_RECORDS_MAX];
    size_t n;
    uint32_t ttl; /* seconds: the shortest of the records'; 0: no records */
} srv_answer;

/* Reads a DNS message. Records of the global catalog's ports are passed over, as are those whose
 * target is no host name, or "." (the service is not to be had).
 *
 * Returns 0, also for an answer without records; or -EBADMSG where it is no DNS message. */
int srv_parse(const uint8_t *message, size_t size, srv_answer *ret);

typedef uint32_t (*srv_random_fn)(void *userdata);

/* Lowest priority first; within one, drawn by weight as RFC 2782 asks. `random` gives any number,
 * evenly spread. */
void srv_order(srv_answer *a, srv_random_fn random, void *userdata);

/* Whether both name the same records, in whatever order. */
bool srv_equal(const srv_answer *a, const srv_answer *b);

/* How long an answer is held before DNS is asked again: its TTL, but at least a minute and at most
 * an hour. */
usec_t srv_lifetime(uint32_t ttl);

/* How long after the n-th failure in a row (n from 1) DNS is asked again: 15 s, doubled up to five
 * minutes. */
usec_t srv_negative_lifetime(unsigned failures);
