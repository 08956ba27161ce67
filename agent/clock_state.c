/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/clock_state.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"

/* More are not compared; a domain has 64 controllers at most. */
#define VOTES_MAX 64
#define NAMES_SHOWN 4

static bool is_off(int64_t ahead) {
    return ahead > (int64_t) CLOCK_OFF_AFTER || ahead < -(int64_t) CLOCK_OFF_AFTER;
}

/* ---- The votes ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

/* The middle one; of two in the middle the one that is nearer to this host's. */
static int64_t median(int64_t *values, size_t n) {
    int64_t low, high;

    qsort(values, n, sizeof(*values), compare);
    low = values[(n - 1) / 2];
    high = values[n / 2];
    return llabs(low) <= llabs(high) ? low : high;
}

static bool has_voted(const clock_witness *witnesses, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(witnesses[k].vote, witnesses[i].vote) == 0)
            return true;
    return false;
}

/* The vote that witness i has, alone or with others. */
static int64_t vote_of(const clock_witness *witnesses, size_t n, size_t i) {
    int64_t values[VOTES_MAX] = {witnesses[i].ahead};
    size_t n_values = 1;

    for (size_t k = i + 1; k < n && n_values < VOTES_MAX; k++)
        if (strcmp(witnesses[k].vote, witnesses[i].vote) == 0)
            values[n_values++] = witnesses[k].ahead;
    return median(values, n_values);
}

static size_t collect(const clock_witness *witnesses, size_t n, int64_t votes[static VOTES_MAX]) {
    size_t n_votes = 0;

    for (size_t i = 0; i < n && n_votes < VOTES_MAX; i++)
        if (!has_voted(witnesses, i))
            votes[n_votes++] = vote_of(witnesses, n, i);
    return n_votes;
}

/* Keeps those that say that this host is off to `side`, 1 or -1. Returns how many. */
static size_t keep_side(int64_t *votes, size_t n, int side) {
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (is_off(votes[i]) && (votes[i] > 0) == (side > 0))
            votes[kept++] = votes[i];
    return kept;
}

/* How far this host's clock is ahead of the right time, where most say that it is off; else 0. */
static int64_t host_ahead(const clock_witness *witnesses, size_t n) {
    for (int side = -1; side <= 1; side += 2) {
        int64_t votes[VOTES_MAX];
        size_t n_votes = collect(witnesses, n, votes);
        size_t accusing = keep_side(votes, n_votes, side);

        if (accusing >= 2 && 2 * accusing > n_votes)
            return median(votes, accusing);
    }
    return 0;
}

clock_state clock_judge(const clock_witness *witnesses, size_t n) {
    int64_t ahead;

    assert(witnesses || n == 0);

    ahead = host_ahead(witnesses, n);
    if (ahead != 0)
        return llabs(ahead) > (int64_t) CLOCK_WRONG_AFTER ? CLOCK_IS_WRONG : CLOCK_IS_OFF;

    for (size_t i = 0; i < n; i++)
        if (is_off(witnesses[i].ahead))
            return CLOCK_IS_DOUBTFUL;
    return n > 0 ? CLOCK_IS_RIGHT : CLOCK_IS_UNKNOWN;
}

/* ---- For people ------------------------------------------------------------------------------ */

static const char *describe(int64_t ahead, char buffer[static USEC_TEXT_MAX]) {
    return usec_describe((usec_t) llabs(ahead), buffer);
}

static bool differs(const clock_witness *w) {
    return is_off(w->ahead);
}

static bool is_behind_host(const clock_witness *w) {
    return is_off(w->ahead) && w->ahead > 0;
}

static bool is_ahead_of_host(const clock_witness *w) {
    return is_off(w->ahead) && w->ahead < 0;
}

static bool agrees(const clock_witness *w) {
    return !is_off(w->ahead);
}

static size_t count(const clock_witness *witnesses, size_t n, bool (*is)(const clock_witness *)) {
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        k += is(&witnesses[i]);
    return k;
}

/* "a", "a and b", "a, b and 3 others". */
static void put_names(FILE *f, const clock_witness *witnesses, size_t n,
                      bool (*is)(const clock_witness *)) {
    size_t all = count(witnesses, n, is), k = 0;
    size_t shown = all <= NAMES_SHOWN ? all : NAMES_SHOWN - 1;

    for (size_t i = 0; i < n && k < shown; i++) {
        if (!is(&witnesses[i]))
            continue;
        if (k > 0)
            fputs(++k == all ? " and " : ", ", f);
        else
            k++;
        fputs(witnesses[i].name, f);
    }
    if (all > shown)
        fprintf(f, " and %zu others", all - shown);
}

static void put_host(FILE *f, int64_t ahead, const clock_witness *witnesses, size_t n) {
    char span[USEC_TEXT_MAX];

    fprintf(f, "this host's clock is %s %s those of ", describe(ahead, span),
            ahead > 0 ? "ahead of" : "behind");
    put_names(f, witnesses, n, ahead > 0 ? is_behind_host : is_ahead_of_host);
}

static void put_peers(FILE *f, const clock_witness *witnesses, size_t n) {
    char span[USEC_TEXT_MAX];
    size_t shown = 0, agreeing = count(witnesses, n, agrees), differing = n - agreeing;

    for (size_t i = 0; i < n && shown < NAMES_SHOWN; i++) {
        if (!differs(&witnesses[i]))
            continue;
        fprintf(f, "%sthe clock of %s is %s %s this host's", shown++ > 0 ? ", " : "",
                witnesses[i].name, describe(witnesses[i].ahead, span),
                witnesses[i].ahead > 0 ? "behind" : "ahead of");
    }
    fputs("; ", f);
    if (agreeing > 0) {
        put_names(f, witnesses, n, agrees);
        fputs(agreeing > 1 ? " agree with this host" : " agrees with this host", f);
    }
    if (agreeing <= differing)
        fprintf(f, "%swhich is wrong cannot be told", agreeing > 0 ? ", and " : "");
}

char *clock_describe(const clock_witness *witnesses, size_t n) {
    clock_state state = clock_judge(witnesses, n);
    char *text = NULL;
    size_t size = 0;
    FILE *f;

    if (state == CLOCK_IS_UNKNOWN || state == CLOCK_IS_RIGHT)
        return NULL;

    f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    if (state == CLOCK_IS_DOUBTFUL)
        put_peers(f, witnesses, n);
    else
        put_host(f, host_ahead(witnesses, n), witnesses, n);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
