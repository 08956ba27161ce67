/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/limits.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define GUID_TEXT_MAX 37
/* Where more accounts than this are acted on within one period, the one that is nearest to being
 * full again is forgotten. */
#define ACCOUNTS 4096
#define COUNT_MAX 1000000

typedef struct account {
    char guid[GUID_TEXT_MAX];
    usec_t bucket;
} account;

struct limits {
    rate request_rate, account_rate;
    usec_t requests;
    account accounts[ACCOUNTS];
};

/* ---- One bucket ------------------------------------------------------------------------------ */

static usec_t unit_from_text(const char *text) {
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {{"s", USEC_PER_SEC}, {"min", USEC_PER_MINUTE}, {"h", USEC_PER_HOUR}};

    for (size_t i = 0; i < ELEMENTSOF(units); i++)
        if (strcmp(text, units[i].name) == 0)
            return units[i].length;

    return 0;
}

/* A whole number from 1 to COUNT_MAX; 0 where there is none. */
static unsigned number_from_text(const char **text) {
    unsigned long n;
    char *end;

    if (!isdigit((unsigned char) **text))
        return 0;

    n = strtoul(*text, &end, 10);
    *text = end;
    return n <= COUNT_MAX ? (unsigned) n : 0;
}

int rate_parse(const char *text, rate *ret) {
    unsigned count, n = 1;
    usec_t unit;

    assert(text);
    assert(ret);

    if (strcasecmp(text, "off") == 0) {
        *ret = (rate){.period = USEC_PER_SEC};
        return 0;
    }

    count = number_from_text(&text);
    if (count == 0 || *text++ != '/')
        return -EINVAL;
    if (isdigit((unsigned char) *text))
        n = number_from_text(&text);
    unit = unit_from_text(text);
    if (n == 0 || unit == 0)
        return -EINVAL;

    *ret = (rate){.count = count, .period = n * unit};
    return 0;
}

static usec_t interval_of(rate r) {
    usec_t interval = r.period / r.count;

    return interval > 0 ? interval : 1;
}

usec_t rate_wait(rate r, usec_t bucket, usec_t now) {
    usec_t may_be_ahead;

    if (r.count == 0 || bucket <= now)
        return 0;

    may_be_ahead = (r.count - 1) * interval_of(r);
    return bucket - now > may_be_ahead ? bucket - now - may_be_ahead : 0;
}

usec_t rate_take(rate r, usec_t *bucket, usec_t now) {
    usec_t wait;

    assert(bucket);

    wait = rate_wait(r, *bucket, now);
    if (wait == 0 && r.count > 0)
        *bucket = (*bucket > now ? *bucket : now) + interval_of(r);
    return wait;
}

usec_t rate_convert(rate from, rate to, usec_t bucket, usec_t now) {
    usec_t taken;

    if (from.count == 0 || to.count == 0 || bucket <= now)
        return 0;

    taken = (bucket - now + interval_of(from) - 1) / interval_of(from);
    return now + (taken < to.count ? taken : to.count) * interval_of(to);
}

/* ---- All of them ----------------------------------------------------------------------------- */

int limits_new(rate requests, rate accounts, limits **ret) {
    limits *l = calloc(1, sizeof(limits));

    assert(ret);

    if (!l)
        return -ENOMEM;

    l->request_rate = requests;
    l->account_rate = accounts;
    *ret = l;
    return 0;
}

limits *limits_free(limits *l) {
    free(l);
    return NULL;
}

static bool same_rate(rate a, rate b) {
    return a.count == b.count && a.period == b.period;
}

void limits_set_rates(limits *l, rate requests, rate accounts, usec_t now) {
    assert(l);

    if (!same_rate(l->request_rate, requests))
        l->requests = rate_convert(l->request_rate, requests, l->requests, now);
    if (!same_rate(l->account_rate, accounts))
        for (size_t i = 0; i < ACCOUNTS; i++)
            l->accounts[i].bucket =
                rate_convert(l->account_rate, accounts, l->accounts[i].bucket, now);
    l->request_rate = requests;
    l->account_rate = accounts;
}

usec_t limits_take_request(limits *l, usec_t now) {
    assert(l);
    return rate_take(l->request_rate, &l->requests, now);
}

/* The account's place; NULL where it has none. */
static const account *find(const limits *l, const char *guid) {
    for (size_t i = 0; i < ACCOUNTS; i++)
        if (strcmp(l->accounts[i].guid, guid) == 0)
            return &l->accounts[i];

    return NULL;
}

static account *make_place(limits *l, const char *guid) {
    account *oldest = &l->accounts[0];

    for (size_t i = 0; i < ACCOUNTS; i++)
        if (l->accounts[i].bucket < oldest->bucket)
            oldest = &l->accounts[i];

    *oldest = (account){};
    (void) strncpy(oldest->guid, guid, GUID_TEXT_MAX - 1);
    return oldest;
}

usec_t limits_take_account(limits *l, const char *guid, usec_t now) {
    const account *known;
    account *a;

    assert(l);
    assert(guid);

    known = find(l, guid);
    a = known ? &l->accounts[known - l->accounts] : make_place(l, guid);
    return rate_take(l->account_rate, &a->bucket, now);
}

usec_t limits_wait_account(const limits *l, const char *guid, usec_t now) {
    const account *known;

    assert(l);
    assert(guid);

    known = find(l, guid);
    return known ? rate_wait(l->account_rate, known->bucket, now) : 0;
}
